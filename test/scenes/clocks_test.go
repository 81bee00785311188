//go:build linux

package scenes

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// ngFile builds a pcapng file of raw IP packets.
type ngFile struct{ data []byte }

func (f *ngFile) block(kind uint32, body []byte) {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	le := binary.LittleEndian
	f.data = le.AppendUint32(le.AppendUint32(f.data, kind), uint32(12+len(body)))
	f.data = le.AppendUint32(append(f.data, body...), uint32(12+len(body)))
}

// section begins a section with interfaces that have no names.
func (f *ngFile) section(interfaces int) {
	f.block(0x0a0d0d0a, []byte("\x4d\x3c\x2b\x1a\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"))
	for range interfaces {
		f.block(1, []byte{101, 0, 0, 0, 0, 0, 0, 0})
	}
}

func (f *ngFile) packet(number uint32, seconds float64, frame []byte) {
	le := binary.LittleEndian
	stamp := uint64(seconds * 1e6)
	body := le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, number), uint32(stamp>>32)), uint32(stamp))
	body = le.AppendUint32(le.AppendUint32(body, uint32(len(frame))), uint32(len(frame)))
	f.block(6, append(body, frame...))
}

// recordIDs returns the ids of the complete records, and the number of cut ones.
func recordIDs(t *testing.T, arguments ...string) (whole []string, cut int) {
	t.Helper()
	p := program.Start(t, nil, append([]string{"replay"}, arguments...)...)
	p.Wait(time.Minute).Expect(t, program.ExitOK)
	b, err := os.ReadFile(p.RecordsFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "CaptureCut") {
			cut++
			continue
		}
		_, rest, _ := strings.Cut(line, `"Id":`)
		id, _, _ := strings.Cut(rest, ",")
		whole = append(whole, id)
	}
	slices.Sort(whole)
	return whole, cut
}

// TestFilesWithClocks: fragments and segments are reassembled although the interfaces of a
// file have different clocks, across sections, and in files in any order.
func TestFilesWithClocks(t *testing.T) {
	const rounds = 8
	var want []string
	for i := range rounds {
		want = append(want, fmt.Sprint(100+i), fmt.Sprint(200+i))
	}
	slices.Sort(want)
	build := func(start float64, apart float64, sections int) string {
		f := &ngFile{}
		f.section(2)
		seq := uint32(1000)
		now := start
		give := func(number uint32, frame []byte) {
			now += 0.01
			f.packet(number, now+float64(number)*apart, frame)
		}
		noise := func() {
			give(1, packets.AppendIPv4(nil, packets.Client, 1, 9, 0, 6, packets.AppendTCP(nil, 999, 5, 0, nil)))
		}
		give(0, packets.AppendIPv4(nil, packets.Client, 1, 1, 0, 6, packets.AppendTCP(nil, 10000, seq-1, 2, nil)))
		for i := range rounds {
			if sections > 1 && i == rounds/2 {
				f.section(2)
			}
			big := packets.AppendUDP(nil, 53, 40000, packets.AppendQuestion(nil, 100+i, "big", 500))
			stream := packets.AppendQuestion([]byte{0, 0}, 200+i, "stream", 200)
			binary.BigEndian.PutUint16(stream, uint16(len(stream)-2))
			segment := func(from, to int) {
				give(0, packets.AppendIPv4(nil, packets.Client, 1, 1, 0, 6, packets.AppendTCP(nil, 10000, seq+uint32(from), 0, stream[from:to])))
			}
			give(0, packets.AppendIPv4(nil, packets.Client, 1, uint16(i), 0x2000, 17, big[:160]))
			segment(0, 50)
			noise()
			segment(100, len(stream))
			noise()
			segment(50, 100)
			give(0, packets.AppendIPv4(nil, packets.Client, 1, uint16(i), 160/8, 17, big[160:]))
			seq += uint32(len(stream))
		}
		return packets.TempFile(t, f.data)
	}
	const day = 86400
	for _, workers := range []string{"--workers=1", "--workers=3"} {
		for _, apart := range []float64{0, 37, 2 * day} {
			if whole, cut := recordIDs(t, workers, build(1e9, apart, 1)); !slices.Equal(whole, want) || cut != 0 {
				t.Errorf("%v s apart: records %v, %d cut, want %v", apart, whole, cut, want)
			}
		}
		if whole, cut := recordIDs(t, workers, build(1e9, 37, 2)); !slices.Equal(whole, want) || cut != 0 {
			t.Errorf("two sections: records %v, %d cut, want %v", whole, cut, want)
		}
		newer := build(1e9, 0, 1)
		if whole, cut := recordIDs(t, workers, newer, build(1e9-day, 37, 1), newer); len(whole) != 3*len(want) || cut != 0 {
			t.Errorf("a newer file, an older one, and the newer one again: %d records, %d cut, want %d", len(whole), cut, 3*len(want))
		}
	}
}

// TestFirstFragmentsOfFile: a capture of only first fragments gives a cut record of each.
func TestFirstFragmentsOfFile(t *testing.T) {
	f := &ngFile{}
	f.section(1)
	for i := range 93 {
		big := packets.AppendUDP(nil, 53, 40000, packets.AppendQuestion(nil, i, "big", 1900))
		f.packet(0, 1e9+float64(i), packets.AppendIPv4(nil, packets.Client, 1, uint16(i), 0x2000, 17, big[:1480]))
	}
	for _, workers := range []string{"--workers=1", "--workers=3"} {
		if whole, cut := recordIDs(t, workers, packets.TempFile(t, f.data)); len(whole) != 0 || cut != 93 {
			t.Errorf("%s: %d whole records and %d cut, want 0 and 93", workers, len(whole), cut)
		}
		if whole, cut := recordIDs(t, workers, "--malformed=drop", packets.TempFile(t, f.data)); len(whole) != 0 || cut != 0 {
			t.Errorf("%s, --malformed=drop: %d whole records and %d cut, want none", workers, len(whole), cut)
		}
	}
}
