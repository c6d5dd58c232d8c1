// SPDX-License-Identifier: Apache-2.0

// Package docker runs sandboxes on a docker engine, local or remote, through
// its HTTP API. [Open] is its [backend.Opener].
//
// # How a sandbox looks in the engine
//
// One container named berth-NAME, or berth-ID without a name, with the labels
// berth.id, berth.name and berth.record. The mode isolated shares one bridge
// network, berth-isolated, on which traffic between containers is off; it is
// made when the first sandbox needs it and removed with the last. Overlay
// mounts are volumes berth-ID-overlay-N of the engine's local driver. On a
// remote engine berth's own files are copied into volumes: berth-agent-DIGEST,
// shared by all sandboxes of one berth, and berth-ID-ROLE.
//
// # What is trusted
//
// Nothing that the engine answers about a sandbox's confinement is assumed:
// after a create the settings are read back and compared. Labels are trusted
// only together with the container's name, because an image can carry labels.
// A docker socket behind which podman answers is recognised, and what podman's
// imitation gets wrong is refused.
package docker
