// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// Name is the driver's name.
const Name = "fake"

// Engine is one engine in memory. Everything in it is shared by the drivers that
// [Engine.Open] returns, which may be used concurrently.
type Engine struct {
	bugs  map[Bug]bool
	facts map[string]string

	mu      sync.Mutex
	changed sync.Cond // broadcast after every change of state
	down    bool      // the engine does not answer

	images    map[string]*image
	registry  map[string]answer
	sandboxes map[backend.ID]*sandbox
	networks  map[string]*network
	volumes   map[string]*volume
	outside   map[string]string // services beyond the machine: address to body
	services  map[string]string // services of the machine itself
	submounts []string          // host folders that stand for mounts of their own
	events    []backend.Event   // everything that has happened
	creating  bool              // of a bug
	serial    int               // numbers native ids, addresses and devices
}

// volume is a volume of the engine.
type volume struct {
	name  string
	owner backend.ID // of an anonymous one
	tree  *memory
}

// Option changes an engine that is being made.
type Option func(*Engine)

// WithBug makes the engine break one promise.
func WithBug(b Bug) Option { return func(e *Engine) { e.bugs[b] = true } }

// Without takes a capability away, in the way a real engine lacks it: the fact
// that its claim reads says no.
func Without(capabilities ...backend.Capability) Option {
	return func(e *Engine) {
		for _, c := range capabilities {
			e.facts[factOf(c)] = "no"
		}
	}
}

// WithFact sets a fact that claims read; Probe shows all of them.
func WithFact(name, value string) Option { return func(e *Engine) { e.facts[name] = value } }

// New makes an engine and returns a driver for it.
func New(opts ...Option) *Driver { return NewEngine(opts...).Open() }

// NewEngine makes an engine that has nothing in it.
func NewEngine(opts ...Option) *Engine {
	e := &Engine{
		bugs: map[Bug]bool{}, facts: map[string]string{},
		images: map[string]*image{}, registry: map[string]answer{}, sandboxes: map[backend.ID]*sandbox{},
		networks: map[string]*network{}, volumes: map[string]*volume{}, outside: map[string]string{}, services: map[string]string{},
	}
	e.changed.L = &e.mu
	for _, c := range backend.Capabilities() {
		e.facts[factOf(c)] = "yes"
	}
	for _, c := range absent {
		e.facts[factOf(c)] = "no"
	}
	// This one is a fact of the real machine, because published ports are real.
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		e.facts[factOf(backend.BindIPv6)] = "no"
	} else {
		_ = l.Close()
	}
	for _, o := range opts {
		o(e)
	}
	return e
}

// absent are the capabilities that the model does not have.
var absent = []backend.Capability{
	backend.ImageHost, backend.MountSELinux, backend.BindNone, backend.BindInternal, backend.NetEgress, backend.SecDeviceCDI,
	backend.AgentBuiltin, backend.AgentImage, backend.LifeTTL, backend.LifeIdle, backend.LifeRestart, backend.LifeHealth,
}

// factOf names the fact that the claim of c reads.
func factOf(c backend.Capability) string { return "model." + string(c) }

// Open returns another driver for the engine.
func (e *Engine) Open() *Driver { return &Driver{engine: e} }

// has reports whether the engine has the bug.
func (e *Engine) has(b Bug) bool { return e.bugs[b] }

// claims reads the facts.
func (e *Engine) claims() map[backend.Capability]backend.Claim {
	claims := map[backend.Capability]backend.Claim{}
	for _, c := range backend.Capabilities() {
		fact := factOf(c)
		claim := backend.Claim{Support: backend.Native, Mechanism: "the model", Fact: fact}
		switch e.facts[fact] {
		case "yes":
		case "emulated":
			claim.Support = backend.Emulated
		default:
			claim = backend.Claim{Support: backend.Missing, Reason: "the model was made without it", Fact: fact}
		}
		claims[c] = claim
	}
	return claims
}

// supports reports whether c is claimed.
func (e *Engine) supports(c backend.Capability) bool { return e.claims()[c].Has() }

// missing is an Unsupported error when the engine lacks c, else nil.
func (e *Engine) missing(op string, id backend.ID, field spec.Path, c backend.Capability) error {
	if e.supports(c) || e.has(BugRefusesNothing) {
		return nil
	}
	err := fail(backend.Unsupported, op, id, "%s", e.claims()[c].Reason)
	err.Field, err.Capability = field, c
	return err
}

// fail makes an error of the driver.
func fail(kind backend.Kind, op string, id backend.ID, format string, args ...any) *backend.Error {
	return &backend.Error{Kind: kind, Op: Name + "." + op, ID: id, Message: fmt.Sprintf(format, args...)}
}

// failField is fail for an error that a field caused.
func failField(kind backend.Kind, op string, id backend.ID, field spec.Path, format string, args ...any) *backend.Error {
	err := fail(kind, op, id, format, args...)
	err.Field = field
	return err
}

// next returns a number that was not there before; the lock is held.
func (e *Engine) next() int {
	e.serial++
	return e.serial
}

// wait blocks until done reports true or ctx has ended. The lock is held, and
// given up while it waits.
func (e *Engine) wait(ctx context.Context, done func() bool) error {
	if done() {
		return nil
	}
	stop := context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.changed.Broadcast()
	})
	defer stop()
	for !done() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		e.changed.Wait()
	}
	return nil
}

// object is something of the engine that a leak check counts.
type object struct {
	kind, name string
	owner      backend.ID
}

// objects lists everything in the engine; images are left out.
func (e *Engine) objects() []object {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []object
	for id, sb := range e.sandboxes {
		list = append(list, object{"sandbox", sb.native, id})
	}
	for _, n := range e.networks {
		if !n.foreign {
			list = append(list, object{"network", n.name, ""})
		}
	}
	for _, v := range e.volumes {
		list = append(list, object{"volume", v.name, v.owner})
	}
	slices.SortFunc(list, func(a, b object) int { return strings.Compare(a.kind+a.name, b.kind+b.name) })
	return list
}

// info is what Probe tells.
func (e *Engine) info() *backend.Info {
	info := &backend.Info{
		Driver: Name, Engine: Name, EngineVersion: "1", EngineID: fmt.Sprintf("%p", e), Host: "memory", OS: "linux", Arch: "amd64",
		Kernel: "model", CgroupVersion: 1, Runtimes: []string{"model"}, DefaultRuntime: "model",
		Facts: maps.Clone(e.facts), Claims: e.claims(), Warnings: []string{},
	}
	if e.has(BugClaimWithoutFact) {
		claim := info.Claims[backend.ResMemory]
		claim.Fact = "nothing.at-all"
		info.Claims[backend.ResMemory] = claim
	}
	if e.has(BugClaimMissing) {
		delete(info.Claims, backend.Stats)
	}
	if e.has(BugNoVersion) {
		info.EngineVersion = ""
	}
	return info
}
