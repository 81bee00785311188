// Package packets makes IPv4 packets with DNS messages, and makes and reads capture files,
// for tests. It knows nothing of the sensor.
package packets

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FileHeaderSize is how many bytes stand before a capture file's packets.
const FileHeaderSize = 24

// newFile is the header of a pcap file of raw IP packets.
func newFile() []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	return append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0)
}

// AppendToFile appends a packet of 2023-11-14T22:13:20Z and some microseconds.
func AppendToFile(b []byte, microseconds int, packet []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(le.AppendUint32(b, 1700000000), uint32(microseconds))
	b = le.AppendUint32(le.AppendUint32(b, uint32(len(packet))), uint32(len(packet)))
	return append(b, packet...)
}

// Queries makes a capture file of n DNS queries, from many clients.
func Queries(n int) []byte { return QueriesFrom(0, n) }

// QueriesFrom makes a capture file of n DNS queries for the names h<first> and so
// on.
func QueriesFrom(first, n int) []byte {
	b := newFile()
	var packet, dns []byte
	for i := first; i < first+n; i++ {
		dns = binary.BigEndian.AppendUint16(dns[:0], uint16(i))
		dns = append(dns, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
		at := len(dns)
		dns = fmt.Appendf(append(dns, 0), "h%d", i)
		dns[at] = byte(len(dns) - at - 1)
		dns = append(dns, "\x07example\x03org\x00\x00\x01\x00\x01"...)
		packet = AppendIPv4(packet[:0], 0xc0000200|uint32(i)&0xff, 53, 0, 0, 17, AppendUDP(nil, uint16(1024+i%50000), 53, dns))
		b = AppendToFile(b, i%1_000_000, packet)
	}
	return b
}

// Asking makes a capture file with one message for each text. A text is the names in
// the question section, with spaces between; "-" is a message without questions.
func Asking(messages ...string) []byte {
	b := newFile()
	for i, text := range messages {
		names := strings.Fields(strings.TrimSuffix(text, "-"))
		dns := []byte{byte(i >> 8), byte(i), 1, 0, 0, byte(len(names)), 0, 0, 0, 0, 0, 0}
		for _, name := range names {
			for label := range strings.SplitSeq(name, ".") {
				dns = append(append(dns, byte(len(label))), label...)
			}
			dns = append(dns, 0, 0, 1, 0, 1)
		}
		b = AppendToFile(b, i, AppendIPv4(nil, 0xc0000200|uint32(i)&0xff, 53, uint16(i), 0, 17, AppendUDP(nil, 4096, 53, dns)))
	}
	return b
}

// TempFile writes content to a file in a folder of the test.
func TempFile(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.pcap")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
