package event

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/userspace/dns"
)

// The bytes of a block, the same in memory and on disk. Numbers are little-endian.
//
//	 0  magic "DMSB"
//	 4  u16 layout version, 2
//	 6  u16 zero
//	 8  id, 16 bytes: 8 random bytes of the run, then a u64 counter
//	24  i64 time of sealing, nanoseconds since the Unix epoch
//	32  u32 number of events
//	36  u32 length of the events in bytes
//	40  u32 CRC-32C of the events
//	44  u32 CRC-32C of bytes 0 to 43
//	48  events, each as in record_v2.go
//
// Every version has magic, version, id, time, number, length and checksums in these
// places, with the same meaning, and no more events than bytes of events. So each build
// can skip, count and keep the blocks of any other build. The rest depends on the
// version. Version 1 (record_v1.go) is read, but no longer written.
const (
	BlockHeaderLen = 48
	blockMagic     = "DMSB"
	blockVersion   = 2
	blockVersion1  = 1
)

// MaxBlock is the most bytes that a block may have: their number must fit into the header.
const MaxBlock = math.MaxInt32

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ID names a block for good. It survives retries and restarts, so that a destination
// can recognise a block that it has seen.
type ID [16]byte

// String is 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IDs makes the ids of one run.
type IDs struct {
	run  [8]byte
	next atomic.Uint64
}

// NewIDs starts a run of ids that no other run shares.
func NewIDs() *IDs {
	s := &IDs{}
	rand.Read(s.run[:]) // never fails (Go 1.24)
	return s
}

// Next returns an unused id.
func (s *IDs) Next() (id ID) {
	copy(id[:8], s.run[:])
	binary.BigEndian.PutUint64(id[8:], s.next.Add(1))
	return id
}

// Block is events copied back to back. One goroutine fills and seals it. From then on
// it is read-only until Reset. A block can adopt others (join.go): then its events lie in
// several pieces of memory.
type Block struct {
	buf    []byte   // header, then events
	parts  []*Block // adopted: their events follow
	before sizes    // of all parts but the last one, which may still grow
	count  int      // of all events
	sealed bool
	summed bool // the header has its checksums
	v1     bool // of version 1
}

// NewBlock makes an empty block with room for size bytes of events. It grows if that is
// not enough.
func NewBlock(size int) *Block {
	return &Block{buf: make([]byte, BlockHeaderLen, BlockHeaderLen+size)}
}

// Reset empties the block and keeps its own memory.
func (b *Block) Reset() {
	clear(b.parts)
	b.buf, b.parts, b.before, b.count = b.buf[:BlockHeaderLen], b.parts[:0], sizes{}, 0
	b.sealed, b.summed, b.v1 = false, false, false
}

// Len is the number of events.
func (b *Block) Len() int { return b.count }

// Size is the length in bytes, header included.
func (b *Block) Size() int {
	if len(b.parts) == 0 {
		return len(b.buf)
	}
	return b.ofParts().length
}

// Cap is the memory that the block holds.
func (b *Block) Cap() int {
	if len(b.parts) == 0 {
		return cap(b.buf)
	}
	return b.ofParts().memory
}

// Append copies an event into the block, which must not be sealed, and must not have adopted
// another one.
func (b *Block) Append(e *Event) {
	if b.sealed || len(b.parts) > 0 {
		panic("event: append to a sealed block, or after others")
	}
	b.buf = appendRecord(b.buf, e)
	b.count++
}

// Seal names the block. Nothing can be appended afterwards.
func (b *Block) Seal(id ID, now time.Time) {
	h := b.buf[:BlockHeaderLen]
	copy(h, blockMagic)
	binary.LittleEndian.PutUint16(h[4:], blockVersion)
	binary.LittleEndian.PutUint16(h[6:], 0)
	copy(h[8:24], id[:])
	binary.LittleEndian.PutUint64(h[24:], uint64(now.UnixNano()))
	binary.LittleEndian.PutUint32(h[32:], uint32(b.count))
	binary.LittleEndian.PutUint32(h[36:], uint32(b.Size()-BlockHeaderLen))
	b.sealed, b.summed = true, false
}

// sum completes the header of a sealed block. Only blocks that are stored need it.
func (b *Block) sum() {
	if b.summed || !b.sealed {
		return
	}
	h := b.buf[:BlockHeaderLen]
	sum := crc32.Checksum(b.buf[BlockHeaderLen:], castagnoli)
	for _, p := range b.parts {
		sum = crc32.Update(sum, castagnoli, p.buf[BlockHeaderLen:])
	}
	binary.LittleEndian.PutUint32(h[40:], sum)
	binary.LittleEndian.PutUint32(h[44:], crc32.Checksum(h[:44], castagnoli))
	b.summed = true
}

// ID is the id that was given to Seal.
func (b *Block) ID() (id ID) {
	copy(id[:], b.buf[8:24])
	return id
}

// Sealed is the time of sealing.
func (b *Block) Sealed() time.Time {
	return time.Unix(0, int64(binary.LittleEndian.Uint64(b.buf[24:])))
}

// Bytes is the bytes of the sealed block. They are valid until Reset. Bytes and Pieces may
// write the checksums: no two goroutines may call them at the same time.
func (b *Block) Bytes() []byte {
	b.sum()
	if len(b.parts) == 0 {
		return b.buf
	}
	return slices.Concat(b.Pieces()...)
}

// Pieces is Bytes as they lie in memory.
func (b *Block) Pieces() [][]byte {
	b.sum()
	pieces := [][]byte{b.buf}
	for _, p := range b.parts {
		pieces = append(pieces, p.buf[BlockHeaderLen:])
	}
	return pieces
}

// Errors of OpenBlock. ErrBlockHeader: the length cannot be trusted, so the next block
// has to be searched for. ErrBlockEvents: this block is lost, but the next one follows
// it. ErrBlockLayout: the checksums are right, so the block is not damaged, and another
// build may be able to read it.
var (
	ErrBlockHeader = errors.New("block header is damaged")
	ErrBlockEvents = errors.New("block events are damaged")
	ErrBlockLayout = errors.New("block of another layout")
)

// Header is the contents of a stored block's header, of any version.
type Header struct {
	ID      ID
	Sealed  time.Time
	Version uint16 // of the layout
	Events  int
	Len     int // of the block in bytes, header included
}

// ReadHeader reads the header of a stored block from its first BlockHeaderLen bytes. It
// also works if the events are damaged, or cannot be read by this build. Its error is
// ErrBlockHeader.
func ReadHeader(header []byte) (h Header, err error) {
	le := binary.LittleEndian
	if len(header) < BlockHeaderLen || string(header[:4]) != blockMagic ||
		le.Uint32(header[44:]) != crc32.Checksum(header[:44], castagnoli) {
		return Header{}, ErrBlockHeader
	}
	events, size := le.Uint32(header[32:]), le.Uint32(header[36:])
	if events > size || uint64(size) > math.MaxInt-BlockHeaderLen {
		return Header{}, ErrBlockHeader
	}
	return Header{ID(header[8:24]), time.Unix(0, int64(le.Uint64(header[24:]))), le.Uint16(header[4:]), int(events), BlockHeaderLen + int(size)}, nil
}

// Readable reports whether this build reads blocks of that version.
func (h *Header) Readable() bool { return h.Version == blockVersion || h.Version == blockVersion1 }

// CountEvents counts the events at the start of stored, and their bytes. It is for
// blocks whose header is damaged.
func CountEvents(stored []byte) (events, size int) {
	for _, v1 := range []bool{false, true} {
		var e Event
		n := 0
		r := Reader{rest: stored, v1: v1}
		for r.Next(&e) {
			n++
		}
		if bytes := len(stored) - len(r.rest); bytes > size {
			events, size = n, bytes
		}
	}
	return events, size
}

// OpenBlock opens a stored block and checks all of it: after a torn block, bytes that look
// like a block may be part of a message, and its sender chose them. OpenBlock also checks
// that each question that an event claims can be read, since later readers rely on that.
// The block borrows stored.
func OpenBlock(stored []byte) (*Block, error) {
	h, err := ReadHeader(stored)
	if err != nil {
		return nil, err
	}
	if h.Len > len(stored) || binary.LittleEndian.Uint32(stored[40:]) != crc32.Checksum(stored[BlockHeaderLen:h.Len], castagnoli) {
		return nil, ErrBlockEvents
	}
	if !h.Readable() {
		return nil, fmt.Errorf("%w: version %d, this build reads %d and %d", ErrBlockLayout, h.Version, blockVersion1, blockVersion)
	}
	b := &Block{buf: stored[:h.Len:h.Len], count: h.Events, sealed: true, summed: true, v1: h.Version == blockVersion1}
	if !b.consistent() {
		return nil, fmt.Errorf("%w: its events are not those of version %d", ErrBlockLayout, h.Version)
	}
	return b, nil
}

// consistent reports whether the block has as many events as its header says, nothing
// after them, and the questions that they claim.
func (b *Block) consistent() bool {
	var e Event
	var q dns.Question
	events, r := 0, b.Reader()
	for ; r.Next(&e); events++ {
		if questions := e.DNS.QuestionsOf(e.Message); e.DNS.HasQuestion && !questions.Next(&q) {
			return false
		}
	}
	return events == b.count && len(r.rest) == 0
}

// Reader iterates over the events of a block.
type Reader struct {
	rest  []byte
	parts []*Block // what follows
	v1    bool     // of version 1
}

// Reader starts at the first event.
func (b *Block) Reader() Reader { return Reader{b.buf[BlockHeaderLen:], b.parts, b.v1} }

// Next reads one event, whose slices are borrowed from the block. It returns false at
// the end.
func (r *Reader) Next(e *Event) bool {
	if r.v1 {
		return r.next1(e)
	}
	rest, ok := readRecord(r.rest, e)
	if ok {
		r.rest = rest
		return true
	}
	return r.nextPart(e)
}

// nextPart is Next after the end of a part.
func (r *Reader) nextPart(e *Event) bool {
	for len(r.rest) == 0 && len(r.parts) > 0 {
		r.rest, r.parts = r.parts[0].buf[BlockHeaderLen:], r.parts[1:]
		if rest, ok := readRecord(r.rest, e); ok {
			r.rest = rest
			return true
		}
	}
	return false
}

func (r *Reader) next1(e *Event) bool {
	rest, ok := readRecord1(r.rest, e)
	if ok {
		r.rest = rest
	}
	return ok
}
