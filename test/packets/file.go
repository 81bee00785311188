// Package packets makes IPv4 packets with DNS messages, and capture files of them, for
// tests. It knows nothing of the sensor: what it makes is input.
package packets

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Asking makes a capture file with one message for each text. A text is the names in
// the question section, with spaces between; "-" is a message without questions.
func Asking(messages ...string) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0) // raw IP
	for i, text := range messages {
		names := strings.Fields(strings.TrimSuffix(text, "-"))
		dns := []byte{byte(i >> 8), byte(i), 1, 0, 0, byte(len(names)), 0, 0, 0, 0, 0, 0}
		for _, name := range names {
			for label := range strings.SplitSeq(name, ".") {
				dns = append(append(dns, byte(len(label))), label...)
			}
			dns = append(dns, 0, 0, 1, 0, 1)
		}
		packet := AppendIPv4(nil, 0xc0000200|uint32(i)&0xff, 53, uint16(i), 0, 17, AppendUDP(nil, 4096, 53, dns))
		b = le.AppendUint32(le.AppendUint32(b, 1700000000), uint32(i))
		b = le.AppendUint32(le.AppendUint32(b, uint32(len(packet))), uint32(len(packet)))
		b = append(b, packet...)
	}
	return b
}

// FileHeaderSize is how many bytes stand before a capture file's packets.
const FileHeaderSize = 24

// Queries makes a capture file of n DNS queries, from many clients.
func Queries(n int) []byte { return QueriesFrom(0, n) }

// QueriesFrom makes a capture file of n DNS queries for the names h<first> and so
// on.
func QueriesFrom(first, n int) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0) // raw IP
	for i := first; i < first+n; i++ {
		name := fmt.Sprintf("h%d", i)
		dns := binary.BigEndian.AppendUint16(nil, uint16(i))
		dns = append(dns, "\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"...)
		dns = append(append(append(dns, byte(len(name))), name...), "\x07example\x03org\x00\x00\x01\x00\x01"...)
		ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, byte(i), 192, 0, 2, 53}
		ip = binary.BigEndian.AppendUint16(ip, uint16(1024+i%50000))
		ip = append(ip, 0, 53)
		ip = binary.BigEndian.AppendUint16(ip, uint16(8+len(dns)))
		ip = append(append(ip, 0, 0), dns...)
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		b = le.AppendUint32(b, 1700000000)
		b = le.AppendUint32(b, uint32(i%1000000))
		b = le.AppendUint32(b, uint32(len(ip)))
		b = le.AppendUint32(b, uint32(len(ip)))
		b = append(b, ip...)
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
