//go:build linux

package afpacket

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/packet"
)

// model is what spread computes, for the bytes of a whole frame.
type model struct{ tunnels []uint16 }

// hash returns 0 for frames without addresses, and for those that end early.
func (m model) hash(frame []byte) uint32 {
	kind, at := binary.BigEndian.Uint16(frame[12:]), 14
	for range maxTags {
		if kind != etherVLAN && kind != etherQinQ && kind != etherOldQinQ {
			break
		}
		if len(frame) < at+4 {
			return 0
		}
		kind, at = binary.BigEndian.Uint16(frame[at+2:]), at+4
	}
	switch b := frame[at:]; {
	case kind == etherIPv4:
		return m.four(b)
	case kind == etherIPv6:
		return m.six(b)
	}
	return 0
}

func (m model) four(b []byte) uint32 {
	if len(b) < 20 {
		return 0
	}
	sum := mixed(0, b[12:16], b[16:20])
	if proto := b[9]; proto != protoUDP || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 || b[0]&15 < 5 {
		return finished(sum)
	}
	return m.flow(sum, b, int(b[0]&15)*4)
}

func (m model) flow(sum uint32, b []byte, at int) uint32 {
	if len(b) < at+2 {
		return 0
	}
	src := binary.BigEndian.Uint16(b[at:])
	if slices.Contains(m.tunnels, src) {
		return finished(sum)
	}
	if len(b) < at+4 {
		return 0
	}
	dst := binary.BigEndian.Uint16(b[at+2:])
	if slices.Contains(m.tunnels, dst) {
		return finished(sum)
	}
	return finished(mixed(sum, []byte{0, 0, byte(src >> 8), byte(src)}, []byte{0, 0, byte(dst >> 8), byte(dst)}))
}

func (m model) six(b []byte) uint32 {
	if len(b) < 40 {
		return 0
	}
	sum := uint32(0)
	for i := 8; i < 24; i += 4 {
		sum = mixed(sum, b[i:i+4], b[i+16:i+20])
	}
	proto, at := b[6], 40
	for range maxExtensions {
		size := 0
		switch proto {
		case protoUDP:
			return m.flow(sum, b, at)
		case protoFragment:
			if len(b) < at+4 {
				return 0
			}
			if binary.BigEndian.Uint16(b[at+2:])&0xfff9 != 0 {
				return finished(sum)
			}
			size = 8
		case protoAH, protoHopByHop, protoRouting, protoDestOpts:
			if len(b) < at+2 {
				return 0
			}
			if size = int(b[at+1])*8 + 8; proto == protoAH {
				size = int(b[at+1])*4 + 8
			}
		default:
			return finished(sum)
		}
		proto, at = b[at], at+size
	}
	if proto == protoUDP {
		return m.flow(sum, b, at)
	}
	return finished(sum)
}

func mixed(sum uint32, src, dst []byte) uint32 {
	s, d := binary.BigEndian.Uint32(src), binary.BigEndian.Uint32(dst)
	return sum*hashK3 + (s^d)*hashK1 + (s+d)*hashK2
}

func finished(h uint32) uint32 {
	for range 2 {
		h = (h ^ h>>15) * hashK4
	}
	return h ^ h>>16
}

// TestSpread sends frames in both directions. Each must be on the lane that the model
// computes: what comes in begins elsewhere than what goes out, and the kernel keeps one
// tag beside the bytes.
func TestSpread(t *testing.T) {
	pair(t)
	const lanes, n = 4, 3000
	sel := capture.Selection{
		TunnelPorts: packet.UsualTunnelPorts(), Decap: []uint8{uint8(packet.TunnelVXLAN), uint8(packet.TunnelGRE), uint8(packet.Tunnel6in4)},
	}
	for port := range 400 { // so that many random frames pass the filter
		sel.Ports = append(sel.Ports, uint16(port*160))
	}
	r := read(t, Options{Watch: named("va"), Select: sel, Lanes: lanes})
	send := []func([]byte){injector(t, "vb"), injector(t, "va")}
	f := frames{rand.New(rand.NewPCG(1, 8)), append([]uint16{4789}, sel.Ports...)}
	var sent [][]byte
	for i := range n {
		sent = append(sent, f.next(i))
		send[i%2](sent[i])
	}
	m, on := model{[]uint16{4789, 8472}}, make([]int, lanes)
	list := r.end()
	for _, p := range list {
		i := number(p.Data)
		if want := int(m.hash(sent[i]) % lanes); p.lane != want {
			t.Errorf("frame %d is on lane %d, want %d: % x", i, p.lane, want, sent[i])
		}
		on[p.lane]++
	}
	if len(list) < n/4 || slices.Min(on) < len(list)/10 {
		t.Errorf("%d frames of %d came, %v by lane", len(list), n, on)
	}
}

// TestSpreadKeepsTogether compares the model with the hash that files use: packets with
// one hash there have one hash here.
func TestSpreadKeepsTogether(t *testing.T) {
	f := frames{rand.New(rand.NewPCG(2, 8)), []uint16{53, 54}}
	m := model{}
	seen := map[packet.Hash]uint32{}
	src, dst := []byte{192, 0, 2, 1}, []byte{198, 51, 100, 7}
	for i := range 20000 {
		src[3], dst[3] = byte(f.IntN(3)), byte(f.IntN(3))
		ports := []uint16{f.port(), f.port()}
		body := udp(ports[0], ports[1], nil)
		proto := byte(17)
		if i%3 == 0 {
			proto, body = 6, tcp(ports[0], ports[1], nil)
		}
		b := eth(0x0800, ip4frag(src, dst, nil, pick(f, uint16(0), 0, 0x2000, 0x0010), proto, body))
		swapped := bytes.Clone(b)
		copy(swapped[26:], b[30:34])
		copy(swapped[30:], b[26:30])
		if binary.BigEndian.Uint16(b[20:])&0x1fff == 0 {
			copy(swapped[34:], b[36:38])
			copy(swapped[36:], b[34:36])
		}
		h := m.hash(b)
		if m.hash(swapped) != h {
			t.Fatalf("the response has another hash: % x", b)
		}
		key := decode.Lane(&packet.Packet{Data: b, WireLen: uint32(len(b)), Link: packet.LinkEthernet})
		if old, ok := seen[key]; ok && old != h {
			t.Fatalf("packets with the hash %x have %x and %x: % x", key, old, h, b)
		}
		seen[key] = h
	}
}

// TestCopiesMeet: where duplicates inside and outside of a tunnel are to be found, they come
// on one lane.
func TestCopiesMeet(t *testing.T) {
	pair(t)
	vxlan := capture.Selection{Decap: []uint8{uint8(packet.TunnelVXLAN)}, TunnelPorts: []packet.TunnelPort{{Number: 4789, Tunnel: packet.TunnelVXLAN}}}
	o := Options{Watch: named("va"), Lanes: 4, Select: vxlan}
	o.Watch.Dedup = true
	r, send := read(t, o), injector(t, "vb")
	const n = 16
	for i := range n {
		inner := eth(0x0800, ip4frag([]byte{192, 0, 2, byte(i)}, b4, nil, 0, 17, udp(1234, 53, []byte{byte(i)})))
		send(inner)
		send(eth(0x0800, ip4(17, udp(4000, 4789, join([]byte{8, 0, 0, 0, 0, 0, 1, 0}, inner)))))
	}
	list := r.end()
	for _, p := range list {
		if p.lane != list[0].lane {
			t.Fatalf("%d packets, not on one lane", len(list))
		}
	}
	if len(list) != 2*n {
		t.Errorf("%d packets", len(list))
	}
}
