package domains

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxLine is the longest line of a list. A name has at most 1023 bytes in presentation
// format.
const maxLine = 64 << 10

// Parse reads a list. Each line is a name, a comma and one of prefix, suffix and fqdn. A
// line without exactly one comma is a whole name, and so is the text before any other
// word. Empty lines and lines that begin with # are comments; but under Legacy everything
// is an entry.
func Parse(r io.Reader, matching Matching) (*List, error) {
	p := &parser{matching: matching, l: &List{suffixes: newTable(false), prefixes: newTable(true), anywhere: matching == Legacy}}
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		p.line++
		line := s.Bytes()
		if p.line == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		p.add(line)
	}
	if err := s.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d has more than %d bytes: this is not a list of names", p.line+1, maxLine)
	} else if err != nil {
		return nil, err
	}
	p.l.entries += p.l.suffixes.seal() + p.l.prefixes.seal()
	p.l.odd = p.odd.list
	return p.l, nil
}

type parser struct {
	matching Matching
	l        *List
	line     int
	room     []byte // for a name in normal form
	odd      oddities
}

// entry is the meaning of a line.
type entry struct {
	in   *table // nil: the line is not an entry
	mark mark
	text []byte
}

// add adds the entry of a line, which it may change.
func (p *parser) add(line []byte) {
	line = Lower(line)
	labels, legacy := p.byLabels(line), p.byLegacy(line)
	if !p.same(labels, legacy) {
		p.l.differ++
	}
	e := labels
	if p.matching == Legacy {
		e = legacy
	}
	p.odd.check(p.line, line)
	if e.in == nil {
		return
	}
	if len(e.text) > longestText {
		p.l.entries++ // no name can match it
		return
	}
	if e.mark == self && string(e.text) == "." {
		p.l.everything = true
	}
	e.in.add(e.text, e.mark)
}

// byLabels is the meaning of a line under Labels. The entry's text is valid until the
// next call.
func (p *parser) byLabels(line []byte) entry {
	clean := bytes.TrimSpace(line)
	if len(clean) == 0 || clean[0] == '#' {
		return entry{}
	}
	name, logic := split(clean)
	name = bytes.TrimSpace(name)
	if len(name) == 0 {
		return entry{}
	}
	switch string(bytes.TrimSpace(logic)) {
	case "prefix":
		return entry{p.l.prefixes, plain, name}
	case "suffix":
		m := self
		if len(name) > 1 && name[0] == '.' && name[1] != '.' {
			m, name = under, name[1:]
		}
		p.room = appendNormal(p.room[:0], name)
		return entry{p.l.suffixes, m, p.room}
	}
	p.room = appendNormal(p.room[:0], name)
	return entry{p.l.suffixes, whole, p.room}
}

// byLegacy is the meaning of a line under Legacy: dnsmonster's trees cannot hold an empty
// text.
func (p *parser) byLegacy(line []byte) entry {
	name, logic := split(line)
	switch {
	case len(name) == 0:
		return entry{}
	case string(logic) == "prefix":
		return entry{p.l.prefixes, plain, name}
	case string(logic) == "suffix":
		return entry{p.l.suffixes, plain, name}
	}
	return entry{p.l.suffixes, whole, name}
}

// same reports whether the two meanings of a line match the same names.
func (p *parser) same(labels, legacy entry) bool {
	if matchesNothing(legacy) {
		legacy = entry{}
	}
	if matchesNothing(labels) {
		labels = entry{}
	}
	switch {
	case labels.in != legacy.in:
		return false
	case labels.mark == under:
		return legacy.mark == plain && string(legacy.text[:1]) == "." && string(legacy.text[1:]) == string(labels.text)
	case labels.mark == self: // equal only for the root, since all names end in its dot
		return legacy.mark == plain && string(labels.text) == "." && string(legacy.text) == "."
	}
	return labels.mark == legacy.mark && string(labels.text) == string(legacy.text)
}

// matchesNothing reports whether no name can match an entry.
func matchesNothing(e entry) bool {
	if e.in == nil || len(e.text) > longestText {
		return true
	}
	for i, c := range e.text {
		if c < ' ' || c > '~' || c == ' ' && !escaped(e.text[:i]) {
			return true
		}
	}
	return !e.in.forward && e.text[len(e.text)-1] != '.'
}

// split splits a line into name and logic.
func split(line []byte) (name, logic []byte) {
	if bytes.Count(line, []byte{','}) != 1 {
		return line, []byte("fqdn")
	}
	name, logic, _ = bytes.Cut(line, []byte{','})
	return name, logic
}
