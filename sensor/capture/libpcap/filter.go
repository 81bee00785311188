//go:build (libpcap && cgo) || windows

package libpcap

import (
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

// Codes of classic BPF, the same on all systems.
const (
	loadWord   = 0x20 // A = 4 bytes at k
	loadHalf   = 0x28
	loadByte   = 0x30
	loadHalfX  = 0x48 // A = 2 bytes at X+k
	headerLen  = 0xb1 // X = 4 * (the lower half of the byte at k)
	shiftRight = 0x74 // A >>= k
	ifEqual    = 0x15 // A == k
	ifAnySet   = 0x45 // A & k
	ret        = 0x06
)

// maxFilterPorts keeps the jumps of a program short enough. With more ports, packets
// of all ports are taken.
const maxFilterPorts = 40

// program is a filter that grows. Its jumps lead over the next instruction or block.
type program struct {
	code []instruction
	all  uint32   // returned for packets to take: the number of bytes
	port []uint32 // nil: all
}

// filterOf returns a program for packets of a link type. It must never drop what another
// back end would deliver, so it drops only what it knows: ARP, ICMP, and UDP and TCP
// without one of the ports. Tags, later fragments, extension headers and everything unknown
// pass, and with tunnels to look into everything passes.
func filterOf(s capture.Selection, link packet.LinkType, snapLen int) *program {
	p := &program{all: uint32(snapLen)}
	for _, port := range s.Ports {
		p.port = append(p.port, uint32(port))
	}
	if len(p.port) == 0 || len(p.port) > maxFilterPorts || len(s.Decap) > 0 {
		p.add(ret, p.all)
		return p
	}
	const ethernet, loopback = 14, 4 // lengths of headers
	switch link {
	case packet.LinkEthernet:
		p.add(loadHalf, 12)
		p.block(0x0800, func(b *program) { b.ipv4(ethernet) })
		p.block(0x86dd, func(b *program) { b.ipv6(ethernet) })
		p.returnIf(0x0806, 0)
	case packet.LinkRaw, packet.LinkIPv4, packet.LinkIPv6:
		p.ip(0)
	case packet.LinkNull, packet.LinkLoop:
		p.ip(loopback)
	}
	p.add(ret, p.all)
	return p
}

func (p *program) add(code uint16, k uint32) { p.code = append(p.code, instruction{code: code, k: k}) }

// returnIf ends the program with n if A has a value.
func (p *program) returnIf(value, n uint32) {
	p.code = append(p.code, instruction{code: ifEqual, k: value, jf: 1})
	p.add(ret, n)
}

// block adds instructions that run if A has a value. They end the program.
func (p *program) block(value uint32, fill func(*program)) {
	b := &program{all: p.all, port: p.port}
	fill(b)
	p.code = append(p.code, instruction{code: ifEqual, k: value, jf: uint8(len(b.code))})
	p.code = append(p.code, b.code...)
}

// ip tells the versions apart.
func (p *program) ip(at uint32) {
	p.add(loadByte, at)
	p.add(shiftRight, 4)
	p.block(4, func(b *program) { b.ipv4(at) })
	p.block(6, func(b *program) { b.ipv6(at) })
}

const (
	protoICMP, protoIGMP, protoTCP, protoUDP, protoICMPv6 = 1, 2, 6, 17, 58
)

func (p *program) ipv4(at uint32) {
	p.add(loadByte, at+9)
	p.returnIf(protoICMP, 0)
	p.returnIf(protoIGMP, 0)
	p.unlessTransport()
	p.add(loadHalf, at+6)
	p.code = append(p.code, instruction{code: ifAnySet, k: 0x1fff, jf: 1})
	p.add(ret, p.all) // a later fragment
	p.add(headerLen, at)
	p.ports(loadHalfX, at)
}

func (p *program) ipv6(at uint32) {
	p.add(loadByte, at+6)
	p.returnIf(protoICMPv6, 0)
	p.unlessTransport()
	p.ports(loadHalf, at+40)
}

// unlessTransport takes everything but UDP and TCP.
func (p *program) unlessTransport() {
	p.code = append(p.code, instruction{code: ifEqual, k: protoTCP, jt: 2}, instruction{code: ifEqual, k: protoUDP, jt: 1})
	p.add(ret, p.all)
}

// ports takes packets with one of the ports, and ends the program.
func (p *program) ports(load uint16, at uint32) {
	for _, off := range []uint32{0, 2} {
		p.add(load, at+off)
		for _, port := range p.port {
			p.returnIf(port, p.all)
		}
	}
	p.add(ret, 0)
}
