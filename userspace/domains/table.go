package domains

import (
	"math/bits"
	"math/rand/v2"
)

// mark says what a text of a table is an entry for.
type mark uint8

const (
	whole mark = 1 << iota // the name itself
	self                   // the name and what is below it
	under                  // what is below the name alone
	plain                  // whatever begins or ends so

	allMarks = whole | self | under | plain
)

// longestText bounds what a table keeps: no name is longer in presentation
// format, with each of its bytes written as \DDD.
const longestText = 1023

// table is a set of texts, each with its marks. It is filled by add, sealed once,
// and asked from then on.
//
// A text stands in the block that its hash names or, where that is full, in one
// of the next. Most questions are answered before that, by the filter: a word for
// each block, in which each text that the hash sends there sets four bits. Where a
// text is, the hash alone says, and no index: so the processor can fetch a block
// while it waits for the word, and finding a text costs one access to memory that
// is in no cache.
//
// Hashes begin with a random seed: nobody can prepare names that collide.
type table struct {
	forward bool // hashes go from the first byte to the last; else the other way
	seed    uint64
	longest int
	last    [longestText + 1]uint64 // for each length: which bytes are hashed last, by their lower six bits
	filter  []uint64
	blocks  []block         // one for each word of filter, and more where the last ones are full
	long    map[string]mark // texts that no block has room for

	added []byte // until seal, as in blocks; the same text may be there several times
	count int    // texts in added
	room  int    // what they take of blocks
}

// block is texts, one behind the other: in the first byte the length, in the
// second four bits of the hash and the marks, then the text. It takes two lines
// of the processor's cache, and needs both from the start, for the first text and
// for used: so they are fetched at once.
type block struct {
	texts  [blockRoom]byte
	used   uint8
	onward bool // a later block may have texts that belong here
}

const (
	blockRoom   = 126
	textHeader  = 2
	longestHere = blockRoom - textHeader
)

// perBlock is how many texts there are for each block, at most, on average. With
// four of 64 bits each, the filter leaves half a question in a hundred open.
const perBlock = 4

func newTable(forward bool) *table { return &table{seed: rand.Uint64(), forward: forward} }

// step takes one more byte into a hash.
func step(h uint64, c byte) uint64 {
	hi, lo := bits.Mul64(h^uint64(c), 0x9e3779b97f4a7c15)
	return hi ^ lo
}

func (t *table) hash(text []byte) uint64 {
	h := t.seed
	if t.forward {
		for _, c := range text {
			h = step(h, c)
		}
		return h
	}
	for i := len(text) - 1; i >= 0; i-- {
		h = step(h, text[i])
	}
	return h
}

// A hash's bits: the lower 24 for the filter, 4 more for the text, the upper ones
// for the block.
func fourBits(h uint64) uint64 { return 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63) | 1<<(h>>18&63) }
func tag(h uint64) mark        { return mark(h>>20) &^ allMarks }
func (t *table) home(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(t.filter)))
	return int(hi)
}

// may tells whether a text of n bytes, with that one hashed last and this hash,
// can be in the table. It is the part of the question that is asked for every
// byte of a name.
func (t *table) may(n int, last byte, h uint64) bool {
	return t.last[n&longestText]>>(last&63)&1 != 0 && fourBits(h)&^t.filter[t.home(h)] == 0
}

// has tells whether text, whose hash is h, is in the table with one of the marks.
// Ask for what may be there.
func (t *table) has(h uint64, text []byte, want mark) bool {
	if len(text) > longestHere {
		return t.long[string(text)]&want != 0
	}
	for i := t.home(h); ; i++ {
		b := &t.blocks[i]
		if at := b.find(h, text); at != nil {
			return mark(at[1])&want != 0
		}
		if !b.onward {
			return false
		}
	}
}

// find looks for a text in the block, and returns what begins with its header.
func (b *block) find(h uint64, text []byte) []byte {
	for left := b.texts[:b.used]; len(left) >= textHeader; {
		n := int(left[0])
		if n == len(text) && mark(left[1])&^allMarks == tag(h) && string(left[textHeader:textHeader+n]) == string(text) {
			return left
		}
		left = left[textHeader+n:]
	}
	return nil
}

// add puts a text in, of 1 to longestText bytes.
func (t *table) add(text []byte, m mark) {
	n := len(text)
	t.longest = max(t.longest, n)
	last := text[0]
	if t.forward {
		last = text[n-1]
	}
	t.last[n] |= 1 << (last & 63)
	if n > longestHere {
		if t.long == nil {
			t.long = map[string]mark{}
		}
		t.long[string(text)] |= m
		return
	}
	t.added = append(append(t.added, byte(n), byte(m)), text...)
	t.count++
	t.room += blockRoom / (blockRoom / (textHeader + n)) // with what is left over where all are as long
}

// seal puts the texts into blocks, each once, and returns how many pairs of text
// and mark there are.
func (t *table) seal() (entries int) {
	added := t.count
	entries = t.fill()
	if t.count < added/2 { // fewer blocks will do
		t.fill()
	}
	t.added = nil
	for text, m := range t.long {
		h := t.hash([]byte(text))
		t.filter[t.home(h)] |= fourBits(h)
		entries += bits.OnesCount8(uint8(m))
	}
	return entries
}

// fill makes blocks, puts into them what was added, and keeps of that what was
// not there twice.
func (t *table) fill() (entries int) {
	const full = 75 // per cent, on average: more would save little memory, and push more texts onward
	homes := 1 + max(t.room*100/full/blockRoom, (t.count+len(t.long))/perBlock)
	t.filter = make([]uint64, homes)
	t.blocks = make([]block, homes, homes+homes/1024+8) // what the last ones push onward, too
	added := t.added
	t.added, t.count, t.room = added[:0], 0, 0
	for len(added) > 0 {
		end := textHeader + int(added[0])
		text, m := added[textHeader:end], mark(added[1])
		if n := t.insert(text, m); n > 0 {
			entries += n
			t.add(text, m)
		}
		added = added[end:]
	}
	return entries
}

// insert puts a text into a block, and returns how many of its marks are new.
func (t *table) insert(text []byte, m mark) int {
	h := t.hash(text)
	i := t.home(h)
	t.filter[i] |= fourBits(h)
	for ; ; i++ {
		if i == len(t.blocks) {
			t.blocks = append(t.blocks, block{})
		}
		b := &t.blocks[i]
		switch same := b.find(h, text); {
		case same != nil:
			n := bits.OnesCount8(uint8(m) &^ same[1])
			same[1] |= uint8(m)
			return n
		case b.onward: // it may be there
		case b.put(h, text, m):
			return 1
		}
		b.onward = true
	}
}

// put appends a text to the block, if there is room for it.
func (b *block) put(h uint64, text []byte, m mark) bool {
	end := int(b.used) + textHeader + len(text)
	if end > blockRoom {
		return false
	}
	at := b.texts[b.used:end]
	at[0], at[1] = byte(len(text)), byte(tag(h)|m)
	copy(at[textHeader:], text)
	b.used = uint8(end)
	return true
}
