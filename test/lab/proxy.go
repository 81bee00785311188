//go:build linux

package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Proxy stands in front of a TCP server, and can disturb connections.
type Proxy struct {
	Addr     string
	upstream string
	t        testing.TB
	p        *toxiproxy.Proxy
}

// StartProxy starts a proxy for the server at upstream, which may be down.
func StartProxy(t testing.TB, upstream string) *Proxy {
	t.Helper()
	p := &Proxy{Addr: fmt.Sprintf("127.0.0.1:%d", FreePort(t, "tcp")), upstream: upstream, t: t}
	p.reset()
	p.Up()
	t.Cleanup(func() { p.p.Stop() })
	return p
}

// reset makes a new proxy without faults, which is down.
func (p *Proxy) reset() {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p.p = toxiproxy.NewProxy(server, "proxy", p.Addr, p.upstream)
}

// Down closes all connections and accepts no new ones.
func (p *Proxy) Down() { p.p.Stop() }

// Up accepts connections again, at the same address. A process that another test
// starts at this moment may hold the old listener until it runs its program.
func (p *Proxy) Up() {
	p.t.Helper()
	err := p.p.Start()
	for end := time.Now().Add(time.Minute); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(end); err = p.p.Start() {
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// Answers and Requests are the directions that a fault can have.
const (
	Answers  = "downstream"
	Requests = "upstream"
)

// AddFault adds one of toxiproxy's toxics to a direction of all connections, present
// and future. restore ends it, all other faults, and these connections: toxiproxy can
// hang when a toxic is removed from a connection whose client has left.
func (p *Proxy) AddFault(direction, toxic string, attributes map[string]any) (restore func()) {
	p.t.Helper()
	text, err := json.Marshal(map[string]any{"name": toxic, "type": toxic, "stream": direction, "attributes": attributes})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.p.Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
		p.t.Fatal(err)
	}
	return func() {
		p.t.Helper()
		wasUp := p.p.Enabled
		p.Down()
		p.reset()
		if wasUp {
			p.Up()
		}
	}
}

// CutAnswers lets requests through, and closes each connection at the first byte of an
// answer.
func (p *Proxy) CutAnswers() (restore func()) {
	p.t.Helper()
	return p.AddFault(Answers, "limit_data", map[string]any{"bytes": 0})
}

// Delay delays each answer.
func (p *Proxy) Delay(milliseconds int) (restore func()) {
	p.t.Helper()
	return p.AddFault(Answers, "latency", map[string]any{"latency": milliseconds})
}

// HoldAnswers keeps connections open, and lets no answer through.
func (p *Proxy) HoldAnswers() (restore func()) {
	p.t.Helper()
	return p.AddFault(Answers, "timeout", map[string]any{"timeout": 0})
}

// Socket forwards connections of a Unix socket to the proxy, so that a host without a
// route to it can use it.
func (p *Proxy) Socket(path string) {
	p.t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go p.forward(near)
		}
	}()
}

// forward copies in both directions until either side closes.
func (p *Proxy) forward(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", p.Addr)
	if err != nil {
		return
	}
	go func() {
		defer far.Close()
		io.Copy(far, near)
	}()
	io.Copy(near, far)
}
