//go:build linux

package afpacket

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/userspace/packet"
)

// ring is the memory that one socket shares with the kernel, which fills it block by
// block. One goroutine reads it in place. A block belongs to the kernel or to the
// reader; the reader gives it back once the packets in it are not needed any more.
//
// The layout is the kernel's TPACKET_V3. A block begins with a header, and its packets
// are linked by offsets; each has a header and a socket address before the frame.
type ring struct {
	socket *socket
	memory []byte
	size   int // of a block
	blocks int
	vnet   bool // each frame follows a virtio_net_hdr

	next int // the block to read, or the one that is being read
	held int // blocks before next that have been read, and not given back
	at   int // offset in memory of the next packet
	left int // packets of the block that were not read

	read   atomic.Uint64 // packets
	failed atomic.Uint64 // places of frames that the kernel could not describe
	losing atomic.Uint64 // blocks that report lost packets
	cut    atomic.Uint64 // frames that did not fit into a block
	ending atomic.Int64  // when the intake ended, 0 before
}

// Offsets in a block, and sizes.
const (
	blockStatus  = 8
	blockPackets = 12
	blockFirst   = 16
	blockHeader  = 48

	packetStatus = 20 // in a packet's header

	linkAddress = unix.SizeofTpacket3Hdr // of the sockaddr_ll behind a packet's header
	vnetHeader  = 10
	vnetGSOType = 1
	vnetGSOSize = 4
)

func (r *ring) word(at int) *uint32 { return (*uint32)(unsafe.Pointer(&r.memory[at])) }

// ready reports whether there is something to read.
func (r *ring) ready() bool {
	return r.left > 0 || r.held < r.blocks && atomic.LoadUint32(r.word(r.next*r.size+blockStatus))&unix.TP_STATUS_USER != 0
}

// open begins the next block, if the kernel has finished it.
func (r *ring) open() bool {
	for r.ready() {
		if r.left > 0 {
			return true
		}
		at := r.next * r.size
		if *r.word(at + blockStatus)&unix.TP_STATUS_LOSING != 0 {
			r.losing.Add(1)
		}
		r.left, r.at = int(*r.word(at + blockPackets)), at+int(*r.word(at + blockFirst))
		if r.left == 0 {
			r.finish()
		}
	}
	return false
}

func (r *ring) finish() {
	r.held++
	if r.next++; r.next == r.blocks {
		r.next = 0
	}
}

// take appends packets to b until it has most of them, without waiting. The packets are
// valid until release.
func (r *ring) take(b *packet.Batch, most int, snapLen uint32) {
	n := 0
	for len(b.Packets) < most && r.held <= r.blocks/8 && r.open() {
		for ; r.left > 0 && len(b.Packets) < most; r.advance() {
			if !r.written() {
				continue
			}
			b.Packets = append(b.Packets, packet.Packet{})
			r.parse(&b.Packets[len(b.Packets)-1], snapLen)
			n++
		}
	}
	r.read.Add(uint64(n))
}

// written reports whether the kernel has written the packet at r.at. It takes the place
// in the block first, and leaves it as it is if the frame is of a kind that a
// virtio_net_hdr cannot describe, such as UDP that a virtual machine leaves to the host to
// fragment: what is there then is of an older packet, or nothing. The kernel counts
// such a frame as dropped.
func (r *ring) written() bool {
	if *r.word(r.at + packetStatus)&unix.TP_STATUS_USER != 0 {
		return true
	}
	r.failed.Add(1)
	return false
}

// skip passes over all packets that are there, and returns their number.
func (r *ring) skip() (n int) {
	for r.open() {
		for ; r.left > 0; r.advance() {
			if r.written() {
				n++
			}
		}
		r.release()
	}
	r.read.Add(uint64(n))
	return n
}

// advance goes to the next packet.
func (r *ring) advance() {
	r.at += int(*r.word(r.at))
	if r.left--; r.left == 0 {
		r.finish()
	}
}

// parse describes the packet at r.at.
func (r *ring) parse(p *packet.Packet, snapLen uint32) {
	h := (*unix.Tpacket3Hdr)(unsafe.Pointer(&r.memory[r.at]))
	from := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&r.memory[r.at+linkAddress]))
	data := r.at + int(h.Mac)
	p.Data = r.memory[data:][:h.Snaplen:h.Snaplen]
	p.Time = int64(h.Sec)*int64(time.Second) + int64(h.Nsec)
	p.WireLen = h.Len
	p.Interface = uint32(from.Ifindex)
	p.Link = packet.LinkRaw
	if isEthernet(from.Hatype) {
		p.Link = packet.LinkEthernet
	}
	if h.Status&unix.TP_STATUS_VLAN_VALID != 0 {
		p.VLAN, p.HasVLAN = uint16(h.Hv1.Vlan_tci), true
	}
	p.Direction = packet.DirectionIn
	if from.Pkttype == unix.PACKET_OUTGOING {
		p.Direction = packet.DirectionOut
	}
	if r.vnet && r.memory[data-vnetHeader+vnetGSOType] != 0 {
		p.Segment = *(*uint16)(unsafe.Pointer(&r.memory[data-vnetHeader+vnetGSOSize]))
	}
	if h.Snaplen < h.Len && (snapLen == 0 || h.Snaplen < snapLen) {
		r.cut.Add(1)
	}
}

// release gives all blocks that have been read to the end back to the kernel.
func (r *ring) release() {
	for ; r.held > 0; r.held-- {
		n := r.next - r.held
		if n < 0 {
			n += r.blocks
		}
		atomic.StoreUint32(r.word(n*r.size+blockStatus), unix.TP_STATUS_KERNEL)
	}
}

// settle is how long the kernel may need, after the intake has ended, to finish what is
// on its way and the last block.
const settle = 3 * retireAfter

// giveUp bounds the wait for packets that the kernel says it has put into the ring.
const giveUp = 2 * time.Second

// drained reports whether the intake has ended and everything was read.
func (r *ring) drained(now int64) bool {
	end := r.ending.Load()
	if end == 0 || r.ready() || now-end < int64(settle) {
		return false
	}
	return r.socket.put() <= r.read.Load() || now-end > int64(giveUp)
}
