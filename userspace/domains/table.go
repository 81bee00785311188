package domains

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// mark says what a text of a table is an entry for.
type mark uint8

const (
	whole mark = 1 << iota // the name itself
	self                   // the name and what is below it
	under                  // what is below the name alone
	plain                  // whatever begins or ends so
)

// longestText bounds what a table keeps: no name is longer in presentation
// format, with each of its bytes written as \DDD.
const longestText = 1023

var errTooLarge = errors.New("the list needs more than 4 GiB")

// table is a set of texts, each with its marks. It is filled by add, sealed once,
// and asked from then on.
//
// The texts of a bucket stand one behind the other, so that finding one costs one
// access to memory that is in no cache. Most questions are answered before that,
// by the filter: a word for each bucket, in which each text sets three bits.
// Hashes begin with a random seed: nobody can prepare names that collide.
type table struct {
	forward bool // hashes go from the first byte to the last; else the other way
	seed    uint64
	buckets []bucket                   // a power of two
	text    []byte                     // before seal in the order of adding, then bucket by bucket
	lengths [longestText/64 + 1]uint64 // a bit for each length that occurs
	longest int
	count   int // before seal: the same text may be there several times
}

// bucket is where in the table's text its texts stand, and its filter: a line of
// the processor's cache holds all of it.
type bucket struct {
	filter     uint64
	start, end uint32
}

// A text in a table: a byte of its hash, the mark, its length as u16, itself.
const textHeader = 4

// perBucket is how many texts share a bucket, at most, on average. With three of
// 64 bits each, one question in a hundred is not answered by the filter.
const perBucket = 4

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

// A hash's bits: 18 for the filter, 32 for the bucket, 8 for the text.
func threeBits(h uint64) uint64       { return 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63) }
func (t *table) bucket(h uint64) uint { return uint(h>>18) & uint(len(t.buckets)-1) }
func tag(h uint64) byte               { return byte(h >> 56) }

// has tells whether text, whose hash is h, is in the table with one of the marks.
func (t *table) has(h uint64, text []byte, want mark) bool {
	n := uint(len(text))
	if n > longestText || t.lengths[n/64]>>(n%64)&1 == 0 {
		return false
	}
	b := &t.buckets[t.bucket(h)]
	if bits := threeBits(h); b.filter&bits != bits {
		return false
	}
	at := find(t.text[b.start:b.end], h, text)
	return at != nil && mark(at[1])&want != 0
}

// find looks for a text among those of a bucket, and returns what begins with it.
func find(bucket []byte, h uint64, text []byte) []byte {
	for len(bucket) > 0 {
		end := textHeader + int(binary.LittleEndian.Uint16(bucket[2:]))
		if bucket[0] == tag(h) && string(bucket[textHeader:end]) == string(text) {
			return bucket
		}
		bucket = bucket[end:]
	}
	return nil
}

// add puts a text in, of at most longestText bytes.
func (t *table) add(text []byte, m mark) error {
	if uint64(len(t.text)+textHeader+len(text)) > math.MaxUint32 {
		return errTooLarge
	}
	t.text = appendText(t.text, t.hash(text), m, text)
	t.count++
	t.longest = max(t.longest, len(text))
	t.lengths[len(text)/64] |= 1 << (len(text) % 64)
	return nil
}

func appendText(dst []byte, h uint64, m mark, text []byte) []byte {
	dst = append(dst, tag(h), byte(m))
	return append(binary.LittleEndian.AppendUint16(dst, uint16(len(text))), text...)
}

// seal sorts the texts into buckets, each once, and returns how many pairs of
// text and mark there are.
func (t *table) seal() (entries int) {
	size := 1
	for perBucket*size < t.count {
		size *= 2
	}
	t.buckets = make([]bucket, size)
	added := t.text
	order := t.order(added)
	t.text = make([]byte, 0, len(added))
	for i := range t.buckets {
		b := &t.buckets[i]
		b.start = uint32(len(t.text))
		for ; len(order) > 0; order = order[1:] {
			at := added[order[0]:]
			text := at[textHeader : textHeader+int(binary.LittleEndian.Uint16(at[2:]))]
			h := t.hash(text)
			if t.bucket(h) != uint(i) {
				break
			}
			if same := find(t.text[b.start:], h, text); same != nil {
				entries += bits.OnesCount8(at[1] &^ same[1])
				same[1] |= at[1]
				continue
			}
			entries++
			b.filter |= threeBits(h)
			t.text = appendText(t.text, h, mark(at[1]), text)
		}
		b.end = uint32(len(t.text))
	}
	if 2*len(t.text) < cap(t.text) { // most were there twice
		t.text = slices.Clone(t.text)
	}
	return entries
}

// order returns where each of the added texts stands, by buckets.
func (t *table) order(added []byte) []uint32 {
	next := make([]uint32, len(t.buckets)+1) // of each bucket, behind the one before it
	for _, h := range t.texts(added) {
		next[t.bucket(h)+1]++
	}
	for b := range t.buckets {
		next[b+1] += next[b]
	}
	order := make([]uint32, t.count)
	for at, h := range t.texts(added) {
		b := t.bucket(h)
		order[next[b]] = at
		next[b]++
	}
	return order
}

// texts goes through the places and hashes of texts.
func (t *table) texts(list []byte) func(yield func(at uint32, h uint64) bool) {
	return func(yield func(uint32, uint64) bool) {
		for at := 0; at < len(list); {
			end := at + textHeader + int(binary.LittleEndian.Uint16(list[at+2:]))
			if !yield(uint32(at), t.hash(list[at+textHeader:end])) {
				return
			}
			at = end
		}
	}
}
