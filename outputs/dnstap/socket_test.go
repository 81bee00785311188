//go:build linux

package dnstap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/framestream"
)

func TestSettings(t *testing.T) {
	f := func(problem string, args ...string) {
		t.Helper()
		o := New()
		outputtest.Options(t, o, append([]string{"--dnstapoutputtype=1"}, args...)...)
		_, err := o.Settings()
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("%q: error %v, want %q", args, err, problem)
		}
	}
	a := func(text string) string { return "--dnstapoutputaddress=" + text }
	f("", a("/var/log/dnstap"))
	f("", a("unix:///run/x.sock"))
	f("", a("unix://@x"))
	f("", a("tcp://192.0.2.1:6000, tls://[2001:db8::1]:6001"))
	f("dnstapoutputaddress: name a folder")
	f("host or port is missing", a("tcp://192.0.2.1"))
	f("brackets", a("tcp://2001:db8::1:6000"))
	f("a port is a number", a("tls://example.org:70000"))
	f("write unix:///PATH", a("http://example.org:80"))
	f("write unix:///PATH", a("tcp://example.org:80,/var/log"))
	f("the path of the socket is missing", a("unix://"))
	f("at most 107 bytes", a("unix:///"+strings.Repeat("x", 107)))
	f("dnstapoutputcafile: open /no/such", a("tls://example.org:6000"), "--dnstapoutputcafile=/no/such")
	f("for an address tls://", a("tcp://example.org:6000"), "--dnstapoutputcafile="+lab.NewAuthority(t).File)
	f(`dnstapoutputmessage: "clients" is not one of`, a("/x"), "--dnstapoutputmessage=clients")
	f("dnstapoutputrotatecount: must be at least 0", a("/x"), "--dnstapoutputrotatecount=-1")
}

// checked is what Check says, within a time.
func checked(t *testing.T, o *Output, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return o.Check(ctx)
}

// answering listens, and lets f answer each connection.
func answering(t *testing.T, f func(net.Conn)) (where string) {
	t.Helper()
	l := listen(t, "tcp", "127.0.0.1:0")
	r := &receiver{listener: l, hang: closed()}
	r.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns = append(r.conns, conn)
			r.mu.Unlock()
			r.done.Go(func() {
				defer conn.Close()
				f(conn)
			})
		}
	})
	t.Cleanup(r.stop)
	return l.Addr().String()
}

// readyLen is the length of what opens a handshake.
var readyLen = len(framestream.AppendControl(nil, framestream.Ready, dnstap.ContentType))

// What somebody has to repair ends the program at the start; anything else is tried again.
func TestCheck(t *testing.T) {
	f := func(what, address string, lasting bool, want string) {
		t.Helper()
		err := checked(t, parsed(t, "--dnstapoutputaddress="+address), 300*time.Millisecond)
		if err == nil || errors.Is(err, outputs.ErrPermanent) != lasting || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v (permanent %v), want %q", what, err, errors.Is(err, outputs.ErrPermanent), want)
		}
	}
	reply := func(answer []byte) string {
		return "tcp://" + answering(t, func(c net.Conn) {
			io.ReadFull(c, make([]byte, readyLen))
			c.Write(answer)
			io.Copy(io.Discard, c)
		})
	}
	dir := t.TempDir()
	regular := filepath.Join(dir, "regular")
	if err := os.WriteFile(regular, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f("nobody there", "unix://"+filepath.Join(dir, "none"), false, "no such file")
	f("a file", "unix://"+regular, true, "is not a socket")
	f("a folder", "unix://"+dir, true, "write it without unix://")
	f("silent", reply(nil), false, "does not answer the handshake")
	f("other content", reply(framestream.AppendControl(nil, framestream.Accept, "text/\x1b")), true, `accepts content type ["text/\x1b"]`)
	f("a sender", reply(framestream.AppendControl(nil, framestream.Ready, dnstap.ContentType)), true, "READY instead of ACCEPT")
	f("HTTP", reply([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), true, "is not a frame of Frame Streams")
	f("closes", "tcp://"+answering(t, func(c net.Conn) { io.ReadFull(c, make([]byte, readyLen)) }), false, "closes the connection instead")
	f("TLS to a plain one", "tls://"+strings.TrimPrefix(reply([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), "tcp://"), true, "write tcp://")
	f("plain to a TLS one", reply([]byte{0x15, 3, 1, 0, 2, 2, 0x46}), true, "write tls://")
	if os.Geteuid() == 0 {
		return // may connect everywhere
	}
	path := socket(t)
	serve(t, listen(t, "unix", path))
	os.Chmod(path, 0)
	f("no permission", "unix://"+path, true, "must be able to write to the socket")
}

// serveTLS is a receiver with TLS 1.3. clients: it wants certificates that they sign.
func serveTLS(t *testing.T, ca *lab.Authority, clients *lab.Authority) *receiver {
	t.Helper()
	cert, key := ca.Issue("receiver", "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	if clients != nil {
		pem, err := os.ReadFile(clients.File)
		if err != nil {
			t.Fatal(err)
		}
		conf.ClientCAs, conf.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		conf.ClientCAs.AppendCertsFromPEM(pem)
	}
	return serve(t, tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), conf))
}

// TestTLS: wrong and missing certificates are named with the option to change.
func TestTLS(t *testing.T) {
	ca, other := lab.NewAuthority(t), lab.NewAuthority(t)
	cert, key := ca.Issue("sensor")
	wrong, wrongKey := other.Issue("sensor")
	r := serveTLS(t, ca, ca)
	address := "--dnstapoutputaddress=tls://" + r.listener.Addr().String()
	f := func(want string, args ...string) {
		t.Helper()
		err := checked(t, parsed(t, append(args, address)...), await.Limit)
		if want == "" && err != nil || want != "" && (!errors.Is(err, outputs.ErrPermanent) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
	trust := "--dnstapoutputcafile=" + ca.File
	f("--dnstapoutputcafile")
	f("--dnstapoutputcafile", "--dnstapoutputcafile="+other.File)
	f("--dnstapoutputcertfile and --dnstapoutputkeyfile", trust)
	f("--dnstapoutputcertfile and --dnstapoutputkeyfile", trust, "--dnstapoutputcertfile="+wrong, "--dnstapoutputkeyfile="+wrongKey)
	good := []string{trust, "--dnstapoutputcertfile=" + cert, "--dnstapoutputkeyfile=" + key}
	f("", good...)
	w := opened(t, parsed(t, append(good, address)...))
	put(t, w, outputtest.Queries(0, 50))
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if got := len(r.received()); got != 50 {
		t.Errorf("%d frames, want 50", got)
	}
}

// The receiver restarts: at the start, and after a successful connection. What it had read
// is there once.
func TestReceiverRestarts(t *testing.T) {
	path := socket(t)
	o := &watchedOutput{Output: parsed(t, "--dnstapoutputaddress=unix://"+path)}
	if _, err := o.Open(t.Context()); err == nil {
		t.Fatal("Open succeeds without a receiver")
	}
	var got []string
	var w outputs.Writer
	for run := range 3 {
		r := serve(t, listen(t, "unix", path))
		if w == nil {
			var err error
			if w, err = o.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		put(t, w, outputtest.Queries(20*run, 20))
		got = append(got, r.received()...)
		if run == 2 {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}
		r.stop()
		o.awaitBroken(t)
	}
	var want []string
	for i := range 60 {
		want = append(want, wanted(t, outputtest.Query(i)))
	}
	if list := all(t, got); !slices.Equal(list, want) {
		t.Errorf("%d frames, want 60 in order", len(list))
	}
	meters := map[string]uint64{}
	for _, m := range o.Meters() {
		meters[m.Name] = m.Value
	}
	if meters["connections"] != 3 || meters["broken_connections"] != 2 {
		t.Errorf("meters %v", meters)
	}
}

// A connection that ends between two blocks is named in the log: no block fails, and the
// frames that the receiver had not read are gone. A receiver that does it again and again
// does not fill the log.
func TestEarlyEndIsLogged(t *testing.T) {
	path := socket(t)
	o := &watchedOutput{Output: parsed(t, "--dnstapoutputaddress=unix://"+path)}
	var log strings.Builder
	o.Common.Log = slog.New(slog.NewTextHandler(&log, nil))
	r := serve(t, listen(t, "unix", path))
	w, err := o.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		put(t, w, outputtest.Queries(0, 1))
		r.disconnect()
		o.awaitBroken(t)
	}
	put(t, w, outputtest.Queries(0, 1))
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if text := log.String(); strings.Count(text, "frames that the receiver had not read are lost") != 1 || !strings.Contains(text, "unix://"+path) {
		t.Errorf("log:\n%s", text)
	}
}

// An address without its two slashes is no folder that is missing.
func TestAddressForms(t *testing.T) {
	for text, means := range map[string]bool{
		"127.0.0.1:6000": true, "[::1]:6000": true, "localhost:6000": true, "tcp:127.0.0.1:6000": true, "unix:/run/s": true, "tls:h:1": true,
		"/var/log": false, "./127.0.0.1:6000": false, "tcp": false, "day:night": false, "/a:1": false, "a": false,
	} {
		_, err := parseAddresses(text)
		if means != (err != nil) || means && !strings.Contains(err.Error(), forms) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A receiver that stops reading ends the attempt, and the next one sends the whole block on
// a new connection, never the rest of a frame.
func TestReceiverStalls(t *testing.T) {
	path := socket(t)
	l := listen(t, "unix", path)
	stalled := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		io.ReadFull(conn, make([]byte, readyLen))
		conn.Write(framestream.AppendControl(nil, framestream.Accept, dnstap.ContentType))
		stalled <- conn
	}()
	w := opened(t, parsed(t, "--dnstapoutputaddress=unix://"+path))
	defer func() { (<-stalled).Close() }()
	b := outputtest.Queries(0, 20_000) // more than the system keeps for a receiver
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := w.Write(ctx, b); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the receiver does not read") {
		t.Errorf("error %v", err)
	}
	r := serve(t, l)
	put(t, w, b)
	if got := len(r.received()); got != 20_000 {
		t.Errorf("%d frames, want 20000", got)
	}
}

// A receiver that does not confirm the end costs finishTimeout, and the error says so.
func TestNoFinish(t *testing.T) {
	where := answering(t, func(c net.Conn) {
		io.ReadFull(c, make([]byte, readyLen))
		c.Write(framestream.AppendControl(nil, framestream.Accept, dnstap.ContentType))
		io.Copy(io.Discard, c)
	})
	w := opened(t, parsed(t, "--dnstapoutputaddress=tcp://"+where))
	put(t, w, outputtest.Queries(0, 3))
	from := time.Now()
	err := w.Close()
	if took := time.Since(from); err == nil || !strings.Contains(err.Error(), "no FINISH within 2s") || took > await.Limit {
		t.Errorf("Close: %v after %s", err, took)
	}
	if err := w.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

// The second address is used while the first fails, and left when that works again.
func TestTwoAddresses(t *testing.T) {
	first, second := socket(t), socket(t)
	backup := serve(t, listen(t, "unix", second))
	w := opened(t, parsed(t, "--dnstapoutputaddress=unix://"+first+",unix://"+second))
	put(t, w, outputtest.Queries(0, 5))
	if got := len(backup.received()); got != 5 {
		t.Errorf("%d frames at the second address, want 5", got)
	}
	r := serve(t, listen(t, "unix", first))
	i := 5
	await.True(t, "the first address is used again", func() bool {
		put(t, w, outputtest.Queries(i, 1))
		i++
		return len(r.received()) > 0
	})
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if got := len(r.received()) + len(backup.received()); got != i {
		t.Errorf("%d frames, want %d", got, i)
	}
}
