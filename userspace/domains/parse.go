package domains

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds a line. A name has at most 1023 bytes in presentation format:
// what has longer lines than this is no list.
const maxLine = 64 << 10

// Parse reads a list: on each line a name, a comma and one of prefix, suffix and
// fqdn. A line without exactly one comma is a whole name, and so is what stands
// before any other word. Empty lines, and those that begin with #, are comments,
// but for Legacy, to which everything is an entry.
func Parse(r io.Reader, matching Matching) (*List, error) {
	p := &parser{matching: matching, l: &List{ends: newTable(false), begins: newTable(true), anywhere: matching == Legacy}}
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		p.line++
		line := s.Bytes()
		if p.line == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		p.take(line)
	}
	if err := s.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d has more than %d bytes: this is no list of names", p.line+1, maxLine)
	} else if err != nil {
		return nil, err
	}
	p.l.entries += p.l.ends.seal() + p.l.begins.seal()
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

// entry is what a line means.
type entry struct {
	in   *table // nil: it is no entry
	mark mark
	text []byte
}

// take reads one line, which it may change.
func (p *parser) take(line []byte) {
	line = Lower(line)
	ours, theirs := p.byLabels(line), p.byLegacy(line)
	if !p.same(ours, theirs) {
		p.l.differ++
	}
	e := ours
	if p.matching == Legacy {
		e = theirs
	}
	p.odd.look(p.line, line)
	if e.in == nil {
		return
	}
	if len(e.text) > longestText {
		p.l.entries++ // that no name can match
		return
	}
	if e.mark == self && string(e.text) == "." {
		p.l.everything = true
	}
	e.in.add(e.text, e.mark)
}

// byLabels is what a line means here. The entry's text is valid until the next
// call.
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
		return entry{p.l.begins, plain, name}
	case "suffix":
		m := self
		if len(name) > 1 && name[0] == '.' && name[1] != '.' {
			m, name = under, name[1:]
		}
		p.room = appendNormal(p.room[:0], name)
		return entry{p.l.ends, m, p.room}
	}
	p.room = appendNormal(p.room[:0], name)
	return entry{p.l.ends, whole, p.room}
}

// byLegacy is what a line means to dnsmonster, whose trees have no room for an
// empty text.
func (p *parser) byLegacy(line []byte) entry {
	name, logic := split(line)
	switch {
	case len(name) == 0:
		return entry{}
	case string(logic) == "prefix":
		return entry{p.l.begins, plain, name}
	case string(logic) == "suffix":
		return entry{p.l.ends, plain, name}
	}
	return entry{p.l.ends, whole, name}
}

// same tells whether two readings of a line mean the same names.
func (p *parser) same(ours, theirs entry) bool {
	if deaf(theirs) {
		theirs = entry{}
	}
	if deaf(ours) {
		ours = entry{}
	}
	switch {
	case ours.in != theirs.in:
		return false
	case ours.mark == under:
		return theirs.mark == plain && string(theirs.text[:1]) == "." && string(theirs.text[1:]) == string(ours.text)
	case ours.mark == self: // all names end in the root's dot
		return theirs.mark == plain && string(ours.text) == "." && string(theirs.text) == "."
	}
	return ours.mark == theirs.mark && string(ours.text) == string(theirs.text)
}

// deaf tells of entries that no name can match.
func deaf(e entry) bool {
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

// split separates the logic from the name.
func split(line []byte) (name, logic []byte) {
	if bytes.Count(line, []byte{','}) != 1 {
		return line, []byte("fqdn")
	}
	name, logic, _ = bytes.Cut(line, []byte{','})
	return name, logic
}
