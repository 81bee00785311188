//go:build linux

package afpacket

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/packet"
)

// frames makes frames of all kinds that the programs tell apart, with random parts. Many
// carry one of ports.
type frames struct {
	*rand.Rand
	ports []uint16
}

func (f frames) port() uint16 {
	if f.IntN(3) == 0 {
		return f.ports[f.IntN(len(f.ports))]
	}
	return uint16(f.IntN(1 << 16))
}

func (f frames) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(f.Uint32())
	}
	return b
}

func pick[T any](f frames, list ...T) T { return list[f.IntN(len(list))] }

// transport returns a protocol and what it carries.
func (f frames) transport(depth int) (byte, []byte) {
	switch f.IntN(8) {
	case 0, 1, 2:
		return 17, udp(f.port(), f.port(), f.bytes(f.IntN(60)))
	case 3, 4:
		return 6, tcp(f.port(), f.port(), f.bytes(f.IntN(60)))
	case 5:
		if depth > 0 {
			break
		}
		return pick(f, byte(4), byte(41)), f.ip(1)
	case 6:
		if depth > 0 {
			break
		}
		inner := f.ip(1)
		return pick(f,
			func() (byte, []byte) { return 47, join(be16(0, etherType(inner)), inner) },
			func() (byte, []byte) {
				return 17, udp(f.port(), 4789, join(be32(0x08000000), be32(77<<8), eth(etherType(inner), inner)))
			},
			func() (byte, []byte) {
				return 17, udp(f.port(), 6081, join(be16(0, 0x6558), be32(5<<8), eth(etherType(inner), inner)))
			},
			func() (byte, []byte) { return 97, join(be16(0x3000), eth(etherType(inner), inner)) },
			func() (byte, []byte) { return 137, join(be32(0x00010140), inner) },
		)()
	}
	return pick(f, byte(1), byte(58), byte(132), byte(51), byte(50), byte(89)), f.bytes(f.IntN(40))
}

func etherType(ip []byte) uint16 {
	if ip[0]>>4 == 4 {
		return 0x0800
	}
	return 0x86dd
}

func (f frames) addresses(list [][]byte) (src, dst []byte) { return pick(f, list...), pick(f, list...) }

func (f frames) ip(depth int) []byte {
	proto, body := f.transport(depth)
	if f.IntN(2) == 0 {
		src, dst := f.addresses([][]byte{a4, b4, {192, 0, 2, 7}, {203, 0, 113, 9}})
		options := f.bytes(pick(f, 0, 0, 0, 4, 8, 40))
		return ip4frag(src, dst, options, pick(f, uint16(0), 0, 0x4000, 0, 0x2000, 0x2010, 0x0010), proto, body)
	}
	for range pick(f, 0, 0, 0, 1, 2, 4, 5) {
		switch f.IntN(4) {
		case 0:
			body, proto = ext(proto, f.IntN(3), body), 60
		case 1:
			body, proto = ext(proto, f.IntN(2), body), pick(f, byte(0), byte(43))
		case 2:
			body, proto = join([]byte{proto, 1}, make([]byte, 10), body), 51
		case 3:
			body, proto = frag6(proto, pick(f, uint16(0), 0, 3), pick(f, uint16(0), 1), body), 44
		}
	}
	p := ip6(proto, body)
	src, dst := f.addresses([][]byte{a6, b6, {0x20, 1, 0xd, 0xb8, 9: 9}})
	copy(p[8:], src)
	copy(p[24:], dst)
	return p
}

// link returns an EtherType and what follows it.
func (f frames) link() (uint16, []byte) {
	ip := f.ip(0)
	kind, b := etherType(ip), ip
	switch f.IntN(16) {
	case 0:
		b = join(be16(0x1100, 1, uint16(2+len(ip))), be16(map[bool]uint16{true: 0x21, false: 0x57}[kind == 0x0800]), ip)
		kind = 0x8864
	case 1:
		kind, b = 0x8847, join(be32(0x00010140), ip)
	case 2:
		kind, b = 0x8926, join(be32(7), be16(kind), ip)
	case 3:
		kind, b = 100, join([]byte{0xaa, 0xaa, 3, 0, 0, 0}, be16(kind), ip)
	case 4:
		kind, b = pick(f, uint16(0x0806), 0x88cc, 0x88b5), f.bytes(30)
	}
	for range pick(f, 0, 0, 0, 0, 1, 2, 3, 4) {
		kind, b = pick(f, uint16(0x8100), 0x88a8, 0x9100), tag(uint16(f.IntN(1<<16)), kind, b)
	}
	return kind, b
}

// next returns a frame that ends with its number. Some are cut, some have a wrong bit.
func (f frames) next(number int) []byte {
	b := eth(f.link())
	switch f.IntN(12) {
	case 0:
		b = b[:14+f.IntN(len(b)-14)]
	case 1:
		b[14+f.IntN(len(b)-14)] ^= 1 << f.IntN(8)
	}
	return binary.BigEndian.AppendUint32(b, uint32(number))
}

func number(b []byte) uint32 { return binary.BigEndian.Uint32(b[len(b)-4:]) }

// TestFilterPassesWhatTheProgramDelivers sends random frames in both directions to a
// socket with our filter and to the eBPF program. The socket must have whatever the
// program delivers, unless the worker would throw it away.
func TestFilterPassesWhatTheProgramDelivers(t *testing.T) {
	if err := bpf.Supported(); err != nil {
		t.Skip(err)
	}
	pair(t)
	toA, fromA := injector(t, "vb"), injector(t, "va")
	var many []uint16
	for i := range 600 {
		many = append(many, uint16(1000+i*i%60000))
	}
	usual := packet.UsualTunnelPorts()
	for _, sel := range []capture.Selection{
		{Ports: []uint16{53}},
		{Ports: append(many, 53, 65535), TunnelPorts: usual, Decap: []uint8{
			uint8(packet.TunnelGENEVE), uint8(packet.TunnelIPIP), uint8(packet.Tunnel6in6), uint8(packet.TunnelMPLS), uint8(packet.TunnelVXLAN),
			uint8(packet.TunnelEtherIP), uint8(packet.TunnelGRE), capture.PPPoE,
		}},
	} {
		compareWithProgram(t, sel, toA, fromA)
	}
}

func compareWithProgram(t *testing.T, sel capture.Selection, toA, fromA func([]byte)) {
	t.Helper()
	var tunnels []bpf.TunnelPort
	for _, p := range sel.TunnelPorts {
		tunnels = append(tunnels, bpf.TunnelPort{Number: p.Number, Tunnel: uint8(p.Tunnel)})
	}
	k, err := bpf.Load(bpf.Options{
		Ports: sel.Ports, Rings: 1, RingBytes: 4 << 20, FragmentQuota: 1 << 30, Decap: sel.Decap, TunnelPorts: tunnels,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	on, err := k.Attach(index(t, "va"), bpf.AutoMode())
	if err != nil {
		t.Fatal(err)
	}
	defer on.Close()
	r := read(t, Options{Watch: named("va"), Select: sel, Lanes: 1})
	const n = 1200
	f := frames{rand.New(rand.NewPCG(18, uint64(len(sel.Decap)))), append([]uint16{4789, 6081}, sel.Ports[:min(4, len(sel.Ports))]...)}
	var sent [][]byte
	for i := range n {
		sent = append(sent, f.next(i))
		if i%2 == 0 {
			toA(sent[i])
		} else {
			fromA(sent[i])
		}
	}
	ours := make([]bool, n)
	for _, p := range r.end() {
		ours[number(p.Data)] = true
		if out := p.Direction == packet.DirectionOut; out != (number(p.Data)%2 == 1) {
			t.Fatalf("frame %d has direction %v", number(p.Data), p.Direction)
		}
	}
	theirs := make([]bool, n)
	for {
		raw, ok := k.Rings()[0].Next()
		if !ok {
			break
		}
		_, data, ok := bpf.ParseRecord(raw)
		if !ok {
			t.Fatal("not a record")
		}
		theirs[number(data)] = true
	}
	both, more, useless := 0, 0, 0
	for i := range n {
		switch {
		case theirs[i] && ours[i]:
			both++
		case ours[i]:
			more++
		case theirs[i] && worthless(sent[i], sel):
			useless++
		case theirs[i]:
			t.Errorf("%v: the program delivers frame %d, the socket does not: % x", sel.Decap, i, sent[i])
		}
	}
	t.Logf("decap %v: both %d, the socket alone %d, the program alone %d that are not DNS", sel.Decap, both, more, useless)
	if both < n/20 || more > n/2 {
		t.Errorf("decap %v: both deliver %d of %d, the socket alone %d", sel.Decap, both, n, more)
	}
}

// worthless reports that a worker counts a frame as not DNS or malformed.
func worthless(frame []byte, sel capture.Selection) bool {
	dns := func(port uint16) bool { return slices.Contains(sel.Ports, port) }
	d := decode.NewDecoder(sel.TunnelPorts, dns)
	var l decode.Layers
	found := d.Decode(&packet.Packet{Data: frame, WireLen: uint32(len(frame)), Link: packet.LinkEthernet}, &l)
	switch found {
	case decode.FoundFragment:
		// Behind rare tags the program delivers later fragments of all tunnels, but the
		// first ones only of those to look into.
		wanted := selectionOf(sel).proto6
		if len(l.Src) == 4 {
			wanted = selectionOf(sel).proto4
		}
		tunnel := slices.Contains([]uint8{4, 41, 47, 97, 115, 137, 143}, l.FragProto)
		return l.FragOffset > 0 && tunnel && !slices.Contains(wanted, uint32(l.FragProto)) || l.FragProto == protoFragment // twice: nobody does that
	case decode.FoundUDP, decode.FoundTCP:
		return !dns(l.SrcPort) && !dns(l.DstPort)
	}
	return true
}
