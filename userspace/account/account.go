// Package account counts what became of every item: each enters a ledger once
// and leaves it by exactly one outcome. The giver counts what comes in, the taker
// counts the outcomes, so that the difference is a finding and not a tautology.
//
// In: additions of single goroutines. Out: ledgers, for summary and metrics. The
// package imports nothing of the program; its tests make their own numbers.
package account

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Shard is the part of some Counters that one goroutine fills. Only that goroutine
// may call its methods. Add costs a plain addition; readers see the numbers as of
// the last Publish.
type Shard struct {
	_      [cacheLine]uint64 // no other goroutine writes near what each Add reads
	own    []uint64
	shared []atomic.Uint64
	_      [cacheLine]uint64
}

// cacheLine is how many numbers fit in a cache line.
const cacheLine = 64 / 8

// newShard has room for n columns. The numbers of two shards never share a cache
// line: both sides are padded by a whole line.
func newShard(n int) *Shard {
	return &Shard{
		own:    make([]uint64, cacheLine+n+cacheLine)[cacheLine:][:n:n],
		shared: make([]atomic.Uint64, cacheLine+n+cacheLine)[cacheLine:][:n:n],
	}
}

// Add counts n items in a column. It panics if the Counters have no such column.
func (s *Shard) Add(column Column, n uint64) { s.own[column] += n }

// Set replaces the value of a column that is a level and not a count, such as the
// number of items held.
func (s *Shard) Set(column Column, n uint64) { s.own[column] = n }

// Publish shows the owner's numbers to readers. Call it once per batch.
func (s *Shard) Publish() {
	shared := s.shared[:len(s.own)]
	for i, v := range s.own {
		if shared[i].Load() != v {
			shared[i].Store(v)
		}
	}
}

// Column is the position of a counter; each kind of Counters has constants for its
// own.
type Column uint16

// Counters are named columns, each the sum of many goroutines' shards.
type Counters struct {
	names  []string
	lost   []bool
	mu     sync.Mutex
	shards []*Shard
}

// NewCounters makes a column for each name. Items counted in a column of lost did
// not arrive, and not because the user asked to leave them out.
func NewCounters(names []string, lost ...Column) *Counters {
	c := &Counters{names: names, lost: make([]bool, len(names))}
	for i, name := range names {
		if name == "" {
			panic(fmt.Sprintf("account: column %d of %d has no name", i, len(names)))
		}
	}
	for _, column := range lost {
		c.lost[column] = true
	}
	return c
}

// Shard adds a shard for one more goroutine.
func (c *Counters) Shard() *Shard {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := newShard(len(c.names))
	c.shards = append(c.shards, s)
	return s
}

// Sum adds up the published numbers of one column.
func (c *Counters) Sum(column Column) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var n uint64
	for _, s := range c.shards {
		n += s.shared[column].Load()
	}
	return n
}

// Lines reads the columns from first up to, not including, end.
func (c *Counters) Lines(first, end Column) []Line {
	lines := make([]Line, 0, end-first)
	for column := first; column < end; column++ {
		lines = append(lines, Line{Name: c.names[column], Value: c.Sum(column), Lost: c.lost[column]})
	}
	return lines
}

// Line is one named number.
type Line struct {
	Name    string
	Value   uint64
	Unknown bool // the counting side cannot know: Value means nothing
	Lost    bool // of an outcome: these did not arrive; of a meter: these did not arrive whole
}

// Ledger is what Counters showed at one moment.
type Ledger struct {
	Name      string // "kernel", "packet", "message", "stage", "limit", "delivery"
	Label     string // tells ledgers of one name apart: a hook, a stage, an output
	In        uint64
	InUnknown bool // the giver cannot know: In means nothing
	Filtered  bool // In counts only what a filter in the kernel has passed
	Outcomes  []Line
	Held      uint64
	Meters    []Line // numbers beside the balance: bytes, cuts, retries
}

// Balanced reports whether the ledger has a balance at all: it has none if In or an
// outcome is unknown.
func (l *Ledger) Balanced() bool {
	return !l.InUnknown && !slices.ContainsFunc(l.Outcomes, func(o Line) bool { return o.Unknown })
}

// Unaccounted is the number of items that came in and neither left nor are held. At
// rest it is 0. While items move it is at most what is in flight, provided that the
// outcomes were read before In. If Balanced is false it is 0.
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
