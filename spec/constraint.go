// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Constraint is what one value has to satisfy whatever the rest of the spec
// says. [Validate] applies it and package spec/schema writes it into the JSON
// schema, so that the two cannot disagree.
type Constraint struct {
	// Required: the field must be set.
	Required bool
	// Enum lists the values of a text field that has a closed set.
	Enum []string
	// Pattern is an anchored regular expression over the text, in the syntax
	// that RE2 and ECMA 262 share. It is matched after [Default].
	Pattern string
	// Keys is a Pattern for the keys of a map.
	Keys string
	// Not is a pattern that neither the text nor, with Keys, a key may match.
	// Validate refuses the same in words of its own.
	Not string
	// Bounded says that Min and Max, both inclusive, bound a number.
	Bounded  bool
	Min, Max int64
	// Want completes the sentence "want …".
	Want string
}

// The pieces of the patterns. A clean path has no empty, "." or ".." element
// and no slash at its end.
const (
	cleanElements = `(?:/(?:[^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+))+`
	patCleanPath  = `^(?:/|` + cleanElements + `)$`
	patBelowRoot  = `^` + cleanElements + `$`
	patHandle     = `^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`
	patObject     = `^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`
	patAlias      = `^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`
	decimal       = `(?:0|[1-9][0-9]{0,9})`
	cdiName       = `[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?/[A-Za-z](?:[A-Za-z0-9_-]*[A-Za-z0-9])?=[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?`
	devicePath    = `/dev(?:/(?:[^/.:][^/:]*|\.[^/.:][^/:]*|\.\.[^/:]+))+`
	domainName    = `(?:\*\.)?[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*`

	wantCleanPath = "an absolute path without empty, . or .. elements, such as /work/data"
	wantAlias     = "1 to 63 letters, digits, _, . and -, starting and ending with a letter or digit"
	wantObject    = "1 to 128 letters, digits, _, . and -, starting with a letter or digit"

	// maxID is the highest user or group id; the one above means "no id" to the
	// kernel (chown(2)).
	maxID = math.MaxUint32 - 1
	// maxCPUs is where ParseCPUs ends too.
	maxCPUs = 1<<20*1000 + 999
	// minMemory is the least that docker accepts and that an init and a shell
	// start in.
	minMemory = 6 * MiB
)

// Patterns of what is reserved, made from the lists that Validate explains.
var (
	notPlaces  = `^(?:` + strings.Join(slices.Concat(berthPlaces, kernelPlaces), `|`) + `)(?:/|$)`
	notModes   = `^(?:` + strings.Join(engineNetworks, `|`) + `)$`
	notAliases = `^(?:` + anyCase(strings.Join(reservedAliases, `|`)) + `)$`
	notLabels  = `^` + anyCase(reservedLabels)
)

// anyCase returns a pattern for text in any case; ECMA 262 has no flag inside a
// pattern for it.
func anyCase(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case 'a' <= r && r <= 'z':
			out.WriteString("[" + strings.ToUpper(string(r)) + string(r) + "]")
		case r == '.':
			out.WriteString(`\.`)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// constraints is keyed by the path of a field with "[]" for an element of a
// list and ".*" for a value of a map.
var constraints = map[string]Constraint{
	"apiVersion":                     {Enum: []string{APIVersion}},
	"kind":                           {Enum: []string{Kind}},
	"name":                           {Pattern: patHandle, Want: "1 to 63 of a-z, 0-9 and -, starting and ending with a letter or digit"},
	"image.ref":                      {Required: true, Pattern: `^[!-,.-~][!-~]*$`, Want: "an image reference such as docker.io/library/debian:12, or host"},
	"image.pull":                     {Enum: texts(PullMissing, PullAlways, PullNever)},
	"image.platform":                 {Pattern: `^[a-z0-9_]+/[a-z0-9_]+(?:/[a-z0-9_.]+)?$`, Want: "os/arch or os/arch/variant, such as linux/arm64"},
	"process.workdir":                {Pattern: patCleanPath, Want: wantCleanPath},
	"user.as":                        {Pattern: `^(?:caller|image|` + decimal + `(?::` + decimal + `)?)$`, Want: "caller, image, UID or UID:GID in decimal"},
	"user.groups[]":                  {Bounded: true, Min: 0, Max: maxID},
	"user.name":                      {Pattern: `^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`, Want: "1 to 32 letters, digits, _, . and -, starting with a letter or _"},
	"mounts[].type":                  {Required: true, Enum: texts(MountBind, MountVolume, MountTmpfs)},
	"mounts[].target":                {Required: true, Pattern: patBelowRoot, Not: notPlaces, Want: wantCleanPath},
	"mounts[].mode":                  {Enum: texts(ModeRW, ModeRO, ModeOverlay)},
	"mounts[].size":                  {Bounded: true, Min: 0, Max: math.MaxInt64},
	"mounts[].selinux":               {Enum: texts(SELinuxNone, SELinuxShared, SELinuxPrivate)},
	"mounts[].upper":                 {Pattern: patBelowRoot, Want: wantCleanPath},
	"binding.ports[].name":           {Pattern: `^[a-z0-9-]{1,15}$`, Want: "1 to 15 of a-z, 0-9 and -"},
	"binding.ports[].protocol":       {Enum: texts(TCP, UDP)},
	"binding.ports[].containerPort":  {Required: true, Bounded: true, Min: 1, Max: 65535},
	"binding.ports[].hostPort":       {Bounded: true, Min: 0, Max: 65535},
	"network.mode":                   {Enum: texts(NetIsolated, NetNone, NetInternal, NetShared, NetHost, NetNamed)},
	"network.name":                   {Pattern: patObject, Not: notModes, Want: wantObject},
	"network.aliases[]":              {Pattern: patAlias, Not: notAliases, Want: wantAlias},
	"network.additional[].name":      {Required: true, Pattern: patObject, Not: notModes, Want: wantObject},
	"network.additional[].aliases[]": {Pattern: patAlias, Not: notAliases, Want: wantAlias},
	"network.egress[].domain":        {Pattern: `^` + domainName + `$`, Want: "a lower-case domain such as example.com or *.example.com"},
	"resources.cpus":                 {Bounded: true, Min: 0, Max: maxCPUs},
	"resources.memory":               {Bounded: true, Min: 0, Max: math.MaxInt64},
	"resources.pids":                 {Bounded: true, Min: 0, Max: math.MaxInt64},
	"resources.shm":                  {Bounded: true, Min: 0, Max: math.MaxInt64},
	"resources.disk":                 {Bounded: true, Min: 0, Max: math.MaxInt64},
	"security.profile":               {Enum: texts(ProfileStandard, ProfileHardened, ProfileOpenHandsCompat)},
	"security.seccomp":               {Pattern: `^(?:` + SeccompDefault + `|` + SeccompUnconfined + `|` + cleanElements + `)$`, Want: "default, unconfined or the absolute path of a profile"},
	"security.runtime":               {Pattern: patObject, Want: "the name of a runtime such as runc or runsc, not a path"},
	"security.devices[]":             {Pattern: `^(?:` + cdiName + `|` + devicePath + `(?::` + devicePath + `(?::[rwm]{1,3})?)?)$`, Want: "a CDI name such as vendor.com/class=name, or /dev/x[:/dev/y[:rwm]]"},
	"agent":                          {Enum: texts(AgentAuto, AgentBuiltin, AgentImage, AgentNone)},
	"life.stopGrace":                 {Bounded: true, Min: 0, Max: int64(maxStopGrace)},
	"life.idleTimeout":               {Bounded: true, Min: 0, Max: math.MaxInt64},
	"life.ttl":                       {Bounded: true, Min: 0, Max: math.MaxInt64},
	"life.restart.policy":            {Enum: texts(RestartNo, RestartOnFailure, RestartAlways, RestartUnlessStopped)},
	"life.restart.maxRetries":        {Bounded: true, Min: 0, Max: math.MaxInt32},
	"life.health.command":            {Required: true, Want: "the program and arguments that find out"},
	"life.health.interval":           {Bounded: true, Min: 0, Max: math.MaxInt64},
	"life.health.timeout":            {Bounded: true, Min: 0, Max: math.MaxInt64},
	"life.health.startPeriod":        {Bounded: true, Min: 0, Max: math.MaxInt64},
	"life.health.retries":            {Bounded: true, Min: 0, Max: math.MaxInt32},
	"process.env":                    {Keys: `^[^=]+$`, Want: "a name that is not empty and has no ="},
	"labels":                         {Not: notLabels, Keys: `^[A-Za-z0-9](?:[A-Za-z0-9_./-]{0,251}[A-Za-z0-9])?$`, Want: "1 to 253 letters, digits, _, ., / and -, starting and ending with a letter or digit"},
	"extensions":                     {Keys: `^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`, Want: "the name of a backend: 1 to 63 of a-z, 0-9 and -"},
}

// Constraints returns the constraint of every field that has one, keyed by the
// field's path with "[]" for an element of a list. The generator of the JSON
// schema calls it; the map is the caller's.
func Constraints() map[string]Constraint { return maps.Clone(constraints) }

func texts[T ~string](values ...T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// compiled has the compiled form of every pattern; programs that never
// validate do not pay for it.
var compiled = sync.OnceValue(func() map[string]*regexp.Regexp {
	out := map[string]*regexp.Regexp{}
	for _, c := range constraints {
		for _, p := range []string{c.Pattern, c.Keys} {
			if p != "" && out[p] == nil {
				out[p] = regexp.MustCompile(p)
			}
		}
	}
	return out
})

// check applies the constraint of one field. An element of a list is checked
// even when it is empty; a field that is not set only has to be allowed not to.
func (c Constraint) check(v reflect.Value, element bool) (Code, string) {
	if !element && unset(v) {
		if c.Required {
			return CodeRequired, "is required" + c.advice()
		}
		return "", ""
	}
	switch v.Kind() {
	case reflect.String:
		text := v.String()
		if c.Enum != nil {
			if slices.Contains(c.Enum, text) {
				return "", ""
			}
			return CodeUnknownValue, fmt.Sprintf("%q is not known%s", text, c.advice())
		}
		if c.Pattern != "" && !compiled()[c.Pattern].MatchString(text) {
			return CodeInvalid, fmt.Sprintf("%q is not valid%s", text, c.advice())
		}
	case reflect.Int, reflect.Int64:
		if n := v.Int(); c.Bounded && (n < c.Min || n > c.Max) {
			return CodeOutOfRange, fmt.Sprintf("%s is out of range%s", number(v, n), c.outside(v, n < c.Min))
		}
	case reflect.Uint32, reflect.Uint64:
		if n := v.Uint(); c.Bounded && n > uint64(c.Max) {
			return CodeOutOfRange, fmt.Sprintf("%d is out of range%s", n, c.outside(v, false))
		}
	}
	return "", ""
}

func (c Constraint) advice() string {
	switch {
	case len(c.Enum) == 1:
		return ": want " + c.Enum[0]
	case c.Enum != nil:
		last := len(c.Enum) - 1
		return ": want " + strings.Join(c.Enum[:last], ", ") + " or " + c.Enum[last]
	case c.Want != "":
		return ": want " + c.Want
	case c.Bounded:
		return fmt.Sprintf(": want %d to %d", c.Min, c.Max)
	}
	return ""
}

// outside says what a number that is out of range should have been.
func (c Constraint) outside(v reflect.Value, low bool) string {
	switch {
	case c.Max <= math.MaxUint16:
		return fmt.Sprintf(": want %d to %d", c.Min, c.Max)
	case low:
		return ": want at least " + number(v, c.Min)
	}
	return ": want at most " + number(v, c.Max)
}

// number writes n the way the field's type does.
func number(v reflect.Value, n int64) string {
	switch v.Interface().(type) {
	case Bytes:
		return Bytes(n).String()
	case CPUs:
		return CPUs(n).String()
	case Duration:
		return Duration(n).String()
	}
	return fmt.Sprint(n)
}

func unset(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return v.IsZero()
}
