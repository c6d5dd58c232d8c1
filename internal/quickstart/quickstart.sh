#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The main job on real input: a Debian image with git and python3, this
# repository as the workspace, the caller's own uid. "make run" calls it.
#
# It uses the docker engine that answers. Without one, as root on Debian or
# Ubuntu, it starts a private engine for the job and takes it down again. The
# image is made from Debian's packages once and kept in .cache.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The image is made before a private engine starts: that one has no internet.
rootfs=.cache/debian-dev.tar
if [ ! -s "$rootfs" ]; then
	if ! command -v mmdebstrap >/dev/null; then
		if [ "$(id -u)" != 0 ]; then
			echo 'mmdebstrap is missing: apt-get install mmdebstrap' >&2
			exit 1
		fi
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap >/dev/null
	fi
	echo 'making a Debian image with git and python3' >&2
	mkdir -p .cache
	# This machine's own release: the keys of others may not be installed here.
	suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
	rm -rf "$rootfs.new" # of a run that was cut off
	mmdebstrap --quiet --format=tar --variant=minbase --include=git,python3 "$suite" "$rootfs.new"
	mv "$rootfs.new" "$rootfs"
fi

if [ "${1-}" != inside ] && ! bin/berth --backend docker ls >/dev/null 2>&1; then
	echo 'no docker engine answers: starting a private one' >&2
	exec bin/engines run -- "$0" inside
fi

bin/berth --backend docker image load -i "$rootfs" debian-dev >/dev/null

export SANDBOX_VOLUMES=$PWD:/workspace:rw,/usr/share/doc:/data:ro SANDBOX_USER_ID=$(id -u)
trap 'rm -f out.txt' EXIT
echo "+ SANDBOX_VOLUMES=$SANDBOX_VOLUMES SANDBOX_USER_ID=$SANDBOX_USER_ID" >&2
bin/berth run --backend docker --image debian-dev -- sh -c \
	'git log --oneline | head -3; python3 -c "open(\"/workspace/out.txt\",\"w\").write(\"hi\")"; touch /data/x || echo readonly; id'
echo "out.txt belongs to $(stat -c %u:%g out.txt) and says: $(cat out.txt)"
bin/berth --backend docker ls
