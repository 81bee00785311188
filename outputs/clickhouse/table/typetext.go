package table

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// typeText is a type as the server writes it: a name, perhaps with arguments. An argument
// is a type, a number, or a text in quotes with, in an Enum, its number.
type typeText struct {
	name  string // "" for a number or a text
	args  []typeText
	text  string // in quotes
	value int64  // the number, or what follows a text
	isNum bool
}

const (
	maxTypeLength = 1 << 20 // an Enum16 has up to 65,536 names
	maxTypeDepth  = 20
)

// parseType reads a type. It knows the grammar, not the types.
func parseType(s string) (typeText, error) {
	if len(s) > maxTypeLength {
		return typeText{}, errors.New("the type is too long")
	}
	p := typeParser{rest: s}
	t, err := p.argument(0)
	if err == nil && p.next() != 0 {
		err = fmt.Errorf("unexpected %.20q after the type", p.rest)
	}
	if err == nil && t.name == "" {
		err = errors.New("not a type")
	}
	return t, err
}

type typeParser struct{ rest string }

// next returns the next byte that is no space, or 0 at the end.
func (p *typeParser) next() byte {
	p.rest = strings.TrimLeft(p.rest, " \t\n")
	if p.rest == "" {
		return 0
	}
	return p.rest[0]
}

func (p *typeParser) argument(depth int) (t typeText, err error) {
	if depth > maxTypeDepth {
		return t, errors.New("types are nested too deeply")
	}
	switch c := p.next(); {
	case c == '\'':
		if t.text, err = p.quoted(); err == nil && p.next() == '=' {
			p.rest = p.rest[1:]
			t.value, err = p.number()
		}
		return t, err
	case c == '-' || c >= '0' && c <= '9':
		t.isNum = true
		t.value, err = p.number()
		return t, err
	}
	if t.name = p.word(); t.name == "" {
		return t, fmt.Errorf("a name is expected at %.20q", p.rest)
	}
	if p.next() != '(' {
		return t, nil
	}
	p.rest = p.rest[1:]
	for p.next() != ')' {
		a, err := p.argument(depth + 1)
		if err != nil {
			return t, err
		}
		t.args = append(t.args, a)
		if c := p.next(); c == ',' {
			p.rest = p.rest[1:]
		} else if c != ')' {
			return t, fmt.Errorf("a comma or ) is expected at %.20q", p.rest)
		}
	}
	p.rest = p.rest[1:]
	return t, nil
}

func (p *typeParser) word() string {
	n := 0
	for n < len(p.rest) && (p.rest[n] == '_' || p.rest[n]|0x20 >= 'a' && p.rest[n]|0x20 <= 'z' || p.rest[n] >= '0' && p.rest[n] <= '9') {
		n++
	}
	w := p.rest[:n]
	p.rest = p.rest[n:]
	return w
}

func (p *typeParser) number() (int64, error) {
	p.next()
	n := 0
	for n < len(p.rest) && (p.rest[n] == '-' && n == 0 || p.rest[n] >= '0' && p.rest[n] <= '9') {
		n++
	}
	v, err := strconv.ParseInt(p.rest[:n], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("a number is expected at %.20q", p.rest)
	}
	p.rest = p.rest[n:]
	return v, nil
}

// quoted reads a text in single quotes, with the escapes that ClickHouse writes.
func (p *typeParser) quoted() (string, error) {
	b := []byte(nil)
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '\'':
			p.rest = p.rest[i+1:]
			return string(b), nil
		case '\\':
			if i++; i == len(p.rest) {
				return "", errors.New("a text without its end")
			}
			b = append(b, unescape(p.rest[i]))
		default:
			b = append(b, c)
		}
	}
	return "", errors.New("a text without its end")
}

func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case '0':
		return 0
	}
	return c
}
