// Package domains reads skip and allow lists and tells which names are on them.
package domains

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Matching says what the suffixes of a list mean.
type Matching uint8

// Ways of matching.
const (
	Labels Matching = iota // example.org means example.org and what is below it
	Legacy                 // as dnsmonster: example.org. also means notexample.org., and example.org means nothing
)

// List is a set of names. It does not change; any number of goroutines may ask.
type List struct {
	fqdn     map[string]bool
	suffix   map[string]bool // with their final dots; those that begin with a dot mean what is below
	prefix   []string
	endings  []string // of Legacy: plain
	matching Matching
	differ   int
}

// maxLine bounds a line; a name has at most 255 bytes, four times that escaped.
const maxLine = 64 << 10

// Parse reads a list: on each line a name, a comma and one of prefix, suffix and
// fqdn. A line without exactly one comma is a whole name, and so is what stands
// before any other word. Empty lines, and those that begin with #, are comments,
// but for Legacy, to which everything is an entry.
func Parse(r io.Reader, matching Matching) (*List, error) {
	l := &List{fqdn: make(map[string]bool), suffix: make(map[string]bool), matching: matching}
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	line := 0
	for s.Scan() {
		line++
		if line == 1 {
			l.add(strings.TrimPrefix(s.Text(), "\ufeff"))
		} else {
			l.add(s.Text())
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", line+1, err)
	}
	return l, nil
}

func (l *List) add(line string) {
	if l.matching == Legacy {
		l.addLegacy(strings.ToLower(line))
		return
	}
	clean := strings.ToLower(strings.TrimSpace(line))
	if clean == "" || clean[0] == '#' {
		if line != "" { // to dnsmonster it is a name, if one that nobody has
			l.differ++
		}
		return
	}
	raw, logic := split(clean)
	name := strings.TrimSpace(raw)
	if trimmed := strings.TrimSpace(logic); trimmed != logic {
		logic = trimmed
		l.differ++
	} else if differs(name, logic) || strings.ToLower(line) != clean || len(raw) != len(name) {
		l.differ++
	}
	switch logic {
	case "prefix":
		l.prefix = append(l.prefix, name)
	case "suffix":
		l.suffix[dotted(name)] = true
	default:
		l.fqdn[dotted(name)] = true
	}
}

// differs tells whether dnsmonster finds other names by such an entry. It wants
// the final dot, and takes a suffix for a plain ending.
func differs(name, logic string) bool {
	switch logic {
	case "prefix":
		return false
	case "suffix":
		return !strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".")
	default:
		return !strings.HasSuffix(name, ".")
	}
}

// addLegacy takes a line as dnsmonster does.
func (l *List) addLegacy(line string) {
	switch name, logic := split(line); logic {
	case "prefix":
		l.prefix = append(l.prefix, name)
	case "suffix":
		l.endings = append(l.endings, name)
	default:
		l.fqdn[name] = true
	}
}

// split separates the logic from the name.
func split(line string) (name, logic string) {
	if strings.Count(line, ",") != 1 {
		return line, "fqdn"
	}
	name, logic, _ = strings.Cut(line, ",")
	return name, logic
}

func dotted(name string) string {
	if strings.HasSuffix(name, ".") {
		return name
	}
	return name + "."
}

// Len is the number of entries.
func (l *List) Len() int { return len(l.fqdn) + len(l.suffix) + len(l.prefix) + len(l.endings) }

// Differ is how many lines mean something else to dnsmonster.
func (l *List) Differ() int { return l.differ }

// Match tells whether name is on the list. It is in presentation format, with
// its final dot, in lower case.
func (l *List) Match(name []byte) bool {
	if l.fqdn[string(name)] {
		return true
	}
	for _, p := range l.prefix {
		if len(name) >= len(p) && string(name[:len(p)]) == p {
			return true
		}
	}
	for _, e := range l.endings {
		if len(name) >= len(e) && string(name[len(name)-len(e):]) == e {
			return true
		}
	}
	return len(l.suffix) > 0 && l.below(name)
}

// below looks for the name, and for all that it is below.
func (l *List) below(name []byte) bool {
	for {
		if l.suffix[string(name)] {
			return true
		}
		dot := boundary(name)
		if dot < 0 {
			return l.suffix["."] // the root: every name is below it
		}
		if l.suffix[string(name[dot:])] { // .example.org
			return true
		}
		name = name[dot+1:]
	}
}

// boundary is where the first label's dot is, if another label follows; dots
// behind a backslash are part of a label.
func boundary(name []byte) int {
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case '.':
			if i+1 == len(name) {
				return -1
			}
			return i
		}
	}
	return -1
}
