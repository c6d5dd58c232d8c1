// SPDX-License-Identifier: Apache-2.0

package openhands

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// literal is one value of a variable that holds a list or a table. OpenHands
// reads these with Python's ast.literal_eval, and users write JSON or Python;
// parseLiteral reads both.
//
// It is one of: string, number, bool, nil, []literal (list or tuple), *table.
type literal any

// number is a number as it was written. No key needs its value.
type number string

// table keeps the order of its keys, for messages that do not change.
type table struct {
	keys   []string
	values map[string]literal
}

// maxLiteralDepth bounds recursion: the text comes from outside.
const maxLiteralDepth = 32

// parseLiteral reads one JSON value or Python literal that fills all of s. It
// is stricter than Python in three ways: keys are strings, a key appears once,
// and an unknown escape is an error instead of a backslash. Errors name a
// position but never quote the text, which may hold secrets.
func parseLiteral(s string) (literal, error) {
	p := &literalParser{text: s}
	v, err := p.value(0)
	if err == nil {
		p.space()
		if p.pos != len(s) {
			err = errors.New("text after the value")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("character %d: %w", utf8.RuneCountInString(s[:min(p.pos, len(s))])+1, err)
	}
	return v, nil
}

type literalParser struct {
	text string
	pos  int
}

func (p *literalParser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// next skips white space and returns the next byte without taking it; 0 is the
// end.
func (p *literalParser) next() byte {
	p.space()
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

func (p *literalParser) value(depth int) (literal, error) {
	if depth > maxLiteralDepth {
		return nil, errors.New("nested too deeply")
	}
	switch p.next() {
	case 0:
		return nil, errors.New("a value is missing")
	case '"', '\'':
		return p.str()
	case '[':
		return p.list(']', depth)
	case '(':
		return p.list(')', depth)
	case '{':
		return p.table(depth)
	default:
		return p.word()
	}
}

func (p *literalParser) list(closing byte, depth int) (literal, error) {
	p.pos++
	out := []literal{}
	for p.next() != closing {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		if p.next() == ',' {
			p.pos++
		} else if p.next() != closing {
			return nil, fmt.Errorf("want a comma or %q", closing)
		}
	}
	p.pos++
	return out, nil
}

func (p *literalParser) table(depth int) (literal, error) {
	p.pos++
	out := &table{values: map[string]literal{}}
	for p.next() != '}' {
		if c := p.next(); c != '"' && c != '\'' {
			return nil, errors.New("want a key in quotes")
		}
		start := p.pos
		key, err := p.str()
		if err != nil {
			return nil, err
		}
		if _, twice := out.values[key]; twice {
			p.pos = start
			return nil, errors.New("the key appears twice")
		}
		if p.next() != ':' {
			return nil, errors.New("want a colon after the key")
		}
		p.pos++
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out.keys = append(out.keys, key)
		out.values[key] = v
		if p.next() == ',' {
			p.pos++
		} else if p.next() != '}' {
			return nil, errors.New("want a comma or '}'")
		}
	}
	p.pos++
	return out, nil
}

// word reads a number or one of the constants of either language.
func (p *literalParser) word() (literal, error) {
	end := p.pos
	for end < len(p.text) && strings.IndexByte(" \t\r\n,:[](){}'\"", p.text[end]) < 0 {
		end++
	}
	word := p.text[p.pos:end]
	var v literal
	switch word {
	case "true", "True":
		v = true
	case "false", "False":
		v = false
	case "null", "None":
		v = nil
	default:
		_, err := strconv.ParseFloat(strings.ReplaceAll(word, "_", ""), 64)
		if err != nil || strings.IndexByte("0123456789.+-", word[0]) < 0 {
			return nil, errors.New("want a text in quotes, a list, a table, a number, true, false or null")
		}
		v = number(word)
	}
	p.pos = end
	return v, nil
}

// str reads a string in single or double quotes.
func (p *literalParser) str() (string, error) {
	quote := p.text[p.pos]
	p.pos++
	var b strings.Builder
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		switch c {
		case quote:
			p.pos++
			return b.String(), nil
		case '\n':
			return "", errors.New("the line ends inside a text")
		case '\\':
			if err := p.escape(&b); err != nil {
				return "", err
			}
		default:
			b.WriteByte(c)
			p.pos++
		}
	}
	return "", errors.New("the closing quote is missing")
}

// simpleEscapes are those that stand for one byte, in JSON or in Python.
var simpleEscapes = map[byte]byte{
	'\\': '\\', '\'': '\'', '"': '"', '/': '/',
	'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v',
}

// escape reads what begins with a backslash at the current position.
func (p *literalParser) escape(b *strings.Builder) error {
	if p.pos+1 >= len(p.text) {
		return errors.New("the closing quote is missing")
	}
	c := p.text[p.pos+1]
	if plain, ok := simpleEscapes[c]; ok {
		b.WriteByte(plain)
		p.pos += 2
		return nil
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	if digits == 0 {
		return errors.New(`unknown escape; a backslash itself is written \\`)
	}
	r, err := p.hex(p.pos+2, digits)
	if err != nil {
		return err
	}
	length := 2 + digits
	if c == 'u' && utf16.IsSurrogate(r) {
		// JSON writes a character beyond U+FFFF as two halves.
		after := p.pos + length
		if !strings.HasPrefix(p.text[after:], `\u`) {
			return errors.New("half of a surrogate pair")
		}
		low, err := p.hex(after+2, 4)
		if err != nil {
			return err
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return errors.New("half of a surrogate pair")
		}
		length += 6
	}
	if !utf8.ValidRune(r) {
		return errors.New("the escape is no character")
	}
	b.WriteRune(r)
	p.pos += length
	return nil
}

func (p *literalParser) hex(from, digits int) (rune, error) {
	if from+digits > len(p.text) {
		return 0, errors.New("the escape is too short")
	}
	n, err := strconv.ParseUint(p.text[from:from+digits], 16, 32)
	if err != nil || n > utf8.MaxRune {
		return 0, fmt.Errorf("the escape needs %d hexadecimal digits of a character", digits)
	}
	return rune(n), nil
}
