// SPDX-License-Identifier: Apache-2.0

// Package sandbox is the life of a sandbox on top of any driver: a spec is
// defaulted, validated and resolved against the host, judged by policy, planned
// and created; started through the hand-shake with init, whose report is checked
// on the host before the command may run; and removed with everything that was
// made for it.
//
// The engine's labels are the only record of which sandboxes exist. What this
// package keeps on disk belongs to a sandbox and goes with it.
package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/internal/handshake"
	"github.com/berthrun/berth/policy"
	"github.com/berthrun/berth/spec"
	"github.com/berthrun/berth/spec/imageref"
)

// Options are what a Manager needs. All fields without a default are required.
type Options struct {
	// Driver is the backend. The Manager does not close it.
	Driver backend.Driver
	// StateDir is an absolute directory of the caller's that survives a reboot;
	// it is made with mode 0700 when it is absent.
	StateDir string
	// Agent is the path of the berth-agent binary for the engine's machine.
	Agent  string
	Caller Caller
	// Version is recorded with each sandbox.
	Version string
	// Log receives what is worth knowing, never secrets.
	Log *slog.Logger
	// StartTimeout bounds the hand-shake. Default one minute.
	StartTimeout time.Duration
	// EnginePaths says that host paths in specs are paths of the engine's
	// machine. They are then not resolved here, and a remote engine takes them.
	EnginePaths bool
}

// Manager makes and keeps sandboxes on one engine. Its methods may be called
// concurrently, and by several processes on one state directory.
type Manager struct {
	driver       backend.Driver
	state        *state
	agent        string
	caller       Caller
	version      string
	log          *slog.Logger
	startTimeout time.Duration
	enginePaths  bool
	homes        []string // the caller's, as named and resolved
}

// New makes a Manager. It makes the state directory and does not talk to the
// engine. Invalid when the state directory is open to others.
func New(o Options) (*Manager, error) {
	st, err := openState(o.StateDir)
	if err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "sandbox.open", Err: err}
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = time.Minute
	}
	var homes []string
	if home := o.Caller.Home; filepath.IsAbs(home) {
		homes = append(homes, home)
		if real, err := filepath.EvalSymlinks(home); err == nil && real != home {
			homes = append(homes, real)
		}
	}
	return &Manager{
		homes:  homes,
		driver: o.Driver, state: st, agent: o.Agent, caller: o.Caller, version: o.Version,
		log: o.Log, startTimeout: o.StartTimeout, enginePaths: o.EnginePaths,
	}, nil
}

// Driver returns the backend, for operations that need nothing of the Manager.
func (m *Manager) Driver() backend.Driver { return m.driver }

// Request asks for a sandbox.
type Request struct {
	// Spec as the user gave it; it is not changed.
	Spec *spec.Sandbox
	// Policies narrow the profile of the spec.
	Policies []*policy.Policy
	// Unsafe are overrides that the user named.
	Unsafe []string
	// AutoRemove marks a sandbox that lives no longer than the call that runs it.
	AutoRemove bool
	// Progress is told about image pulls. May be nil.
	Progress func(backend.PullProgress)
}

// Prepared is a request that was judged and planned, and has changed nothing
// yet.
type Prepared struct {
	// Spec is complete: defaulted, tightened by its profile, paths resolved.
	Spec *spec.Sandbox
	// Patches are what the profile tightened.
	Patches []policy.Patch
	// Decision is the policy's, with its warnings.
	Decision policy.Decision
	Plan     *backend.Plan
	Info     *backend.Info

	request *backend.CreateRequest
	paths   []hostPath
}

// Prepare does everything up to the first change on the engine: it defaults,
// validates, resolves, tightens, judges and plans. Without fetch an image that
// the engine lacks is left out of the plan; with it, it is pulled as the spec's
// policy says. When policy denies or the driver refuses, the Prepared is
// returned with the error, so that a caller can show decision and ledger.
//
// Invalid, Denied and Unsupported errors name the field.
func (m *Manager) Prepare(ctx context.Context, req Request, fetch bool) (*Prepared, error) {
	s := spec.Clone(req.Spec)
	spec.Default(s)
	if err := spec.Validate(s); err != nil {
		return nil, invalid(err)
	}
	ref, err := imageref.Normalize(s.Image.Ref)
	if err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "sandbox.prepare", Field: "image.ref", Err: err}
	}
	s.Image.Ref = ref

	p := &Prepared{}
	pol, err := policy.For(s, req.Policies...)
	if err != nil {
		return nil, err
	}
	s, p.Patches = pol.Tighten(s, req.Unsafe...)

	in := policy.Input{Spec: s, Unsafe: req.Unsafe, Homes: m.homes}
	if in.Paths, p.paths, err = m.resolve(s); err != nil {
		return nil, err
	}
	in.Protected = m.protected()
	p.Spec, p.Decision = s, pol.Evaluate(in)
	if !p.Decision.Allow {
		return p, p.Decision.Err("sandbox.policy", "")
	}
	digest := spec.Digest(s)
	// The policy goes on judging the paths as they were asked for; the engine
	// gets them resolved.
	in.Spec = spec.Clone(s)
	for _, path := range p.paths {
		s.Mounts[path.index].Source = path.resolved
	}

	// The two questions to the engine are independent of each other.
	type found struct {
		img *backend.Image
		err error
	}
	images, hasImages := backend.As[backend.Imager](m.driver)
	imageCh := make(chan found, 1)
	if s.Image.Ref == spec.HostImage || !hasImages {
		imageCh <- found{}
	} else {
		go func() {
			img, err := m.image(ctx, images, s, fetch, req.Progress)
			imageCh <- found{img, err}
		}()
	}
	p.Info, err = m.driver.Probe(ctx, false)
	image := <-imageCh
	if err != nil {
		return p, err
	}
	// Without an engine's say-so a plan can still be shown for an absent image.
	if image.err != nil && (fetch || !errors.Is(image.err, backend.NotFound)) {
		return p, image.err
	}
	in.Info = p.Info

	ident, err := identify(s, m.caller, p.Info)
	if err != nil {
		return p, err
	}
	cr := &backend.CreateRequest{
		Spec: s, Digest: digest, Image: image.img, Identity: ident, Env: map[string]string{},
		Init:        &backend.Init{Listen: p.Info.Remote, Timeout: m.startTimeout},
		EnginePaths: m.enginePaths,
	}
	if image.img != nil {
		cr.Identity.User = userOf(ident, image.img)
		if cr.Argv = argv(s, image.img); len(cr.Argv) == 0 {
			return p, &backend.Error{Kind: backend.Invalid, Op: "sandbox.prepare", Field: "process.args", Message: "nothing to run: the image " + s.Image.Ref + " names no command, give one after --"}
		}
	} else {
		cr.Argv = argv(s, &backend.Image{})
	}
	if least := int64(handshake.InitTasks) + 1; s.Resources.Pids > 0 && s.Resources.Pids < least {
		return p, &backend.Error{
			Kind: backend.Invalid, Op: "sandbox.prepare", Field: "resources.pids",
			Message: fmt.Sprintf("%d: berth's init needs up to %d of them: want at least %d", s.Resources.Pids, handshake.InitTasks, least),
		}
	}
	if path := s.Security.Seccomp; strings.HasPrefix(path, "/") {
		if cr.Seccomp, err = readSeccomp(path); err != nil {
			return p, err
		}
	}
	p.request = cr
	cr.ID = newID()
	m.record(p, req.AutoRemove)
	m.overlays(p)
	if p.Plan, err = m.driver.Plan(ctx, cr); err != nil {
		return p, err
	}
	in.Plan, in.Identity = p.Plan, &cr.Identity
	if p.Decision = pol.Evaluate(in); !p.Decision.Final() {
		return p, errors.Join(p.Decision.Err("sandbox.policy", ""), pending(p.Decision))
	}
	return p, nil
}

// record fills what the engine keeps with the sandbox.
func (m *Manager) record(p *Prepared, autoRemove bool) {
	cr := p.request
	cr.Record = backend.Record{
		Version: 1, Berth: m.version, Spec: spec.Redact(p.Spec), Digest: cr.Digest, Identity: cr.Identity,
		Owner: m.caller.UID, AutoRemove: autoRemove, Listen: cr.Init.Listen, EnginePaths: m.enginePaths,
	}
	for _, path := range p.paths {
		cr.Record.Mounts = append(cr.Record.Mounts, path.record())
	}
}

// image finds the image of s, pulling it as its policy says when fetch is set.
func (m *Manager) image(ctx context.Context, images backend.Imager, s *spec.Sandbox, fetch bool, progress func(backend.PullProgress)) (*backend.Image, error) {
	pull := func() (*backend.Image, error) {
		return images.PullImage(ctx, s.Image.Ref, &backend.PullOptions{Platform: s.Image.Platform, Progress: progress})
	}
	if fetch && s.Image.Pull == spec.PullAlways {
		return pull()
	}
	img, err := images.Image(ctx, s.Image.Ref, s.Image.Platform)
	if !errors.Is(err, backend.NotFound) {
		return img, err
	}
	if !fetch {
		return nil, err
	}
	if s.Image.Pull == spec.PullNever {
		return nil, &backend.Error{
			Kind: backend.NotFound, Op: "sandbox.image", Field: "image.ref",
			Message: fmt.Sprintf("image %s is not on the engine and image.pull is never: load it with \"berth image load\", or allow the pull", s.Image.Ref), Err: err,
		}
	}
	return pull()
}

// argv composes what runs, as "docker run" does.
func argv(s *spec.Sandbox, img *backend.Image) []string {
	entry, args := s.Process.Command, s.Process.Args
	if entry == nil {
		entry = img.Entrypoint
		if args == nil {
			args = img.Cmd
		}
	}
	return append(append([]string(nil), entry...), args...)
}

func userOf(id backend.Identity, img *backend.Image) string {
	if id.Mode == spec.UserImage {
		return img.User
	}
	return ""
}

// maxSeccomp bounds a profile file; docker's own is 14 KiB.
const maxSeccomp = 1 << 20

func readSeccomp(path string) ([]byte, error) {
	bad := func(err error) error {
		return &backend.Error{Kind: backend.Invalid, Op: "sandbox.prepare", Field: "security.seccomp", Err: err}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, bad(err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxSeccomp {
		return nil, bad(fmt.Errorf("%s: want a regular file of at most 1 MiB", path))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, bad(err)
	}
	return data, nil
}

// Create makes a sandbox that is not running yet. After an error nothing of it
// is left, on the engine or in the state.
func (m *Manager) Create(ctx context.Context, req Request) (*backend.Status, *Prepared, error) {
	p, err := m.Prepare(ctx, req, true)
	if err != nil {
		return nil, p, err
	}
	st, err := m.create(ctx, p)
	return st, p, err
}

func (m *Manager) create(ctx context.Context, p *Prepared) (_ *backend.Status, err error) {
	cr := p.request
	if cr.Image == nil && p.Spec.Image.Ref != spec.HostImage {
		return nil, &backend.Error{Kind: backend.NotFound, Op: "sandbox.create", Field: "image.ref", Message: "image " + p.Spec.Image.Ref + " is not on the engine"}
	}
	if err := m.state.make(cr.ID, engineOf(p.Info)); err != nil {
		return nil, local("sandbox.create", cr.ID, err)
	}
	defer func() {
		if err != nil {
			if rerr := m.state.remove(cr.ID); rerr != nil {
				err = errors.Join(err, &backend.LeakError{Left: []string{"directory " + m.state.sandbox(cr.ID)}, Err: rerr})
			}
		}
	}()
	if err := m.equip(ctx, p); err != nil {
		return nil, err
	}
	cr.Record.StateDir = m.state.sandbox(cr.ID)
	cr.Record.Identity = cr.Identity
	return m.driver.Create(ctx, cr)
}

// equip prepares the host side of a sandbox: agent, run directory, account
// files, HOME and overlay uppers.
func (m *Manager) equip(ctx context.Context, p *Prepared) error {
	cr := p.request
	fail := func(err error) error { return local("sandbox.create", cr.ID, err) }
	agent, digest, err := m.state.agent(m.agent)
	if err != nil {
		return fail(fmt.Errorf("berth-agent: %w: build it with make build, or set BERTH_LIBEXEC to its folder", err))
	}
	cr.Support = append(cr.Support,
		backend.SupportMount{Role: backend.RoleAgent, Source: agent, Target: backend.AgentTarget, ReadOnly: true, Digest: digest, Mode: 0o555},
		backend.SupportMount{Role: backend.RoleRun, Source: m.state.run(cr.ID), Target: backend.RunTarget, Dir: true, Mode: 0o777},
	)
	if images, ok := backend.As[backend.Imager](m.driver); ok && cr.Image != nil && cr.Identity.Mode != spec.UserImage {
		acc, err := m.accounts(ctx, images, cr.Image)
		if err != nil {
			return err
		}
		if err := m.accommodate(cr, acc); err != nil {
			return fail(err)
		}
	}
	maps.Copy(cr.Env, p.Spec.Process.Env)
	for i, mt := range p.Spec.Mounts {
		if mt.Mode != spec.ModeOverlay {
			continue
		}
		if err := m.makeOverlay(p, i); err != nil {
			if backend.KindOf(err) == backend.Conflict {
				return err
			}
			return fail(err)
		}
	}
	return nil
}

// accommodate gives the process its account and HOME.
func (m *Manager) accommodate(cr *backend.CreateRequest, acc *accounts) error {
	id := &cr.Identity
	user, needHome, passwd, group := acc.settle(id, cr.Spec.User.Name)
	cr.Env["HOME"], cr.Env["USER"], cr.Env["LOGNAME"] = id.Home, user, user
	if needHome {
		home, err := m.state.makeHome(cr.ID, id.UID, id.GID)
		if err != nil {
			return err
		}
		cr.Support = append(cr.Support, backend.SupportMount{Role: backend.RoleHome, Source: home, Target: id.Home, Dir: true, UID: id.UID, GID: id.GID, Mode: 0o700})
	}
	for _, f := range []struct {
		role backend.SupportRole
		name string
		data []byte
	}{{backend.RolePasswd, "passwd", passwd}, {backend.RoleGroup, "group", group}} {
		if f.data == nil {
			continue
		}
		path := filepath.Join(m.state.sandbox(cr.ID), f.name)
		if err := writeFile(path, f.data, 0o644); err != nil {
			return err
		}
		cr.Support = append(cr.Support, backend.SupportMount{Role: f.role, Source: path, Target: "/etc/" + f.name, ReadOnly: true, Mode: 0o644})
	}
	return nil
}

// overlays says where the writes of overlay mounts will go. The kernel wants
// upper and work on one file system: the work directory of an upper of the
// user's stands beside it.
func (m *Manager) overlays(p *Prepared) {
	cr := p.request
	cr.Overlays = map[int]backend.OverlayDirs{}
	for i, mt := range p.Spec.Mounts {
		if mt.Mode != spec.ModeOverlay {
			continue
		}
		base := filepath.Join(m.state.sandbox(cr.ID), "overlay", fmt.Sprint(i))
		d := backend.OverlayDirs{Lower: mt.Source, Upper: filepath.Join(base, "upper"), Work: filepath.Join(base, "work")}
		for _, hp := range p.paths {
			if hp.index == i && hp.upper != "" {
				d.Upper = hp.upper
				d.Work = filepath.Join(filepath.Dir(hp.upper), workPrefix+filepath.Base(hp.upper))
			}
		}
		cr.Overlays[i] = d
		for k := range cr.Record.Mounts {
			if cr.Record.Mounts[k].Index == i {
				cr.Record.Mounts[k].Upper = d.Upper
			}
		}
	}
}

// makeOverlay makes the upper and work directories of mount i. The upper looks
// like the lower from outside, because the merged folder takes its mode and
// owner from it. An upper serves one mount at a time: a work directory that is
// there says that it is in use.
func (m *Manager) makeOverlay(p *Prepared, i int) error {
	d := p.request.Overlays[i]
	if err := os.MkdirAll(d.Upper, 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(d.Work), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(d.Work, 0o700); errors.Is(err, os.ErrExist) {
		return &backend.Error{
			Kind: backend.Conflict, Op: "sandbox.create", Field: spec.Path(fmt.Sprintf("mounts[%d].upper", i)),
			Message: fmt.Sprintf("%s keeps the writes of another sandbox, to which %s belongs: remove that sandbox first", d.Upper, d.Work),
		}
	} else if err != nil {
		return err
	}
	if err := m.state.note(p.request.ID, d.Work); err != nil {
		return errors.Join(err, os.Remove(d.Work))
	}
	info, err := os.Stat(d.Lower)
	if err != nil {
		return err
	}
	if err := os.Chmod(d.Upper, info.Mode().Perm()|info.Mode()&os.ModeSticky); err != nil {
		return err
	}
	if uid, gid, ok := owner(info); ok && (int(uid) != os.Geteuid() || int(gid) != os.Getegid()) {
		if err := os.Chown(d.Upper, int(uid), int(gid)); err != nil && !errors.Is(err, os.ErrPermission) {
			return err
		}
	}
	return nil
}

// workPrefix starts the name of an overlay's work directory beside its upper.
const workPrefix = ".berth-work-"

// newID makes a fresh id. It does not fail: crypto/rand ends the program when
// there is no randomness.
func newID() backend.ID {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	text := strings.ToLower(rand.Text()) // base32: a-z and 2-7
	return backend.ID(string(letters[text[0]%26]) + text[1:16])
}

// invalid turns the problems of a spec into one error of kind Invalid.
func invalid(err error) error {
	e := &backend.Error{Kind: backend.Invalid, Op: "sandbox.validate", Err: err}
	var problems spec.Problems
	if errors.As(err, &problems) && len(problems) > 0 {
		e.Field, e.Err = problems[0].Path, firstBare{problems}
	}
	return e
}

// firstBare prints problems without the first one's path, which the error
// around them prints.
type firstBare struct{ problems spec.Problems }

func (f firstBare) Error() string {
	text := f.problems[0].Message
	if rest := f.problems[1:]; len(rest) > 0 {
		text += "\n" + rest.Error()
	}
	return text
}

func (f firstBare) Unwrap() error { return f.problems }

// pending refuses a decision that is not complete although everything is known.
func pending(d policy.Decision) error {
	if len(d.Pending) == 0 {
		return nil
	}
	return &backend.Error{Kind: backend.Denied, Op: "sandbox.policy", Message: fmt.Sprintf("rules %q could not be decided", d.Pending)}
}

// local classifies an error of berth's own machine.
func local(op string, id backend.ID, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &backend.Error{Kind: localKind(err), Op: op, ID: id, Err: err}
}
