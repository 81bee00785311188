package worker

import (
	"encoding/binary"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// Frames are built from the inside out. All links are raw IP.

var (
	client4, server4 = "\xc0\x00\x02\x01", "\xc0\x00\x02\x35"
	client6          = "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01"
	server6          = "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x53"
	near4, far4      = "\xc6\x33\x64\x01", "\xc6\x33\x64\x02" // a tunnel's ends
)

func u16(n int) string { return string(binary.BigEndian.AppendUint16(nil, uint16(n))) }

// query is a query for name.example.org.
func query(id int, name string) string {
	return u16(id) + "\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + string([]byte{byte(len(name))}) + name +
		"\x07example\x03org\x00\x00\x01\x00\x01"
}

// answer is a response of n bytes, which its only record fills.
func answer(id, n int) string {
	head := u16(id) + "\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x07example\x03org\x00\x00\x10\x00\x01" + "\xc0\x0c\x00\x10\x00\x01\x00\x00\x0e\x10"
	n -= len(head) + 2
	return head + u16(n) + strings.Repeat("x", n)
}

func udpData(src, dst int, data string) string {
	return u16(src) + u16(dst) + u16(8+len(data)) + "\x00\x00" + data
}

func tcpData(src, dst int, seq uint32, flags byte, data string) string {
	return u16(src) + u16(dst) + string(binary.BigEndian.AppendUint32(nil, seq)) + "\x00\x00\x00\x00\x50" +
		string([]byte{flags}) + "\xff\xff\x00\x00\x00\x00" + data
}

func ip4(src, dst string, id, frag int, proto byte, data string) string {
	return "\x45\x00" + u16(20+len(data)) + u16(id) + u16(frag) + "\x40" + string([]byte{proto}) + "\x00\x00" + src + dst + data
}

func ip6(src, dst string, next byte, data string) string {
	return "\x60\x00\x00\x00" + u16(len(data)) + string([]byte{next}) + "\x40" + src + dst + data
}

func ether(kind int, data string) string { return strings.Repeat("\x02", 12) + u16(kind) + data }

// fragments4 are the fragments of an IPv4 datagram, of size bytes each.
func fragments4(src, dst string, id int, proto byte, data string, size int) []string {
	var out []string
	for off := 0; off < len(data); off += size {
		end, frag := min(off+size, len(data)), off/8
		if end < len(data) {
			frag |= 0x2000
		}
		out = append(out, ip4(src, dst, id, frag, proto, data[off:end]))
	}
	return out
}

// fragments6 are those of an IPv6 datagram.
func fragments6(src, dst string, id int, proto byte, data string, size int) []string {
	var out []string
	for off := 0; off < len(data); off += size {
		end, frag := min(off+size, len(data)), off
		if end < len(data) {
			frag |= 1
		}
		out = append(out, ip6(src, dst, 44, string([]byte{proto, 0})+u16(frag)+"\x00\x00"+u16(id)+data[off:end]))
	}
	return out
}

// rig is a worker with its ledgers.
type rig struct {
	t        *testing.T
	worker   *Worker
	packets  *account.Counters
	messages *account.Counters
	given    uint64
	now      int64
	got      []got
}

// got is the part of an event that tests look at.
type got struct {
	id     int
	src    string
	dst    string
	proto  event.Proto
	tunnel packet.Tunnel
	vlan   int // -1: none
	time   int64
	cut    uint32
	length int
}

func newRig(t *testing.T, cfg Config) *rig {
	if cfg.Ports == nil {
		cfg.Ports = &Ports{}
		cfg.Ports.Add(53)
	}
	b := &rig{t: t, packets: account.NewPacketCounters(), messages: account.NewMessageCounters()}
	b.worker = New(cfg, b.packets.Shard(), b.messages.Shard())
	return b
}

func (b *rig) emit(e *event.Event) {
	vlan := -1
	if e.HasVLAN {
		vlan = int(e.VLAN)
	}
	b.got = append(b.got, got{int(e.DNS.ID), e.Src.String(), e.Dst.String(), e.Proto, e.Tunnel, vlan, e.Time, e.CaptureCut, e.Length()})
}

// frame handles one packet, a microsecond after the last.
func (b *rig) frame(data string) { b.packet(packet.Packet{Data: []byte(data), Link: packet.LinkRaw}) }

func (b *rig) packet(p packet.Packet) {
	b.given++
	b.now += 1000
	if p.Time == 0 {
		p.Time = b.now
	}
	if p.WireLen == 0 {
		p.WireLen = uint32(len(p.Data))
	}
	b.worker.Packet(&p, b.emit)
}

// balanced checks that both ledgers balance, and at the end that nothing is held.
func (b *rig) balanced(atEnd bool) {
	b.t.Helper()
	b.worker.Publish()
	packets := account.PacketLedger(b.packets, func() uint64 { return b.given })
	messages := account.MessageLedger(b.messages)
	if packets.Unaccounted() != 0 {
		b.t.Errorf("packets: %d unaccounted for: %+v", packets.Unaccounted(), packets)
	}
	if messages.Unaccounted() != 0 {
		b.t.Errorf("messages: %d unaccounted for: %+v", messages.Unaccounted(), messages)
	}
	if atEnd && packets.Held != 0 {
		b.t.Errorf("%d packets are held at the end", packets.Held)
	}
}

func (b *rig) end() {
	b.t.Helper()
	b.balanced(false)
	b.worker.Flush(b.emit)
	b.balanced(true)
}

func (b *rig) count(c account.Column) uint64 {
	b.worker.Publish()
	return b.packets.Sum(c)
}
