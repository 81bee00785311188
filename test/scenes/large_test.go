//go:build linux

package scenes

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// TestLargeFile replays a file of more than 4 GiB: every query between its large packets
// is recorded. The file is sparse.
func TestLargeFile(t *testing.T) {
	tier.ByHand(t, tier.Large)
	const (
		size    = 9 << 30
		between = 4000 // large packets, a quarter of a gigabyte
	)
	path := filepath.Join(t.TempDir(), "large.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	large := binary.LittleEndian.AppendUint32(nil, 1700000000)
	large = binary.LittleEndian.AppendUint32(large, 0)
	large = binary.LittleEndian.AppendUint32(large, 0xffff)
	large = binary.LittleEndian.AppendUint32(large, 0xffff)
	large = packets.AppendIPv4(large, packets.Client, 1, 1, 0, 17, make([]byte, 0xffff-20))
	binary.BigEndian.PutUint16(large[16+20+4:], 0xffff-20) // UDP between ports 0: not DNS
	length := int64(len(large))
	large = large[:16+20+8]

	at, sent, asked := int64(0), 0, 0
	put := func(b []byte, length int64) {
		t.Helper()
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
		at += length
	}
	put(packets.Queries(0), packets.FileHeaderSize)
	for at < size {
		for range between {
			put(large, length)
			sent++
		}
		query := packets.QueriesFrom(asked, 1)[packets.FileHeaderSize:]
		put(query, int64(len(query)))
		sent++
		asked++
	}
	p := program.Start(t, nil, "replay", path)
	r := p.Wait(10 * time.Minute)
	r.Expect(t, program.ExitOK)
	if got := r.Ledgers["packet"]; got["in"] != uint64(sent) || got["not_dns"] != uint64(sent-asked) {
		t.Errorf("%v, want %d packets in and all but %d not_dns", got, sent, asked)
	}
	if got := int(program.Count(t, p.RecordsFile).Total()); got != asked {
		t.Errorf("%d records, want %d", got, asked)
	}
	t.Logf("%d packets, %d queries in %d MiB", sent, asked, at>>20)
}
