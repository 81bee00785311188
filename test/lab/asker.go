//go:build linux

package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// Asker asks a server for one name after the other, each of them once.
type Asker struct {
	prefix string
	stop   chan struct{}
	ended  sync.WaitGroup

	mu   sync.Mutex
	asks []Asked
}

// Asked is when a query was sent, and when it was answered.
type Asked struct{ Sent, Answered time.Time } // zero: not yet

// StartAsker asks at a rate, over UDP, until Stop. A server that is down answers nothing.
// Names are prefix, a number from 0, and .example.org.
func StartAsker(t testing.TB, l *Lab, to netip.AddrPort, prefix string, rate int) *Asker {
	t.Helper()
	a := &Asker{prefix: prefix, stop: make(chan struct{})}
	var conn *net.UDPConn
	err := l.Client.Do(func() (err error) {
		// Not connected: a server that is down would end reads and writes with an error.
		conn, err = net.ListenUDP("udp4", nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	a.ended.Go(func() {
		defer conn.Close()
		ticks := time.NewTicker(time.Second / time.Duration(rate))
		defer ticks.Stop()
		for n := 0; ; n++ {
			m := Query{a.Name(n), "A"}.Message()
			binary.BigEndian.PutUint16(m, uint16(n))
			a.mu.Lock()
			a.asks = append(a.asks, Asked{Sent: time.Now()})
			a.mu.Unlock()
			_, _ = conn.WriteToUDPAddrPort(m, to) // the answer tells
			select {
			case <-a.stop:
				time.Sleep(100 * time.Millisecond) // the last answers
				return
			case <-ticks.C:
			}
		}
	})
	a.ended.Go(func() {
		var b [512]byte
		for {
			n, err := conn.Read(b[:])
			if err != nil {
				return // closed
			}
			if n < 12 {
				continue
			}
			a.mu.Lock()
			if i := int(binary.BigEndian.Uint16(b[:])); i < len(a.asks) && a.asks[i].Answered.IsZero() {
				a.asks[i].Answered = time.Now()
			}
			a.mu.Unlock()
		}
	})
	t.Cleanup(func() { a.Stop() })
	return a
}

// Name is the name with a number.
func (a *Asker) Name(n int) string { return fmt.Sprintf("%s%d.example.org", a.prefix, n) }

// Stop ends it, and returns what was asked, by number. It can be called again.
func (a *Asker) Stop() []Asked {
	a.mu.Lock()
	select {
	case <-a.stop:
	default:
		close(a.stop)
	}
	a.mu.Unlock()
	a.ended.Wait()
	return a.asks
}
