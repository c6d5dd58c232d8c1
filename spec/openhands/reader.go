// SPDX-License-Identifier: Apache-2.0

package openhands

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/berthrun/berth/spec"
)

// reader is one run of Read.
type reader struct {
	in       Input
	values   map[string]*value // by Key.Env; for a pattern only that some exist
	patterns map[string][]*value
	envs     []envVar
	res      *Result
	problems Problems
	order    map[string]int // position of a name in the table
	makers   map[spec.Path]*value
	devices  []*value // what asked for security.devices
}

// value is a set key: one that is neither missing nor empty.
type value struct {
	rule *rule
	// name is the variable or the key of config.toml, as the user wrote it.
	name   string
	source string // for Result.Sources
	file   string
	line   int
	part   string // what the pattern's placeholder stands for

	str  string
	bool bool
	int  int64
	list []string
	// keys and table are the entries of a table whose values are texts, in
	// the order in which they were written.
	keys  []string
	table map[string]string
}

func (r *reader) get(env string) *value { return r.values[env] }

func (r *reader) problem(v *value, code spec.Code, format string, args ...any) {
	r.problems = append(r.problems, &Problem{Key: v.name, File: v.file, Line: v.line, Code: code, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) warn(v *value, code NoticeCode, format string, args ...any) {
	r.res.Warnings = append(r.res.Warnings, Notice{Key: v.name, File: v.file, Line: v.line, Code: code, Message: fmt.Sprintf(format, args...)})
}

// source records what set a field.
func (r *reader) source(path spec.Path, vs ...*value) {
	names := make([]string, len(vs))
	for i, v := range vs {
		names[i] = v.source
	}
	slices.Sort(names)
	r.res.Sources[path] = strings.Join(slices.Compact(names), ", ")
	r.makers[path] = vs[0]
}

// set honours a text that is one field of the spec.
func (r *reader) set(path spec.Path, v *value, field *string, text string) {
	*field = text
	r.source(path, v)
}

// collect finds the value of every key and reports those that are malformed,
// and every name that nobody knows.
func (r *reader) collect() {
	r.order = map[string]int{}
	for i, rule := range rules {
		for _, name := range append([]string{rule.Env, rule.TOML}, rule.Aliases...) {
			r.order[name] = i
		}
	}
	r.patterns = map[string][]*value{}

	var doc *document
	if len(r.in.Config) > 0 {
		doc = readDocument(r.in.ConfigName, r.in.Config,
			func(p *Problem) { r.problems = append(r.problems, p) },
			func(n Notice) { r.res.Warnings = append(r.res.Warnings, n) })
		r.unknownKeys(doc)
	}
	for i := range rules {
		rule := &rules[i]
		if rule.match != nil {
			continue
		}
		v := r.fromEnviron(rule)
		if fromFile := r.fromDocument(rule, doc); v == nil {
			v = fromFile
		}
		if v != nil {
			r.values[rule.Env] = v
		}
	}
	r.unknownVariables()
}

// fromEnviron returns the first of the key's variables that is set, and warns
// about a later one that says something else.
func (r *reader) fromEnviron(rule *rule) *value {
	var first *value
	var text string
	for _, name := range append([]string{rule.Env}, rule.Aliases...) {
		raw := r.in.Environ[name]
		if raw == "" {
			continue
		}
		v := &value{rule: rule, name: name, source: name}
		if first != nil {
			if raw != text {
				r.warn(v, NoticeOverridden, "%s has the same meaning and wins; remove one of them", first.name)
			}
			continue
		}
		first, text = v, raw
		if !r.parseText(v, raw) {
			return nil
		}
	}
	return first
}

// parseText reads a variable's text by the key's type. A false result has been
// reported, as a problem or as a warning.
func (r *reader) parseText(v *value, raw string) bool {
	rule := v.rule
	if reason := unusableText(raw); reason != "" && rule.Type == String && rule.Disposition == Honoured {
		r.problem(v, spec.CodeInvalid, "%s; set it again", reason)
		return false
	}
	scalar := strings.TrimSpace(raw)
	switch rule.Type {
	case Boolean:
		b, ok := parseBool(scalar)
		if !ok && rule.Env == "DEBUG" {
			// A common name: "DEBUG=express:*" is not meant for OpenHands,
			// which takes it for false.
			r.warn(v, NoticeNotHonoured, "the value is no boolean, and OpenHands takes that for false; nothing was set in the sandbox")
			return false
		}
		if !ok {
			r.problem(v, spec.CodeInvalid, "%s is not a boolean; write true or false (1 and 0 are known too)", strconv.Quote(raw))
			return false
		}
		v.bool = b
	case Integer:
		n, err := strconv.ParseInt(scalar, 10, 64)
		if err != nil {
			r.problem(v, spec.CodeInvalid, "%s is not an integer; write %s", strconv.Quote(raw), rule.bounds())
			return false
		}
		v.int = n
	case List, Table:
		lit, err := parseLiteral(raw)
		if err != nil {
			r.problem(v, spec.CodeInvalid, "not a %s: %v; write %s", rule.Type, err, forms[rule.Type])
			return false
		}
		return r.literalValue(v, lit)
	default:
		v.str = raw
	}
	return r.checkValue(v)
}

// forms are examples of the types that are literals.
var forms = map[Type]string{List: `["one", "two"]`, Table: `{"NAME": "text"}`}

// parseBool knows what OpenHands takes for true, and that much for false.
func parseBool(s string) (b, ok bool) {
	switch strings.ToLower(s) {
	case "true", "1":
		return true, true
	case "false", "0":
		return false, true
	}
	return false, false
}

// bounds describes the integers that a key takes.
func (rule *rule) bounds() string {
	switch {
	case rule.least == 0 && rule.most == 0:
		return "a number such as " + cmp.Or(rule.Default, "1")
	case rule.most == 0:
		return fmt.Sprintf("a number of at least %d", rule.least)
	}
	return fmt.Sprintf("a number from %d to %d", rule.least, rule.most)
}

// literalValue takes a list or a table from parseLiteral or, in the same
// shape, from config.toml.
func (r *reader) literalValue(v *value, lit literal) bool {
	if lit == nil {
		return false // None: not set
	}
	switch v.rule.Type {
	case List:
		items, ok := lit.([]literal)
		if !ok {
			r.problem(v, spec.CodeInvalid, "this is %s and not a list; write %s", literalName(lit), forms[List])
			return false
		}
		for i, item := range items {
			text, ok := item.(string)
			if !ok {
				r.problem(v, spec.CodeInvalid, "element %d is %s; write it as a text in quotes", i+1, literalName(item))
				return false
			}
			if reason := unusableText(text); reason != "" && v.rule.Disposition == Honoured {
				r.problem(v, spec.CodeInvalid, "element %d: %s; set it again", i+1, reason)
				return false
			}
			v.list = append(v.list, text)
		}
	case Table:
		t, ok := lit.(*table)
		if !ok {
			r.problem(v, spec.CodeInvalid, "this is %s and not a table; write %s", literalName(lit), forms[Table])
			return false
		}
		v.keys = t.keys
		if v.rule.Disposition == Refused {
			break // the values are of any type and are not used
		}
		v.table = map[string]string{}
		for _, key := range t.keys {
			text, ok := t.values[key].(string)
			if !ok {
				r.problem(v, spec.CodeInvalid, "the value of %q is %s; write it as a text in quotes", key, literalName(t.values[key]))
				return false
			}
			if reason := envProblem(key, text); reason != "" {
				r.problem(v, spec.CodeInvalid, "%q: %s", key, reason)
				return false
			}
			v.table[key] = text
		}
	}
	return r.checkValue(v)
}

func literalName(lit literal) string {
	switch lit.(type) {
	case string:
		return "a text"
	case number:
		return "a number"
	case bool:
		return "a boolean"
	case []literal:
		return "a list"
	case *table:
		return "a table"
	}
	return "nothing (null)"
}

// checkValue checks what the type alone does not say.
func (r *reader) checkValue(v *value) bool {
	rule := v.rule
	if rule.Type == Integer && (rule.least != 0 || rule.most != 0) {
		most := rule.most
		if most == 0 {
			most = math.MaxInt64
		}
		if v.int < rule.least || v.int > most {
			r.problem(v, spec.CodeOutOfRange, "%d is out of range; write %s", v.int, rule.bounds())
			return false
		}
	}
	if rule.check != nil {
		text := v.str
		if rule.Type == Integer {
			text = strconv.FormatInt(v.int, 10)
		}
		if reason := rule.check(text); reason != "" {
			r.problem(v, spec.CodeInvalid, "%s", reason)
			return false
		}
	}
	return true
}

// fromDocument returns the key's value in config.toml.
func (r *reader) fromDocument(rule *rule, doc *document) *value {
	if doc == nil || rule.TOML == "" {
		return nil
	}
	table, key, _ := strings.Cut(rule.TOML, ".")
	raw, ok := doc.tables[table][key]
	if !ok || raw == "" {
		return nil
	}
	v := &value{rule: rule, name: rule.TOML, source: doc.name + ": " + rule.TOML, file: doc.name, line: doc.line(table, key)}
	wrong := func(want string) *value {
		r.problem(v, spec.CodeInvalid, "this is %s; write %s", typeName(raw), want)
		return nil
	}
	switch rule.Type {
	case Boolean:
		switch raw := raw.(type) {
		case bool:
			v.bool = raw
		case string:
			// Tolerated by OpenHands, for booleans and integers alike.
			if !r.parseStrict(v, raw) {
				return nil
			}
		default:
			return wrong("true or false")
		}
	case Integer:
		switch raw := raw.(type) {
		case int64:
			v.int = raw
		case string:
			if !r.parseStrict(v, raw) {
				return nil
			}
		default:
			return wrong(rule.bounds())
		}
	case String:
		text, ok := raw.(string)
		if !ok {
			return wrong("a text in quotes")
		}
		if reason := unusableText(text); reason != "" && rule.Disposition == Honoured {
			r.problem(v, spec.CodeInvalid, "%s; write it again", reason)
			return nil
		}
		v.str = text
	default:
		if !r.literalValue(v, r.fromTOML(raw, doc, table, key)) {
			return nil
		}
		return v
	}
	if !r.checkValue(v) {
		return nil
	}
	return v
}

// parseStrict reads a text that config.toml has in place of a boolean or a
// number.
func (r *reader) parseStrict(v *value, raw string) bool {
	scalar := strings.TrimSpace(raw)
	var ok bool
	if v.rule.Type == Boolean {
		v.bool, ok = parseBool(scalar)
	} else {
		var err error
		v.int, err = strconv.ParseInt(scalar, 10, 64)
		ok = err == nil
	}
	if !ok {
		want := "true or false"
		if v.rule.Type == Integer {
			want = v.rule.bounds()
		}
		r.problem(v, spec.CodeInvalid, "%s is a text; write %s", strconv.Quote(raw), want)
	}
	return ok
}

// fromTOML gives an array or a table of config.toml the shape of a literal.
func (r *reader) fromTOML(raw any, doc *document, at ...string) literal {
	switch raw := raw.(type) {
	case []any:
		out := make([]literal, len(raw))
		for i, item := range raw {
			out[i] = r.fromTOML(item, doc, at...)
		}
		return out
	case map[string]any:
		t := &table{values: map[string]literal{}}
		t.keys = doc.inOrder(raw, at...)
		for key, item := range raw {
			t.values[key] = r.fromTOML(item, doc, append(slices.Clone(at), key)...)
		}
		return t
	case string, bool:
		return raw
	}
	return number(fmt.Sprint(raw))
}

// unknownKeys reports every key of the two tables that OpenHands does not
// have.
func (r *reader) unknownKeys(doc *document) {
	for _, table := range readTables {
		var names []string
		for _, rule := range rules {
			if name, ok := strings.CutPrefix(rule.TOML, table+"."); ok {
				names = append(names, name)
			}
		}
		if table == "core" {
			names = append(names, foreignCore...)
		}
		for _, key := range doc.inOrder(doc.tables[table], table) {
			if slices.Contains(names, key) {
				continue
			}
			message := fmt.Sprintf("OpenHands has no such key in [%s]", table)
			switch near := nearest(strings.ToLower(key), names); {
			case tableOf(key) != "":
				message += fmt.Sprintf("; it belongs in [%s]", tableOf(key))
			case tableOf(strings.ToLower(strings.TrimPrefix(key, "SANDBOX_"))) == table:
				message += fmt.Sprintf("; here it is written %s", strings.ToLower(strings.TrimPrefix(key, "SANDBOX_")))
			case near != "":
				message += fmt.Sprintf("; did you mean %s?", near)
			default:
				message += "; remove it"
			}
			r.problems = append(r.problems, &Problem{Key: table + "." + key, File: doc.name, Line: doc.line(table, key), Code: spec.CodeUnknownField, Message: message})
		}
	}
}

// unknownVariables collects the variables that match a pattern and warns
// about those that look like OpenHands' and are not.
func (r *reader) unknownVariables() {
	var names []string
	for i := range rules {
		if rules[i].match == nil {
			names = append(names, rules[i].Env)
			names = append(names, rules[i].Aliases...)
		}
	}
	known := map[string]bool{}
	for _, name := range names {
		known[name] = true
	}
variables:
	for _, name := range slices.Sorted(maps.Keys(r.in.Environ)) {
		raw := r.in.Environ[name]
		if known[name] {
			continue
		}
		for i := range rules {
			rule := &rules[i]
			if rule.match == nil {
				continue
			}
			m := rule.match.FindStringSubmatch(name)
			if m == nil {
				continue
			}
			if raw == "" && rule.Env != "SANDBOX_ENV_<NAME>" {
				continue variables
			}
			v := &value{rule: rule, name: name, source: name, part: m[1], str: raw}
			if rule.Disposition == Honoured {
				if reason := unusableText(raw); reason != "" && rule.Env != "SANDBOX_ENV_<NAME>" {
					r.problem(v, spec.CodeInvalid, "%s; set it again", reason)
					continue variables
				}
			}
			r.patterns[rule.Env] = append(r.patterns[rule.Env], v)
			r.values[rule.Env] = v
			continue variables
		}
		if raw == "" {
			continue
		}
		ours := strings.HasPrefix(name, "SANDBOX_") || strings.HasPrefix(name, "OH_SANDBOX_")
		if !ours && !strings.HasPrefix(name, "WORKSPACE_") {
			continue
		}
		near := nearest(name, names)
		switch bare := strings.TrimPrefix(name, "SANDBOX_"); {
		case near != "":
			r.warn(&value{name: name}, NoticeUnknown, "OpenHands has no such variable, and it has no effect; did you mean %s?", near)
		case ours && known[bare]:
			r.warn(&value{name: name}, NoticeUnknown, "OpenHands has no such variable, and it has no effect; did you mean %s?", bare)
		case ours:
			r.warn(&value{name: name}, NoticeUnknown, "OpenHands has no such variable, and it has no effect; SANDBOX_ENV_%s would set %s in the sandbox", bare, bare)
		}
	}
}

// warnUnused gives the keys without an apply their warning or refusal.
func (r *reader) warnUnused() {
	for i := range rules {
		rule := &rules[i]
		v := r.values[rule.Env]
		if v == nil || rule.apply != nil || slices.Contains(rule.Harmless, v.plain()) {
			continue
		}
		if vs := r.patterns[rule.Env]; len(vs) > 1 {
			// One line for a whole pattern: a user of models has ten of them.
			names := make([]string, len(vs))
			for i, v := range vs {
				names[i] = v.name
			}
			v = &value{rule: rule, name: strings.Join(names, ", ")}
		}
		if rule.Disposition == Refused && (rule.refuse == nil || rule.refuse(r, v)) {
			r.problem(v, spec.CodeUnsupported, "refused: %s", rule.Note+kwargsHint(v))
			continue
		}
		r.warn(v, NoticeNotHonoured, "not honoured: %s", rule.Note)
	}
}

// plain is the text form that Key.Harmless is compared with.
func (v *value) plain() string {
	switch v.rule.Type {
	case Boolean:
		return strconv.FormatBool(v.bool)
	case Integer:
		return strconv.FormatInt(v.int, 10)
	case List:
		if len(v.list) == 0 {
			return "[]"
		}
	case Table:
		if len(v.keys) == 0 {
			return "{}"
		}
	}
	return v.str
}

// validate lets the spec's own rules judge what was read and reports under the
// name of the key what they refuse, so that nobody has to guess which variable
// "mounts[0].target" is.
func (r *reader) validate() {
	s := spec.Clone(r.res.Spec)
	if s.Image.Ref == "" {
		s.Image.Ref = "scratch" // may come from elsewhere
	}
	problems, _ := errors.AsType[spec.Problems](spec.Validate(s))
	for _, p := range problems {
		var maker *value
		longest := -1
		for path, v := range r.makers {
			rest, below := strings.CutPrefix(string(p.Path), string(path))
			if below && len(path) > longest && (rest == "" || rest[0] == '.' || rest[0] == '[') {
				maker, longest = v, len(path)
			}
		}
		if maker == nil {
			maker = &value{}
		}
		r.problem(maker, p.Code, "%s", p)
	}
}

// sortMessages puts warnings and problems into the order of the table, keeping
// the order within one key. Names that are not in the table come last.
func (r *reader) sortMessages() {
	position := func(key string) int {
		if i, ok := r.order[key]; ok {
			return i
		}
		for i, rule := range rules {
			if first, _, _ := strings.Cut(key, ", "); rule.match != nil && rule.match.MatchString(first) {
				return i
			}
		}
		return len(rules)
	}
	slices.SortStableFunc(r.res.Warnings, func(a, b Notice) int { return position(a.Key) - position(b.Key) })
	slices.SortStableFunc(r.problems, func(a, b *Problem) int { return position(a.Key) - position(b.Key) })
}
