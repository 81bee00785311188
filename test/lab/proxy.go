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

// Proxy stands before a TCP server and can spoil what passes.
type Proxy struct {
	Addr     string
	upstream string
	t        testing.TB
	p        *toxiproxy.Proxy
}

// StartProxy makes a proxy for the server at upstream, which does not have to be
// up.
func StartProxy(t testing.TB, upstream string) *Proxy {
	t.Helper()
	p := &Proxy{Addr: fmt.Sprintf("127.0.0.1:%d", FreePort(t, "tcp")), upstream: upstream, t: t}
	p.renew()
	p.Up()
	t.Cleanup(func() { p.p.Stop() })
	return p
}

// renew makes a proxy that knows nothing of one before, and is down.
func (p *Proxy) renew() {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p.p = toxiproxy.NewProxy(server, "proxy", p.Addr, p.upstream)
}

// Down closes all connections and takes no new ones.
func (p *Proxy) Down() { p.p.Stop() }

// Up takes connections again, at the same address. A process that another test
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

// Answers and Requests are the directions that can be spoiled.
const (
	Answers  = "downstream"
	Requests = "upstream"
)

// Spoil adds one of toxiproxy's toxics to a direction of all connections, those
// that exist too. heal ends it, all else that spoils, and these connections: a
// toxic that is taken off a connection whose client has left can wait for that
// client for ever.
func (p *Proxy) Spoil(direction, toxic string, attributes map[string]any) (heal func()) {
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
		p.renew()
		if wasUp {
			p.Up()
		}
	}
}

// CutAnswers lets requests through and closes each connection at the first byte
// of an answer.
func (p *Proxy) CutAnswers() (heal func()) {
	p.t.Helper()
	return p.Spoil(Answers, "limit_data", map[string]any{"bytes": 0})
}

// Delay makes each answer late.
func (p *Proxy) Delay(milliseconds int) (heal func()) {
	p.t.Helper()
	return p.Spoil(Answers, "latency", map[string]any{"latency": milliseconds})
}

// Silence keeps connections open and lets no answer through.
func (p *Proxy) Silence() (heal func()) {
	p.t.Helper()
	return p.Spoil(Answers, "timeout", map[string]any{"timeout": 0})
}

// Socket passes connections of a Unix socket on to the proxy, so that a host
// without a way to it can use it.
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
			go p.pass(near)
		}
	}()
}

// pass ends when either side does.
func (p *Proxy) pass(near net.Conn) {
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
