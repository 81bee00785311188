package table

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
)

// dictionary is a LowCardinality column: its different values, and for each row the
// position of its value.
type dictionary struct {
	keys  []byte // the values in native format, back to back
	ends  []int  // where each ends
	slots []uint32
	seed  maphash.Seed
	kept  [2]keeper

	index []byte // positions
	width int    // bytes of a position
	rows  uint64
	last  uint32 // position of the last row's value
	head  [24]byte
}

func newDictionary() *dictionary {
	return &dictionary{slots: make([]uint32, 64), seed: maphash.MakeSeed()}
}

// reset begins a block. In a nullable dictionary the first value stands for NULL.
func (d *dictionary) reset(null []byte) {
	if len(d.slots) > 1<<12 && len(d.slots) > 64*len(d.ends) {
		d.slots, d.ends = make([]uint32, len(d.slots)/8), nil
	}
	d.keys, d.index = d.kept[0].reset(d.keys), d.kept[1].reset(d.index)
	d.ends, d.width, d.rows, d.last = d.ends[:0], 1, 0, 0
	clear(d.slots)
	if null != nil {
		d.keys = append(d.keys, null...)
		d.ends = append(d.ends, len(d.keys))
	}
}

func (d *dictionary) key(i uint32) []byte {
	from := 0
	if i > 0 {
		from = d.ends[i-1]
	}
	return d.keys[from:d.ends[i]]
}

// add appends a row with a value in native format. nulls is 1 if the first value stands for
// NULL, otherwise 0.
func (d *dictionary) add(value []byte, nulls uint32) {
	if d.rows == 0 || d.last < nulls || !bytes.Equal(d.key(d.last), value) {
		d.last = d.find(value)
	}
	d.put(d.last)
}

// addNull appends a row with NULL.
func (d *dictionary) addNull() {
	d.last = 0
	d.put(0)
}

// repeat appends n rows with the value of the last one.
func (d *dictionary) repeat(n int) {
	for ; n > 0 && d.width > 1; n-- {
		d.put(d.last)
	}
	d.rows += uint64(n)
	for range n {
		d.index = append(d.index, byte(d.last))
	}
}

func (d *dictionary) find(value []byte) uint32 {
	mask := uint64(len(d.slots) - 1)
	for h := maphash.Bytes(d.seed, value) & mask; ; h = (h + 1) & mask {
		s := d.slots[h]
		if s == 0 {
			i := uint32(len(d.ends))
			d.keys = append(d.keys, value...)
			d.ends = append(d.ends, len(d.keys))
			d.slots[h] = i + 1
			if 2*len(d.ends) > len(d.slots) {
				d.grow()
			}
			return i
		}
		if bytes.Equal(d.key(s-1), value) {
			return s - 1
		}
	}
}

func (d *dictionary) grow() {
	old := d.slots
	d.slots = make([]uint32, 4*len(old))
	mask := uint64(len(d.slots) - 1)
	for _, s := range old {
		if s == 0 {
			continue
		}
		h := maphash.Bytes(d.seed, d.key(s-1)) & mask
		for d.slots[h] != 0 {
			h = (h + 1) & mask
		}
		d.slots[h] = s
	}
}

func (d *dictionary) put(i uint32) {
	d.rows++
	switch {
	case d.width == 1 && i < 1<<8:
		d.index = append(d.index, byte(i))
	case d.width == 2 && i < 1<<16:
		d.index = binary.LittleEndian.AppendUint16(d.index, uint16(i))
	case d.width == 4:
		d.index = binary.LittleEndian.AppendUint32(d.index, i)
	default:
		d.widen()
		d.rows--
		d.put(i)
	}
}

// widen doubles the width of all positions.
func (d *dictionary) widen() {
	n, w := len(d.index)/d.width, d.width
	d.index = append(d.index, d.index...)
	for i := n - 1; i >= 0; i-- {
		to := d.index[2*w*i : 2*w*(i+1)]
		copy(to, d.index[w*i:w*(i+1)])
		clear(to[w:])
	}
	d.width = 2 * w
}

// Flags of a dictionary, beside the width of its positions: its values follow, and replace
// those of the block before.
const dictionaryFlags = 1<<9 | 1<<10

func (d *dictionary) appendData(list [][]byte) [][]byte {
	if d.rows == 0 {
		return list
	}
	le := binary.LittleEndian
	le.PutUint64(d.head[:], dictionaryFlags|uint64(d.width>>1)) // 0, 1, 2 for 1, 2, 4 bytes
	le.PutUint64(d.head[8:], uint64(len(d.ends)))
	le.PutUint64(d.head[16:], d.rows)
	return append(list, d.head[:16], d.keys, d.head[16:], d.index)
}

func (d *dictionary) memory() int {
	return cap(d.keys) + cap(d.index) + 8*cap(d.ends) + 4*cap(d.slots)
}
