//go:build linux

package scenes

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/program"
)

// bigTCP lets the kernel put up to size bytes of a stream into one packet.
func bigTCP(t *testing.T, host *lab.Host, size int) {
	t.Helper()
	err := host.Do(func() error {
		link, err := netlink.LinkByName(host.Iface)
		if err != nil {
			return err
		}
		for _, set := range []func(netlink.Link, int) error{
			netlink.LinkSetGSOMaxSize, netlink.LinkSetGROMaxSize, netlink.LinkSetGSOIPv4MaxSize, netlink.LinkSetGROIPv4MaxSize,
		} {
			if err := set(link, size); err != nil {
				return err
			}
		}
		if link, err = netlink.LinkByName(host.Iface); err == nil && int(link.Attrs().GSOIPv4MaxSize) != size {
			err = fmt.Errorf("it stays at %d bytes", link.Attrs().GSOIPv4MaxSize)
		}
		return err
	})
	if err != nil {
		t.Skipf("no BIG TCP for IPv4 (Linux 6.3): %v", err)
	}
}

// zoneTransfer is a stream of n messages of about 60 KB, like a zone transfer.
func zoneTransfer(t *testing.T, n int) []byte {
	t.Helper()
	var stream []byte
	for i := range n {
		m := new(dns.Msg).SetQuestion("example.org.", dns.TypeTXT)
		m.Id, m.Response = uint16(i), true
		text := make([]string, 4)
		for j := range text {
			text[j] = string(make([]byte, 255))
		}
		for range 58 {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: "example.org.", Rrtype: dns.TypeTXT, Class: 1}, Txt: text})
		}
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		stream = append(binary.BigEndian.AppendUint16(stream, uint16(len(b))), b...)
	}
	return stream
}

// TestBigTCP transfers messages in packets of 200 KB, over both IP versions. The kernel
// hands each to the sensor as one packet.
func TestBigTCP(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	bigTCP(t, l.Client, 200_000)
	bigTCP(t, l.Server, 200_000)
	p := program.Attach(t, l.Client)
	const messages = 60
	stream := zoneTransfer(t, messages)
	for _, server := range []string{l.Server.V4.String(), l.Server.V6.String()} {
		var listener net.Listener
		var client net.Conn
		err := l.Server.Do(func() (err error) {
			listener, err = net.Listen("tcp", net.JoinHostPort(server, "53"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go func() {
			if c, err := listener.Accept(); err == nil {
				_ = c.(*net.TCPConn).SetWriteBuffer(8 << 20)
				_, _ = c.Write(stream)
				c.Close()
			}
		}()
		err = l.Client.Do(func() (err error) {
			client, err = net.Dial("tcp", listener.Addr().String())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if n, err := io.Copy(io.Discard, client); err != nil || int(n) != len(stream) {
			t.Fatalf("received %d bytes of %d: %v", n, len(stream), err)
		}
	}
	r := p.Stop()
	r.Expect(t, program.ExitOK)
	if got := program.Count(t, p.RecordsFile); got.Total() != 2*messages {
		t.Errorf("%d records, want %d:\n%s", got.Total(), 2*messages, r.Log)
	}
}
