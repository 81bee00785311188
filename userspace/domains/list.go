// Package domains reads skip and allow lists and tells which names are on them.
package domains

// Matching says what the suffixes of a list mean.
type Matching uint8

// Ways of matching.
const (
	Labels Matching = iota // example.org means example.org and what is below it
	Legacy                 // as dnsmonster: example.org. also means notexample.org., and example.org means nothing
)

// List is a set of names. It does not change; any number of goroutines may ask.
type List struct {
	ends       *table // whole names and suffixes
	begins     *table // prefixes
	anywhere   bool   // suffixes match inside labels too
	everything bool   // the root is a suffix
	entries    int
	differ     int
	odd        []Odd
}

// Len is the number of different entries.
func (l *List) Len() int { return l.entries }

// Differ is how many lines mean different names to the two ways of matching.
func (l *List) Differ() int { return l.differ }

// Odd tells of lines that are probably not meant as they are taken, each kind
// once.
func (l *List) Odd() []Odd { return l.odd }

// Match tells whether name is on the list. It is in presentation format as
// dns.AppendName writes it, with its final dot, in lower case.
func (l *List) Match(name []byte) bool {
	switch {
	case l.everything:
		return true
	case l.anywhere:
		return l.ending(name) || l.beginning(name)
	}
	return l.below(name) || l.beginning(name)
}

// below looks for the name, and for all that it is below.
func (l *List) below(name []byte) bool {
	t := l.ends
	h := t.seed
	for i := len(name) - 1; i >= max(0, len(name)-t.longest); i-- {
		h = step(h, name[i])
		switch {
		case i == 0:
			return t.may(len(name), name[0], h) && t.has(h, name, whole|self)
		case name[i-1] == '.' && t.may(len(name)-i, name[i], h) && !escaped(name[:i-1]) && t.has(h, name[i:], self|under):
			return true
		}
	}
	return false
}

// ending looks for the name, and for all that it ends in.
func (l *List) ending(name []byte) bool {
	t := l.ends
	h := t.seed
	for i := len(name) - 1; i >= max(0, len(name)-t.longest); i-- {
		h = step(h, name[i])
		want := plain
		if i == 0 {
			want |= whole
		}
		if t.may(len(name)-i, name[i], h) && t.has(h, name[i:], want) {
			return true
		}
	}
	return false
}

// beginning looks for all that the name begins with.
func (l *List) beginning(name []byte) bool {
	t := l.begins
	h := t.seed
	for i := range min(len(name), t.longest) {
		h = step(h, name[i])
		if t.may(i+1, name[i], h) && t.has(h, name[:i+1], plain) {
			return true
		}
	}
	return false
}

// escaped tells whether what stands behind text is part of a label.
func escaped(text []byte) bool {
	n := 0
	for n < len(text) && text[len(text)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// Lower folds a name in place: beyond ASCII, names have no case.
func Lower(name []byte) []byte {
	for i, c := range name {
		name[i] = lower[c]
	}
	return name
}

var lower = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			t[i] += 'a' - 'A'
		}
	}
	return t
}()
