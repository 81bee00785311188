//go:build linux

// chproxy is a ClickHouse server for tests: the native protocol over TCP, and a little
// HTTP, in front of chDB, which is ClickHouse's engine as a library. Columns pass through
// it as the bytes they are. It ends when its standard input does, so that no server is
// left behind by a test that was killed.
//
// What it does not have: the session of a client (a SET holds for all of them), more than
// one query at a time, rights, and JSON, Variant and Dynamic columns.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"dnsmonster-sensor/test/chdb"

	"github.com/ClickHouse/ch-go/proto"
)

type options struct {
	library, folder          string
	listen, tlsListen, http  string
	certFile, keyFile        string
	revision                 int
	users                    map[string]string
	remove                   string
	major, minor, patchLevel int
}

func main() {
	log.SetFlags(log.LstdFlags | log.Lmicroseconds)
	o := options{users: make(map[string]string)}
	flag.StringVar(&o.library, "library", "", "`path` of libchdb.so")
	flag.StringVar(&o.folder, "data", "", "`folder` of the data")
	flag.StringVar(&o.listen, "listen", "", "`address` for the native protocol")
	flag.StringVar(&o.tlsListen, "tls", "", "`address` for the native protocol over TLS")
	flag.StringVar(&o.certFile, "cert", "", "`file` of the certificate")
	flag.StringVar(&o.keyFile, "key", "", "`file` of its key")
	flag.StringVar(&o.http, "http", "", "`address` for HTTP: queries, /fault and /inserts")
	flag.IntVar(&o.revision, "revision", proto.Version, "highest `revision` of the protocol")
	flag.StringVar(&o.remove, "remove", "", "`folder` to remove at the end")
	flag.Func("user", "`name:password`; more than one are possible; default: default without a password", func(v string) error {
		name, password, found := strings.Cut(v, ":")
		if !found {
			return errors.New("want name:password")
		}
		o.users[name] = password
		return nil
	})
	flag.Parse()
	if len(o.users) == 0 {
		o.users["default"] = ""
	}
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	engine, err := chdb.Open(o.library, o.folder)
	if err != nil {
		return err
	}
	s := &server{options: o, engine: engine}
	version, err := s.one("SELECT version()")
	if err != nil {
		return err
	}
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &s.major, &s.minor, &s.patchLevel); err != nil {
		return fmt.Errorf("the engine's version is %q: %w", version, err)
	}
	ended := make(chan error, 3)
	if err := s.listenAll(ended); err != nil {
		return err
	}
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- err
	}()
	err = <-ended
	if o.remove == "" {
		return err
	}
	closed := make(chan struct{})
	go func() {
		engine.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(5 * time.Second): // a query goes on
	}
	return errors.Join(err, os.RemoveAll(o.remove))
}

func (s *server) listenAll(ended chan<- error) error {
	plain, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	go func() { ended <- s.accept(plain) }()
	if s.tlsListen != "" {
		cert, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
		if err != nil {
			return err
		}
		l, err := tls.Listen("tcp", s.tlsListen, &tls.Config{Certificates: []tls.Certificate{cert}})
		if err != nil {
			return err
		}
		go func() { ended <- s.accept(l) }()
	}
	l, err := net.Listen("tcp", s.http)
	if err != nil {
		return err
	}
	go func() { ended <- http.Serve(l, s.handler()) }()
	return nil
}

func (s *server) accept(l net.Listener) error {
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.connections++
		c := newConn(s, nc, s.connections)
		s.mu.Unlock()
		go c.serve()
	}
}

// one runs a query for the server itself.
func (s *server) one(sql string) (text string, err error) {
	err = s.engine.Use(func(e *chdb.Session) error {
		b, err := e.Query(sql, "TSVRaw")
		text = strings.TrimSuffix(string(b), "\n")
		return err
	})
	return text, err
}

// wait waits for some time, 0 for ever, for other faults, or for done.
func (s *server) wait(ctx context.Context, d time.Duration) {
	var after <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		after = t.C
	}
	s.mu.Lock()
	changed := s.changed
	s.mu.Unlock()
	select {
	case <-after:
	case <-changed:
	case <-ctx.Done():
	}
}
