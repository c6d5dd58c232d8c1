// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// zeroGrace kills at once.
const zeroGrace = time.Duration(0)

// wantKind fails the test unless err is a backend error of one of the kinds,
// well made.
func (t *T) wantKind(doing string, err error, kinds ...backend.Kind) {
	if err == nil {
		t.Errorf("%s: no error, want %q", doing, kinds)
		return
	}
	if !slices.ContainsFunc(kinds, func(k backend.Kind) bool { return errors.Is(err, k) }) {
		t.Errorf("%s: kind %q, want %q: %v", doing, backend.KindOf(err), kinds, err)
	}
	if problem := badError(err); problem != "" {
		t.Errorf("%s: %s: %v", doing, problem, err)
	}
}

// wantField is wantKind, and the error names the field.
func (t *T) wantField(doing string, err error, field spec.Path, kinds ...backend.Kind) {
	t.wantKind(doing, err, kinds...)
	if err == nil {
		return
	}
	var e *backend.Error
	if !errors.As(err, &e) || e.Field != field {
		t.Errorf("%s: the error does not name %s: %v", doing, field, err)
	}
}

// badError says what is wrong with the making of an error, whatever it says.
func badError(err error) string {
	found := 0
	var problem string
	var walk func(err error, inside bool)
	walk = func(err error, inside bool) {
		//nolint:errorlint // the chain itself is looked at
		if e, ok := err.(*backend.Error); ok {
			found++
			switch {
			case inside:
				problem = "a backend error is wrapped in another"
			case !slices.Contains(backend.Kinds(), e.Kind):
				problem = fmt.Sprintf("kind %q is unknown", e.Kind)
			case e.Op == "":
				problem = "the error does not name the operation"
			case e.Kind == backend.Unsupported && e.Capability == "":
				problem = "an unsupported error does not name the capability"
			}
			inside = true
		}
		//nolint:errorlint // the chain itself is looked at
		switch u := err.(type) {
		case interface{ Unwrap() error }:
			if next := u.Unwrap(); next != nil {
				walk(next, inside)
			}
		case interface{ Unwrap() []error }:
			for _, next := range u.Unwrap() {
				walk(next, inside)
			}
		}
	}
	walk(err, false)
	if found == 0 {
		return "no backend error"
	}
	return problem
}

// wantNothingLeft fails the test when anything of these sandboxes is left in the
// engine, seen through the driver or by the engine's own means.
func (t *T) wantNothingLeft(ids ...backend.ID) {
	for _, id := range ids {
		if status, err := t.Driver().Inspect(t.ctx, id); !errors.Is(err, backend.NotFound) {
			t.Errorf("sandbox %s is left: %v, %v", id, phase(status), err)
		}
	}
	if len(ids) == 0 {
		return
	}
	// Engines take some things away after they have said so.
	err := t.poll(func() error {
		objects, err := t.run.objects(t.ctx)
		if err != nil {
			return err
		}
		var left []string
		for _, o := range objects {
			if o.Owner != "" && slices.Contains(ids, o.Owner) {
				left = append(left, o.Kind+" "+o.Name)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("left in the engine: %s", strings.Join(left, ", "))
		}
		return nil
	})
	if err != nil {
		t.Errorf("%v", err)
	}
}

func phase(s *backend.Status) backend.Phase {
	if s == nil {
		return ""
	}
	return s.Phase
}

// list returns the ids of this run's sandboxes, sorted.
func (t *T) list(d backend.Driver, labels map[string]string) []backend.ID {
	all := map[string]string{labelRun: t.run.id}
	maps.Copy(all, labels)
	var ids []backend.ID
	for status, err := range d.List(t.ctx, &backend.ListOptions{Labels: all}) {
		t.must(err, "list")
		ids = append(ids, status.ID)
	}
	slices.Sort(ids)
	return ids
}

// wantPhase fails the test unless the sandbox is in that phase.
func (s *Sandbox) wantPhase(want backend.Phase) *backend.Status {
	status := s.Inspect()
	if status.Phase != want {
		s.t.Errorf("phase is %q, want %q", status.Phase, want)
	}
	return status
}

// wantEqual fails the test unless got and want are the same.
func wantEqual[V any](t *T, what string, got, want V) {
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %s, want %s", what, show(got), show(want))
	}
}

// wantSame fails the test unless got and want are the same in JSON.
func wantSame(t *T, what string, got, want any) {
	if g, w := show(got), show(want); g != w {
		t.Errorf("%s: %s, want %s", what, g, w)
	}
}

func show(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%#v", v)
	}
	return string(data)
}
