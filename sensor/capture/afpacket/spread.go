//go:build linux

package afpacket

import (
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture"
)

// Constants of the lane hash. It is of 32 bits: not packet.Hash, but it keeps the same
// packets together.
const (
	hashK1 = 0x9e3779b1
	hashK2 = 0x85ebca77
	hashK3 = 0xc2b2ae3d
	hashK4 = 0x27d4eb2f
)

// spread returns the program that chooses the lane of a packet: of the symmetric 5-tuple
// for whole UDP datagrams, of the symmetric pair of addresses for everything else that
// has addresses, and for the packets of tunnels that are looked into, whose contents
// belong together. All other packets go to one lane. The kernel divides the result by
// the number of lanes.
//
// The kernel runs it on a packet that comes in with the network header first, without
// the VLAN tag that it has removed, and on a packet that goes out with the link header
// first.
func spread(s capture.Selection) ([]unix.SockFilter, error) {
	sel, p := selectionOf(s), new(program)
	ethernet, out, tags := p.label(), p.label(), p.label()
	four, six, unknown := p.label(), p.label(), p.label()
	p.load32(adHaType)
	p.ifEqual(ethernet, unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK)
	p.setX(0)
	p.op(unix.BPF_STX, memL3)
	p.load8(0)
	p.compute(unix.BPF_RSH, 4)
	p.ifEqual(four, 4)
	p.ifEqual(six, 6)
	p.jump(unknown)

	p.mark(ethernet)
	p.load32(adPktType)
	p.ifEqual(out, unix.PACKET_OUTGOING)
	p.setX(0)
	p.load32(adProtocol)
	p.jump(tags)
	p.mark(out)
	p.setX(14)
	p.load16(12)
	p.mark(tags)
	p.walkTags()
	p.ifEqual(four, etherIPv4)
	p.ifEqual(six, etherIPv6)
	p.mark(unknown)
	p.returns(0)

	p.mark(four)
	p.spreadIP(sel.tunnel, 12, 16, 1, p.walkIPv4)
	p.mark(six)
	p.spreadIP(sel.tunnel, 8, 24, 4, p.walkIPv6)
	return p.assemble()
}

// spreadIP hashes addresses of so many words, and the ports if they count.
func (p *program) spreadIP(tunnels []portRange, src, dst uint32, words int, walk func(ipTargets, bool)) {
	ports, pair, flow, destination := p.label(), p.label(), p.label(), p.label()
	p.op(unix.BPF_LD|unix.BPF_IMM, 0)
	p.storeMem(memHash)
	for i := range uint32(words) {
		p.load32X(src + 4*i)
		p.storeMem(memA)
		p.load32X(dst + 4*i)
		p.mix()
		p.loadMemX(memL3)
	}
	walk(ipTargets{ports: ports, later: pair, deep: pair, other: pair, bad: pair}, true)

	p.mark(ports)
	p.loadMem(memProto)
	p.branch(unix.BPF_JEQ, protoUDP, next, pair)
	p.load16X(0)
	p.storeMem(memA)
	p.inRanges(tunnels, pair, destination)
	p.mark(destination)
	p.load16X(2)
	p.inRanges(tunnels, pair, flow)
	p.mark(flow)
	p.mix()
	p.mark(pair)
	p.loadMem(memHash)
	for range 2 {
		p.copyToX()
		p.compute(unix.BPF_RSH, 15)
		p.computeX(unix.BPF_XOR)
		p.compute(unix.BPF_MUL, hashK4)
	}
	p.copyToX()
	p.compute(unix.BPF_RSH, 16)
	p.computeX(unix.BPF_XOR)
	p.returnsA()
}

// mix adds A and memA, in either order, to memHash. It changes X.
func (p *program) mix() {
	p.storeMem(memB)
	p.loadMemX(memA)
	p.computeX(unix.BPF_XOR)
	p.compute(unix.BPF_MUL, hashK1)
	p.storeMem(memSum)
	p.loadMem(memB)
	p.computeX(unix.BPF_ADD)
	p.compute(unix.BPF_MUL, hashK2)
	p.loadMemX(memSum)
	p.computeX(unix.BPF_ADD)
	p.storeMem(memSum)
	p.loadMem(memHash)
	p.compute(unix.BPF_MUL, hashK3)
	p.loadMemX(memSum)
	p.computeX(unix.BPF_ADD)
	p.storeMem(memHash)
}
