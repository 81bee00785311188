//go:build linux

package afpacket

import (
	"slices"

	"golang.org/x/sys/unix"
)

// EtherTypes.
const (
	etherIPv4       = 0x0800
	etherIPv6       = 0x86dd
	etherVLAN       = 0x8100
	etherQinQ       = 0x88a8
	etherOldQinQ    = 0x9100
	etherTRILL      = 0x22f3
	etherTEB        = 0x6558
	etherGREPPP     = 0x880b
	etherMPLS       = 0x8847
	etherMPLSMulti  = 0x8848
	etherPPPoE      = 0x8864
	etherPBB        = 0x88e7
	etherMACsec     = 0x88e5
	etherFabricPath = 0x8903
	etherCMD        = 0x8909
	etherVNTag      = 0x8926
	etherHSR        = 0x892f
	etherETag       = 0x893f
	etherNSH        = 0x894f
	etherRTag       = 0xf1c1

	lastLength = 1500       // up to this value, the EtherType is a length
	snap       = 0xaaaa0300 // how a SNAP header begins, which ends with an EtherType
)

// IP protocols.
const (
	protoHopByHop = 0
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoAH       = 51
	protoDestOpts = 60
)

const (
	maxTags       = 4 // VLAN tags in the bytes
	maxExtensions = 4 // of IPv6
)

// rawTypes are the devices whose packets begin with an IP header, as in package bpf.
var rawTypes = []uint32{
	unix.ARPHRD_NONE, unix.ARPHRD_PPP, unix.ARPHRD_RAWIP, unix.ARPHRD_TUNNEL, unix.ARPHRD_TUNNEL6, unix.ARPHRD_SIT,
	unix.ARPHRD_IPGRE, unix.ARPHRD_IP6GRE,
}

func isEthernet(hatype uint16) bool {
	return hatype == unix.ARPHRD_ETHER || hatype == unix.ARPHRD_LOOPBACK
}

func canCapture(hatype uint16) bool {
	return isEthernet(hatype) || slices.Contains(rawTypes, uint32(hatype))
}

// walkTags passes over VLAN tags. A is an EtherType, and what it announces is at X;
// afterwards too, and X is in memL3 as well.
func (p *program) walkTags() {
	done := p.label()
	for range maxTags {
		tag := p.label()
		p.ifEqual(tag, etherVLAN, etherQinQ, etherOldQinQ)
		p.jump(done)
		p.mark(tag)
		p.load16X(2)
		p.storeMem(memKind)
		p.skip(4)
		p.loadMem(memKind)
	}
	p.mark(done)
	p.op(unix.BPF_STX, memL3)
}

// ipTargets are where walkIPv4 and walkIPv6 go on.
type ipTargets struct {
	ports label // whole datagrams, TCP and first fragments: X is the offset of the ports
	later label // later fragments
	deep  label // headers that are not followed, such as IPv4's authentication header
	other label // another protocol, which is in A
	bad   label // no IP
}

// walkIPv4 finds the ports of the packet at X.
func (p *program) walkIPv4(t ipTargets, fragments bool) {
	transport := p.label()
	p.load8X(9)
	p.ifEqual(transport, protoUDP, protoTCP)
	p.ifEqual(t.deep, protoAH)
	p.jump(t.other)
	p.mark(transport)
	p.storeMem(memProto)
	p.load16X(6)
	mask := uint32(0x1fff)
	if fragments {
		mask = 0x3fff
	}
	p.branch(unix.BPF_JSET, mask, t.later, next)
	p.load8X(0)
	p.compute(unix.BPF_AND, 15)
	longEnough := p.label()
	p.branch(unix.BPF_JGE, 5, longEnough, t.bad)
	p.mark(longEnough)
	p.compute(unix.BPF_LSH, 2)
	p.computeX(unix.BPF_ADD)
	p.copyToX()
	p.jump(t.ports)
}

// walkIPv6 finds the ports of the packet at X. With fragments, first fragments go to
// t.later, too.
func (p *program) walkIPv6(t ipTargets, fragments bool) {
	p.load8X(6)
	p.storeMem(memProto)
	p.skip(40)
	for range maxExtensions {
		fragment, words, whole, on := p.label(), p.label(), p.label(), p.label()
		p.loadMem(memProto)
		p.ifEqual(t.ports, protoUDP, protoTCP)
		p.ifEqual(fragment, protoFragment)
		p.ifEqual(words, protoAH)
		ext := p.label()
		p.ifEqual(ext, protoHopByHop, protoRouting, protoDestOpts)
		p.jump(t.other)

		p.mark(fragment)
		p.load16X(2)
		p.branch(unix.BPF_JSET, 0xfff9, next, whole)
		if fragments {
			p.jump(t.later)
		} else {
			p.branch(unix.BPF_JSET, 0xfff8, t.later, whole)
		}
		p.mark(whole)
		p.load8X(0)
		p.storeMem(memProto)
		p.skip(8)
		p.jump(on)

		p.mark(words)
		p.load8X(0)
		p.storeMem(memProto)
		p.load8X(1)
		p.compute(unix.BPF_ADD, 2)
		p.compute(unix.BPF_LSH, 2)
		p.computeX(unix.BPF_ADD)
		p.copyToX()
		p.jump(on)

		p.mark(ext)
		p.load8X(0)
		p.storeMem(memProto)
		p.load8X(1)
		p.compute(unix.BPF_ADD, 1)
		p.compute(unix.BPF_LSH, 3)
		p.computeX(unix.BPF_ADD)
		p.copyToX()
		p.mark(on)
	}
	p.loadMem(memProto)
	p.ifEqual(t.ports, protoUDP, protoTCP)
	p.ifEqual(t.deep, protoFragment, protoAH, protoHopByHop, protoRouting, protoDestOpts)
	p.jump(t.other)
}
