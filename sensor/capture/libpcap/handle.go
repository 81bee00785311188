//go:build (libpcap && cgo) || windows

package libpcap

import (
	"encoding/binary"
	"time"

	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/userspace/packet"
)

// blockTime is how long Linux fills a block of packets before it hands it over. There
// libpcap's immediate mode would take the buffers of fixed size of TPACKET_V2: 256 KiB
// each on devices that merge segments, so that a burst of some hundred packets fills the
// ring. Other systems have no such blocks, and their handles are in immediate mode.
const blockTime = 10 * time.Millisecond

// settings are those of a handle before it is activated.
type settings struct {
	snapLen     int
	promiscuous bool
	bufferBytes int
}

// stats is what the system has counted for a handle. All wrap around.
type stats struct {
	received         uint32 // with those that were dropped, if the system is Linux
	dropped          uint32 // because the system's buffer was full
	interfaceDropped uint32 // by the interface or its driver
	read             uint32 // by us
}

// state says what a read has found.
type state uint32

const (
	stateMore   state = iota // perhaps there is more
	stateEmpty               // there was nothing
	stateFull                // the next record has no room
	stateFailed              // see handle.err
)

// direction has libpcap's numbers.
type direction int

const (
	directionBoth direction = iota
	directionIn
	directionOut
)

// instruction is one of a classic BPF program, as the C side has it.
type instruction struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// errDown is the error of openHandle for an interface that is down.
var errDown = watch.ErrDown

// A record in the buffer that handle.read fills, in the machine's byte order: a time of 8
// bytes, the length of the packet's bytes that are here and of the whole packet, the
// bytes, and padding to a multiple of 8.
const recordHeader = 16

// cutRecord returns the first record as a packet that borrows its bytes, and the rest.
func cutRecord(b []byte, p *packet.Packet) (rest []byte) {
	n := int(binary.NativeEndian.Uint32(b[8:]))
	p.Time = int64(binary.NativeEndian.Uint64(b))
	p.WireLen = binary.NativeEndian.Uint32(b[12:])
	p.Data = b[recordHeader : recordHeader+n : recordHeader+n]
	return b[(recordHeader+n+7)&^7:]
}
