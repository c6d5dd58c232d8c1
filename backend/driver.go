// SPDX-License-Identifier: Apache-2.0

// Package backend is the contract between berth and a container engine: the
// [Driver] interface, what a driver claims to be able to do, the ledger of how
// it realises each field of a spec, and the kinds of its errors. It imports
// only the standard library and package spec.
//
// A driver author implements [Driver] (and [Imager]; the other optional
// interfaces as far as the engine goes) and runs package conformance against
// it. Nothing here needs another driver to be read.
package backend

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"time"

	"github.com/berthrun/berth/spec"
)

// ID identifies a sandbox for its whole life: 16 characters of a-z and 0-9,
// the first one a letter, made at random by the caller of Create.
type ID string

// Driver translates neutral requests for one engine at one address.
//
// All methods may be called concurrently, from several processes too. Errors
// are *[Error], or the context's own. A method whose context ends returns
// promptly with the context's error, and leaves behind nothing that it made.
// The engine is the only record of which sandboxes exist: a driver keeps no
// store of its own, finds its sandboxes by label, and never touches an object
// that does not bear berth's labels.
type Driver interface {
	// Name is the backend's name, such as "docker". It never changes.
	Name() string

	// Probe finds out what the engine is and what it can do. It changes nothing
	// on the engine, unless deep is true: then it may run a throw-away container
	// for facts that cannot be read otherwise. The other methods of a driver
	// probe by themselves when they need a fact; a result may be cached for the
	// life of the driver. Unavailable when nothing answers or access is refused.
	Probe(ctx context.Context, deep bool) (*Info, error)

	// Plan says how each set field of req.Spec would be realised. It is a pure
	// function of req and of the facts that Probe found: nothing is changed, and
	// the same input gives the same plan. The ledger has exactly one mapping for
	// each path of spec.SetFields. When fields are refused, Plan returns the
	// whole ledger and an Unsupported error that names the first one, joined
	// with the errors of the others.
	Plan(ctx context.Context, req *CreateRequest) (*Plan, error)

	// Create makes a sandbox that is not running yet, exactly as Plan said, and
	// reads the security-relevant settings back from the engine; a difference is
	// an Internal error that names the field. Engine warnings are errors, except
	// those that the driver lists as harmless. The same id with the same digest
	// returns the existing sandbox; with another digest, or when the name is
	// taken, Exists. The image must be present: NotFound otherwise, nothing is
	// pulled. After an error nothing of the sandbox is left.
	Create(ctx context.Context, req *CreateRequest) (*Status, error)

	// Start runs the sandbox's init. A running sandbox: nil. It returns once the
	// engine has started the process, which then waits in berth's hand-shake.
	// Exhausted when a host port is taken, naming the port's field. A sandbox
	// that could not be started is as it was before.
	Start(ctx context.Context, id ID) error

	// Stop sends the stop signal, waits for the grace and kills. A sandbox that
	// is not running: nil. Absent: NotFound. When Stop returns nil the process
	// has ended.
	Stop(ctx context.Context, id ID, opts *StopOptions) error

	// Remove takes the sandbox away with everything that was made for it in the
	// engine: anonymous volumes, networks that nothing else uses, support
	// volumes. Absent: nil. Running: Conflict unless opts.Force, which kills.
	Remove(ctx context.Context, id ID, opts *RemoveOptions) error

	// Inspect reports the sandbox's state. Absent: NotFound.
	Inspect(ctx context.Context, id ID) (*Status, error)

	// List yields every sandbox that bears berth's labels, of any state and of
	// any earlier berth. It yields one error and ends when the engine fails.
	List(ctx context.Context, opts *ListOptions) iter.Seq2[*Status, error]

	// Wait returns when the main process has ended: at once when it has already,
	// from any driver instance and for any number of waiters. A sandbox that was
	// never started: Conflict.
	Wait(ctx context.Context, id ID) (*Exit, error)

	// Attach connects to the standard streams of the main process. Called
	// before Start it misses nothing. The context bounds the call, not the
	// session.
	Attach(ctx context.Context, id ID, req *AttachRequest) (Process, error)

	// Exec runs a further process. An exit code that is not zero is no error;
	// a command that is missing or cannot be invoked ends with 127 or 126.
	// A sandbox that is not running, or paused: Conflict. The context bounds the
	// start, not the process.
	Exec(ctx context.Context, id ID, req *ExecRequest) (Process, error)

	// Logs yields what the main process wrote, in order, each entry with its
	// stream and time; with Follow until the process has ended or ctx has.
	Logs(ctx context.Context, id ID, opts *LogOptions) iter.Seq2[LogEntry, error]

	// Close drops the connection. Sandboxes keep running.
	Close() error
}

// CreateRequest is everything that a driver needs to make a sandbox. All host
// paths in it are resolved and absolute; package internal/sandbox makes it.
type CreateRequest struct {
	// ID is required by Create; Plan may be asked without.
	ID ID
	// Spec has passed spec.Default and spec.Validate.
	Spec *spec.Sandbox
	// Digest is spec.Digest of the spec as the user gave it.
	Digest string
	// Image is what Imager.Image returned for the spec's reference.
	Image *Image
	// Identity is the user that the process runs as, decided by internal/sandbox.
	Identity Identity
	// Argv is the command that init runs: the spec's and the image's, composed.
	Argv []string
	// Env is the spec's environment and what berth adds (HOME, USER).
	Env map[string]string
	// Seccomp is the profile's text when spec.security.seccomp is a path.
	Seccomp json.RawMessage
	// Init is how berth's init, which is then PID 1 and runs Argv, is reached.
	// Nil: Argv itself is PID 1, as package conformance asks for.
	Init *Init
	// Support are the mounts that berth adds for its own purposes.
	Support []SupportMount
	// Overlays has, for each mount of mode overlay, its index in Spec.Mounts and
	// the host directories that berth prepared.
	Overlays map[int]OverlayDirs
	// Record is stored with the sandbox and comes back as Status.Record. It
	// holds no secret.
	Record Record
	// EnginePaths says that host paths are paths of the engine's machine; only
	// then may a remote engine be given binds.
	EnginePaths bool
}

// Identity is the user of the main process.
type Identity struct {
	// Mode is spec.UserCaller, spec.UserImage or "number".
	Mode string `json:"mode"`
	// UID and GID are the inner ids; for mode image they are those of the
	// image's user and may be unknown (User then names it).
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
	// Groups are supplementary.
	Groups []uint32 `json:"groups,omitempty"`
	// User is the image's own word for its user, for mode image. Empty: root.
	User string `json:"user,omitempty"`
	// HostUID and HostGID own, on the host, what the process writes into binds;
	// for the mode caller the driver has to make that true.
	HostUID uint32 `json:"hostUid"`
	HostGID uint32 `json:"hostGid"`
	// Home is the value of HOME.
	Home string `json:"home"`
}

// Places inside every sandbox that berth uses. The spec may not mount there.
const (
	// AgentTarget is the agent's binary, which is PID 1 as "init".
	AgentTarget = "/run/berth-agent"
	// RunTarget is the run directory.
	RunTarget = "/run/berth"
	// InitSocket is the name of the hand-shake's socket in the run directory.
	InitSocket = "init.sock"
)

// Init says how the hand-shake with PID 1 travels.
type Init struct {
	// Listen: init listens in the sandbox and berth comes in by Exec of
	// "berth-agent connect"; otherwise init connects to a socket that berth made
	// in the run directory.
	Listen bool
	// Timeout is how long init waits for berth before it gives up.
	Timeout time.Duration
}

// Args is the argument vector that a driver gives to PID 1, ending in argv.
func (i Init) Args(argv []string) []string {
	args := []string{AgentTarget, "init"}
	path := RunTarget + "/" + InitSocket
	if i.Listen {
		args = append(args, "--listen", path)
	} else {
		args = append(args, "--connect", path)
	}
	if i.Timeout > 0 {
		args = append(args, "--timeout", i.Timeout.String())
	}
	return append(append(args, "--"), argv...)
}

// SupportRole says what a support mount is for.
type SupportRole string

// The roles of support mounts.
const (
	RoleAgent  SupportRole = "agent"
	RoleRun    SupportRole = "run"
	RoleHome   SupportRole = "home"
	RolePasswd SupportRole = "passwd"
	RoleGroup  SupportRole = "group"
)

// SupportMount is a file or directory of berth's own. A local driver binds
// Source; a driver of a remote engine copies its content into a volume.
type SupportMount struct {
	Role SupportRole
	// Source is a path on berth's machine.
	Source string
	Target string
	// Dir says that Source is a directory.
	Dir      bool
	ReadOnly bool
	// Digest identifies the content of a read-only one, so that copies can be
	// shared; hex sha256.
	Digest string
	// UID, GID and Mode are what a copy gets.
	UID, GID uint32
	Mode     uint32
}

// OverlayDirs are the host directories of one overlay mount. Upper and Work
// exist, are on one file system and belong to berth.
type OverlayDirs struct {
	Lower, Upper, Work string
}

// Record is what berth stores with a sandbox in the engine, so that a later
// berth can find everything again. It is immutable.
type Record struct {
	// Version is the record's format, currently 1.
	Version int `json:"version"`
	// Berth is the version of the berth that made the sandbox.
	Berth string `json:"berth"`
	// Spec is the defaulted spec with environment values redacted.
	Spec *spec.Sandbox `json:"spec"`
	// Digest is CreateRequest.Digest.
	Digest string `json:"digest"`
	// Identity is CreateRequest.Identity.
	Identity Identity `json:"identity"`
	// StateDir is the sandbox's directory in berth's state, on berth's machine.
	StateDir string `json:"stateDir,omitempty"`
	// Mounts are the resolved host facts of the binds, by index in Spec.Mounts.
	Mounts []MountRecord `json:"mounts,omitempty"`
	// Owner is the host uid of the caller.
	Owner uint32 `json:"owner"`
	// AutoRemove says that the sandbox was made by "run".
	AutoRemove bool `json:"autoRemove,omitempty"`
	// Listen is Init.Listen.
	Listen bool `json:"listen,omitempty"`
	// EnginePaths is CreateRequest.EnginePaths.
	EnginePaths bool `json:"enginePaths,omitempty"`
}

// MountRecord is what a bind's source was when it was resolved.
type MountRecord struct {
	Index  int    `json:"index"`
	Source string `json:"source"`
	Dev    uint64 `json:"dev"`
	Ino    uint64 `json:"ino"`
	Dir    bool   `json:"dir"`
	// Upper is the directory that keeps an overlay's writes.
	Upper string `json:"upper,omitempty"`
}

// Phase is where a sandbox is in its life.
type Phase string

// The phases.
const (
	PhaseCreated Phase = "created"
	PhaseRunning Phase = "running"
	PhasePaused  Phase = "paused"
	PhaseExited  Phase = "exited"
	// PhaseFailed: the engine can neither run nor start it; remove it.
	PhaseFailed Phase = "failed"
)

// Status is the neutral state of a sandbox. The same spec gives the same
// status on every backend apart from ids, times, addresses and Engine.
type Status struct {
	ID    ID     `json:"id"`
	Name  string `json:"name,omitempty"`
	Phase Phase  `json:"phase"`
	// Record is what Create was given; Record.Spec is the redacted spec.
	Record Record `json:"record"`
	// Times are zero when the thing has not happened.
	CreatedAt  time.Time `json:"createdAt,omitzero"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	// Exit is set in PhaseExited.
	Exit *Exit `json:"exit,omitempty"`
	// Ports are the published ports with what the engine really bound. Only a
	// running sandbox has them.
	Ports []PortStatus `json:"ports"`
	// Networks are the networks joined, with the sandbox's addresses there.
	Networks []NetworkStatus `json:"networks"`
	Engine   EngineStatus    `json:"engine"`
}

// PortStatus is one published port.
type PortStatus struct {
	Name          string        `json:"name"`
	Protocol      spec.Protocol `json:"protocol"`
	ContainerPort int           `json:"containerPort"`
	Address       string        `json:"address"`
	HostPort      int           `json:"hostPort"`
}

// NetworkStatus is one network that a sandbox joined.
type NetworkStatus struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
}

// EngineStatus is what only this engine says about a sandbox.
type EngineStatus struct {
	Driver string `json:"driver"`
	// NativeID is the engine's id of the container.
	NativeID string `json:"nativeId"`
	// NativeName is the engine's name of the container.
	NativeName string `json:"nativeName,omitempty"`
	// InitPID is PID 1 as the engine's machine numbers it; 0 when not running.
	InitPID int `json:"initPid,omitempty"`
	// Image is the engine's id of the image.
	Image string `json:"image,omitempty"`
}

// Exit is how a process ended.
type Exit struct {
	// Code is the exit code as a shell would see it: 128+n for a signal n.
	Code int `json:"code"`
	// OOMKilled says that the memory limit ended it, where the engine knows.
	OOMKilled bool `json:"oomKilled,omitempty"`
}

// StopOptions are the options of Stop. A nil pointer means all defaults.
type StopOptions struct {
	// Signal overrides the spec's. Empty: the spec's.
	Signal string
	// Grace overrides the spec's when it is not nil; zero kills at once.
	Grace *time.Duration
}

// RemoveOptions are the options of Remove. A nil pointer means all defaults.
type RemoveOptions struct {
	// Force kills a running sandbox.
	Force bool
}

// ListOptions are the options of List. A nil pointer means all defaults.
type ListOptions struct {
	// Labels restricts to sandboxes whose spec has these labels.
	Labels map[string]string
}

// Streams are the caller's ends of a process's standard streams. A nil one is
// not connected. A driver copies in its own goroutines and never closes them.
type Streams struct {
	Stdin  io.Reader
	Stdout io.Writer
	// Stderr is unused when the process has a terminal.
	Stderr io.Writer
}

// AttachRequest is the request of Attach.
type AttachRequest struct {
	Streams
	// Logs replays what was written before.
	Logs bool
}

// ExecRequest is the request of Exec.
type ExecRequest struct {
	Streams
	// Argv is run as it is, without a shell. Required.
	Argv []string
	// Env is added to the sandbox's environment.
	Env map[string]string
	// Workdir is absolute. Empty: the sandbox's.
	Workdir string
	// User is "UID" or "UID:GID". Empty: the sandbox's user.
	User string
	TTY  bool
	// Cols and Rows are the terminal's first size; zero: the engine's default.
	Cols, Rows uint16
}

// Process is a running process whose streams the caller holds. Its methods may
// be called concurrently.
type Process interface {
	// Wait returns when the process has ended and all its output was written to
	// the caller's streams. For an attached main process without a started
	// sandbox it waits for the start too.
	Wait(ctx context.Context) (*Exit, error)
	// Resize sets the terminal's size.
	Resize(ctx context.Context, cols, rows uint16) error
	// Close drops the streams. The process goes on.
	Close() error
}

// LogStream names a standard stream.
type LogStream string

// The streams.
const (
	Stdout LogStream = "stdout"
	Stderr LogStream = "stderr"
)

// LogEntry is one piece of what the main process wrote, usually a line. Data
// is hostile: it may hold terminal escapes.
type LogEntry struct {
	Time   time.Time `json:"time"`
	Stream LogStream `json:"stream"`
	Data   []byte    `json:"data"`
}

// LogOptions are the options of Logs. A nil pointer means all defaults.
type LogOptions struct {
	// Follow goes on until the process has ended.
	Follow bool
	// Since drops older entries. Zero: none.
	Since time.Time
	// Tail keeps only the last entries. Zero: all. Negative: none.
	Tail int
}
