//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// record is dnsmonster's record, for encoding/json.
type record struct {
	Timestamp    time.Time
	DNS          *dns.Msg
	IPVersion    uint8
	SrcIP        net.IP
	SrcPort      uint16 `json:",omitempty"`
	DstIP        net.IP
	DstPort      uint16 `json:",omitempty"`
	Protocol     string
	PacketLength int
}

// reference makes records of packets as a plain program would. It reassembles nothing:
// it takes only TCP segments that have one whole message.
type reference struct {
	parser  *gopacket.DecodingLayerParser
	eth     layers.Ethernet
	ip4     layers.IPv4
	ip6     layers.IPv6
	udp     layers.UDP
	tcp     layers.TCP
	data    gopacket.Payload
	decoded []gopacket.LayerType

	out     *bufio.Writer
	enc     *json.Encoder
	records int
}

func newReference(w io.Writer) *reference {
	r := &reference{out: bufio.NewWriterSize(w, 256<<10)}
	r.parser = gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &r.eth, &r.ip4, &r.ip6, &r.udp, &r.tcp, &r.data)
	r.parser.IgnoreUnsupported = true
	r.enc = json.NewEncoder(r.out)
	r.enc.SetEscapeHTML(false)
	return r
}

// packet takes one Ethernet frame.
func (r *reference) packet(frame []byte, at time.Time) error {
	if err := r.parser.DecodeLayers(frame, &r.decoded); err != nil {
		return nil // not such a packet, or truncated: a plain program goes on
	}
	rec := record{Timestamp: at.UTC()}
	var payload []byte
	for _, l := range r.decoded {
		switch l {
		case layers.LayerTypeIPv4:
			rec.IPVersion, rec.SrcIP, rec.DstIP = 4, r.ip4.SrcIP, r.ip4.DstIP
		case layers.LayerTypeIPv6:
			rec.IPVersion, rec.SrcIP, rec.DstIP = 6, r.ip6.SrcIP, r.ip6.DstIP
		case layers.LayerTypeUDP:
			rec.Protocol, rec.SrcPort, rec.DstPort, payload = "udp", uint16(r.udp.SrcPort), uint16(r.udp.DstPort), r.udp.Payload
		case layers.LayerTypeTCP:
			rec.Protocol, rec.SrcPort, rec.DstPort = "tcp", uint16(r.tcp.SrcPort), uint16(r.tcp.DstPort)
			if p := r.tcp.Payload; len(p) > 2 && int(binary.BigEndian.Uint16(p)) == len(p)-2 {
				payload = p[2:]
			}
		}
	}
	if len(payload) == 0 || rec.SrcPort != 53 && rec.DstPort != 53 {
		return nil
	}
	rec.DNS, rec.PacketLength = new(dns.Msg), len(payload)
	if rec.DNS.Unpack(payload) != nil {
		return nil
	}
	r.records++
	if err := r.enc.Encode(&rec); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

// finish flushes the output and logs the number of records.
func (r *reference) finish() error {
	fmt.Fprintf(os.Stderr, "records %d\n", r.records)
	return r.out.Flush()
}

// referenceFile maps and reads a little-endian pcap file of Ethernet frames.
func referenceFile(path string, w io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() < pcapHeader {
		return errors.New(path + ": too short for a capture")
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", path, err)
	}
	defer unix.Munmap(data)
	unit := int64(1)
	switch binary.LittleEndian.Uint32(data) {
	case 0xa1b2c3d4:
		unit = 1000
	case 0xa1b23c4d:
	default:
		return errors.New(path + ": not a little-endian pcap file")
	}
	r := newReference(w)
	for data = data[pcapHeader:]; len(data) >= pcapRecord; {
		le := binary.LittleEndian
		end := pcapRecord + int(le.Uint32(data[8:]))
		if end > len(data) {
			break
		}
		at := time.Unix(int64(le.Uint32(data)), int64(le.Uint32(data[4:]))*unit)
		if err := r.packet(data[pcapRecord:end], at); err != nil {
			return err
		}
		data = data[end:]
	}
	return r.finish()
}
