//go:build linux

package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
)

// TestLogin: each server is spoken to in the older one of both protocols.
func TestLogin(t *testing.T) {
	f := func(serverRevision int, want Info) {
		t.Helper()
		f := startFake(t, &fake{revision: serverRevision})
		c := dial(t, f.Addr, Config{User: "dns", Password: "hush", Database: "d"})
		if got := c.Server(); got != want {
			t.Errorf("revision %d: %+v, want %+v", serverRevision, got, want)
		}
		if f.hello.User != "dns" || f.hello.Password != "hush" || f.hello.Database != "d" {
			t.Errorf("login %+v", f.hello)
		}
		if c.Address() != f.Addr || c.Broken() || c.Close() != nil || !c.Broken() || c.Close() != nil {
			t.Error("address or state")
		}
		if err := c.Ping(context.Background()); err == nil || MayBeStored(err) {
			t.Errorf("after Close: %v", err)
		}
	}
	f(54060, Info{"ClickHouse", "26.5", 54060, "Europe/Berlin", "", false})
	f(54412, Info{"ClickHouse", "26.5.7", 54412, "Europe/Berlin", "db.example.org", false})
	f(54429, Info{"ClickHouse", "26.5.7", 54429, "Europe/Berlin", "db.example.org", true})
	f(54483, Info{"ClickHouse", "26.5.7", 54483, "Europe/Berlin", "db.example.org", true})

	_, err := Dial(within(t, patience), startFake(t, &fake{revision: 54059}).Addr, Config{})
	if err == nil || Classify(err) != Setup || !strings.HasSuffix(err.Error(), "ClickHouse 26.5 is too old") || Advice(err, Target{}) != "update the server" {
		t.Errorf("an old server: %v", err)
	}
}

func TestDefaultUser(t *testing.T) {
	f := startFake(t, &fake{})
	dial(t, f.Addr, Config{})
	if f.hello.User != "default" {
		t.Errorf("user %q", f.hello.User)
	}
}

// TestWrongPort: each mistake in address and TLS is explained with the option.
func TestWrongPort(t *testing.T) {
	authority := lab.NewAuthority(t)
	certFile, keyFile := authority.Issue("db.example.org", "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	secured := &tls.Config{Certificates: []tls.Certificate{pair}}
	overTLS := func(handle func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) { handle(tls.Server(c, secured)) }
	}
	pem, _ := os.ReadFile(authority.File)
	trust := func(host string) (*tls.Config, error) {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		return &tls.Config{RootCAs: pool, ServerName: host}, nil
	}
	distrust := func(string) (*tls.Config, error) { return new(tls.Config), nil }
	broken := func(string) (*tls.Config, error) {
		return nil, errors.New("clickhousecafile: open x: no such file or directory")
	}
	reply := func(text string) func(net.Conn) {
		return func(c net.Conn) { c.Read(make([]byte, 1)); io.WriteString(c, text) }
	}
	silence := func(c net.Conn) { io.Copy(io.Discard, c) }
	closed := func(c net.Conn) { c.Read(make([]byte, 1<<16)) } // with all data read: no reset
	cut := func(c net.Conn) { c.Read(make([]byte, 1)) }
	f := func(name string, handle func(net.Conn), config func(string) (*tls.Config, error), class Class, wantError, wantAdvice string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit := patience
			if strings.HasPrefix(name, "silence") {
				limit = time.Second
			}
			address := serve(t, handle)
			c, err := Dial(within(t, limit), address, Config{TLS: config, Password: "hush"})
			if err == nil {
				c.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), wantError) || !strings.Contains(err.Error(), " to "+address+": ") || Classify(err) != class || !strings.Contains(Advice(err, Target{}), wantAdvice) {
				t.Errorf("%v is %v, advice %q", err, Classify(err), Advice(err, Target{}))
			}
		})
	}
	const http = "HTTP/1.0 400 Bad Request\r\n\r\n"
	f("http", reply(http), nil, Setup, "answers with HTTP", "9000 unless")
	f("https", overTLS(reply(http)), trust, Setup, "answers with HTTP", "9440 unless")
	f("tls without the option", reply("\x15\x03\x01\x00\x02\x02\x46"), nil, Setup, "answers with TLS", "--clickhousesecure")
	f("the option without tls", reply("\x02\x00\x00\x00\x00"), trust, Setup, "does not speak TLS", "--clickhousesecure=false")
	f("the option and a cut", cut, trust, Retry, "during the TLS handshake", "")
	f("the option and an end", closed, trust, Retry, "during the TLS handshake", "")
	f("cut", cut, nil, Retry, "", // reset, or closed
		"if this is a port with TLS, set --clickhousesecure")
	f("cut over TLS", overTLS(cut), trust, Retry, "", "--clickhousecertfile and --clickhousekeyfile")
	f("garbage", reply("SSH-2.0-OpenSSH"), nil, Setup, "does not speak ClickHouse's native protocol", "9000")
	f("silence", silence, nil, Retry, "context deadline exceeded", "if this is a port of HTTP")
	f("silence in TLS", silence, trust, Retry, "context deadline exceeded", "if this is a port of HTTP")
	f("silence over TLS", overTLS(silence), trust, Retry, "context deadline exceeded", "if this is a port of HTTP")
	f("unknown authority", overTLS(cut), distrust, Setup, "unknown authority", "--clickhousecafile")
	f("files", cut, broken, Setup, "clickhousecafile: open x", "")
}

func TestWrongAddress(t *testing.T) {
	f := func(address, want string, class Class) {
		t.Helper()
		_, err := Dial(within(t, patience), address, Config{})
		if err == nil || err.Error() != want || Classify(err) != class {
			t.Errorf("%v is %v, want %s", err, Classify(err), want)
		}
	}
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	address := l.Addr().String()
	l.Close()
	f(address, "connect to "+address+": connect: connection refused", Retry)
	f("db.example.org", "connect to db.example.org: address db.example.org: missing port in address", Setup)
}

// TestPortOfHTTP: the usual ports of HTTP are named though a server says nothing there.
func TestPortOfHTTP(t *testing.T) {
	for _, port := range []string{"8123", "8443"} {
		c := &Conn{address: "db.example.org:" + port, in: newReader(nil)}
		c.in.allow(maxHello)
		err := c.explainLogin(c.failed(within(t, 0), "log in to", io.EOF, false))
		if Classify(err) != Setup || !strings.Contains(Advice(err, Target{}), "port "+port+" is that of HTTP") {
			t.Errorf("%v is %v: %s", err, Classify(err), Advice(err, Target{}))
		}
	}
}

// TestPasswordIsNotShown: a server that repeats the password gains nothing by it.
func TestPasswordIsNotShown(t *testing.T) {
	const password = "hush-hush"
	address := serve(t, func(c net.Conn) {
		s := &session{fake: &fake{}, conn: c, version: 54460}
		c.Read(make([]byte, 1))
		s.putException(516, "dns: Authentication failed: password "+password+" is incorrect\nor not\x1b[31m")
		s.flush()
		io.Copy(io.Discard, c)
	})
	_, err := Dial(within(t, patience), address, Config{User: "dns", Password: password})
	want := fmt.Sprintf("log in to %s: AUTHENTICATION_FAILED (code 516): dns: Authentication failed: password *** is incorrect", address)
	if err == nil || err.Error() != want || Classify(err) != Setup || strings.Contains(Advice(err, Target{User: "dns"}), password) {
		t.Errorf("%v", err)
	}

	var lines bytes.Buffer
	f := startFake(t, &fake{query: func(s *session) {
		s.putException(60, "Table "+password+" doesn't exist")
		s.flush()
	}})
	c := dial(t, f.Addr, Config{Password: password, Log: slog.New(slog.NewTextHandler(&lines, nil))})
	c.Exec(within(t, patience), "SELECT '"+password+"'")
	if text := lines.String(); strings.Contains(text, password) || !strings.Contains(text, "SELECT '***'") || !strings.Contains(text, "UNKNOWN_TABLE") {
		t.Errorf("logged %q", text)
	}
}

// TestLog: queries are logged, their data is not.
func TestLog(t *testing.T) {
	var lines bytes.Buffer
	f := startFake(t, &fake{header: block(3)})
	c := dial(t, f.Addr, Config{Log: slog.New(slog.NewTextHandler(&lines, nil))})
	if err := c.Insert(within(t, patience), insertSQL, block(3), nil); err != nil {
		t.Fatal(err)
	}
	if text := lines.String(); !strings.Contains(text, `query="`+insertSQL+`" rows=3`) || !strings.Contains(text, f.Addr) || strings.Contains(text, "example.org") {
		t.Errorf("logged %q", text)
	}
}

// TestContextIsOver: nothing is sent with a context that has ended.
func TestContextIsOver(t *testing.T) {
	f := startFake(t, &fake{header: block(3)})
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Dial(ended, f.Addr, Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial: %v", err)
	}
	for name, call := range map[string]func(c *Conn) error{
		"Ping":   func(c *Conn) error { return c.Ping(ended) },
		"Exec":   func(c *Conn) error { return c.Exec(ended, "SELECT 1") },
		"Insert": func(c *Conn) error { return c.Insert(ended, insertSQL, block(3), nil) },
	} {
		if err := call(dial(t, f.Addr, Config{})); !errors.Is(err, context.Canceled) || MayBeStored(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
