// Package defrag puts IP datagrams together from their fragments (RFC 791,
// RFC 8200).
//
// In: the fragments of a lane. Out: whole datagrams, the beginnings of those that stay
// incomplete, and an outcome for each packet. It imports packet and account, no other
// step. Its tests build their fragments; real captures are read in package worker.
//
// Memory is bounded, and so is the number of datagrams and of fragments of each. Where
// there is no room, the oldest datagram is abandoned.
//
// There are two times. A fragment that is too late by the clock of its own interface
// is not part of the datagram any more. A datagram that receives no more fragments
// expires by its stamp, which comes from a clock that all interfaces share.
//
// Overlaps. IPv6: the whole datagram is abandoned, and its later fragments are ignored
// (RFC 5722). IPv4: the bytes that came first stay, later fragments fill only what is
// missing, and a fragment that contradicts the datagram's end is ignored; so are bytes
// beyond a multiple of eight in any fragment but the last, as Linux does. In both, a
// fragment that repeats an earlier one byte for byte is a duplicate.
package defrag

import (
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/packet"
)

const maxDatagram = 0xffff

// Config bounds a table. A zero field takes its default.
type Config struct {
	Bytes     int   // memory for fragments and for keeping track of them; default 16 MiB
	Datagrams int   // incomplete ones; default and maximum: one for each 1024 of Bytes
	Fragments int   // of one datagram; default 256
	Timeout   int64 // nanoseconds from the first fragment to the last; default 30 s
}

func (c Config) withDefaults() Config {
	if c.Bytes <= 0 {
		c.Bytes = 16 << 20
	}
	if most := max(1, c.Bytes/1024); c.Datagrams <= 0 || c.Datagrams > most {
		c.Datagrams = most
	}
	if c.Fragments <= 0 {
		c.Fragments = 256
	}
	if c.Timeout <= 0 {
		c.Timeout = 30e9
	}
	return c
}

// Fragment is one fragment of a datagram. Add copies what it keeps, and may shorten Data.
type Fragment struct {
	Src, Dst      []byte // 4 or 16 bytes
	Origin        packet.Origin
	Depth         uint8 // of tunnels, for Datagram
	ID            uint32
	Proto         uint8 // IPv6: the fragment header's next header
	More          bool  // it is not the last
	Offset        int
	Data          []byte
	Missing       int    // bytes after Data that the capture left out
	Packets       uint32 // how many packets it stands for in the ledgers
	Time          int64  // for Datagram
	InterfaceTime int64  // by its interface's clock; 0: not known
	Stamp         int64  // by the shared clock, for Expire; it never goes back
}

// Datagram is a whole datagram, or the beginning of one that stayed incomplete.
type Datagram struct {
	Src, Dst []byte
	Proto    uint8
	Data     []byte
	Missing  int    // bytes after Data that the capture left out, or that never came
	Packets  uint32 // of all its fragments, no longer held

	// For beginnings only.
	Origin     packet.Origin // of the first fragment, as Depth
	Depth      uint8
	ID         uint32
	Time       int64 // of the latest fragment that Data has bytes of
	EndUnknown bool  // the last fragment did not come: Missing is a lower bound
}

// BeginningFunc takes the beginning of a datagram that is abandoned, and why. It returns
// the outcome of its packets: why if no message can be read from it, PacketHeld if the
// outcome is decided elsewhere. The datagram is valid during the call, which may come in
// the middle of Add, and must not use the table.
type BeginningFunc func(d *Datagram, why account.Column) account.Column

type key struct {
	src, dst [16]byte
	scope    packet.Scope
	id       uint32
	proto    uint8 // IPv4 only: in IPv6 only the first fragment's counts (RFC 8200 section 4.5)
	v6       bool
}

// datagram is one that is not complete yet, in a list by age. Its pieces are in order
// and do not overlap.
type datagram struct {
	key         key
	time, stamp int64 // interface time and stamp of the fragment that came first
	origin      packet.Origin
	older       int32
	newer       int32 // also links the free ones
	first, last int32
	count       int
	have        int // bytes
	end         int // length of the datagram, or -1
	packets     uint32
	proto       uint8
	depth       uint8
	dead        bool // an overlap was seen: its fragments are ignored
}

// piece is one run of bytes. size is more than the chain holds where the capture left
// bytes out.
type piece struct {
	chain     packet.Chain
	off, size int32
	next      int32
	time      int64
}

func (p *piece) end() int { return int(p.off + p.size) }

// output is a datagram that leaves the table, in memory that is used again.
type output struct {
	datagram Datagram
	key      key
	data     []byte
}

// Table holds incomplete datagrams. It is for one goroutine.
type Table struct {
	cfg       Config
	shard     *account.Shard
	beginning BeginningFunc
	store     *packet.Store
	index     map[key]int32
	datagrams []datagram // [0] is unused: 0 means none
	pieces    []piece    // [0] is unused, too
	// Heads of the free lists, and both ends of the list by age.
	freeDatagram, freePiece int32
	oldest, newest          int32
	piecesUsed              int
	held                    uint64
	complete, partial       output // two, because Add may be given a part of complete
}

// New makes an empty table. It counts packets that it held and abandons on shard, and
// gives beginnings of their datagrams to beginning.
func New(cfg Config, shard *account.Shard, beginning BeginningFunc) *Table {
	cfg = cfg.withDefaults()
	return &Table{
		cfg:       cfg,
		shard:     shard,
		beginning: beginning,
		// The rest is for the table's own entries, which are smaller than that.
		store:     packet.NewStore(cfg.Bytes / 2),
		index:     make(map[key]int32),
		datagrams: make([]datagram, 1),
		pieces:    make([]piece, 1),
	}
}

// Held is the number of packets whose fragments wait.
func (t *Table) Held() uint64 { return t.held }

// Add takes a fragment. If that completes a datagram, Add returns the datagram, and
// Held no longer counts its packets: the caller counts their outcome. Otherwise the
// column is the outcome of this fragment's packets, PacketHeld if that is not decided
// yet. The datagram is valid until the next Add, which may be given parts of it.
func (t *Table) Add(f *Fragment) (*Datagram, account.Column) {
	size := len(f.Data) + f.Missing
	if f.More && len(f.Src) == 4 { // offsets are multiples of eight; hosts ignore bytes beyond one
		size &^= 7
		f.Data = f.Data[:min(size, len(f.Data))]
	}
	if size == 0 || f.Offset+size > maxDatagram || f.More && size%8 != 0 {
		return nil, account.PacketMalformed
	}
	i := t.find(f)
	g := &t.datagrams[i]
	if g.dead {
		return nil, account.FragmentOverlap
	}
	// First, because the datagram that is abandoned to make room may be this one.
	if c := t.fill(i, f, size); c != account.PacketHeld {
		return nil, c
	}
	if f.Offset == 0 {
		g.proto, g.origin, g.depth = f.Proto, f.Origin, f.Depth
	}
	if g.have != g.end {
		return nil, account.PacketHeld
	}
	return t.finish(i), account.PacketHeld
}

// Expire abandons the datagrams that are older than the timeout. before(d) returns the
// stamp of d ago: whatever has a lower one has waited for longer.
func (t *Table) Expire(before func(time int64) (stamp int64)) {
	for limit := before(t.cfg.Timeout); t.oldest != 0 && t.datagrams[t.oldest].stamp < limit; {
		t.remove(t.oldest, account.FragmentExpired)
	}
}

// Flush abandons everything.
func (t *Table) Flush() {
	for t.oldest != 0 {
		t.remove(t.oldest, account.FragmentExpired)
	}
}

// find returns the fragment's datagram, and makes one if there is none.
func (t *Table) find(f *Fragment) int32 {
	k := key{scope: f.Origin.Scope(), id: f.ID, v6: len(f.Src) == 16}
	copy(k.src[:], f.Src)
	copy(k.dst[:], f.Dst)
	if !k.v6 {
		k.proto = f.Proto
	}
	if i, ok := t.index[k]; ok {
		if !t.late(&t.datagrams[i], f) {
			return i
		}
		t.remove(i, account.FragmentExpired)
	}
	for len(t.index) >= t.cfg.Datagrams {
		t.remove(t.oldest, account.FragmentOverflow)
	}
	i := t.freeDatagram
	if i != 0 {
		t.freeDatagram = t.datagrams[i].newer
	} else {
		i = int32(len(t.datagrams))
		t.datagrams = append(t.datagrams, datagram{})
	}
	t.datagrams[i] = datagram{key: k, time: f.InterfaceTime, stamp: f.Stamp, end: -1, older: t.newest, proto: f.Proto}
	if t.newest != 0 {
		t.datagrams[t.newest].newer = i
	} else {
		t.oldest = i
	}
	t.newest = i
	t.index[k] = i
	return i
}

// late reports whether a fragment comes too late for a datagram. That it comes earlier
// means nothing: its clock may have been set back.
func (t *Table) late(g *datagram, f *Fragment) bool {
	return f.InterfaceTime != 0 && g.time != 0 && f.InterfaceTime-g.time > t.cfg.Timeout
}

// fill puts the fragment's bytes where the datagram has none yet. It returns
// PacketHeld, or why the fragment is not kept.
func (t *Table) fill(i int32, f *Fragment, size int) account.Column {
	g := &t.datagrams[i]
	end := f.Offset + size
	if t.contradictsEnd(g, f, end) {
		return t.overlap(i)
	}
	prev, next := t.seek(g, f.Offset)
	if next != 0 && int(t.pieces[next].off) < end || prev != 0 && t.pieces[prev].end() > f.Offset {
		for _, p := range [2]int32{prev, next} {
			if p != 0 && t.repeats(&t.pieces[p], f, size) {
				return account.Duplicate
			}
		}
		if g.key.v6 {
			return t.overlap(i)
		}
	}
	if !f.More {
		g.end = end
	}
	before := g.have
	for off := f.Offset; off < end; {
		if prev != 0 { // skip what the previous piece has
			if off = max(off, t.pieces[prev].end()); off >= end {
				break
			}
		}
		upTo := end
		if next != 0 {
			upTo = min(end, int(t.pieces[next].off))
		}
		if off < upTo {
			if !t.insert(i, prev, next, off, upTo, f) {
				return account.FragmentOverflow
			}
			off = upTo
		}
		if prev = next; next != 0 {
			next = t.pieces[next].next
		}
	}
	if g.have == before && g.have != g.end {
		return account.FragmentOverlap
	}
	g.packets += f.Packets
	t.held += uint64(f.Packets)
	return account.PacketHeld
}

// contradictsEnd reports whether the fragment and earlier ones disagree about where the
// datagram ends.
func (t *Table) contradictsEnd(g *datagram, f *Fragment, end int) bool {
	if g.end >= 0 {
		return end > g.end || !f.More && end != g.end
	}
	return !f.More && g.last != 0 && t.pieces[g.last].end() > end
}

// overlap abandons a datagram of IPv6. It returns the outcome of the fragment that
// overlaps others.
func (t *Table) overlap(i int32) account.Column {
	if g := &t.datagrams[i]; g.key.v6 {
		t.abandon(g, account.FragmentOverlap)
		g.dead = true
	}
	return account.FragmentOverlap
}

// seek returns the last piece that starts before off, and the next one.
func (t *Table) seek(g *datagram, off int) (prev, next int32) {
	if g.last != 0 && int(t.pieces[g.last].off) < off {
		return g.last, 0
	}
	for next = g.first; next != 0 && int(t.pieces[next].off) < off; next = t.pieces[next].next {
		prev = next
	}
	return prev, next
}

func (t *Table) repeats(p *piece, f *Fragment, size int) bool {
	return int(p.off) == f.Offset && int(p.size) == size && t.store.Equal(p.chain, f.Data)
}

// insert copies the fragment's bytes from off up to end between two pieces. It returns
// false where there was no room and the whole datagram was abandoned.
func (t *Table) insert(i, prev, next int32, off, end int, f *Fragment) bool {
	g := &t.datagrams[i]
	if g.count == t.cfg.Fragments {
		t.remove(i, account.FragmentOverflow)
		return false
	}
	from, to := min(off-f.Offset, len(f.Data)), min(end-f.Offset, len(f.Data))
	var c packet.Chain
	for t.piecesUsed == t.store.Pieces() || !t.store.Append(&c, f.Data[from:to]) {
		oldest := t.oldest
		t.remove(oldest, account.FragmentOverflow)
		if oldest == i {
			return false
		}
	}
	p := t.newPiece()
	t.pieces[p] = piece{chain: c, off: int32(off), size: int32(end - off), next: next, time: f.Time}
	if prev != 0 {
		t.pieces[prev].next = p
	} else {
		g.first = p
	}
	if next == 0 {
		g.last = p
	}
	g.count++
	g.have += end - off
	return true
}

func (t *Table) newPiece() int32 {
	t.piecesUsed++
	p := t.freePiece
	if p != 0 {
		t.freePiece = t.pieces[p].next
		return p
	}
	t.pieces = append(t.pieces, piece{})
	return int32(len(t.pieces) - 1)
}

// finish copies a complete datagram out and forgets it.
func (t *Table) finish(i int32) *Datagram {
	g, out := &t.datagrams[i], &t.complete
	out.data, _ = t.appendBeginning(g, out.data[:0])
	out.key = g.key
	src, dst := out.key.ends()
	out.datagram = Datagram{Src: src, Dst: dst, Proto: g.proto, Data: out.data, Missing: g.end - len(out.data), Packets: g.packets}
	t.held -= uint64(g.packets)
	g.packets = 0
	t.remove(i, account.FragmentUsed)
	return &out.datagram
}

// appendBeginning appends a datagram's bytes up to the first missing one to dst, which
// is empty. latest is the time of the latest fragment among them.
func (t *Table) appendBeginning(g *datagram, dst []byte) (_ []byte, latest int64) {
	latest = t.pieces[g.first].time
	for p := g.first; p != 0 && int(t.pieces[p].off) == len(dst); p = t.pieces[p].next {
		dst = t.store.AppendTo(dst, t.pieces[p].chain)
		latest = max(latest, t.pieces[p].time)
	}
	return dst, latest
}

func (k *key) ends() (src, dst []byte) {
	if k.v6 {
		return k.src[:], k.dst[:]
	}
	return k.src[:4], k.dst[:4]
}

// deliverBeginning delivers the beginning of a datagram, if there is one, and returns
// the outcome of its packets.
func (t *Table) deliverBeginning(g *datagram, why account.Column) account.Column {
	if why == account.FragmentOverlap || g.first == 0 || t.pieces[g.first].off != 0 {
		return why
	}
	out := &t.partial
	data, latest := t.appendBeginning(g, out.data[:0])
	out.data, out.key = data, g.key
	end, endUnknown := g.end, g.end < 0
	if endUnknown {
		end = t.pieces[g.last].end() + 1
	}
	src, dst := out.key.ends()
	out.datagram = Datagram{
		Src: src, Dst: dst, Proto: g.proto, Data: data, Missing: end - len(data), Packets: g.packets,
		Origin: g.origin, Depth: g.depth, ID: g.key.id, Time: latest, EndUnknown: endUnknown,
	}
	return t.beginning(&out.datagram, why)
}

// abandon frees what a datagram holds and counts its packets.
func (t *Table) abandon(g *datagram, why account.Column) {
	if g.packets > 0 {
		t.held -= uint64(g.packets)
		if c := t.deliverBeginning(g, why); c != account.PacketHeld {
			t.shard.Add(c, uint64(g.packets))
		}
	}
	for p := g.first; p != 0; {
		next := t.pieces[p].next
		t.store.Free(&t.pieces[p].chain)
		t.pieces[p].next, t.freePiece = t.freePiece, p
		t.piecesUsed--
		p = next
	}
	g.first, g.last, g.count, g.packets = 0, 0, 0, 0
}

// remove abandons a datagram and forgets it.
func (t *Table) remove(i int32, why account.Column) {
	g := &t.datagrams[i]
	t.abandon(g, why)
	delete(t.index, g.key)
	if g.older != 0 {
		t.datagrams[g.older].newer = g.newer
	} else {
		t.oldest = g.newer
	}
	if g.newer != 0 {
		t.datagrams[g.newer].older = g.older
	} else {
		t.newest = g.older
	}
	g.newer, t.freeDatagram = t.freeDatagram, i
}
