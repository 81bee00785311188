package capturetest_test

import (
	"bytes"
	"log/slog"
	"net"
	"testing"
	"time"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/capturetest"
	"dnsmonster-sensor/test/capturetest/testdata/tee"
)

// TestExample: the source of docs/adding-an-input.md keeps what sources promise.
func TestExample(t *testing.T) {
	t.Parallel()
	const n = 1000
	var source *tee.Source
	var address string
	capturetest.Check(t, capturetest.Target{
		Open: func() capture.Source {
			l, err := net.ListenPacket("udp", "127.0.0.1:0") // a port that is free
			if err != nil {
				t.Fatal(err)
			}
			address = l.LocalAddr().String()
			l.Close()
			if source, err = tee.Listen(address, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
			return source
		},
		Feed: func() {
			conn, err := net.Dial("udp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for i := range n {
				if _, err := conn.Write(bytes.Repeat([]byte{byte(i)}, 12+i%400)); err != nil {
					t.Fatal(err)
				}
				// A datagram that finds the socket full is lost without a trace.
				await.Within(10*time.Second, func() bool { return source.Given() > uint64(i) })
			}
		},
		Packets: n,
	})
}
