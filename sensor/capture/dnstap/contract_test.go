package dnstap

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/test/capturetest"
	"dnsmonster-sensor/userspace/framestream"
)

// TestPromises: those of every source, over each kind of socket.
func TestPromises(t *testing.T) {
	const n = 1000
	for _, network := range []string{"unix", "tcp"} {
		for _, dial := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s dial %v", network, dial), func(t *testing.T) {
				var s *Source
				var server net.Listener
				where := filepath.Join(t.TempDir(), "s")
				capturetest.Check(t, capturetest.Target{
					Open: func() capture.Source {
						if network == "tcp" {
							where = "127.0.0.1:0"
						}
						if server != nil {
							server.Close()
						}
						if dial {
							var err error
							if server, err = net.Listen(network, where); err != nil {
								t.Fatal(err)
							}
							where = server.Addr().String()
						}
						var err error
						s, err = Open(Options{Addresses: []string{network + "://" + where}, Dial: dial, Lanes: 2, Log: slog.New(slog.DiscardHandler)})
						if err != nil {
							t.Fatal(err)
						}
						return s
					},
					Feed: func() {
						var nc net.Conn
						var err error
						if dial {
							nc, err = server.Accept()
						} else {
							at, _ := ParseAddress(s.Senders().Addresses[0])
							nc, err = net.Dial(network, at.Where)
						}
						if err != nil {
							t.Fatal(err)
						}
						defer nc.Close()
						nc.SetDeadline(time.Now().Add(time.Minute))
						b := framestream.AppendControl(nil, framestream.Start, contentType)
						for i := range n {
							b = framestream.AppendHead(b, 30+i%100)
							b = append(b, make([]byte, 30+i%100)...)
						}
						if _, err := nc.Write(framestream.AppendControl(b, framestream.Stop, "")); err != nil {
							t.Fatal(err)
						}
					},
					Packets: n, WaitLimit: 30 * time.Second,
				})
			})
		}
	}
}
