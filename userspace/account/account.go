// Package account keeps the books: every item enters a ledger once and leaves
// it by exactly one outcome. What comes in is counted by the giver, outcomes by
// the taker, so that the difference is a finding and not a tautology.
package account

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// maxColumns bounds the columns of a book; the largest has 23.
const maxColumns = 24

// Page is one goroutine's share of a book. Add is for that goroutine alone and
// costs a plain addition; others see the numbers as of the last Publish.
type Page struct {
	_      [64]byte // pages of two goroutines never share a cache line
	own    [maxColumns]uint64
	shared [maxColumns]atomic.Uint64
	_      [64]byte
}

// Add counts n items in a column.
func (p *Page) Add(column Column, n uint64) { p.own[column] += n }

// Set replaces a column that is a level and not a count, such as what is held.
func (p *Page) Set(column Column, n uint64) { p.own[column] = n }

// Publish shows the owner's numbers to readers. Call it once per batch.
func (p *Page) Publish() {
	for i := range p.own {
		if v := p.own[i]; p.shared[i].Load() != v {
			p.shared[i].Store(v)
		}
	}
}

// Column is a position in a book; each book names its own.
type Column uint8

// Book is a set of named columns, filled by many pages.
type Book struct {
	names []string
	mu    sync.Mutex
	pages []*Page
}

// NewBook makes a book with the given column names.
func NewBook(names ...string) *Book {
	if len(names) > maxColumns {
		panic(fmt.Sprintf("account: %d columns, at most %d", len(names), maxColumns))
	}
	return &Book{names: names}
}

// Page adds a page for one more goroutine.
func (b *Book) Page() *Page {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &Page{}
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
		lines = append(lines, Line{b.names[c], b.Sum(c)})
	}
	return lines
}

// Line is one named number.
type Line struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// Ledger is a book read at one moment.
type Ledger struct {
	Name     string // "packet", "message", "delivery"
	Label    string // what sets it apart from others of that name: a hook, an output
	In       uint64
	Outcomes []Line
	Held     uint64
	Meters   []Line // numbers beside the books: bytes, cuts, retries
}

// Unaccounted is what came in and neither left nor is held. At rest it is 0.
// While items move it is at most what is in flight, provided that the outcomes
// were read before what came in.
func (l *Ledger) Unaccounted() int64 {
	n := int64(l.In) - int64(l.Held)
	for _, o := range l.Outcomes {
		n -= int64(o.Value)
	}
	return n
}
