// SPDX-License-Identifier: Apache-2.0

// Package wire holds the messages of the hand-shake between berth and the init
// process of a sandbox, and their encoding: one JSON object per line.
//
// It is apart from package handshake so that the agent, which is bound into
// every sandbox, links neither net nor crypto. Use package handshake on the
// host.
//
// The exchange, in this order (DESIGN section 4, Identity):
//
//	berth -> init   {"config":{…}}
//	init -> berth   {"report":{…}}
//	berth -> init   {"go":{}} or {"abort":{…}}
//	init -> berth   {"started":{…}} or {"failed":{…}}
//
// Init may send failed in place of any of its messages.
package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// Version is the protocol version of this package. Any change to a message
	// needs a new one: both sides refuse fields that they do not know.
	Version = 1

	// MaxLine bounds a line, in bytes, that berth reads from a sandbox.
	MaxLine = 64 << 10

	// MaxConfigLine bounds a line, in bytes, that init reads from berth. It is
	// larger than MaxLine because that direction is trusted and carries paths.
	MaxConfigLine = 1 << 20

	// MaxText bounds, in bytes, each free text that comes out of a sandbox.
	MaxText = 1024

	// NonceLen is the length of a nonce: 128 bits in lowercase hexadecimal.
	NonceLen = 32
)

// InitTasks is how many tasks (processes and threads) of a sandbox's process limit
// to count for init. It takes 7 or 8; the Go runtime starts a few more on machines
// with many processors. With a limit that leaves none over, the command cannot be
// started (ExitCannotExec); with a lower one init itself cannot run.
const InitTasks = 12

// Exit codes that init gives when the command did not run. They are docker's.
const (
	ExitInit       = 125 // the hand-shake failed or was aborted
	ExitCannotExec = 126 // the command was found and cannot be invoked
	ExitNotFound   = 127 // the command was not found
)

// Config is the first message: what init has to examine and to enforce.
// Durations are nanoseconds on the wire.
type Config struct {
	// Version is the protocol version that berth speaks.
	Version int `json:"version"`
	// Nonce names this hand-shake: NonceLen lowercase hexadecimal digits. It is
	// repeated in the report and is part of the names of the probe files.
	Nonce string `json:"nonce"`
	// Mounts are examined in this order; the report answers in the same order.
	Mounts []MountQuery `json:"mounts,omitempty"`
	// TTL is how long the command may run after "go"; 0 means no limit. At its
	// end the command gets StopSignal and, StopGrace later, SIGKILL.
	TTL time.Duration `json:"ttl,omitempty"`
	// StopSignal is the signal number for the end of the TTL; 0 means SIGTERM.
	StopSignal int `json:"stopSignal,omitempty"`
	// StopGrace is the time between StopSignal and SIGKILL at the end of the TTL.
	StopGrace time.Duration `json:"stopGrace,omitempty"`
	// ExitGrace is how long processes that the command left behind get between
	// SIGTERM and SIGKILL once it has ended. 0 means that init exits at once and
	// the kernel kills them, which is what users of an engine expect.
	ExitGrace time.Duration `json:"exitGrace,omitempty"`
}

// MountQuery asks init to examine one mount.
type MountQuery struct {
	// Target is the absolute, clean path inside the sandbox.
	Target string `json:"target"`
	// Probe asks for a probe file when Target is a directory.
	Probe bool `json:"probe,omitempty"`
}

// Report is init's answer: what it is and what it sees. Nothing in it may be
// believed without a check on the host.
type Report struct {
	Version      int    `json:"version"`
	Nonce        string `json:"nonce"`
	AgentVersion string `json:"agentVersion"`
	// PID, UID, GID and Groups are init's own, in the sandbox's namespaces.
	PID    int   `json:"pid"`
	UID    int   `json:"uid"`
	GID    int   `json:"gid"`
	Groups []int `json:"groups"`
	// NoNewPrivs is the state of the no_new_privs attribute.
	NoNewPrivs bool `json:"noNewPrivs"`
	// Seccomp is the seccomp mode: 0 none, 1 strict, 2 filter, -1 unknown.
	Seccomp int `json:"seccomp"`
	// The five capability sets of init, one bit per capability number.
	CapEff uint64 `json:"capEff"`
	CapPrm uint64 `json:"capPrm"`
	CapInh uint64 `json:"capInh"`
	CapBnd uint64 `json:"capBnd"`
	CapAmb uint64 `json:"capAmb"`
	// Mounts answers Config.Mounts, one for one and in the same order.
	Mounts []MountReport `json:"mounts"`
}

// MountReport is what init sees at one target. A final symbolic link is not
// followed.
type MountReport struct {
	Target string `json:"target"`
	// Dev, Ino and Mode are st_dev, st_ino and st_mode of the target.
	Dev  uint64 `json:"dev"`
	Ino  uint64 `json:"ino"`
	Mode uint32 `json:"mode"`
	// ReadOnly is ST_RDONLY of the mount that the target is on.
	ReadOnly bool `json:"readOnly"`
	// FSType names the file system, or its magic number in hexadecimal.
	FSType string `json:"fsType"`
	// Error is why the target could not be examined; then the fields above are
	// not to be used.
	Error string `json:"error,omitempty"`
	// Probe is nil when no probe was asked for or the target is no directory.
	Probe *ProbeReport `json:"probe,omitempty"`
}

// ProbeReport tells about one probe file, which exists until "go" or "abort"
// when Error is empty. Its owner is as seen from inside.
type ProbeReport struct {
	Name string `json:"name"`
	Dev  uint64 `json:"dev"`
	Ino  uint64 `json:"ino"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	// Error is why the file could not be created, as an errno's text.
	Error string `json:"error,omitempty"`
}

// Go tells init to start the command.
type Go struct{}

// Abort tells init to exit without having run the command.
type Abort struct {
	Reason string `json:"reason"`
}

// Started tells berth that the command runs.
type Started struct {
	// PID is the command's process id inside the sandbox.
	PID int `json:"pid"`
}

// Failed tells berth that the command will not run. Code is the exit code that
// init then gives.
type Failed struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Message is one line: exactly one field is set.
type Message struct {
	Config  *Config  `json:"config,omitempty"`
	Report  *Report  `json:"report,omitempty"`
	Go      *Go      `json:"go,omitempty"`
	Abort   *Abort   `json:"abort,omitempty"`
	Started *Started `json:"started,omitempty"`
	Failed  *Failed  `json:"failed,omitempty"`
}

// Kind is the name of the field that is set; "" when it is not exactly one.
func (m Message) Kind() string {
	kind, n := "", 0
	for _, f := range []struct {
		set  bool
		name string
	}{
		{m.Config != nil, "config"}, {m.Report != nil, "report"}, {m.Go != nil, "go"},
		{m.Abort != nil, "abort"}, {m.Started != nil, "started"}, {m.Failed != nil, "failed"},
	} {
		if f.set {
			kind, n = f.name, n+1
		}
	}
	if n != 1 {
		return ""
	}
	return kind
}

// ErrSyntax is in the chain of every error about a line that is not a message.
var ErrSyntax = errors.New("not a message of the hand-shake")

// Decode reads one message from a line without its newline. It refuses
// everything that Encode cannot have written: no object or more than one,
// unknown, repeated or wrongly cased keys, none or several messages in one line.
// The error is ErrSyntax; it never repeats the input.
func Decode(line []byte) (Message, error) {
	if err := checkKeys(line); err != nil {
		return Message{}, err
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	var m Message
	if err := dec.Decode(&m); err != nil {
		return Message{}, syntaxError(err)
	}
	if m.Kind() == "" {
		return Message{}, fmt.Errorf("%w: it must hold exactly one message", ErrSyntax)
	}
	return m, nil
}

// syntaxError keeps the place of a JSON error and drops what encoding/json
// quotes from the input, which may be hostile and long.
func syntaxError(err error) error {
	var se *json.SyntaxError
	var te *json.UnmarshalTypeError
	switch {
	case errors.As(err, &se):
		return fmt.Errorf("%w: invalid JSON at byte %d", ErrSyntax, se.Offset)
	case errors.As(err, &te):
		return fmt.Errorf("%w: wrong type or range at byte %d", ErrSyntax, te.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the JSON ends too early", ErrSyntax)
	}
	return fmt.Errorf("%w: unknown field", ErrSyntax)
}

// knownKeys is every key that some message has. encoding/json matches keys
// without regard to case and lets the last of two equal keys win; with this set
// both are refused, so that one line has one reading.
var knownKeys = sync.OnceValue(func() map[string]bool {
	keys := map[string]bool{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice:
			walk(t.Elem())
		case reflect.Struct:
			for f := range t.Fields() {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				keys[name] = true
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[Message]())
	return keys
})

// checkKeys refuses unknown and repeated keys and anything after the object.
func checkKeys(line []byte) error {
	type frame struct {
		object bool
		key    bool // the next token of this object is a key
		seen   map[string]bool
	}
	known := knownKeys()
	dec := json.NewDecoder(bytes.NewReader(line))
	var stack []frame
	for first := true; first || len(stack) > 0; first = false {
		tok, err := dec.Token()
		if err != nil {
			return syntaxError(err)
		}
		if len(stack) > 0 {
			top := &stack[len(stack)-1]
			if s, ok := tok.(string); ok && top.object && top.key {
				if !known[s] {
					return fmt.Errorf("%w: unknown field", ErrSyntax)
				}
				if top.seen[s] {
					return fmt.Errorf("%w: a field is repeated", ErrSyntax)
				}
				top.seen[s] = true
				top.key = false
				continue
			}
			top.key = true
		}
		d, ok := tok.(json.Delim)
		if first && (!ok || d != '{') {
			return fmt.Errorf("%w: it must be a JSON object", ErrSyntax)
		}
		if !ok {
			continue
		}
		switch d {
		case '{':
			stack = append(stack, frame{object: true, key: true, seen: map[string]bool{}})
		case '[':
			stack = append(stack, frame{})
		case '}', ']':
			stack = stack[:len(stack)-1]
		}
	}
	if rest := line[dec.InputOffset():]; len(bytes.TrimSpace(rest)) > 0 {
		return fmt.Errorf("%w: more than one JSON value in one line", ErrSyntax)
	}
	return nil
}

// Encode writes m as one line, newline included.
func Encode(m Message) ([]byte, error) {
	if m.Kind() == "" {
		return nil, fmt.Errorf("%w: it must hold exactly one message", ErrSyntax)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// ErrTooLong is returned by Reader.Read for a line over the bound.
var ErrTooLong = errors.New("line is too long")

// Reader reads messages from a byte stream. It keeps at most one bounded line in
// memory and is not safe for concurrent use.
type Reader struct {
	br  *bufio.Reader
	max int
}

// NewReader returns a Reader that refuses lines of more than limit bytes,
// newline included.
func NewReader(r io.Reader, limit int) *Reader {
	return &Reader{br: bufio.NewReaderSize(r, min(limit, 4096)), max: limit}
}

// Read returns the next message. The error is ErrSyntax or one of ReadLine.
func (r *Reader) Read() (Message, error) {
	line, err := r.ReadLine()
	if err != nil {
		return Message{}, err
	}
	return Decode(line)
}

// ReadLine returns the next line without its newline. The error is io.EOF when the
// stream ends between lines, io.ErrUnexpectedEOF when it ends inside one,
// ErrTooLong, or that of the stream.
func (r *Reader) ReadLine() ([]byte, error) {
	var line []byte
	for {
		part, err := r.br.ReadSlice('\n')
		if len(line)+len(part) > r.max {
			return nil, ErrTooLong
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

// PeekVersion reads the version of a config message of any version, whatever else
// is in it; it is 0 when the message has none. ok is false when the line is no such
// message.
func PeekVersion(line []byte) (version int, ok bool) {
	var m struct {
		Config *struct {
			Version int `json:"version"`
		} `json:"config"`
	}
	if json.Unmarshal(line, &m) != nil || m.Config == nil {
		return 0, false
	}
	return m.Config.Version, true
}

// ValidNonce reports whether s is NonceLen lowercase hexadecimal digits.
func ValidNonce(s string) bool {
	if len(s) != NonceLen {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ProbePrefix starts the name of every probe file, so that a caller can tell
// what a killed sandbox left behind.
const ProbePrefix = ".berth-"

// ProbeName is the name of the probe file of the mount with that index in
// Config.Mounts. The index is in it because one host folder may be mounted at
// several targets.
func ProbeName(nonce string, index int) string {
	return ProbePrefix + nonce + "-" + strconv.Itoa(index)
}

// MaxMounts bounds Config.Mounts. With targets of ordinary length a report on so
// many mounts stays below MaxLine.
const MaxMounts = 128

// Check reports why c cannot be used; nil when it can. It looks at the values
// only, not at the version.
func (c *Config) Check() error {
	switch {
	case !ValidNonce(c.Nonce):
		return fmt.Errorf("nonce must be %d lowercase hexadecimal digits", NonceLen)
	case c.TTL < 0 || c.StopGrace < 0 || c.ExitGrace < 0:
		return errors.New("ttl, stopGrace and exitGrace must not be negative")
	case c.StopSignal < 0 || c.StopSignal > 64:
		return fmt.Errorf("stopSignal %d is not a signal number", c.StopSignal)
	case len(c.Mounts) > MaxMounts:
		return fmt.Errorf("%d mounts are more than the %d that one hand-shake can examine", len(c.Mounts), MaxMounts)
	}
	for i, m := range c.Mounts {
		if !strings.HasPrefix(m.Target, "/") || strings.ContainsRune(m.Target, 0) {
			return fmt.Errorf("mounts[%d].target %q is not an absolute path", i, m.Target)
		}
	}
	return nil
}

// CleanText makes text from a sandbox fit to be shown: at most MaxText bytes,
// printable ASCII only, everything else replaced by '?'. A terminal escape or a
// direction mark does not survive it.
func CleanText(s string) string {
	if len(s) > MaxText {
		s = s[:MaxText-3] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
