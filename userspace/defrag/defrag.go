// Package defrag puts IP datagrams together from their fragments (RFC 791,
// RFC 8200). What it holds is bounded in bytes, in datagrams, and in fragments
// for each datagram; where there is no room the oldest datagram goes first.
//
// There are two times. A fragment that comes too late by the clock of its own
// interface is no part of the datagram any more. What nobody asks for is given up
// by its stamp, of a clock that all interfaces share.
//
// Overlaps. IPv6: the whole datagram is thrown away, with what is still to come
// of it (RFC 5722). IPv4: the bytes that came first stay, later fragments fill
// only what is missing, one that contradicts the datagram's end is ignored, and
// so are bytes beyond a multiple of eight in any but the last, as Linux does.
// A fragment that repeats an earlier one byte for byte is a duplicate in both.
package defrag

import (
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/packet"
)

const maxDatagram = 0xffff

// Config bounds a table. A zero field takes its default.
type Config struct {
	Bytes     int   // memory for fragments and for keeping track of them; default 16 MiB
	Datagrams int   // unfinished ones; default and most: one for each 1024 of Bytes
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

// Fragment is one piece of a datagram. Add copies what it keeps, and may cut Data.
type Fragment struct {
	Src, Dst      []byte // 4 or 16 bytes
	Origin        packet.Origin
	Depth         uint8 // of tunnels, for Datagram
	ID            uint32
	Proto         uint8 // IPv6: the fragment header's next header
	More          bool  // it is not the last
	Offset        int
	Data          []byte
	Missing       int    // bytes behind Data that the capture left out
	Packets       uint32 // how many packets it stands for in the ledgers
	Time          int64  // for Datagram
	InterfaceTime int64  // time of its interface's clock; 0: it has none
	Stamp         int64  // of the shared clock, for Expire; it never goes back
}

// Datagram is a complete one, or the beginning of one that never became complete.
type Datagram struct {
	Src, Dst []byte
	Proto    uint8
	Data     []byte
	Missing  int    // bytes behind Data: that the capture left out, or that never came
	Packets  uint32 // of all its fragments, no longer held

	// Of a beginning.
	Origin packet.Origin // of the first fragment, as Depth
	Depth  uint8
	ID     uint32
	Time   int64 // of the latest fragment that Data has bytes of
	Open   bool  // the last fragment did not come: Missing is the least that it can be
}

// Cut takes the beginning of a datagram that is given up for a reason, and returns
// the outcome of its packets: the reason where nothing can be made of it, PacketHeld
// where that is decided elsewhere. The datagram is valid during the call, which may
// come in the middle of Add, and must not use the table.
type Cut func(d *Datagram, why account.Column) account.Column

type key struct {
	src, dst [16]byte
	scope    packet.Scope
	id       uint32
	proto    uint8 // IPv4 only: in IPv6 only the first fragment's counts (RFC 8200 section 4.5)
	v6       bool
}

// datagram is an unfinished one, in a list by age. Its pieces are in order and
// do not overlap.
type datagram struct {
	key         key
	own, stamp  int64 // of the fragment that came first
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
	dead        bool // an overlap was seen: nothing of it is used any more
}

// piece is one run of bytes. size can be more than the chain holds, where the
// capture cut.
type piece struct {
	chain     packet.Chain
	off, size int32
	next      int32
	time      int64
}

func (p *piece) end() int { return int(p.off + p.size) }

// Table holds unfinished datagrams. It is for one goroutine.
type Table struct {
	cfg    Config
	shard  *account.Shard
	cut    Cut
	store  *packet.Store
	index  map[key]int32
	grams  []datagram // [0] is unused: 0 means none
	pieces []piece    // likewise
	// Heads of the free lists, and both ends of the list by age.
	freeGram, freePiece int32
	oldest, newest      int32
	piecesUsed          int
	held                uint64
	out                 []byte
	done                Datagram
	doneKey             key
	// The same of a beginning: out can be what Add is given.
	cutOut      []byte
	cutDatagram Datagram
	cutKey      key
}

// New makes an empty table. Packets that it held and gives up are counted on
// shard. Where their datagram has a beginning, it is given to cut.
func New(cfg Config, shard *account.Shard, cut Cut) *Table {
	cfg = cfg.withDefaults()
	return &Table{
		cfg:   cfg,
		shard: shard,
		cut:   cut,
		// The rest is for the table's own entries, which are smaller than that.
		store:  packet.NewStore(cfg.Bytes / 2),
		index:  make(map[key]int32),
		grams:  make([]datagram, 1),
		pieces: make([]piece, 1),
	}
}

// Held is the number of packets whose fragments wait.
func (t *Table) Held() uint64 { return t.held }

// Add takes a fragment. Where it completes a datagram, that is returned and
// Held no longer counts its packets: their outcome is the caller's to count.
// Otherwise the column is the outcome of this fragment's packets, PacketHeld if
// that is not decided yet. The datagram is valid until the next Add, which may
// be given parts of it.
func (t *Table) Add(f *Fragment) (*Datagram, account.Column) {
	size := len(f.Data) + f.Missing
	if f.More && len(f.Src) == 4 { // offsets count in eights; hosts ignore what is beyond
		size &^= 7
		f.Data = f.Data[:min(size, len(f.Data))]
	}
	if size == 0 || f.Offset+size > maxDatagram || f.More && size%8 != 0 {
		return nil, account.PacketMalformed
	}
	i := t.find(f)
	g := &t.grams[i]
	if g.dead {
		return nil, account.FragmentOverlap
	}
	// Room first: what is thrown away for it may be this very datagram.
	if c := t.place(i, f, size); c != account.PacketHeld {
		return nil, c
	}
	if f.Offset == 0 {
		g.proto, g.origin, g.depth = f.Proto, f.Origin, f.Depth
	}
	if g.have != g.end {
		return nil, account.PacketHeld
	}
	return t.complete(i), account.PacketHeld
}

// Expire gives up the datagrams that are older than the timeout. What has a lower
// stamp than before says has waited for longer than a time.
func (t *Table) Expire(before func(time int64) (stamp int64)) {
	for limit := before(t.cfg.Timeout); t.oldest != 0 && t.grams[t.oldest].stamp < limit; {
		t.drop(t.oldest, account.FragmentExpired)
	}
}

// Flush gives up everything.
func (t *Table) Flush() {
	for t.oldest != 0 {
		t.drop(t.oldest, account.FragmentExpired)
	}
}

// find returns the fragment's datagram, a new one if there is none.
func (t *Table) find(f *Fragment) int32 {
	k := key{scope: f.Origin.Scope(), id: f.ID, v6: len(f.Src) == 16}
	copy(k.src[:], f.Src)
	copy(k.dst[:], f.Dst)
	if !k.v6 {
		k.proto = f.Proto
	}
	if i, ok := t.index[k]; ok {
		if !t.late(&t.grams[i], f) {
			return i
		}
		t.drop(i, account.FragmentExpired)
	}
	for len(t.index) >= t.cfg.Datagrams {
		t.drop(t.oldest, account.FragmentOverflow)
	}
	i := t.freeGram
	if i != 0 {
		t.freeGram = t.grams[i].newer
	} else {
		i = int32(len(t.grams))
		t.grams = append(t.grams, datagram{})
	}
	t.grams[i] = datagram{key: k, own: f.InterfaceTime, stamp: f.Stamp, end: -1, older: t.newest, proto: f.Proto}
	if t.newest != 0 {
		t.grams[t.newest].newer = i
	} else {
		t.oldest = i
	}
	t.newest = i
	t.index[k] = i
	return i
}

// late reports whether a fragment comes too late for a datagram. Its clock can
// have been set back meanwhile: that tells nothing.
func (t *Table) late(g *datagram, f *Fragment) bool {
	return f.InterfaceTime != 0 && g.own != 0 && f.InterfaceTime-g.own > t.cfg.Timeout
}

// place puts a fragment's new bytes into the datagram. It returns PacketHeld,
// or why the fragment does not stay.
func (t *Table) place(i int32, f *Fragment, size int) account.Column {
	g := &t.grams[i]
	end := f.Offset + size
	if t.contradictsEnd(g, f, end) {
		return t.overlap(i)
	}
	prev, at := t.seek(g, f.Offset)
	if at != 0 && int(t.pieces[at].off) < end || prev != 0 && t.pieces[prev].end() > f.Offset {
		for _, p := range [2]int32{prev, at} {
			if p != 0 && t.same(&t.pieces[p], f, size) {
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
		if prev != 0 { // skip what the piece before has
			if off = max(off, t.pieces[prev].end()); off >= end {
				break
			}
		}
		upto := end
		if at != 0 {
			upto = min(end, int(t.pieces[at].off))
		}
		if off < upto {
			if !t.insert(i, prev, at, off, upto, f) {
				return account.FragmentOverflow
			}
			off = upto
		}
		if prev = at; at != 0 {
			at = t.pieces[at].next
		}
	}
	if g.have == before && g.have != g.end {
		return account.FragmentOverlap
	}
	g.packets += f.Packets
	t.held += uint64(f.Packets)
	return account.PacketHeld
}

// contradictsEnd reports whether the fragment and what came before cannot both
// belong to a datagram with one end.
func (t *Table) contradictsEnd(g *datagram, f *Fragment, end int) bool {
	if g.end >= 0 {
		return end > g.end || !f.More && end != g.end
	}
	return !f.More && g.last != 0 && t.pieces[g.last].end() > end
}

// overlap returns the outcome of a fragment that does not fit to the others.
func (t *Table) overlap(i int32) account.Column {
	if g := &t.grams[i]; g.key.v6 {
		t.giveUp(g, account.FragmentOverlap)
		g.dead = true
	}
	return account.FragmentOverlap
}

// seek returns the last piece that starts before off, and the one behind it.
func (t *Table) seek(g *datagram, off int) (prev, at int32) {
	if g.last != 0 && int(t.pieces[g.last].off) < off {
		return g.last, 0
	}
	for at = g.first; at != 0 && int(t.pieces[at].off) < off; at = t.pieces[at].next {
		prev = at
	}
	return prev, at
}

func (t *Table) same(p *piece, f *Fragment, size int) bool {
	return int(p.off) == f.Offset && int(p.size) == size && t.store.Equal(p.chain, f.Data)
}

// insert copies the fragment's bytes from off up to end between two pieces. It
// returns false where there was no room and the whole datagram had to go.
func (t *Table) insert(i, prev, at int32, off, end int, f *Fragment) bool {
	g := &t.grams[i]
	if g.count == t.cfg.Fragments {
		t.drop(i, account.FragmentOverflow)
		return false
	}
	from, to := min(off-f.Offset, len(f.Data)), min(end-f.Offset, len(f.Data))
	var c packet.Chain
	for t.piecesUsed == t.store.Pieces() || !t.store.Append(&c, f.Data[from:to]) {
		oldest := t.oldest
		t.drop(oldest, account.FragmentOverflow)
		if oldest == i {
			return false
		}
	}
	p := t.newPiece()
	t.pieces[p] = piece{chain: c, off: int32(off), size: int32(end - off), next: at, time: f.Time}
	if prev != 0 {
		t.pieces[prev].next = p
	} else {
		g.first = p
	}
	if at == 0 {
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

// complete copies the datagram out and forgets it.
func (t *Table) complete(i int32) *Datagram {
	g := &t.grams[i]
	t.out, _ = t.beginning(g, t.out[:0])
	t.doneKey = g.key
	src, dst := t.doneKey.ends()
	t.done = Datagram{Src: src, Dst: dst, Proto: g.proto, Data: t.out, Missing: g.end - len(t.out), Packets: g.packets}
	t.held -= uint64(g.packets)
	g.packets = 0
	t.drop(i, account.FragmentUsed)
	return &t.done
}

// beginning appends a datagram's bytes up to the first that is missing. It tells
// the time of the latest fragment among them.
func (t *Table) beginning(g *datagram, out []byte) (_ []byte, latest int64) {
	latest = t.pieces[g.first].time
	for p := g.first; p != 0 && int(t.pieces[p].off) == len(out); p = t.pieces[p].next {
		out = t.store.AppendTo(out, t.pieces[p].chain)
		latest = max(latest, t.pieces[p].time)
	}
	return out, latest
}

func (k *key) ends() (src, dst []byte) {
	if k.v6 {
		return k.src[:], k.dst[:]
	}
	return k.src[:4], k.dst[:4]
}

// handCut gives what there is of a datagram's beginning away, and returns the
// outcome of its packets.
func (t *Table) handCut(g *datagram, why account.Column) account.Column {
	if why == account.FragmentOverlap || g.first == 0 || t.pieces[g.first].off != 0 {
		return why
	}
	out, latest := t.beginning(g, t.cutOut[:0])
	t.cutOut, t.cutKey = out, g.key
	end, open := g.end, g.end < 0
	if open {
		end = t.pieces[g.last].end() + 1
	}
	src, dst := t.cutKey.ends()
	t.cutDatagram = Datagram{
		Src: src, Dst: dst, Proto: g.proto, Data: out, Missing: end - len(out), Packets: g.packets,
		Origin: g.origin, Depth: g.depth, ID: g.key.id, Time: latest, Open: open,
	}
	return t.cut(&t.cutDatagram, why)
}

// giveUp frees what a datagram holds and counts its packets.
func (t *Table) giveUp(g *datagram, why account.Column) {
	if g.packets > 0 {
		t.held -= uint64(g.packets)
		if c := t.handCut(g, why); c != account.PacketHeld {
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

// drop forgets a datagram.
func (t *Table) drop(i int32, why account.Column) {
	g := &t.grams[i]
	t.giveUp(g, why)
	delete(t.index, g.key)
	if g.older != 0 {
		t.grams[g.older].newer = g.newer
	} else {
		t.oldest = g.newer
	}
	if g.newer != 0 {
		t.grams[g.newer].older = g.older
	} else {
		t.newest = g.older
	}
	g.newer, t.freeGram = t.freeGram, i
}
