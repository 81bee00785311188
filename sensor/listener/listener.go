// Package listener is for all sockets that others connect to. Whoever can reach
// one can open as many connections as he likes and leave them open: so each
// listener has a bound, and each connection an end. Addresses come in, accepted
// connections and served requests go out; it imports nothing of this project.
package listener

import (
	"container/list"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Max is how many connections a listener holds unless told otherwise: far below
// the descriptors that a process may have, which files need, too.
const Max = 64

// Listener holds a bounded number of connections. It always accepts: where it is
// full it closes the connection that has been silent for longest, so that idle
// ones keep nobody out.
type Listener struct {
	net.Listener
	max int

	mu    sync.Mutex
	conns *list.List // of *conn, the longest silent first
}

// Listen opens a listener of at most max connections.
func Listen(network, address string, max int) (*Listener, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return &Listener{Listener: l, max: max, conns: list.New()}, nil
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, listener: l}
	var longest *conn
	l.mu.Lock()
	if l.conns.Len() >= l.max {
		longest = l.conns.Front().Value.(*conn)
	}
	c.place = l.conns.PushBack(c)
	l.mu.Unlock()
	if longest != nil {
		longest.Close()
	}
	return c, nil
}

// Len is how many connections are open.
func (l *Listener) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns.Len()
}

// conn tells its listener of what happens on it.
type conn struct {
	net.Conn
	listener *Listener
	place    *list.Element // nil: closed; guarded by listener.mu
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.spoke()
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if n > 0 {
		c.spoke()
	}
	return n, err
}

func (c *conn) spoke() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if c.place != nil {
		c.listener.conns.MoveToBack(c.place)
	}
}

// Close closes the connection. It may be called again.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	if c.place != nil {
		c.listener.conns.Remove(c.place)
		c.place = nil
	}
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// Times are how long parts of a connection may take.
type Times struct {
	Header  time.Duration // from the connection, or the first byte of a request, to the end of its header
	Request time.Duration // all of a request
	Answer  time.Duration // from the header to the end of the answer
	Idle    time.Duration // between two requests
}

// Usual are times for whoever asks now and then for little.
var Usual = Times{Header: 5 * time.Second, Request: 10 * time.Second, Answer: 30 * time.Second, Idle: time.Minute}

// maxHeader is enough for a browser behind three proxies.
const maxHeader = 16 << 10

// NewServer is a server with an end to everything, whose own errors go to log,
// under the name of what it serves.
func NewServer(h http.Handler, t Times, log *slog.Logger, what string) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: t.Header, ReadTimeout: t.Request, WriteTimeout: t.Answer, IdleTimeout: t.Idle,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       errorLog(log, what),
	}
}

// logEvery bounds the lines of one server's errors: whoever connects can make
// some.
const logEvery = 10 * time.Second

// throttled writes the lines of a log.Logger to our log, at most one in logEvery.
type throttled struct {
	log  *slog.Logger
	what string

	mu     sync.Mutex
	last   time.Time
	hidden int
}

func errorLog(l *slog.Logger, what string) *log.Logger {
	return log.New(&throttled{log: l, what: what}, "", 0)
}

func (t *throttled) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Sub(t.last) < logEvery {
		t.hidden++
		return len(line), nil
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(line)), "\n") // a panic has a stack behind it
	args := []any{"error", text}
	if t.hidden > 0 {
		args = append(args, "errors_without_a_line", t.hidden)
	}
	t.last, t.hidden = now, 0
	t.log.Warn(fmt.Sprintf("serve %s", t.what), args...)
	return len(line), nil
}
