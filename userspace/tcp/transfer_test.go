//go:build linux

package tcp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// zone makes the messages of a zone transfer, of about n bytes each: only the first one
// has a question, and records are of all kinds, with many zeros.
func zone(rng *rand.Rand, messages, n int) (stream string, starts []int) {
	var all strings.Builder
	for id := range messages {
		starts = append(starts, all.Len())
		body, answers, questions := "", 0, 0
		if id == 0 {
			body, questions = "\x07example\x03org\x00\x00\xfc\x00\x01", 1
		}
		for len(body) < n {
			owner := fmt.Sprintf("\x05h%04d", rng.IntN(10000))
			if answers == 0 {
				owner += "\x07example\x03org\x00"
			} else {
				owner += "\xc0\x12"
			}
			body += owner + record(rng)
			answers++
		}
		head := []byte{byte(id >> 8), byte(id), 0x84, 0, 0, byte(questions), byte(answers >> 8), byte(answers), 0, 0, 0, 0}
		size := len(head) + len(body)
		all.WriteString(string([]byte{byte(size >> 8), byte(size)}) + string(head) + body)
	}
	return all.String(), starts
}

// record makes a type, class, time to live and data.
func record(rng *rand.Rand) string {
	ttl := string(binary.BigEndian.AppendUint32(nil, []uint32{0, 60, 3600, 0x10001}[rng.IntN(4)]))
	kinds := []struct {
		kind byte
		data string
	}{
		{1, "\xc0\x00\x02\x01"}, {1, "\x00\x00\x00\x00"}, {28, strings.Repeat("\x00", 15) + "\x01"}, {15, "\x00\x0a\x02mx\xc0\x12"},
		{16, "\xff" + strings.Repeat("\x00", 255)}, {2, "\x02ns\xc0\x12"}, {99, strings.Repeat("\x00\x01", 60)},
	}
	k := kinds[rng.IntN(len(kinds))]
	return "\x00" + string(k.kind) + "\x00\x01" + ttl + string([]byte{byte(len(k.data) >> 8), byte(len(k.data))}) + k.data
}

// readTransfer plays a stream from an offset, in segments of size bytes, without those
// for which lost is true. It returns the ids of the messages that it reads, and checks
// that each of them was sent.
func readTransfer(t *testing.T, stream string, starts []int, from, size int, lost func(segment int) bool) (ids []int) {
	t.Helper()
	b := newRig(t, Config{})
	b.table.emit = func(m *Message) {
		id := int(binary.BigEndian.Uint16(m.Data))
		if id >= len(starts) || !strings.HasPrefix(stream[starts[id]+2:], string(m.Data)) {
			t.Errorf("picked up at %d, segments of %d: a message of %d bytes, %x, missing %d, that was not sent", from, size, len(m.Data), m.Data, m.Missing)
			return
		}
		ids = append(ids, id)
	}
	for off, i := from, 0; off < len(stream); off, i = off+size, i+1 {
		if !lost(i) {
			b.add(at(int64(i)*1e6, off, stream[off:min(off+size, len(stream))]))
		}
	}
	b.flush()
	return ids
}

// TestTransferAfterGap: messages without a question are found after a gap, and where
// a transfer is picked up midway.
func TestTransferAfterGap(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{300, 5_000, 16_000, 60_000} {
		const messages = 30
		stream, starts := zone(rng, messages, n)
		for _, size := range []int{100, 1448} {
			for range 3 {
				from := 1 + rng.IntN(len(stream)/3)
				whole := 0
				for _, s := range starts {
					if s >= from {
						whole++
					}
				}
				ids := readTransfer(t, stream, starts, from, size, func(int) bool { return false })
				if len(ids) < whole-1 {
					t.Errorf("messages of %d bytes, picked up at %d, segments of %d: %d messages of %d", n, from, size, len(ids), whole)
				}
				// A gap as long as some messages: nothing tells where the next one starts.
				gap, length := 1+rng.IntN(len(stream)/size/4), 2*(n+400)/size
				ids = readTransfer(t, stream, starts, 0, size, func(i int) bool { return i >= gap && i <= gap+length })
				if len(ids) < messages-5 {
					t.Errorf("messages of %d bytes, segments of %d, a gap at %d: %d messages of %d", n, size, gap*size, len(ids), messages)
				}
			}
		}
	}
}

// TestNoMessageInNoise: no message is found in random bytes, and very few in bytes as
// messages have them.
func TestNoMessageInNoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	f := func(name string, most int, next func() byte) {
		t.Helper()
		noise := make([]byte, 1<<20)
		for i := range noise {
			noise[i] = next()
		}
		found := 0
		for i := range noise {
			if assess(noise[i:min(len(noise), i+1400)], anywhere) == plausible {
				found++
			}
		}
		if found > most {
			t.Errorf("%s: %d messages in %d bytes, at most %d", name, found, len(noise), most)
		}
	}
	f("random", 1, func() byte { return byte(rng.Uint32()) })
	f("mostly zeros", 40, func() byte { r := rng.Uint32(); return byte(r & (r >> 8) & (r >> 16) & (r >> 24)) })
	f("small numbers", 10, func() byte { return byte(rng.IntN(3)) })
	f("few bits", 200, func() byte { return 1 << rng.IntN(8) & 0x81 })
}

// TestFirstRecord: which record a message without a question can begin with.
func TestFirstRecord(t *testing.T) {
	const (
		answer     = "\x84\x00\x00\x00\x00\x03\x00\x00\x00\x00"
		additional = "\x84\x05\x00\x00\x00\x00\x00\x00\x00\x01"
		name       = "\x07example\x03org\x00"
	)
	f := func(what, head, body string, want plausibility) {
		t.Helper()
		msg := "\x00\x07" + head + body
		n := len(msg)
		if head == answer {
			n += 200 // still to come
		}
		b := append([]byte{byte(n >> 8), byte(n)}, msg...)
		if got := assess(b, anywhere); got != want {
			t.Errorf("%s: plausibility %d, want %d", what, got, want)
		}
	}
	f("address", answer, name+"\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01", plausible)
	f("its data to come", answer, name+"\x00\x10\x00\x01\x00\x00\x0e\x10\x00\x40", plausible)
	f("its header cut", answer, name+"\x00\x10\x00\x01\x00\x00", undecided)
	f("its name cut", answer, name[:5], undecided)
	f("at the root", answer, "\x00\x00\x06\x00\x01\x00\x00\x0e\x10\x00\x40", plausible)
	f("of a private type", answer, name+"\xff\x01\x00\x01\x00\x00\x0e\x10\x00\x04", plausible)
	f("an address of 5 bytes", answer, name+"\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x05", implausible)
	f("two records", answer, name+"\x00\x02\x00\x01\x00\x00\x0e\x10\x00\x02\xc0\x0c"+"\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04", plausible)
	f("a second one that is not a record", answer, name+"\x00\x02\x00\x01\x00\x00\x0e\x10\x00\x02\xc0\x0c"+"\xc0\x0c\x00\x01\x00\x00\x00\x00\x0e\x10\x00\x04", implausible)
	f("data beyond the message", answer, name+"\x00\x10\x00\x01\x00\x00\x0e\x10\x02\x00", implausible)
	f("a compressed name", answer, "\xc0\x0c\x00\x10\x00\x01\x00\x00\x0e\x10\x00\x40", implausible)
	f("type 0", answer, name+"\x00\x00\x00\x01\x00\x00\x0e\x10\x00\x04", implausible)
	f("type ANY", answer, name+"\x00\xff\x00\x01\x00\x00\x0e\x10\x00\x04", implausible)
	f("class 0", answer, name+"\x00\x10\x00\x00\x00\x00\x0e\x10\x00\x04", implausible)
	f("a negative time to live", answer, name+"\x00\x10\x00\x01\x80\x00\x0e\x10\x00\x04", implausible)
	f("OPT as an answer", answer, "\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00", implausible)
	f("OPT alone", additional, "\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00", plausible)
	f("OPT of another version", additional, "\x00\x00\x29\x10\x00\x00\x01\x80\x00\x00\x00", implausible)
	f("OPT with a name", additional, name+"\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00", implausible)
}

// TestNoMessageInZone: in the middle of a transfer, "org", a type, IN, a TTL of five
// minutes, and text as long as a label look like a query with a question. It is not
// taken for one, even where the segment ends before more can be seen.
func TestNoMessageInZone(t *testing.T) {
	const fields = "\x00\x10\x00\x01\x00\x00\x01\x2c\x00"
	text := "org\x00" + fields + "\x33\x32" + strings.Repeat("t", 50) + "\x02h5\x07example\x03org\x00" + "\x00\x01\x00\x01\x00\x00\x01\x2c\x00"
	for _, where := range []position{anywhere, segmentStart} {
		if got := assess([]byte(text), where); got != implausible {
			t.Errorf("text at position %d: plausibility %d, want %d", where, got, implausible)
		}
	}
	const question = "\x07example\x03org\x00\x00\xfb\x00\x01"
	for counts, want := range map[string]plausibility{"\x00\x01\x00\x02": plausible, "\x00\x02\x00\x00": implausible, "\x00\x00\x00\x04": implausible} {
		if got := assess([]byte("\x00\x80\x00\x07\x01\x00\x00\x01\x00\x00"+counts+question+"\xc0\x0c\x00\x06\x00\x01"), anywhere); got != want {
			t.Errorf("a query with counts %x: plausibility %d, want %d", counts, got, want)
		}
	}
}

// FuzzTransfer: wherever a transfer is picked up, and whatever part of it is lost, only
// messages that were sent appear.
func FuzzTransfer(f *testing.F) {
	f.Add(uint64(1), uint16(40), uint8(90), uint64(0))
	f.Add(uint64(2), uint16(3000), uint8(200), uint64(0x18))
	f.Add(uint64(1), uint16(3316), uint8(19), uint64(46))
	f.Add(uint64(145), uint16(176), uint8(14), uint64(107))
	f.Add(uint64(27), uint16(2982), uint8('&'), uint64(78))
	f.Add(uint64(3), uint16(999), uint8(255), uint64(0xf0f0f0))
	f.Fuzz(func(t *testing.T, seed uint64, from uint16, size uint8, lost uint64) {
		stream, starts := zone(rand.New(rand.NewPCG(seed, 0)), 6, 1500)
		readTransfer(t, stream, starts, int(from)%len(stream), int(size)+1, func(i int) bool { return lost>>(i%64)&1 == 1 })
	})
}
