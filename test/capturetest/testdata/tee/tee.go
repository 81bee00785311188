// Package tee receives DNS messages from dnsdist's TeeAction on a UDP port, one in each
// datagram.
package tee

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

// Source is the port and its only lane.
type Source struct {
	held        chan packet.Message // until Read
	given, lost atomic.Uint64
	err         atomic.Pointer[error]
	close       func() error
	receiving   sync.WaitGroup
}

// Listen opens the port.
func Listen(address string, log *slog.Logger) (*Source, error) {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	s := &Source{held: make(chan packet.Message, 4096), close: sync.OnceValue(conn.Close)}
	s.receiving.Go(func() { s.receive(conn, log) }) // until Close
	return s, nil
}

func (s *Source) receive(conn net.PacketConn, log *slog.Logger) {
	defer close(s.held)
	for buf := make([]byte, 1<<16); ; {
		n, _, err := conn.ReadFrom(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.err.Store(&err)
			log.Error("no more messages are received", "error", err)
			return
		case len(s.held) == cap(s.held):
			s.lost.Add(1)
		default:
			s.given.Add(1)
			s.held <- packet.Message{Data: bytes.Clone(buf[:n]), Time: time.Now().UnixNano(), Proto: packet.UDP}
		}
	}
}

// Lanes, Live and Given implement capture.Source.
func (s *Source) Lanes() []capture.Lane { return []capture.Lane{s} }
func (s *Source) Live() bool            { return true } // dnsdist does not wait for us
func (s *Source) Given() uint64         { return s.given.Load() }

// Err returns why no more messages come.
func (s *Source) Err() error {
	if err := s.err.Load(); err != nil {
		return *err
	}
	return nil
}

// Close closes the port. Messages that are held can still be read.
func (s *Source) Close() error {
	err := s.close()
	s.receiving.Wait()
	return err
}

// Read implements capture.Lane.
func (s *Source) Read(b *packet.Batch) error {
	b.Packets, b.Messages = b.Packets[:0], b.Messages[:0]
	select {
	case m, more := <-s.held:
		if !more {
			return io.EOF
		}
		b.Messages = append(b.Messages, m)
	case <-time.After(100 * time.Millisecond):
		return os.ErrDeadlineExceeded
	}
	for range min(len(s.held), 255) { // all that are held, up to a batch
		b.Messages = append(b.Messages, <-s.held)
	}
	return nil
}

// Kernel implements capture.KernelCounter. The kernel does not say how many datagrams found
// the socket full, so the number that came in is unknown too.
func (s *Source) Kernel() (capture.KernelStats, error) {
	return capture.KernelStats{Hooks: []capture.HookStats{{Hook: "tee", Counters: []capture.Counter{
		{Name: "in", Kind: capture.CountsIn},
		{Name: "socket_full", Kind: capture.CountsLost},
		{Name: "queue_full", Kind: capture.CountsLost, Value: s.lost.Load(), Known: true},
		{Name: "delivered", Kind: capture.CountsDelivered, Value: s.given.Load(), Known: true},
	}}}}, nil
}
