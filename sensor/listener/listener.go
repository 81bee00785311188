// Package listener opens all sockets to which others connect. Anybody who can reach one
// can open any number of connections and leave them open, so a Listener bounds their
// number, and an HTTP server has timeouts for everything. Addresses come in; accepted
// connections and servers go out. It imports nothing of this project. Tests connect
// over loopback.
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

// Max is the usual bound of a Listener: far below a process's limit of descriptors,
// which files need, too.
const Max = 64

// Listener holds a bounded number of connections. It always accepts: when it is full, it
// closes the connection that has been idle for longest.
type Listener struct {
	net.Listener
	max int

	mu    sync.Mutex
	conns *list.List // of *conn, the longest idle first
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
	var idlest *conn
	l.mu.Lock()
	if l.conns.Len() >= l.max {
		idlest = l.conns.Front().Value.(*conn)
	}
	c.element = l.conns.PushBack(c)
	l.mu.Unlock()
	if idlest != nil {
		idlest.Close()
	}
	return c, nil
}

// Len returns the number of open connections.
func (l *Listener) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns.Len()
}

// conn reports its activity to its listener.
type conn struct {
	net.Conn
	listener *Listener
	element  *list.Element // of listener.conns; nil: closed. Guarded by listener.mu
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.active()
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if n > 0 {
		c.active()
	}
	return n, err
}

// active makes the connection the last one to be closed for being idle.
func (c *conn) active() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if c.element != nil {
		c.listener.conns.MoveToBack(c.element)
	}
}

// Close closes the connection. It may be called again.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	if c.element != nil {
		c.listener.conns.Remove(c.element)
		c.element = nil
	}
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// Timeouts bound the parts of an HTTP connection.
type Timeouts struct {
	Header  time.Duration // from the connection, or the first byte of a request, to the end of its header
	Request time.Duration // all of a request
	Answer  time.Duration // from the end of the header to the end of the response
	Idle    time.Duration // between two requests
}

// Usual are the timeouts for clients with small requests.
var Usual = Timeouts{Header: 5 * time.Second, Request: 10 * time.Second, Answer: 30 * time.Second, Idle: time.Minute}

// maxHeader is enough for a browser behind three proxies.
const maxHeader = 16 << 10

// NewServer returns a server with timeouts. Its own errors go to log, where what says
// what it serves.
func NewServer(h http.Handler, t Timeouts, log *slog.Logger, what string) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: t.Header, ReadTimeout: t.Request, WriteTimeout: t.Answer, IdleTimeout: t.Idle,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       errorLog(log, what),
	}
}

// logEvery bounds the rate of log lines about one server's errors: any client can cause
// errors.
const logEvery = 10 * time.Second

// throttled writes the lines of a log.Logger to our log, at most one per logEvery.
type throttled struct {
	log  *slog.Logger
	what string

	mu         sync.Mutex
	last       time.Time // of the last line
	suppressed int       // lines since then
}

func errorLog(l *slog.Logger, what string) *log.Logger {
	return log.New(&throttled{log: l, what: what}, "", 0)
}

func (t *throttled) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Sub(t.last) < logEvery {
		t.suppressed++
		return len(line), nil
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(line)), "\n") // the stack follows a panic's first line
	args := []any{"error", text}
	if t.suppressed > 0 {
		args = append(args, "errors_without_a_line", t.suppressed)
	}
	t.last, t.suppressed = now, 0
	t.log.Warn(fmt.Sprintf("cannot serve %s", t.what), args...)
	return len(line), nil
}
