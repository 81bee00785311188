//go:build linux

package dnstap

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/secure"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/userspace/framestream"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// clientOf trusts an authority and shows a certificate, if there is one.
func clientOf(t *testing.T, a *lab.Authority, certFile, keyFile string) *tls.Config {
	t.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "tap.example.org"}
	c.RootCAs.AppendCertsFromPEM(read(t, a.File))
	if certFile != "" {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		// Shown whatever authorities the receiver names.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return c
}

// TestTLS: client certificates that are right, missing, expired and of another authority;
// and senders without TLS.
func TestTLS(t *testing.T) {
	a, other := lab.NewAuthority(t), lab.NewAuthority(t)
	cert, key := a.Issue("sensor", "tap.example.org")
	r := receive(t, Options{Addresses: []string{"tls://127.0.0.1:0"}, TLS: &secure.TLS{CAFile: a.File, CertFile: cert, KeyFile: key}}, usual)
	mine, mineKey := a.Issue("sender")
	foreign, foreignKey := other.Issue("foreign")
	old, oldKey := a.IssueUntil(time.Now().Add(-time.Minute), "old")
	sends := func(c *tls.Config) error {
		nc := tls.Client(r.connect(), c)
		defer nc.Close()
		if _, err := nc.Write(ready); err != nil {
			return err
		}
		b := make([]byte, 100)
		if _, err := nc.Read(b); err != nil { // TLS 1.3: refused only now
			return err
		}
		send(t, nc, start, frame(100), frame(60000), stop)
		hears(t, nc, framestream.Finish)
		return nil
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		frames, failed := r.count(), r.meter("handshake_tls")
		good := clientOf(t, a, mine, mineKey)
		good.MinVersion, good.MaxVersion = version, version
		if err := sends(good); err != nil {
			t.Error(err)
		}
		r.awaitFrames(frames + 2)
		for said, c := range map[string]*tls.Config{
			"the sender shows no certificate":                     clientOf(t, a, "", ""),
			"certificate has expired or is not yet valid":         clientOf(t, a, old, oldKey),
			"certificate is not accepted: tls: failed to verify":  clientOf(t, a, foreign, foreignKey),
			"the sender does not accept the sensor's certificate": clientOf(t, other, mine, mineKey),
		} {
			r.forget()
			lines := r.log.Count(said)
			c.MinVersion, c.MaxVersion = version, version
			if err := sends(c); err == nil {
				t.Errorf("%s: it can send", said)
			}
			failed++
			r.awaits("handshake_tls", failed)
			r.awaitLog(said, lines+1)
		}
	}
	failed := r.meter("handshake_tls")
	for said, b := range map[string][]byte{"it speaks Frame Streams without TLS": ready, "it speaks HTTP": []byte("GET / HTTP/1.1\r\n\r\n"), "this is not TLS": []byte("\x1b[31m")} {
		r.forget()
		nc := r.connect()
		send(t, nc, b)
		ends(t, nc)
		failed++
		r.awaits("handshake_tls", failed)
		r.awaitLog(said, 1)
	}
	if given := r.Given(); given != 4 {
		t.Errorf("%d frames were given", given)
	}
}

// TestTLSHandshakeStalls: who does not speak does not keep others out, and is sent away.
func TestTLSHandshakeStalls(t *testing.T) {
	a := lab.NewAuthority(t)
	cert, key := a.Issue("sensor", "tap.example.org")
	r := receive(t, Options{Addresses: []string{"tls://127.0.0.1:0"}, TLS: &secure.TLS{CertFile: cert, KeyFile: key}}, hasty)
	mute := r.connect()
	nc := tls.Client(r.connect(), clientOf(t, a, "", ""))
	send(t, nc, start, frame(10), stop)
	r.awaitFrames(1)
	ends(t, mute)
	r.awaits("handshake_no_start", 1)
}

// TestSkipVerify: a sender needs a certificate, and any one will do.
func TestSkipVerify(t *testing.T) {
	a, other := lab.NewAuthority(t), lab.NewAuthority(t)
	cert, key := a.Issue("sensor", "tap.example.org")
	theirs, theirKey := other.Issue("sender")
	r := receive(t, Options{Addresses: []string{"tls://127.0.0.1:0"}, TLS: &secure.TLS{CAFile: a.File, CertFile: cert, KeyFile: key}, SkipVerify: true}, usual)
	send(t, tls.Client(r.connect(), clientOf(t, a, theirs, theirKey)), start, frame(10), stop)
	r.awaitFrames(1)
	tls.Client(r.connect(), clientOf(t, a, "", "")).Handshake() // with TLS 1.3 its own end does not fail
	r.awaits("handshake_tls", 1)
}

// TestAnswersAreNotRead: a sender that does not read its answers does not hold up the end.
func TestAnswersAreNotRead(t *testing.T) {
	a := lab.NewAuthority(t)
	cert, key := a.Issue("sensor", "tap.example.org")
	b := usual
	b.drain = 50 * time.Millisecond
	r := receive(t, Options{Addresses: []string{"tls://127.0.0.1:0"}, TLS: &secure.TLS{CertFile: cert, KeyFile: key}}, b)
	nc := tls.Client(r.connect(), clientOf(t, a, "", ""))
	var sent atomic.Int64
	go func() { // until the end of the connection
		many := bytes.Repeat(bytes.Join([][]byte{ready, start, stop}, nil), 100)
		for {
			n, err := nc.Write(many)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}()
	for before := int64(-1); sent.Load() == 0 || sent.Load() != before; { // the sensor waits to answer
		before = sent.Load()
		time.Sleep(200 * time.Millisecond)
	}
	begun := time.Now()
	r.Close()
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("the end took %v", took)
	}
}

// TestRenewal: new files are used without a restart; broken ones are named, and the old
// ones stay in use.
func TestRenewal(t *testing.T) {
	a := lab.NewAuthority(t)
	first, firstKey := a.Issue("first", "tap.example.org")
	second, secondKey := a.Issue("second", "tap.example.org")
	dir := t.TempDir()
	files := &secure.TLS{CertFile: dir + "/cert", KeyFile: dir + "/key"}
	write(t, files.CertFile, read(t, first))
	write(t, files.KeyFile, read(t, firstKey))
	r := receive(t, Options{Addresses: []string{"tls://127.0.0.1:0"}, TLS: files}, usual)
	shown := func() string {
		nc := tls.Client(r.connect(), clientOf(t, a, "", ""))
		defer nc.Close()
		if err := nc.Handshake(); err != nil {
			t.Fatal(err)
		}
		return nc.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if shown() != "first" {
		t.Error("it shows ", shown())
	}
	write(t, files.CertFile, read(t, second)) // does not fit the key
	if err := r.Reload(); err == nil || !strings.Contains(err.Error(), "stay in use") {
		t.Errorf("broken files: error %v", err)
	}
	if shown() != "first" {
		t.Error("with broken files it shows ", shown())
	}
	write(t, files.CertFile, []byte("broken"))
	await.True(t, "broken files are named", func() bool {
		return shown() == "first" && r.log.Count("the new certificates cannot be used") == 1
	}, r.log)
	write(t, files.CertFile, read(t, second))
	write(t, files.KeyFile, read(t, secondKey))
	await.True(t, "the new certificate is used", func() bool { return shown() == "second" }, r.log)
	if err := r.Reload(); err != nil {
		t.Error(err)
	}
}

// TestDialTLS: the sender's certificate is verified, and ours is shown.
func TestDialTLS(t *testing.T) {
	a, other := lab.NewAuthority(t), lab.NewAuthority(t)
	cert, key := a.Issue("sender", "127.0.0.1")
	mine, mineKey := a.Issue("sensor")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(read(t, a.File))
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func(nc net.Conn) {
				defer nc.Close()
				if _, err := nc.Write(bytes.Join([][]byte{start, frame(100), stop}, nil)); err == nil {
					nc.Read(make([]byte, 1))
				}
			}(nc)
		}
	}()
	address := []string{"tls://" + l.Addr().String()}
	r := receive(t, Options{Addresses: address, Dial: true, TLS: &secure.TLS{CAFile: a.File, CertFile: mine, KeyFile: mineKey}}, usual)
	r.awaitFrames(1)
	wrong := receive(t, Options{Addresses: address, Dial: true, TLS: &secure.TLS{CAFile: other.File, CertFile: mine, KeyFile: mineKey}}, usual)
	await.True(t, "an unknown authority is named", func() bool { return wrong.log.Count("certificate signed by unknown authority") == 1 }, wrong.log)
	bare := receive(t, Options{Addresses: address, Dial: true, TLS: &secure.TLS{CAFile: a.File}}, usual)
	await.True(t, "the missing certificate is named", func() bool { return bare.log.Count("certificate required") == 1 }, bare.log)
	any := receive(t, Options{Addresses: address, Dial: true, TLS: &secure.TLS{CAFile: other.File, CertFile: mine, KeyFile: mineKey}, SkipVerify: true}, usual)
	any.awaitFrames(1)
	if wrong.Given()+bare.Given() != 0 {
		t.Error("frames come over connections that are not verified")
	}
}
