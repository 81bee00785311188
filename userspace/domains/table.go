package domains

import (
	"math/bits"
	"math/rand/v2"
)

// mark is the kind of an entry.
type mark uint8

const (
	whole mark = 1 << iota // the name itself
	self                   // the name and the names below it
	under                  // only the names below it
	plain                  // all names that begin or end with the text

	allMarks = whole | self | under | plain
)

// longestText is the longest text in a table: no name is longer in presentation format,
// even with each byte as \DDD.
const longestText = 1023

// table is a set of texts, each with its marks. It is filled by add, sealed once, and
// then queried.
//
// A text is in the block that its hash selects or, if that is full, in one of the next
// blocks. A filter answers most queries before that. It has a word for each block, and
// each text sets four bits in the word of the block that its hash selects. Block and bits
// depend on the hash alone, not on an index. So the processor can fetch the block while
// it waits for the word, and a lookup costs one cache miss.
//
// Hashes start from a random seed, so that nobody can prepare colliding names.
type table struct {
	forward bool // texts are hashed from the first byte to the last; else the other way
	seed    uint64
	longest int
	last    [longestText + 1]uint64 // for each length, the set of bytes that are hashed last, by their lower six bits
	filter  []uint64
	blocks  []block         // one for each word of filter, and more if the last ones are full
	long    map[string]mark // texts that are too long for a block

	added []byte // until seal, in the form of blocks; a text may occur several times
	count int    // number of texts in added
	room  int    // room that they take in blocks
}

// block is texts back to back. The first byte of each is the length, the second has four
// bits of the hash and the marks, and the text follows. A block takes two cache lines.
// Each lookup needs both at once, for the first text and for used, so that they are
// fetched together.
type block struct {
	texts  [blockRoom]byte
	used   uint8
	onward bool // texts that belong here may be in later blocks
}

const (
	blockRoom      = 126
	textHeader     = 2
	longestInBlock = blockRoom - textHeader
)

// perBlock is the highest average number of texts per block. With four bits of 64 for
// each text, the filter passes half a percent of the queries for texts that are not there.
const perBlock = 4

func newTable(forward bool) *table { return &table{seed: rand.Uint64(), forward: forward} }

// step adds a byte to a hash.
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

// The lower 24 bits of a hash are for the filter, the next 4 for the tag, and the upper
// ones for the block.
func fourBits(h uint64) uint64 { return 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63) | 1<<(h>>18&63) }
func tag(h uint64) mark        { return mark(h>>20) &^ allMarks }
func (t *table) home(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(t.filter)))
	return int(hi)
}

// mayHave reports whether a text of n bytes with hash h can be in the table. last is the
// byte that was hashed last. mayHave is called for every byte of a name.
func (t *table) mayHave(n int, last byte, h uint64) bool {
	return t.last[n&longestText]>>(last&63)&1 != 0 && fourBits(h)&^t.filter[t.home(h)] == 0
}

// has reports whether text is in the table with one of the marks. h is its hash, for
// which mayHave must have returned true.
func (t *table) has(h uint64, text []byte, want mark) bool {
	if len(text) > longestInBlock {
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

// find looks up a text in the block, and returns the block from its header on, or nil.
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

// add adds a text of 1 to longestText bytes.
func (t *table) add(text []byte, m mark) {
	n := len(text)
	t.longest = max(t.longest, n)
	last := text[0]
	if t.forward {
		last = text[n-1]
	}
	t.last[n] |= 1 << (last & 63)
	if n > longestInBlock {
		if t.long == nil {
			t.long = map[string]mark{}
		}
		t.long[string(text)] |= m
		return
	}
	t.added = append(append(t.added, byte(n), byte(m)), text...)
	t.count++
	t.room += blockRoom / (blockRoom / (textHeader + n)) // with its part of the rest of a block of texts of this length
}

// seal puts the distinct texts into blocks, and returns the number of pairs of text and
// mark.
func (t *table) seal() (entries int) {
	added := t.count
	entries = t.fill()
	if t.count < added/2 { // fewer blocks suffice
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

// fill makes blocks of the added texts, and removes repeated ones from added.
func (t *table) fill() (entries int) {
	const full = 75 // percent of a block, on average: more would save little memory, and push more texts onward
	homes := 1 + max(t.room*100/full/blockRoom, (t.count+len(t.long))/perBlock)
	t.filter = make([]uint64, homes)
	t.blocks = make([]block, homes, homes+homes/1024+8) // some for texts pushed onward from the last ones
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

// insert puts a text into a block, and returns the number of new marks.
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
		case b.onward: // the text may be in a later block
		case b.put(h, text, m):
			return 1
		}
		b.onward = true
	}
}

// put appends a text to the block, and returns false if there is no room.
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
