// Package domains parses skip and allow lists, and matches names against them.
//
// In: the text of a list. Out: a List, which tells without allocating whether a name is
// on the list; and counts and warnings for the log. The package imports package
// dns alone: fetching and refreshing lists is sensor/lists. Its tests make their own
// lists, and compare with the rules in their simplest form (reference_test.go).
package domains

// Matching is the meaning of the suffixes in a list.
type Matching uint8

// The two meanings.
const (
	Labels Matching = iota // example.org matches example.org and the names below it
	Legacy                 // as in dnsmonster: example.org. also matches notexample.org., and example.org nothing
)

// List is a set of names. It never changes, and is safe for concurrent use.
type List struct {
	suffixes   *table // and whole names
	prefixes   *table
	anywhere   bool // suffixes match inside labels, too
	everything bool // the root is a suffix
	entries    int
	differ     int
	odd        []OddLines
}

// Len is the number of distinct entries.
func (l *List) Len() int { return l.entries }

// Differ is the number of lines that match different names under the two kinds of
// Matching.
func (l *List) Differ() int { return l.differ }

// OddLines returns the lines that probably do not mean what their author meant, by
// kind.
func (l *List) OddLines() []OddLines { return l.odd }

// Match reports whether name is on the list. name is in the presentation format of
// dns.AppendName, with its final dot, and in lower case.
func (l *List) Match(name []byte) bool {
	switch {
	case l.everything:
		return true
	case l.anywhere:
		return l.hasSuffix(name) || l.hasPrefix(name)
	}
	return l.hasParent(name) || l.hasPrefix(name)
}

// hasParent looks up the name and all its parents.
func (l *List) hasParent(name []byte) bool {
	t := l.suffixes
	h := t.seed
	for i := len(name) - 1; i >= max(0, len(name)-t.longest); i-- {
		h = step(h, name[i])
		switch {
		case i == 0:
			return t.mayHave(len(name), name[0], h) && t.has(h, name, whole|self)
		case name[i-1] == '.' && t.mayHave(len(name)-i, name[i], h) && !escaped(name[:i-1]) && t.has(h, name[i:], self|under):
			return true
		}
	}
	return false
}

// hasSuffix looks up the name and all its suffixes.
func (l *List) hasSuffix(name []byte) bool {
	t := l.suffixes
	h := t.seed
	for i := len(name) - 1; i >= max(0, len(name)-t.longest); i-- {
		h = step(h, name[i])
		want := plain
		if i == 0 {
			want |= whole
		}
		if t.mayHave(len(name)-i, name[i], h) && t.has(h, name[i:], want) {
			return true
		}
	}
	return false
}

// hasPrefix looks up all prefixes of the name.
func (l *List) hasPrefix(name []byte) bool {
	t := l.prefixes
	h := t.seed
	for i := range min(len(name), t.longest) {
		h = step(h, name[i])
		if t.mayHave(i+1, name[i], h) && t.has(h, name[:i+1], plain) {
			return true
		}
	}
	return false
}

// escaped reports whether text ends in a backslash that escapes the next byte.
func escaped(text []byte) bool {
	n := 0
	for n < len(text) && text[len(text)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// Lower converts a name to lower case in place. Names have case only in ASCII.
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
