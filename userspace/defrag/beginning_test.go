package defrag

import (
	"testing"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/packet"
)

// TestBeginnings: which beginning is delivered of a datagram that stays incomplete, and
// how each of its packets is counted.
func TestBeginnings(t *testing.T) {
	const cut, expired = account.FragmentCut, account.FragmentExpired
	type counts map[account.Column]uint64
	f := func(name string, frags []Fragment, want string, numbers counts) {
		t.Helper()
		b := newRig(t, Config{})
		for _, frag := range frags {
			b.add(frag)
		}
		b.flush()
		if want == "" && len(b.cut) != 0 || want != "" && (len(b.cut) != 1 || b.cut[0] != want) {
			t.Errorf("%s: beginnings %q, want %q", name, b.cut, want)
		}
		for c, n := range numbers {
			if got := b.count(c); got != n {
				t.Errorf("%s: %d packets with outcome %d, want %d", name, got, c, n)
			}
		}
	}
	type fs = []Fragment
	for name, v := range map[string]func(int, bool, string) Fragment{"IPv4 ": v4, "IPv6 ": v6} {
		a, b, c, d := v(0, true, "aaaaaaaa"), v(8, true, "bbbbbbbb"), v(16, true, "cccccccc"), v(24, false, "dd")
		f(name+"first alone", fs{a}, "aaaaaaaa-1+", counts{cut: 1})
		f(name+"first and second", fs{b, a}, "aaaaaaaabbbbbbbb-1+", counts{cut: 2})
		f(name+"last is there", fs{a, d}, "aaaaaaaa-18", counts{cut: 2})
		f(name+"last first", fs{d, a}, "aaaaaaaa-18", counts{cut: 2})
		f(name+"beyond a gap", fs{a, c}, "aaaaaaaa-17+", counts{cut: 2})
		f(name+"all but one", fs{d, b, a}, "aaaaaaaabbbbbbbb-10", counts{cut: 3})
		f(name+"no first", fs{b, c, d}, "", counts{expired: 3})
		f(name+"whole", fs{a, b, c, d}, "", counts{used: 4})
		f(name+"no message in it", fs{v(0, true, "xxxxxxxx"), c}, "xxxxxxxx-17+", counts{expired: 2})
		f(name+"repeated", fs{a, a}, "aaaaaaaa-1+", counts{cut: 1, account.Duplicate: 1})
	}
	f("IPv6 overlap", fs{v6(0, true, "aaaaaaaabbbbbbbb"), v6(8, true, "bbbbbbbb"), v6(0, true, "aaaaaaaa")}, "", counts{account.FragmentOverlap: 3})
	f("IPv4 overlap, what came first stays", fs{v4(0, true, "aaaaaaaabbbbbbbb"), v4(8, true, "xxxxxxxxcccccccc")},
		"aaaaaaaabbbbbbbbcccccccc-1+", counts{cut: 2})
	short := v4(0, true, "aaaa")
	short.Missing = 4
	f("cut by the capture", fs{short, v4(8, true, "bbbbbbbb")}, "aaaa-13+", counts{cut: 2})
}

// TestBeginningKnowsOrigin: a beginning has the first fragment's origin, and the time of
// the latest fragment that it has bytes of.
func TestBeginningKnowsOrigin(t *testing.T) {
	var got Datagram
	shard := account.NewPacketCounters().Shard()
	table := New(Config{}, shard, func(d *Datagram, why account.Column) account.Column {
		got = *d
		return why
	})
	add := func(f Fragment, time int64, direction packet.Direction) {
		f.Time, f.Origin.Direction, f.Packets = time, direction, 1
		table.Add(&f)
	}
	add(v6(8, true, "bbbbbbbb"), 5, packet.DirectionUnknown)
	add(v6(0, true, "aaaaaaaa"), 4, packet.DirectionOut)
	add(v6(24, true, "dddddddd"), 9, packet.DirectionIn)
	table.Flush()
	if got.Time != 5 || got.Origin.Direction != packet.DirectionOut || got.ID != 7 || string(got.Src) != string(src6) || got.Packets != 3 {
		t.Errorf("%+v, want time 5, direction out, id 7, 3 packets from %x", got, src6)
	}
}

// TestBeginningWhereRoomIsMade: a datagram that is abandoned to make room, in the middle
// of Add, leaves its beginning, too.
func TestBeginningWhereRoomIsMade(t *testing.T) {
	f := func(name string, cfg Config, data string, n int) {
		t.Helper()
		b := newRig(t, cfg)
		for id := range uint32(20) {
			f := v4(0, true, data)
			f.ID = id
			b.add(f)
		}
		if len(b.cut) != 20-n || b.count(account.FragmentCut) != uint64(20-n) || b.count(account.FragmentOverflow) != 0 {
			t.Errorf("%s: beginnings %q, %d packets cut, %d overflow, want %d of them", name, b.cut, b.count(account.FragmentCut),
				b.count(account.FragmentOverflow), 20-n)
		}
		b.flush()
	}
	f("room for a datagram", Config{Datagrams: 2}, "aaaaaaaa", 2)
	f("room for bytes", Config{Bytes: 8192, Datagrams: 100}, string(make([]byte, 800)), 4)
}
