package event

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/userspace/dns"
)

// A block's bytes are the same in memory, in a queue and on disk; numbers are
// little-endian.
//
//	 0  magic "DMSB"
//	 4  u16 layout version, 2
//	 6  u16 zero
//	 8  id, 16 bytes: 8 drawn at random per run, then a u64 count
//	24  i64 time of sealing, nanoseconds since the Unix epoch
//	32  u32 number of events
//	36  u32 length of the events in bytes
//	40  u32 CRC-32C of the events
//	44  u32 CRC-32C of bytes 0 to 43
//	48  events, each as in record_v2.go
//
// In every version magic, version, id, time, number, length and sums stay where
// they are and mean the same, and there are no more events than bytes of them: so
// each build can step over a block of any other, count what is in it and keep it.
// The rest is the version's own. Version 1 is read as well (record_v1.go), and never
// written.
const (
	BlockHeaderLen = 48
	blockMagic     = "DMSB"
	blockVersion   = 2
	blockVersion1  = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ID names a block for ever: it survives retries and restarts, so that a
// destination can recognise a block that it has seen.
type ID [16]byte

// String is 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IDs hands out the ids of one run.
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

// Block is events copied back to back. It is filled by one goroutine, sealed
// once, and read-only from then on, until Reset.
type Block struct {
	buf    []byte // header space, then events
	count  int
	sealed bool
	old    bool // of version 1
}

// NewBlock makes an empty block with room for about size bytes of events. It
// grows when that is not enough.
func NewBlock(size int) *Block {
	return &Block{buf: make([]byte, BlockHeaderLen, BlockHeaderLen+size)}
}

// Reset empties the block and keeps its memory.
func (b *Block) Reset() {
	b.buf, b.count, b.sealed, b.old = b.buf[:BlockHeaderLen], 0, false, false
}

// Len is the number of events.
func (b *Block) Len() int { return b.count }

// Size is the length in bytes, header included.
func (b *Block) Size() int { return len(b.buf) }

// Cap is the memory that the block holds on to.
func (b *Block) Cap() int { return cap(b.buf) }

// Append copies an event in. The block must not be sealed.
func (b *Block) Append(e *Event) {
	if b.sealed {
		panic("event: append to a sealed block")
	}
	b.buf = appendRecord(b.buf, e)
	b.count++
}

// Seal ends the filling and writes the header.
func (b *Block) Seal(id ID, now time.Time) {
	h := b.buf[:BlockHeaderLen]
	copy(h, blockMagic)
	binary.LittleEndian.PutUint16(h[4:], blockVersion)
	binary.LittleEndian.PutUint16(h[6:], 0)
	copy(h[8:24], id[:])
	binary.LittleEndian.PutUint64(h[24:], uint64(now.UnixNano()))
	binary.LittleEndian.PutUint32(h[32:], uint32(b.count))
	binary.LittleEndian.PutUint32(h[36:], uint32(len(b.buf)-BlockHeaderLen))
	binary.LittleEndian.PutUint32(h[40:], crc32.Checksum(b.buf[BlockHeaderLen:], castagnoli))
	binary.LittleEndian.PutUint32(h[44:], crc32.Checksum(h[:44], castagnoli))
	b.sealed = true
}

// ID is the id given at sealing.
func (b *Block) ID() (id ID) {
	copy(id[:], b.buf[8:24])
	return id
}

// Sealed is the time of sealing.
func (b *Block) Sealed() time.Time {
	return time.Unix(0, int64(binary.LittleEndian.Uint64(b.buf[24:])))
}

// Bytes is the sealed block as it is stored. It is valid until Reset.
func (b *Block) Bytes() []byte { return b.buf }

// Errors of OpenBlock. ErrBlockHeader: the length is not to be trusted, look
// for the next block elsewhere. ErrBlockEvents: this block is lost, the next
// one stands behind it. ErrBlockLayout: its sums are right, so nothing is damaged,
// and another build may be able to read it.
var (
	ErrBlockHeader = errors.New("block header is damaged")
	ErrBlockEvents = errors.New("block events are damaged")
	ErrBlockLayout = errors.New("block of another layout")
)

// Header is what the header of a stored block says of it, whatever its version.
type Header struct {
	ID      ID
	Sealed  time.Time
	Version uint16 // of the layout
	Events  int
	Len     int // of the block in bytes, header included
}

// ReadHeader reads a stored block's header, of which BlockHeaderLen bytes are
// given: also where the events behind it are damaged, or nothing that this build
// can read. Its error is ErrBlockHeader.
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

// Readable tells whether this build reads blocks of that version.
func (h *Header) Readable() bool { return h.Version == blockVersion || h.Version == blockVersion1 }

// CountRecords counts the events at the start of stored, and their bytes: what
// can be told of a block whose header is damaged.
func CountRecords(stored []byte) (events, size int) {
	for _, old := range []bool{false, true} {
		var e Event
		n := 0
		r := Reader{stored, old}
		for r.Next(&e) {
			n++
		}
		if bytes := len(stored) - len(r.rest); bytes > size {
			events, size = n, bytes
		}
	}
	return events, size
}

// OpenBlock reads a stored block and checks all of it: also that a question that
// an event claims can be read, which nobody looks at again. What stands in a torn
// block is what others have sent, and may look like one. The block borrows stored.
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
	b := &Block{buf: stored[:h.Len:h.Len], count: h.Events, sealed: true, old: h.Version == blockVersion1}
	if !b.holds() {
		return nil, fmt.Errorf("%w: its events are not those of version %d", ErrBlockLayout, h.Version)
	}
	return b, nil
}

// holds tells whether the events are as many as the header says, with nothing
// behind them, and with the questions that they claim.
func (b *Block) holds() bool {
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

// Reader walks a block's events.
type Reader struct {
	rest []byte
	old  bool // of version 1
}

// Reader starts at the first event.
func (b *Block) Reader() Reader { return Reader{b.buf[BlockHeaderLen:], b.old} }

// Next reads one event; its slices are borrowed from the block. It returns
// false at the end.
func (r *Reader) Next(e *Event) bool {
	if r.old {
		return r.next1(e)
	}
	rest, ok := readRecord(r.rest, e)
	if ok {
		r.rest = rest
	}
	return ok
}

func (r *Reader) next1(e *Event) bool {
	rest, ok := readRecord1(r.rest, e)
	if ok {
		r.rest = rest
	}
	return ok
}
