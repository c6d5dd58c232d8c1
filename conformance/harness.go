// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"io"
	"net"

	"github.com/berthrun/berth/backend"
)

// Harness is how the suite reaches one engine. Its methods may be called
// concurrently. A driver author writes one; an error from it is an error of the
// run, not a failure of the driver.
type Harness interface {
	// Open returns a new driver instance. It is called many times and always
	// for the same engine, as several processes would do. The suite closes it.
	Open(ctx context.Context) (backend.Driver, error)
	// Image makes sure that the engine has the fixture image of that kind and
	// returns a reference to it. The suite calls it once for each kind.
	Image(ctx context.Context, kind ImageKind) (ref string, err error)
	// Host declares the facts of the machine. It never changes during a run.
	Host() Host
}

// ImageKind names a fixture image. Every kind is for the engine's own platform
// and holds the static probe program of berth as /probe, mode 0755.
type ImageKind string

// The fixture images.
const (
	// ImageBase has /probe and nothing else that a test relies on: no user
	// database, no shell, no configuration but an entrypoint of /probe.
	ImageBase ImageKind = "base"
	// ImageUser says User "app", which its /etc/passwd has as uid 1000, gid 1000
	// and home /home/app, and its /etc/group has as 1000.
	ImageUser ImageKind = "user"
	// ImageConfig has the configuration of [ConfigImage], a directory /srv/work,
	// a file /srv/data with [ConfigData], and a symbolic link /srv/link to
	// /etc/passwd, which it does not have.
	ImageConfig ImageKind = "config"
	// ImageVolume declares a volume at /data.
	ImageVolume ImageKind = "volume"
)

// ImageKinds lists every kind.
func ImageKinds() []ImageKind {
	return []ImageKind{ImageBase, ImageUser, ImageConfig, ImageVolume}
}

// ConfigData is the content of /srv/data in [ImageConfig].
const ConfigData = "conformance data\n"

// ConfigImage is the configuration that [ImageConfig] has.
func ConfigImage() backend.Image {
	return backend.Image{
		Entrypoint: []string{"/probe"},
		Cmd:        []string{"exit", "9"},
		Env:        []string{"FROM_IMAGE=yes", "OVERRIDDEN=image"},
		Workdir:    "/srv/work",
		StopSignal: "SIGUSR1",
	}
}

// Fact is something that a machine gives to tests, or lacks.
type Fact string

// The facts. A harness either provides each of them or names it in [Host.Lacks].
const (
	// FactRoot: the test process may make folders that belong to other users.
	FactRoot Fact = "root"
	// FactNetwork: the test process shares the network of the engine's machine,
	// so that it can dial published ports and take ports itself.
	FactNetwork Fact = "network"
	// FactAddress: [Host.Address] is set.
	FactAddress Fact = "second-address"
	// FactIPv6: the engine's machine has ::1.
	FactIPv6 Fact = "ipv6"
	// FactPeer: [Host.Peer] is set.
	FactPeer Fact = "peer"
	// FactService: [Host.Service] is set.
	FactService Fact = "service"
	// FactSubmount: [Host.Submount] is set.
	FactSubmount Fact = "submount"
	// FactVolumes: the harness is a [VolumeRemover].
	FactVolumes Fact = "volumes"
	// FactArchives: the harness is an [Archiver].
	FactArchives Fact = "archives"
	// FactRegistry: [Host.Registry] is set.
	FactRegistry Fact = "registry"
	// FactLeaks: the harness is a [LeakChecker].
	FactLeaks Fact = "leak-check"
	// FactRestart: the harness is a [Restarter].
	FactRestart Fact = "engine-restart"
	// FactFaults: the harness is a [Faulter].
	FactFaults Fact = "faults"
	// FactBystander: the harness is a [Bystander].
	FactBystander Fact = "bystander"
)

// Facts lists every fact.
func Facts() []Fact {
	return []Fact{
		FactRoot, FactNetwork, FactAddress, FactIPv6, FactPeer, FactService, FactSubmount, FactVolumes,
		FactArchives, FactRegistry, FactLeaks, FactRestart, FactFaults, FactBystander,
	}
}

// Host is what the machine of a run gives. It is declared beforehand and does
// not come from the driver under test.
type Host struct {
	// UID and GID are the caller: the owner of what the tests make.
	UID, GID uint32
	// TempDir is a directory of the engine's machine that the test process sees
	// too. The engine can bind folders in it and use them for overlays; its file
	// system keeps owners and modes.
	TempDir string
	// Address is an address of the engine's machine that is not a loopback of
	// the default binding, so that a port bound to 127.0.0.1 must not answer on
	// it.
	Address string
	// Peer is a TCP service outside: beyond the engine's machine, owned by the
	// tests.
	Peer Endpoint
	// Service is a TCP service of the engine's machine itself, listening on all
	// its addresses, at an address that a sandbox could have a route to.
	Service Endpoint
	// Submount is a directory with a file system of its own mounted, writable,
	// at its entry "sub".
	Submount string
	// Registry says where pulls go.
	Registry Registry
	// Dial replaces net.Dialer for reaching published ports. May be nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Lacks has each fact that this machine does not give, with the reason.
	Lacks map[Fact]string
}

// Endpoint is a TCP service that sends Body to every connection and closes it.
// It may send something around Body, as HTTP does.
type Endpoint struct {
	// Address is an IP address and a port.
	Address string
	// Body is text that nobody else sends.
	Body string
	// Send is what a client has to send first. Empty: nothing.
	Send string
	// Name is a host name of it that sandboxes with access to the outside can
	// resolve. Empty: it has none.
	Name string
}

// Registry has references for pulls. The engine must be able to reach them.
type Registry struct {
	// Image can be pulled by anybody; the engine may not have it yet.
	Image string
	// Denied needs credentials that nobody has.
	Denied string
	// Absent is in a registry that answers and does not know it.
	Absent string
	// Unreachable is in a registry that does not answer.
	Unreachable string
}

// Object is something in an engine that a driver made.
type Object struct {
	// Kind is the engine's word: "container", "network", "volume", "mount".
	Kind string
	// Name identifies it among its kind.
	Name string
	// Owner is the sandbox that it belongs to. Empty: it serves several.
	Owner backend.ID
}

// LeakChecker is implemented by a harness that can list, by the engine's own
// means and not through the driver, everything that drivers of berth made in the
// engine and on its machine. Objects of others are left out. Images are too.
type LeakChecker interface {
	Objects(ctx context.Context) ([]Object, error)
}

// VolumeRemover is implemented by a harness that can remove a named volume, for
// which drivers have no verb. Absent: nil.
type VolumeRemover interface {
	RemoveVolume(ctx context.Context, name string) error
}

// Archiver is implemented by a harness that can make an archive, as "docker
// save" writes it, of an image with the name ref, the files of the base image
// and an id of its own: a label with ref in its configuration sees to that.
type Archiver interface {
	Archive(ctx context.Context, ref string) (io.ReadCloser, error)
}

// Restarter is implemented by a harness whose engine nobody else uses.
type Restarter interface {
	// StopEngine ends the engine; it returns when nothing answers any more.
	StopEngine(ctx context.Context) error
	// StartEngine brings it back; it returns when the engine answers.
	StartEngine(ctx context.Context) error
}

// Fault is a way in which an engine is out of reach.
type Fault string

// The faults.
const (
	// FaultAbsent: nothing listens at the address.
	FaultAbsent Fault = "absent"
	// FaultForbidden: the address exists and access to it is refused.
	FaultForbidden Fault = "forbidden"
)

// Faulter is implemented by a harness that can open a driver on a broken
// address.
type Faulter interface {
	OpenBroken(ctx context.Context, fault Fault) (backend.Driver, error)
}

// Bystander is implemented by a harness that can make objects which are not
// berth's, by the engine's own means.
type Bystander interface {
	// MakeForeign makes a running container and a network that bear none of
	// berth's labels. The container may bear name as its name. remove takes both
	// away.
	MakeForeign(ctx context.Context, name string) (f Foreign, remove func(context.Context) error, err error)
}

// Foreign is what a [Bystander] made.
type Foreign struct {
	// Network is the network's name.
	Network string
	// Alive reports whether container and network are there and as they were.
	Alive func(ctx context.Context) (bool, error)
}
