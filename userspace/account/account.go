// Package account keeps the books: every item enters a ledger once and leaves
// it by exactly one outcome. What comes in is counted by the giver, outcomes by
// the taker, so that the difference is a finding and not a tautology.
package account

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Page is one goroutine's share of a book. Add is for that goroutine alone and
// costs a plain addition; others see the numbers as of the last Publish.
type Page struct {
	_      [cacheLine]uint64 // nobody else writes near what each Add reads
	own    []uint64
	shared []atomic.Uint64
	_      [cacheLine]uint64
}

// cacheLine is a processor's, in numbers.
const cacheLine = 64 / 8

// newPage has room for n columns. The numbers of two pages never share a cache
// line: a line's worth of room lies on both sides.
func newPage(n int) *Page {
	return &Page{
		own:    make([]uint64, cacheLine+n+cacheLine)[cacheLine:][:n:n],
		shared: make([]atomic.Uint64, cacheLine+n+cacheLine)[cacheLine:][:n:n],
	}
}

// Add counts n items in a column of the page's book; another book's column is
// a mistake, and panics where this book has no such one.
func (p *Page) Add(column Column, n uint64) { p.own[column] += n }

// Set replaces a column that is a level and not a count, such as what is held.
func (p *Page) Set(column Column, n uint64) { p.own[column] = n }

// Publish shows the owner's numbers to readers. Call it once per batch.
func (p *Page) Publish() {
	shared := p.shared[:len(p.own)]
	for i, v := range p.own {
		if shared[i].Load() != v {
			shared[i].Store(v)
		}
	}
}

// Column is a position in a book; each book names its own.
type Column uint16

// Book is a set of named columns, filled by many pages.
type Book struct {
	names []string
	lost  []bool
	mu    sync.Mutex
	pages []*Page
}

// NewBook makes a book with a column for each name. What is counted in a column
// of lost has not arrived, and was not left out because the user wants it so.
func NewBook(names []string, lost ...Column) *Book {
	b := &Book{names: names, lost: make([]bool, len(names))}
	for i, name := range names {
		if name == "" {
			panic(fmt.Sprintf("account: column %d of %d has no name", i, len(names)))
		}
	}
	for _, c := range lost {
		b.lost[c] = true
	}
	return b
}

// Page adds a page for one more goroutine.
func (b *Book) Page() *Page {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := newPage(len(b.names))
	b.pages = append(b.pages, p)
	return p
}

// Sum adds up the published numbers of one column.
func (b *Book) Sum(column Column) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var n uint64
	for _, p := range b.pages {
		n += p.shared[column].Load()
	}
	return n
}

// Lines returns the columns from first up to, not including, end.
func (b *Book) Lines(first, end Column) []Line {
	lines := make([]Line, 0, end-first)
	for c := first; c < end; c++ {
		lines = append(lines, Line{Name: b.names[c], Value: b.Sum(c), Lost: b.lost[c]})
	}
	return lines
}

// Line is one named number.
type Line struct {
	Name    string
	Value   uint64
	Unknown bool // whoever should count cannot know: Value means nothing
	Lost    bool // of an outcome: these did not arrive; of a meter: these did not arrive whole
}

// Ledger is a book read at one moment.
type Ledger struct {
	Name      string // "kernel", "packet", "message", "stage", "delivery"
	Label     string // what sets it apart from others of that name: a hook, a stage, an output
	In        uint64
	InUnknown bool // the giver cannot know: In means nothing
	Outcomes  []Line
	Held      uint64
	Meters    []Line // numbers beside the books: bytes, cuts, retries
}

// Balanced tells whether there is a balance: not where a number that belongs
// into it is unknown.
func (l *Ledger) Balanced() bool {
	return !l.InUnknown && !slices.ContainsFunc(l.Outcomes, func(o Line) bool { return o.Unknown })
}

// Unaccounted is what came in and neither left nor is held. At rest it is 0.
// While items move it is at most what is in flight, provided that the outcomes
// were read before what came in. Where Balanced is false nothing can be missed,
// and it is 0.
func (l *Ledger) Unaccounted() int64 {
	if !l.Balanced() {
		return 0
	}
	n := int64(l.In) - int64(l.Held)
	for _, o := range l.Outcomes {
		n -= int64(o.Value)
	}
	return n
}
