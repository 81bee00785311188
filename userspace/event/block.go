package event

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/userspace/dns"
)

// A block's bytes are the same in memory, in a queue and on disk; numbers are
// little-endian.
//
//	 0  magic "DMSB"
//	 4  u16 layout version, 1
//	 6  u16 zero
//	 8  id, 16 bytes: 8 drawn at random per run, then a u64 count
//	24  i64 time of sealing, nanoseconds since the Unix epoch
//	32  u32 number of events
//	36  u32 length of the events in bytes
//	40  u32 CRC-32C of the events
//	44  u32 CRC-32C of bytes 0 to 43
//	48  events, each as in record.go
const (
	BlockHeaderLen = 48
	blockMagic     = "DMSB"
	blockVersion   = 1
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
}

// NewBlock makes an empty block with room for about size bytes of events. It
// grows when that is not enough.
func NewBlock(size int) *Block {
	return &Block{buf: make([]byte, BlockHeaderLen, BlockHeaderLen+size)}
}

// Reset empties the block and keeps its memory.
func (b *Block) Reset() {
	b.buf, b.count, b.sealed = b.buf[:BlockHeaderLen], 0, false
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
// one stands behind it. ErrBlockLayout: nothing is damaged, another build can
// read it.
var (
	ErrBlockHeader = errors.New("block header is damaged")
	ErrBlockEvents = errors.New("block events are damaged")
	ErrBlockLayout = errors.New("block of another layout")
)

// StoredLen tells how long the block is that starts with header, of which at
// least BlockHeaderLen bytes are given.
func StoredLen(header []byte) (int, error) {
	if len(header) < BlockHeaderLen || string(header[:4]) != blockMagic ||
		binary.LittleEndian.Uint32(header[44:]) != crc32.Checksum(header[:44], castagnoli) {
		return 0, ErrBlockHeader
	}
	if v := binary.LittleEndian.Uint16(header[4:]); v != blockVersion {
		return 0, fmt.Errorf("%w: %d, this build reads %d", ErrBlockLayout, v, blockVersion)
	}
	return BlockHeaderLen + int(binary.LittleEndian.Uint32(header[36:])), nil
}

// Header is what the header of a stored block says of it.
type Header struct {
	ID     ID
	Events int
	Len    int // of the block in bytes, header included
}

// ReadHeader reads a stored block's header, of which BlockHeaderLen bytes are
// given: also where the events behind it are damaged.
func ReadHeader(header []byte) (Header, error) {
	n, err := StoredLen(header)
	if err != nil {
		return Header{}, err
	}
	return Header{ID(header[8:24]), int(binary.LittleEndian.Uint32(header[32:])), n}, nil
}

// CountRecords counts the events at the start of stored, and their bytes: what
// can be told of a block whose header is damaged.
func CountRecords(stored []byte) (events, size int) {
	var e Event
	r := Reader{stored}
	for r.Next(&e) {
		events++
	}
	return events, len(stored) - len(r.rest)
}

// OpenBlock reads a stored block and checks all of it: also that a question that
// an event claims can be read, which nobody looks at again. What stands in a torn
// block is what others have sent, and may look like one. The block borrows stored.
func OpenBlock(stored []byte) (*Block, error) {
	n, err := StoredLen(stored)
	if err != nil {
		return nil, err
	}
	if n > len(stored) || binary.LittleEndian.Uint32(stored[40:]) != crc32.Checksum(stored[BlockHeaderLen:n], castagnoli) {
		return nil, ErrBlockEvents
	}
	b := &Block{buf: stored[:n:n], count: int(binary.LittleEndian.Uint32(stored[32:])), sealed: true}
	var e Event
	events := 0
	var q dns.Question
	for r := b.Reader(); r.Next(&e); {
		if questions := e.DNS.QuestionsOf(e.Message); e.DNS.HasQuestion && !questions.Next(&q) {
			return nil, ErrBlockEvents
		}
		events++
	}
	if events != b.count {
		return nil, ErrBlockEvents
	}
	return b, nil
}

// Reader walks a block's events.
type Reader struct{ rest []byte }

// Reader starts at the first event.
func (b *Block) Reader() Reader { return Reader{b.buf[BlockHeaderLen:]} }

// Next reads one event; its slices are borrowed from the block. It returns
// false at the end.
func (r *Reader) Next(e *Event) bool {
	rest, ok := readRecord(r.rest, e)
	if ok {
		r.rest = rest
	}
	return ok
}
