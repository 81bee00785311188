//go:build linux

package afpacket

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

// wholeFrame is the return value of a filter that delivers all bytes.
const wholeFrame = 0x7fffffff

// dropAll is the program of a socket that must not receive yet, or no more.
var dropAll = []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}

// selects says what a Selection's tunnels mean for headers.
type selects struct {
	kinds  []uint32    // EtherTypes to pass
	length bool        // pass IEEE 802.3 frames, too: these may follow a SNAP header
	proto4 []uint32    // IP protocols to pass
	proto6 []uint32    // in IPv6
	ports  []portRange // UDP and TCP
	tunnel []portRange // those of ports that carry tunnels
}

func selectionOf(s capture.Selection) selects {
	var out selects
	wants := func(list ...packet.Tunnel) bool {
		return slices.ContainsFunc(list, func(t packet.Tunnel) bool { return slices.Contains(s.Decap, uint8(t)) })
	}
	nsh := wants(packet.TunnelNSH)
	var carriers []uint16
	for _, p := range s.TunnelPorts {
		carriesNSH := p.Tunnel == packet.TunnelVXLANGPE || p.Tunnel == packet.TunnelGENEVE || p.Tunnel == packet.TunnelGREUDP
		if wants(p.Tunnel) || nsh && carriesNSH {
			carriers = append(carriers, p.Number)
		}
	}
	out.tunnel = rangesOf(carriers)
	out.ports = rangesOf(append(slices.Clone(s.Ports), carriers...))
	protos := []struct {
		proto uint32
		four  []packet.Tunnel
		six   []packet.Tunnel
	}{
		{4, []packet.Tunnel{packet.TunnelIPIP}, []packet.Tunnel{packet.Tunnel4in6}},
		{41, []packet.Tunnel{packet.Tunnel6in4}, []packet.Tunnel{packet.Tunnel6in6}},
		{47, []packet.Tunnel{packet.TunnelGRE, packet.TunnelERSPAN, packet.TunnelNSH}, nil},
		{97, []packet.Tunnel{packet.TunnelEtherIP}, nil},
		{115, []packet.Tunnel{packet.TunnelL2TP}, nil},
		{137, []packet.Tunnel{packet.TunnelMPLS}, nil},
		{143, []packet.Tunnel{packet.TunnelEtherIP}, nil},
	}
	for _, p := range protos {
		if wants(p.four...) {
			out.proto4 = append(out.proto4, p.proto)
		}
		if six := p.six; wants(six...) || six == nil && wants(p.four...) {
			out.proto6 = append(out.proto6, p.proto)
		}
	}
	out.kinds = []uint32{etherVNTag, etherHSR, etherRTag, etherETag, etherCMD, etherMACsec}
	for _, k := range []struct {
		tunnel uint8
		kinds  []uint32
	}{
		{uint8(packet.TunnelMPLS), []uint32{etherMPLS, etherMPLSMulti}},
		{capture.PPPoE, []uint32{etherPPPoE}},
		{uint8(packet.TunnelNSH), []uint32{etherNSH}},
		{uint8(packet.TunnelPBB), []uint32{etherPBB}},
		{uint8(packet.TunnelTRILL), []uint32{etherTRILL}},
		{uint8(packet.TunnelFabricPath), []uint32{etherFabricPath}},
	} {
		if slices.Contains(s.Decap, k.tunnel) {
			out.kinds = append(out.kinds, k.kinds...)
			out.length = true
		}
	}
	if out.length {
		out.kinds = append(out.kinds, etherTEB, etherGREPPP)
	}
	return out
}

// filter returns the program that a socket runs on each frame, of which it sees the
// link header first. It passes what the eBPF program would deliver, and what cannot be
// judged by one packet alone: all later fragments, and whatever may be of a tunnel to
// look into. The worker decides about these. With onlyIncoming it drops what this host
// sends. What the loopback device sends comes in again there, so it is dropped, too.
//
// The program grows with the number of ports. If it becomes too long, or the kernel
// refuses it for its size, fewer and coarser ranges take more packets than needed.
func filter(s capture.Selection, onlyIncoming bool, mostRanges int) ([]unix.SockFilter, error) {
	sel, p := selectionOf(s), new(program)
	accept, drop := p.label(), p.label()
	p.dropOutgoing(onlyIncoming, drop)
	ethernet, raw := p.label(), p.label()
	p.load32(adHaType)
	p.ifEqual(ethernet, unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK)
	p.ifEqual(raw, rawTypes...)
	p.jump(drop)

	four, six, ports, later6 := p.label(), p.label(), p.label(), p.label()
	p.mark(raw)
	p.setX(0)
	p.op(unix.BPF_STX, memL3)
	p.load8(0)
	p.compute(unix.BPF_RSH, 4)
	p.ifEqual(four, 4)
	p.ifEqual(six, 6)
	p.jump(drop)

	p.mark(ethernet)
	p.setX(14)
	p.load16(12)
	p.walkTags()
	p.ifEqual(four, etherIPv4)
	p.ifEqual(six, etherIPv6)
	p.ifEqual(accept, etherVLAN, etherQinQ, etherOldQinQ) // more tags than are followed
	p.ifEqual(accept, sel.kinds...)
	p.branch(unix.BPF_JGT, lastLength, drop, next)
	if sel.length {
		p.jump(accept)
	} else {
		p.load32X(0)
		p.branch(unix.BPF_JEQ, snap, next, drop)
		p.load16X(6)
		p.storeMem(memKind)
		p.skip(8)
		p.loadMem(memKind)
		p.ifEqual(four, etherIPv4)
		p.ifEqual(six, etherIPv6)
		p.jump(drop)
	}

	other4, other6 := p.label(), p.label()
	p.mark(four)
	p.walkIPv4(ipTargets{ports: ports, later: accept, deep: accept, other: other4, bad: drop}, false)
	p.mark(other4)
	p.ifEqual(accept, sel.proto4...)
	p.jump(drop)

	p.mark(six)
	p.walkIPv6(ipTargets{ports: ports, later: later6, deep: accept, other: other6}, false)
	p.mark(later6)
	p.load8X(0)
	p.ifEqual(accept, protoUDP, protoTCP, protoAH, protoHopByHop, protoRouting, protoDestOpts)
	p.mark(other6)
	p.ifEqual(accept, sel.proto6...)
	p.jump(drop)

	p.mark(ports)
	ranges := coarsen(sel.ports, mostRanges)
	destination := p.label()
	p.load16X(0)
	p.inRanges(ranges, accept, destination)
	p.mark(destination)
	p.load16X(2)
	p.inRanges(ranges, accept, drop)

	p.mark(accept)
	p.returns(min(cmp.Or(s.SnapLen, wholeFrame), wholeFrame))
	p.mark(drop)
	p.returns(0)
	return p.assemble()
}

func (p *program) dropOutgoing(all bool, drop label) {
	other := p.label()
	p.load32(adPktType)
	p.branch(unix.BPF_JEQ, unix.PACKET_OUTGOING, next, other)
	if all {
		p.jump(drop)
	} else {
		p.load32(adHaType)
		p.ifEqual(drop, unix.ARPHRD_LOOPBACK)
	}
	p.mark(other)
}

// portRange is all ports from first to last.
type portRange struct{ first, last uint32 }

// rangesOf sorts ports and joins neighbours.
func rangesOf(ports []uint16) (list []portRange) {
	ports = slices.Clone(ports)
	slices.Sort(ports)
	for _, p := range ports {
		if n := len(list); n > 0 && uint32(p) <= list[n-1].last+1 {
			list[n-1].last = uint32(p)
			continue
		}
		list = append(list, portRange{uint32(p), uint32(p)})
	}
	return list
}

// coarsen joins the ranges with the smallest gaps between them until at most n remain.
func coarsen(list []portRange, n int) []portRange {
	if len(list) <= n {
		return list
	}
	var gaps []uint32
	for i := range list[1:] {
		gaps = append(gaps, list[i+1].first-list[i].last)
	}
	slices.Sort(gaps)
	joins := len(list) - n
	widest := gaps[joins-1]
	out := list[:1:1]
	for _, r := range list[1:] {
		if last := &out[len(out)-1]; r.first-last.last <= widest && joins > 0 {
			last.last = r.last
			joins--
			continue
		}
		out = append(out, r)
	}
	return out
}

// inRanges searches for A.
func (p *program) inRanges(list []portRange, yes, no label) {
	switch len(list) {
	case 0:
		p.jump(no)
		return
	case 1:
		r := list[0]
		if r.first == r.last {
			p.branch(unix.BPF_JEQ, r.first, yes, no)
			return
		}
		p.branch(unix.BPF_JGE, r.first, next, no)
		p.branch(unix.BPF_JGT, r.last, no, yes)
		return
	}
	upper := p.label()
	p.branch(unix.BPF_JGE, list[len(list)/2].first, upper, next)
	p.inRanges(list[:len(list)/2], yes, no)
	p.mark(upper)
	p.inRanges(list[len(list)/2:], yes, no)
}
