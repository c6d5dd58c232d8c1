// SPDX-License-Identifier: Apache-2.0

// Package enginetest starts real container engines for tests, each in a
// network namespace of its own, and proves afterwards that nothing of them is
// left.
//
// Two kinds of code use it. The command in cmd/engines, which `make test` and
// `make engines` call, starts an engine with [Start] and runs a command beside
// it. Tests that need an engine ask for the one that was started for them with
// [NeedDocker], and may stop, start and inspect it through the [Client].
//
// A private data root and bridge are not isolation: every dockerd rewrites the
// same iptables chains and the address of docker0 in the network namespace it
// runs in. So an engine of this package gets a namespace with a loopback
// device and one link to a second namespace, which plays the rest of the
// world: the default route ends there, and so does all that a sandbox sends
// out. Nothing in these namespaces can reach the machine's own network, and
// no engine, network, rule or cgroup of the host is touched.
//
// Everything that an engine owns is below one directory, in a cgroup of its
// name and in two network namespaces of its name. They are written to a state
// file before they are made, so that the next start can clean up after a run
// that was killed.
package enginetest
