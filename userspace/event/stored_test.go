package event

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/packet"
)

// storedID and storedAt are id and time of the blocks in testdata.
var (
	storedID = ID([]byte("stored-block\x00\x00\x00\x07"))
	storedAt = time.Unix(1700000001, 5)
)

// version1Events use all that version 1 can store. They are the contents of
// testdata/block-v1, which was written by the last build that wrote version 1.
func version1Events() []Event {
	v4, v6 := netip.MustParseAddrPort("192.0.2.1:40000"), netip.MustParseAddrPort("[2001:db8::1]:40001")
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.7]:53")
	server4, server6 := netip.MustParseAddrPort("192.0.2.53:53"), netip.MustParseAddrPort("[2001:db8::53]:53")
	two := []byte("\x00\x0b\x01\x00\x00\x02\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01\x03www\xc0\x0c\x00\x1c\x00\x01")
	answer := []byte("\x00\x08\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x05")
	nobody := []byte("\x00\x09\x84\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	rate := packet.Ratio{Keep: 1, Of: 10}
	events := []Event{
		{Time: 1700000000_000000001, Src: v4, Dst: server4, Proto: UDP, Sample: packet.Ratio{Keep: 1, Of: 1}, Message: query},
		{Time: 1700000000_000000002, Src: server6, Dst: v6, Proto: TCP, Direction: packet.DirectionIn, Interface: 3, Sample: rate, Message: answer},
		{Time: 1700000000_000000003, Src: mapped, Dst: v4, Proto: UDP, Direction: packet.DirectionOut, HasVLAN: true, VLAN: 0x6007, Message: answer},
		{Time: -5, Src: v4, Dst: v6, Proto: UDP, Tunnel: packet.TunnelVXLAN, Message: query},
		{Time: 1700000000_000000004, Src: v6, Dst: server6, Proto: UDP, Identity: []byte("ns1.example.org"), Version: []byte("1.0"), Message: nobody},
		{Time: 1700000000_000000005, Src: v6, Dst: server6, Proto: UDP, Selected: []byte{2}, Message: two},
		{Time: 1700000000_000000006, Src: v6, Dst: server6, Proto: UDP, Version: []byte("2.0"), Selected: []byte{1}, Message: two},
		{Time: 1700000000_000000007, Src: v4, Dst: server4, Proto: UDP, CaptureCut: 20, Message: answer[:35]},
		{Time: 1700000000_000000008, Src: v4, Dst: server4, Proto: UDP, Message: answer[:35]},
		{Time: 1700000000_000000009, Src: v4, Dst: server4, Proto: TCP, Interface: 0xffffffff, Message: append(bytes.Clone(query), bytes.Repeat([]byte{0xee}, 2000)...)},
	}
	for i := range events {
		e := &events[i]
		dns.Read(e.Message, e.CaptureCut > 0, &e.DNS)
	}
	return events
}

func storedBlock(events []Event) []byte {
	b := NewBlock(1024)
	for i := range events {
		b.Append(&events[i])
	}
	b.Seal(storedID, storedAt)
	return b.Bytes()
}

// version2Events use what only version 2 can store.
func version2Events() []Event {
	v4, v6 := netip.MustParseAddrPort("192.0.2.1:40000"), netip.MustParseAddrPort("[2001:db8::1]:40001")
	none, port := netip.AddrPort{}, netip.AddrPortFrom(netip.Addr{}, 853)
	long := bytes.Repeat([]byte("0123456789"), 30)
	fields := AppendField(AppendField(AppendField(nil, 300, []byte("extra")), FirstField, nil), 300, long)
	unknown := append(appendFieldHead(nil, lastMember+1, 3), "new"...) // a member of a later build
	events := []Event{
		{Time: 1, Src: none, Dst: v4, Proto: DoT, Message: query},
		{Time: 2, Src: v6, Dst: none, Proto: DoH, Message: query},
		{Time: 3, Src: none, Dst: none, Proto: DoQ, Message: query},
		{Time: 4, Src: port, Dst: v4, Proto: DNSCryptUDP, Message: query},
		{Time: 5, Src: v4, Dst: port, Proto: DNSCryptTCP, Message: query},
		{Time: 6, Src: netip.MustParseAddrPort("[::]:1"), Dst: netip.MustParseAddrPort("0.0.0.0:2"), Proto: UDP, Message: query},
		{Time: 7, Src: v4, Dst: v4, Proto: UDP, QueryTime: 1700000000_000000001, Message: query},
		{Time: 8, Src: v4, Dst: v4, Proto: UDP, ResponseTime: -1, Message: query},
		{Time: 9, Src: v4, Dst: v4, Proto: UDP, Fields: fields, Message: query},
		{Time: 10, Src: v4, Dst: v4, Proto: UDP, Fields: unknown, Message: query},
		{Time: 11, Src: v4, Dst: v4, Proto: UDP, Fields: Fields("\x01"), Message: query}, // torn by its maker
		{
			Time: 12, Src: v4, Dst: v6, Proto: TCP, QueryTime: 5, ResponseTime: 6, Identity: long, Version: long[:256], Selected: []byte{1},
			Fields: append(bytes.Clone(unknown), fields...), Message: append(bytes.Clone(query), make([]byte, 500)...),
		},
	}
	for i := range events {
		dns.Read(events[i].Message, false, &events[i].DNS)
	}
	return events
}

// sameEvents compares the events of a stored block with want, field by field.
func sameEvents(t *testing.T, stored []byte, want []Event) {
	t.Helper()
	b, err := OpenBlock(stored)
	if err != nil {
		t.Fatal(err)
	}
	if b.ID() != storedID || !b.Sealed().Equal(storedAt) || b.Len() != len(want) {
		t.Errorf("id %s, sealed %s, %d events; want %s, %s, %d", b.ID(), b.Sealed(), b.Len(), storedID, storedAt, len(want))
	}
	var e Event
	r := b.Reader()
	for i := range want {
		if !r.Next(&e) {
			t.Fatalf("event %d is missing", i)
		}
		got, expected := reflect.ValueOf(plain(e)), reflect.ValueOf(plain(want[i]))
		for f := range got.NumField() {
			if g, w := got.Field(f).Interface(), expected.Field(f).Interface(); !reflect.DeepEqual(g, w) {
				t.Errorf("event %d: %s is %v, want %v", i, got.Type().Field(f).Name, g, w)
			}
		}
	}
	if r.Next(&e) {
		t.Error("the block has more events than were stored")
	}
}

// plain is e with nil for empty slices, which mean the same.
func plain(e Event) Event {
	for _, b := range []*[]byte{&e.Identity, &e.Version, &e.Selected, (*[]byte)(&e.Fields)} {
		if len(*b) == 0 {
			*b = nil
		}
	}
	return e
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestStoredVersion1: events that a build of version 1 stored are read, and survive
// being written again.
func TestStoredVersion1(t *testing.T) {
	stored := readFile(t, "block-v1")
	if stored[4] != 1 {
		t.Fatalf("the block is of version %d", stored[4])
	}
	sameEvents(t, stored, version1Events())
	sameEvents(t, rewritten(t, stored), version1Events())
}

// TestStoredVersion2: the layout has not changed since the block was stored. A changed
// layout needs a new version, with a file of its own.
func TestStoredVersion2(t *testing.T) {
	want := append(version1Events(), version2Events()...)
	made, stored := storedBlock(want), readFile(t, "block-v2")
	sameEvents(t, stored, want)
	if !bytes.Equal(made, stored) {
		t.Errorf("the events make a block of %d bytes that differs from the stored one of %d", len(made), len(stored))
	}
	if twice := rewritten(t, stored); !bytes.Equal(twice, stored) {
		t.Error("a block that is read and written again differs")
	}
}

// rewritten reads a block and writes its events into a new one.
func rewritten(t *testing.T, stored []byte) []byte {
	t.Helper()
	b, err := OpenBlock(stored)
	if err != nil {
		t.Fatal(err)
	}
	var events []Event
	var e Event
	for r := b.Reader(); r.Next(&e); {
		events = append(events, e)
	}
	return storedBlock(events)
}

// TestIPVersionOfStored: an absent address stays absent, and a zero address zero.
func TestIPVersionOfStored(t *testing.T) {
	want := version2Events()
	b, err := OpenBlock(storedBlock(want))
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	r := b.Reader()
	for i := 0; r.Next(&e); i++ {
		if e.Src != want[i].Src || e.Dst != want[i].Dst || e.IPVersion() != want[i].IPVersion() {
			t.Errorf("event %d: %v to %v, IPv%d; want %v to %v, IPv%d", i, e.Src, e.Dst, e.IPVersion(), want[i].Src, want[i].Dst, want[i].IPVersion())
		}
	}
}

// TestStoredSize: an event without fields takes the core and its message, and StoredSize
// is what Append adds.
func TestStoredSize(t *testing.T) {
	for i, e := range append(version1Events(), version2Events()...) {
		b := NewBlock(64)
		before := b.Size()
		b.Append(&e)
		if n := b.Size() - before; n != e.StoredSize() || !e.hasFields() && n != coreLen+len(e.Message) {
			t.Errorf("event %d takes %d bytes, StoredSize is %d, its message has %d", i, n, e.StoredSize(), len(e.Message))
		}
	}
}

// TestFieldsThatAreMembers: Fields cannot set a member of Event.
func TestFieldsThatAreMembers(t *testing.T) {
	e := sample(0)
	own := AppendField(nil, FirstField, []byte("own"))
	e.Identity = nil
	e.Fields = append(append(appendFieldHead(nil, fieldIdentity, 5), "forge"...), own...)
	var got Event
	b, err := OpenBlock(storedBlock([]Event{*e}))
	if err != nil {
		t.Fatal(err)
	}
	r := b.Reader()
	r.Next(&got)
	if got.Identity != nil || !bytes.Equal(got.Fields, own) {
		t.Errorf("identity %q, fields %q", got.Identity, got.Fields)
	}
}

// TestNothingIsCut: values longer than 65,535 bytes are stored whole.
func TestNothingIsCut(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789"), 7000)
	e := sample(0)
	e.Identity, e.Version, e.Fields = long, long[:65536], AppendField(nil, 99, long)
	e.Message = append(bytes.Clone(query), make([]byte, 65535-len(query))...)
	dns.Read(e.Message, true, &e.DNS)
	sameEvents(t, storedBlock([]Event{*e, *sample(1)}), []Event{*e, *sample(1)})
}

// reseal corrects the checksums of a changed block.
func reseal(stored []byte) []byte {
	le := binary.LittleEndian
	le.PutUint32(stored[36:], uint32(len(stored)-BlockHeaderLen))
	le.PutUint32(stored[40:], crc32.Checksum(stored[BlockHeaderLen:], castagnoli))
	le.PutUint32(stored[44:], crc32.Checksum(stored[:44], castagnoli))
	return stored
}

// TestBlockOfAnotherBuild: a block that cannot be read, but has the right checksums, is
// of another build, and its header can be read. With wrong checksums it is damaged.
func TestBlockOfAnotherBuild(t *testing.T) {
	f := func(what string, change func(b []byte) []byte, version uint16) {
		t.Helper()
		stored := reseal(change(bytes.Clone(sealed(10).Bytes())))
		h, err := ReadHeader(stored)
		if err != nil || h.Events != 10 || h.Len != len(stored) || h.Version != version {
			t.Errorf("%s: header %+v, %v", what, h, err)
		}
		if _, err := OpenBlock(stored); !errors.Is(err, ErrBlockLayout) {
			t.Errorf("%s: %v, want %v", what, err, ErrBlockLayout)
		}
		stored[len(stored)-1] ^= 1
		if _, err := OpenBlock(stored); !errors.Is(err, ErrBlockEvents) {
			t.Errorf("%s, damaged: %v, want %v", what, err, ErrBlockEvents)
		}
	}
	as := func(version uint16) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint16(b[4:], version); return b }
	}
	f("a later version", as(3), 3)
	f("the last version", as(65535), 65535)
	f("version 0", as(0), 0)
	f("bytes after the events", func(b []byte) []byte { return append(b, 0) }, 2)
	f("records of zeros", func(b []byte) []byte { clear(b[BlockHeaderLen:]); return b }, 2)
	f("a time of three bytes", func(b []byte) []byte {
		e := Event{Message: query}
		b = appendRecord(b[:BlockHeaderLen:BlockHeaderLen], &e)
		b = append(b, appendFieldHead(nil, fieldQueryTime, 3)...)
		b = append(b, 1, 2, 3)
		binary.LittleEndian.PutUint32(b[BlockHeaderLen:], uint32(len(b)-BlockHeaderLen))
		return b
	}, 2)

	many := bytes.Clone(sealed(1).Bytes())
	binary.LittleEndian.PutUint32(many[32:], 1<<31)
	if _, err := ReadHeader(reseal(many)); err != ErrBlockHeader {
		t.Errorf("more events than bytes: %v", err)
	}
}

// TestEmptyMembers: an empty member is absent, also for the next events, which are read
// into the same Event.
func TestEmptyMembers(t *testing.T) {
	plain := &Event{Message: query}
	dns.Read(query, false, &plain.DNS)
	b := NewBlock(1024)
	b.Append(plain)
	fields := appendFieldHead(appendFieldHead(appendFieldHead(nil, fieldIdentity, 0), fieldVersion, 0), fieldSelected, 0)
	b.buf = append(b.buf, fields...)
	binary.LittleEndian.PutUint32(b.buf[BlockHeaderLen:], uint32(len(b.buf)-BlockHeaderLen))
	b.Append(plain)
	b.Seal(NewIDs().Next(), time.Now())
	opened, err := OpenBlock(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	for r := opened.Reader(); r.Next(&e); {
		if !reflect.DeepEqual(&e, plain) {
			t.Errorf("read %+v, want %+v", &e, plain)
		}
		var row Row
		if rows := e.Rows(); !rows.Next(&row) {
			t.Error("the event has no row")
		}
	}
}
