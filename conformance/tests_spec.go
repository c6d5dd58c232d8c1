// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

func specTests() []Test {
	return []Test{
		{ID: "spec.args.exact", Clause: "process.command.exact", Fn: argsExact},
		{ID: "spec.env.exact", Clause: "process.env.exact", Fn: envExact},
		{ID: "spec.env.image-kept", Clause: "process.env.image", Fn: envOfImage},
		{ID: "spec.env.host-not-inherited", Clause: "process.env.closed", Fn: envNotInherited},
		{ID: "spec.env.never-shown", Clause: "process.env.secret", Fn: envNeverShown},
		{ID: "spec.workdir.used", Clause: "process.workdir", Fn: workdirUsed},
		{ID: "spec.workdir.of-image", Clause: "process.workdir", Fn: workdirOfImage},
		{ID: "spec.stdin.reaches-process", Clause: "process.stdin", Fn: stdinReaches},
		{ID: "spec.tty.one-terminal", Clause: "process.tty", Fn: ttyMain},
		{ID: "spec.labels.filter", Clause: "labels.filter", Fn: labelsFilter},
		{ID: "spec.labels.kept", Clause: "labels.kept", Fn: labelsKept},
		{ID: "spec.name.told", Clause: "name.told", Fn: nameTold},
		{ID: "spec.name.taken", Clause: "name.unique", Fn: nameTaken},
		{ID: "spec.record.round-trip", Clause: "driver.record", Fn: recordRoundTrip},
		{ID: "spec.extension.unknown-key-refused", Clause: "extensions.strict", Needs: []backend.Capability{backend.Extension}, Fn: extensionUnknown},
		{ID: "spec.agent-builtin.planned", Clause: "agent.builtin", Needs: []backend.Capability{backend.AgentBuiltin}, Fn: planned(backend.AgentBuiltin)},
		{ID: "spec.agent-image.planned", Clause: "agent.image", Needs: []backend.Capability{backend.AgentImage}, Fn: planned(backend.AgentImage)},
	}
}

// planned is the test of a capability that takes effect above the driver, with
// berth's init: the driver has to accept the field.
func planned(c backend.Capability) func(*T) {
	return func(t *T) {
		s := t.NewSpec()
		twins[c].Spec(t, s)
		req := t.Request(s)
		req.Init = &backend.Init{Timeout: time.Minute}
		plan, err := t.Driver().Plan(t.ctx, req)
		t.must(err, "plan")
		if m, ok := plan.Mapping(twins[c].Field); !ok || m.Fidelity == backend.Refused {
			t.Errorf("%s is claimed, but the ledger has for %s: %s", c, twins[c].Field, show(m))
		}
	}
}

func argsExact(t *T) {
	want := []string{"", " ", "two words", "$HOME", "`id`", "a\nb", "\"", "'", "\\", "*", "--", "-x", "ü", "日本", strings.Repeat("x", 4096)}
	command := cmd(append([]string{"args"}, want...)...)
	got := value[probe.Args](t, t.RunProbe(t.NewSpec(), command)[0])
	wantEqual(t, "the arguments", got.Args, want)
}

func envExact(t *T) {
	want := map[string]string{"PLAIN": "x", "EMPTY": "", "EQUALS": "a=b=c", "LINES": "a\nb", "SPACES": "  a  b ", "UTF8": "日本", "QUOTES": `"'\$`}
	s := t.NewSpec(func(s *spec.Sandbox) { s.Process.Env = want })
	names := slices.Sorted(keys(want))
	got := value[probe.Env](t, t.RunProbe(s, cmd(append([]string{"env"}, names...)...))[0])
	var list []string
	for _, name := range names {
		list = append(list, name+"="+want[name])
	}
	wantEqual(t, "the environment", slices.Sorted(slices.Values(got.Vars)), slices.Sorted(slices.Values(list)))
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func envOfImage(t *T) {
	s := t.NewSpec(fromImage(t, ImageConfig), func(s *spec.Sandbox) { s.Process.Env = map[string]string{"OVERRIDDEN": "spec"} })
	got := value[probe.Env](t, t.RunProbe(s, cmd("env", "FROM_IMAGE", "OVERRIDDEN"))[0])
	wantEqual(t, "the environment", slices.Sorted(slices.Values(got.Vars)), []string{"FROM_IMAGE=yes", "OVERRIDDEN=spec"})
}

func fromImage(t *T, kind ImageKind) func(*spec.Sandbox) {
	return func(s *spec.Sandbox) { s.Image.Ref, _ = t.image(kind) }
}

// envNotInherited allows what every engine says to every process, and nothing
// of its own environment or of the client's.
func envNotInherited(t *T) {
	const canary = "BERTH_CONFORMANCE_CANARY"
	t.must(os.Setenv(canary, "of the client"), "set a variable")
	got := value[probe.Env](t, t.RunProbe(t.NewSpec(), cmd("env"))[0])
	allowed := []string{"PATH", "HOME", "HOSTNAME", "TERM", "container"}
	for _, v := range got.Vars {
		if name, _, _ := strings.Cut(v, "="); !slices.Contains(allowed, name) {
			t.Errorf("the environment has %s, which nobody asked for", name)
		}
	}
}

func envNeverShown(t *T) {
	const secret = "swordfish-in-the-environment"
	sb := t.Create(t.NewSpec(func(s *spec.Sandbox) { s.Process.Env = map[string]string{"TOKEN": secret} }))
	hidden := func(what string, v any) {
		if strings.Contains(show(v), secret) {
			t.Errorf("%s shows the value of an environment variable", what)
		}
	}
	hidden("the status from create", sb.Created)
	hidden("inspect", sb.Inspect())
	for status, err := range t.Driver().List(t.ctx, &backend.ListOptions{Labels: map[string]string{labelRun: t.run.id}}) {
		t.must(err, "list")
		hidden("list", status)
	}
}

func workdirUsed(t *T) {
	s := t.NewSpec(func(s *spec.Sandbox) {
		s.Process.Workdir = "/work"
		s.Mounts = []spec.Mount{bind(t.callerDir(), "/work", spec.ModeRW)}
	})
	results := t.RunProbe(s, cmd("id"), cmd("write", "relative", "x"), cmd("stat", "/work/relative"))
	wantEqual(t, "the working directory", value[probe.ID](t, results[0]).Cwd, "/work")
	t.wantOK(results[1:]...)
}

func workdirOfImage(t *T) {
	results := t.RunProbe(t.NewSpec(fromImage(t, ImageConfig)), cmd("id"))
	wantEqual(t, "the working directory", value[probe.ID](t, results[0]).Cwd, ConfigImage().Workdir)
}

func stdinReaches(t *T) {
	const size = 1 << 20
	s := t.NewSpec(runs(cmd("sha")), func(s *spec.Sandbox) { s.Process.Stdin = true })
	sb := t.Create(s)
	var out, errs stream
	process, err := t.Driver().Attach(t.ctx, sb.ID, &backend.AttachRequest{
		Streams: backend.Streams{Stdin: probe.Pattern(size), Stdout: &out, Stderr: &errs},
	})
	t.must(err, "attach")
	defer process.Close()
	sb.Start()
	exit, err := process.Wait(t.ctx)
	t.must(err, "wait")
	results := t.results(Output{Stdout: out.bytes(), Stderr: errs.bytes(), Exit: *exit}, 1)
	wantEqual(t, "what arrived", value[probe.Digest](t, results[0]), patternDigest(size))
}

func patternDigest(size int64) probe.Digest {
	hash := sha256.New()
	n, _ := io.Copy(hash, probe.Pattern(size)) // a hash takes everything
	return probe.Digest{Bytes: n, SHA256: hex.EncodeToString(hash.Sum(nil))}
}

func ttyMain(t *T) {
	s := t.NewSpec(runs(cmd("tty"), cmd("err", "64")), func(s *spec.Sandbox) { s.Process.TTY = true })
	out := t.RunCommand(s)
	wantEqual(t, "exit code", out.Exit.Code, 0)
	text, rest, _ := bytes.Cut(out.Stdout, []byte("\n"))
	results, err := probe.Decode(append(text, '\n'))
	t.must(err, "output of the probe")
	if len(results) != 1 {
		t.Fatalf("%d results, want 1", len(results))
	}
	tty := value[probe.Terminals](t, results[0])
	if !tty.Stdin.TTY || !tty.Stdout.TTY || !tty.Stderr.TTY {
		t.Errorf("not all of the streams are terminals: %s", show(tty))
	}
	want, _ := io.ReadAll(probe.Pattern(64))
	if got := bytes.ReplaceAll(rest, []byte("\r\n"), []byte("\n")); !bytes.Equal(got, want) {
		t.Errorf("what went to stderr is on the terminal as %q, want %q", got, want)
	}
	if len(out.Stderr) > 0 {
		t.Errorf("with a terminal there is one stream, but stderr got %q", clip(string(out.Stderr)))
	}
}

func labelsFilter(t *T) {
	mark := t.Name("mark")
	label := func(k, v string) func(*spec.Sandbox) { return func(s *spec.Sandbox) { s.Labels[k] = v } }
	a := t.Create(t.NewSpec(label("mark", mark), label("color", "red")))
	b := t.Create(t.NewSpec(label("mark", mark), label("color", "blue")))
	both := []backend.ID{a.ID, b.ID}
	slices.Sort(both)
	wantEqual(t, "list by a label that both have", t.list(t.Driver(), map[string]string{"mark": mark}), both)
	wantEqual(t, "list by two labels", t.list(t.Driver(), map[string]string{"mark": mark, "color": "red"}), []backend.ID{a.ID})
	wantEqual(t, "list by a label with another value", t.list(t.Driver(), map[string]string{"mark": mark, "color": "green"}), nil)
}

func labelsKept(t *T) {
	want := map[string]string{labelRun: t.run.id, labelTest: t.test.ID, "empty": "", "text": "two words, \"quotes\", 日本", "a.b/c-d": "x=y"}
	sb := t.Create(t.NewSpec(func(s *spec.Sandbox) { s.Labels = want }))
	wantEqual(t, "labels of the record", sb.Inspect().Record.Spec.Labels, want)
}

func nameTold(t *T) {
	name := t.Name("name")
	sb := t.Create(t.NewSpec(func(s *spec.Sandbox) { s.Name = name }))
	wantEqual(t, "the name from create", sb.Created.Name, name)
	wantEqual(t, "the name from inspect", sb.Inspect().Name, name)
	wantEqual(t, "the id from inspect", sb.Inspect().ID, sb.ID)
}

func nameTaken(t *T) {
	name := t.Name("name")
	named := func(s *spec.Sandbox) { s.Name = name }
	first := t.Create(t.NewSpec(named))
	req := t.Request(t.NewSpec(named))
	_, err := t.TryCreate(req)
	t.wantKind("create with a name that is taken", err, backend.Exists)
	t.wantNothingLeft(req.ID)
	first.wantPhase(backend.PhaseCreated)
	first.Remove()
	t.Create(t.NewSpec(named))
}

func recordRoundTrip(t *T) {
	req := t.Request(t.NewSpec(func(s *spec.Sandbox) {
		s.Name = t.Name("record")
		s.Process.Env = map[string]string{"TOKEN": "swordfish"}
		s.Life.StopSignal = "SIGUSR1"
		s.Mounts = []spec.Mount{bind(t.callerDir(), "/work", spec.ModeRW)}
	}))
	req.Record.StateDir, req.Record.AutoRemove = "/somewhere/of/berth", true
	req.Record.Mounts = []backend.MountRecord{{Index: 0, Source: req.Spec.Mounts[0].Source, Dev: 1 << 40, Ino: 1<<63 + 1, Dir: true}}
	sb := t.CreateRequest(req)
	wantSame(t, "the record from create", sb.Created.Record, req.Record)
	wantSame(t, "the record from inspect", sb.Inspect().Record, req.Record)
	for status, err := range t.Open().List(t.ctx, &backend.ListOptions{Labels: map[string]string{labelTest: t.test.ID, labelRun: t.run.id}}) {
		t.must(err, "list")
		wantSame(t, "the record from list", status.Record, req.Record)
	}
}

func extensionUnknown(t *T) {
	field := spec.Path("extensions").Key(t.Driver().Name())
	req := t.Request(t.NewSpec(func(s *spec.Sandbox) {
		s.Extensions = map[string]json.RawMessage{t.Driver().Name(): json.RawMessage(`{"noSuchSettingAnywhere": true}`)}
	}))
	_, err := t.TryCreate(req)
	t.wantField("create with an unknown setting of the engine", err, field, backend.Invalid, backend.Unsupported)
	t.wantNothingLeft(req.ID)
}
