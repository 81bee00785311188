package worker

import (
	"fmt"
	"testing"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/packet"
)

// clockRounds is the number of rounds in playClocks, each of four messages.
const clockRounds = 60

// playClocks plays messages whose packets have the times and interfaces that at gives for
// each step. Answers come in two fragments, and in three segments out of order. Queries
// come in between, in fragments and segments.
func playClocks(b *rig, at func(i int, query bool) (seconds float64, number uint32)) {
	step := 0
	play := func(query bool, frame string) {
		seconds, number := at(step, query)
		step++
		p := packet.Packet{Data: []byte(frame), WireLen: uint32(len(frame)), Link: packet.LinkRaw, Interface: number}
		p.Time = 1_500_000_000e9 + int64(seconds*1e9) // can be 0: no time
		b.given++
		b.worker.Packet(&p, b.emit)
	}
	answers, queries := uint32(1000), uint32(9000)
	play(false, ip4(server4, client4, 1, 0, 6, tcpData(53, 40000, answers-1, 2, "")))
	play(true, ip4(client4, server4, 1, 0, 6, tcpData(40000, 53, queries-1, 2, "")))
	for i := range clockRounds {
		big, small := fragments4(server4, client4, 100+i, 17, udpData(53, 40000, answer(1000+i, 100)), 64), fragments4(client4, server4, 100+i, 17, udpData(40000, 53, query(2000+i, "q")), 24)
		reply, ask := answer(3000+i, 300), query(4000+i, "tcp")
		reply, ask = u16(len(reply))+reply, u16(len(ask))+ask
		segment := func(from, to int) string {
			return ip4(server4, client4, 1, 0, 6, tcpData(53, 40000, answers+uint32(from), 0, reply[from:to]))
		}
		play(false, big[0])
		play(false, segment(0, 100))
		play(true, small[0])
		play(false, segment(200, len(reply)))
		play(true, ip4(client4, server4, 1, 0, 6, tcpData(40000, 53, queries, 0, ask)))
		play(true, small[1])
		play(false, segment(100, 200))
		play(false, big[1])
		answers, queries = answers+uint32(len(reply)), queries+uint32(len(ask))
	}
}

// TestClocks: two interfaces whose clocks differ, and one interface with two clocks, do not
// lose fragments or segments, nor the sync of streams. Answers have the times of one clock,
// queries those of the other.
func TestClocks(t *testing.T) {
	f := func(name string, at func(i int, query bool) (seconds float64, number uint32)) {
		t.Helper()
		b := newRig(t, Config{})
		playClocks(b, at)
		b.end()
		lost, seen := 0, map[string]int{}
		for _, g := range b.got {
			seen[fmt.Sprintf("%d-%d", g.id, g.cut)]++
		}
		for i := range clockRounds {
			for _, id := range []int{1000, 2000, 3000, 4000} {
				if seen[fmt.Sprintf("%d-0", id+i)] != 1 {
					lost++
				}
			}
		}
		if lost > 0 || len(b.got) != 4*clockRounds || b.count(account.FragmentExpired)+b.count(account.StreamGaps) != 0 {
			t.Errorf("%s: %d messages are missing or torn, %d records, %d fragments expired, %d gaps", name, lost, len(b.got),
				b.count(account.FragmentExpired), b.count(account.StreamGaps))
		}
	}
	steady := func(i int) float64 { return float64(i) / 100 }
	for _, apart := range []float64{0, 37, -37, 3600, -3600, 1e9} {
		shifted := func(i int, query bool) float64 {
			if query {
				return steady(i) + apart
			}
			return steady(i)
		}
		f(fmt.Sprintf("two interfaces, %v s apart", apart), func(i int, query bool) (float64, uint32) {
			number := uint32(0)
			if query {
				number = 7
			}
			return shifted(i, query), number
		})
		f(fmt.Sprintf("one interface with two clocks, %v s apart", apart), func(i int, query bool) (float64, uint32) {
			return shifted(i, query), 0
		})
		if apart <= 0 { // a step forward looks like a pause
			f(fmt.Sprintf("a clock set by %v s", apart), func(i int, query bool) (float64, uint32) {
				if i >= 203 {
					return steady(i) + apart, 0
				}
				return steady(i), 0
			})
		}
	}
	f("no times at all", func(int, bool) (float64, uint32) { return -1_500_000_000, 0 })
	f("a time on every third packet", func(i int, query bool) (float64, uint32) {
		if i%3 > 0 {
			return -1_500_000_000, 0
		}
		return steady(i), 0
	})
}

// TestPauseExpires: waiting fragments expire by the time of another interface, too, and
// after a step of the clock.
func TestPauseExpires(t *testing.T) {
	f := func(name string, number uint32, from float64) {
		b := newRig(t, Config{})
		at := func(number uint32, seconds float64, frame string) {
			b.packet(packet.Packet{Data: []byte(frame), Link: packet.LinkRaw, Time: 1_500_000_000e9 + int64(seconds*1e9), Interface: number})
		}
		at(0, 0, ip4(client4, server4, 7, 0x2001, 17, "12345678"))
		for i := range 400 {
			at(number, from+float64(i)/10, ip4(client4, server4, 7, 0, 6, tcpData(1, 2, 3, 0, "")))
		}
		if n := b.count(account.FragmentExpired); n != 1 {
			t.Errorf("%s: %d fragments expired, want 1", name, n)
		}
		b.end()
	}
	f("40 s", 0, 0)
	f("40 s of another interface", 3, 5000)
	f("40 s of a clock that is set back", 0, -5000)
	f("40 s of a clock that is set forward", 0, 5000)
}

// TestPauseKeepsWhatFollows: fragments and segments that come right after a pause do not
// expire when the clock accepts the pause.
func TestPauseKeepsWhatFollows(t *testing.T) {
	b := newRig(t, Config{})
	at := func(seconds float64, frame string) {
		b.packet(packet.Packet{Data: []byte(frame), Link: packet.LinkRaw, Time: 1_500_000_000e9 + int64(seconds*1e9)})
	}
	other := ip4(client4, server4, 7, 0, 6, tcpData(1, 2, 3, 0, ""))
	data := u16(len(answer(9, 300))) + answer(9, 300)
	big := fragments4(server4, client4, 7, 17, udpData(53, 40000, answer(10, 300)), 160)
	at(0, other)
	at(300, ip4(server4, client4, 1, 0, 6, tcpData(53, 40000, 99, 2, "")))
	at(300.1, ip4(server4, client4, 1, 0, 6, tcpData(53, 40000, 200, 0, data[100:])))
	at(300.1, big[0])
	for i := range 100 {
		at(300.2+float64(i)/100, other)
	}
	at(301.3, ip4(server4, client4, 1, 0, 6, tcpData(53, 40000, 100, 0, data[:100])))
	at(301.3, big[1])
	b.end()
	if len(b.got) != 2 || b.got[0].cut+b.got[1].cut != 0 || b.count(account.StreamGaps) != 0 {
		t.Errorf("records %+v, %d gaps, want two whole records", b.got, b.count(account.StreamGaps))
	}
}
