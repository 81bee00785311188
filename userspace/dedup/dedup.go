// Package dedup recognises a packet that was captured before: at another mirror port, on
// another interface, or both on its way out of a host and on its way into one.
//
// In: addresses, ports, IP ID and payload of each packet. Out: whether it was seen within
// the window. A retransmitted query of IPv4 is not a duplicate: its IP ID differs. It
// imports none of our packages. Its tests need no data.
package dedup

import (
	"encoding/binary"
	"hash/maphash"
)

// Config bounds a table. A zero field takes its default.
type Config struct {
	Window  int64 // nanoseconds of packet time; default 50 ms
	Entries int   // packets remembered; default 65,536
}

// Packet is what all captures of one packet have in common, and the time of one.
type Packet struct {
	Src, Dst         []byte // 4 or 16 bytes
	SrcPort, DstPort uint16
	Proto            uint8
	ID               uint16 // IPv4: the IP ID; else 0
	Seq              uint32 // TCP: equal bytes elsewhere in the stream are no duplicate
	Data             []byte
	Time             int64
}

// Table remembers the packets of the last window by a keyed hash, so that a sender
// cannot provoke collisions. It is for one goroutine.
type Table struct {
	window  int64
	seed    maphash.Seed
	entries []entry // a ring: the oldest is overwritten
	heads   []int32 // per bucket, the newest entry + 1
	next    int     // the entry to overwrite next
	early   uint64
	scratch [64]byte
}

type entry struct {
	sum  uint64
	time int64
	next int32 // older in the same bucket, + 1
	used bool
}

// New makes an empty table.
func New(cfg Config) *Table {
	if cfg.Window <= 0 {
		cfg.Window = 50e6
	}
	if cfg.Entries <= 0 {
		cfg.Entries = 1 << 16
	}
	buckets := 1
	for buckets < cfg.Entries {
		buckets *= 2
	}
	return &Table{
		window: cfg.Window, seed: maphash.MakeSeed(),
		entries: make([]entry, cfg.Entries), heads: make([]int32, buckets),
	}
}

// Early is the number of packets that were forgotten within the window for lack of room:
// that many duplicates may have been missed.
func (t *Table) Early() uint64 { return t.early }

// Seen reports whether the packet was seen before, within the window. If not, it
// remembers the packet. Packets may be out of order in time.
func (t *Table) Seen(p *Packet) bool {
	sum := t.sum(p)
	bucket := &t.heads[sum&uint64(len(t.heads)-1)]
	for i := *bucket; i != 0; {
		e := &t.entries[i-1]
		if d := p.Time - e.time; e.sum == sum && d <= t.window && d >= -t.window {
			return true
		}
		i = e.next
	}
	at := t.next
	if t.next++; t.next == len(t.entries) {
		t.next = 0
	}
	t.forget(at, p.Time)
	t.entries[at] = entry{sum: sum, time: p.Time, next: *bucket, used: true}
	*bucket = int32(at) + 1
	return false
}

// forget removes an entry, if it is used, from its bucket.
func (t *Table) forget(at int, now int64) {
	e := &t.entries[at]
	if !e.used {
		return
	}
	if d := now - e.time; d <= t.window && d >= -t.window {
		t.early++
	}
	link := &t.heads[e.sum&uint64(len(t.heads)-1)]
	for *link != int32(at)+1 {
		link = &t.entries[*link-1].next
	}
	*link = e.next
}

// sum hashes all of p but its time.
func (t *Table) sum(p *Packet) uint64 {
	b := append(t.scratch[:0], p.Src...)
	b = append(b, p.Dst...)
	b = binary.LittleEndian.AppendUint16(b, p.SrcPort)
	b = binary.LittleEndian.AppendUint16(b, p.DstPort)
	b = append(b, p.Proto, byte(len(p.Src)))
	b = binary.LittleEndian.AppendUint16(b, p.ID)
	b = binary.LittleEndian.AppendUint32(b, p.Seq)
	b = binary.LittleEndian.AppendUint64(b, maphash.Bytes(t.seed, p.Data))
	return maphash.Bytes(t.seed, b)
}
