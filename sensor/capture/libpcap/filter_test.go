//go:build libpcap && cgo && linux

package libpcap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/net/bpf"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

// runs runs a program on a packet.
func runs(t *testing.T, p *program, data []byte) int {
	t.Helper()
	var list []bpf.Instruction
	for _, i := range p.code {
		list = append(list, bpf.RawInstruction{Op: i.code, Jt: i.jt, Jf: i.jf, K: i.k}.Disassemble())
	}
	vm, err := bpf.NewVM(list)
	if err != nil {
		t.Fatal(err)
	}
	n, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// packetOf returns an IP packet of a protocol with ports.
func packetOf(version int, proto byte, from, to uint16) []byte {
	ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, from), to)
	if version == 6 {
		return slices.Concat([]byte{0x60, 0, 0, 0, 0, 8, proto, 64}, make([]byte, 32), ports, make([]byte, 8))
	}
	return slices.Concat([]byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, proto, 0, 0}, make([]byte, 8), ports, make([]byte, 8))
}

// TestFilter: only what is known not to be wanted is dropped, for each kind of device, with
// one port and with many.
func TestFilter(t *testing.T) {
	many := []uint16{53}
	for p := range uint16(maxFilterPorts - 1) {
		many = append(many, 20_000+p)
	}
	options, later, more := packetOf(4, protoUDP, 9, 53), packetOf(4, protoUDP, 9, 9), packetOf(4, protoUDP, 9, 53)
	options[0] = 0x46
	options = slices.Insert(options, 20, 1, 1, 1, 1)
	later[7], more[6] = 1, 0x20
	type one struct {
		what string
		ip   []byte
		kind uint16 // EtherType
		want bool
	}
	cases := []one{
		{"IPv4 options", options, 0x0800, true}, {"later fragment", later, 0x0800, true}, {"first fragment", more, 0x0800, true},
		{"ICMP", packetOf(4, protoICMP, 53, 53), 0x0800, false}, {"ICMPv6", packetOf(6, protoICMPv6, 53, 53), 0x86dd, false},
		{"GRE", packetOf(4, 47, 9, 9), 0x0800, true}, {"IPv6 fragment", packetOf(6, 44, 9, 9), 0x86dd, true}, {"hop by hop", packetOf(6, 0, 9, 9), 0x86dd, true},
	}
	for _, proto := range []byte{protoUDP, protoTCP} {
		for version, kind := range map[int]uint16{4: 0x0800, 6: 0x86dd} {
			for _, ports := range [][2]uint16{{9, 53}, {53, 9}, {9, 9}} {
				cases = append(cases, one{fmt.Sprint(version, proto, ports), packetOf(version, proto, ports[0], ports[1]), kind, ports[0] != ports[1]})
			}
		}
	}
	for _, ports := range [][]uint16{{53}, many} {
		for _, c := range cases {
			ethernet := slices.Concat(make([]byte, 12), binary.BigEndian.AppendUint16(nil, c.kind), c.ip)
			tagged := slices.Concat(make([]byte, 12), []byte{0x81, 0, 0, 5}, binary.BigEndian.AppendUint16(nil, c.kind), c.ip)
			for _, d := range []struct {
				link packet.LinkType
				data []byte
				want bool
			}{
				{packet.LinkEthernet, ethernet, c.want}, {packet.LinkEthernet, tagged, true}, {packet.LinkRaw, c.ip, c.want},
				{packet.LinkNull, slices.Concat([]byte{2, 0, 0, 0}, c.ip), c.want}, {packet.LinkSLL, c.ip, true},
			} {
				n := runs(t, filterOf(capture.Selection{Ports: ports}, d.link, 500), d.data)
				if taken := n == 500; taken != d.want || !taken && n != 0 {
					t.Errorf("%s, link type %d, %d ports: returns %d", c.what, d.link, len(ports), n)
				}
				if n := runs(t, filterOf(capture.Selection{Ports: ports, Decap: []uint8{1}}, d.link, 500), d.data); n != 500 {
					t.Errorf("%s, link type %d, with a tunnel: returns %d", c.what, d.link, n)
				}
			}
		}
	}
	if n := len(filterOf(capture.Selection{Ports: append(many, 1)}, packet.LinkEthernet, 500).code); n != 1 {
		t.Errorf("%d instructions for too many ports", n)
	}
}

// TestFilterInTheKernel: what is dropped there does not count as having come in, and
// directions are told apart by a filter that nobody else has.
func TestFilterInTheKernel(t *testing.T) {
	l := newLink(t)
	s, r := l.open(Options{Select: capture.Selection{Ports: []uint16{53}}})
	other, tagged := frame("x"), frame("t", [2]uint16{0x8100, 9})
	other[37] = 54
	for _, from := range []string{"a0", "b0"} {
		l.send(from, other, frame("y"), tagged)
	}
	got := r.await(t, 4)
	s.Close()
	r.wait.Wait()
	if c := counters(t, s); c["in"] != 4 || len(r.packets()) != 4 {
		t.Errorf("counters: %v, packets: %s", c, texts(r.packets()))
	}
	for _, p := range got {
		if bytes.Equal(p.Data, other) {
			t.Errorf("another port was taken: %+v", p)
		}
	}
}
