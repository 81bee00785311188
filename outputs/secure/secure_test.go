//go:build linux

package secure

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/test/lab"
)

// set parses args as the command line does.
func set(t *testing.T, flags []cli.Flag, args ...string) {
	t.Helper()
	s := flag.NewFlagSet("", flag.ContinueOnError)
	for _, f := range flags {
		if err := f.Apply(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Parse(args); err != nil {
		t.Fatal(err)
	}
}

func options(t *testing.T, args ...string) *TLS {
	t.Helper()
	o := new(TLS)
	set(t, o.Flags("new_output", "DNSMONSTER_NEWCAFILE", "DNSMONSTER_NEWCERTFILE", "DNSMONSTER_NEWKEYFILE"), args...)
	return o
}

// TestNames: options are named after their variables, including names from the manual.
func TestNames(t *testing.T) {
	var names []string
	flags := append(new(TLS).Flags("s", "DNSMONSTER_KAFKACACERTIFICATEPATH", "DNSMONSTER_NEWCERTFILE", "DNSMONSTER_NEWKEYFILE"),
		new(Login).Flags("s", "DNSMONSTER_NEWUSERNAME", "DNSMONSTER_NEWPASSWORD", "DNSMONSTER_NEWPASSWORDFILE")...)
	for _, f := range flags {
		names = append(names, f.Names()...)
		if d := f.(cli.DocGenerationFlag); len(d.GetEnvVars()) != 1 || OptionName(d.GetEnvVars()[0]) != f.Names()[0] || !strings.Contains(d.GetUsage(), "`") {
			t.Errorf("%s: variables %v, usage %q", f.Names(), d.GetEnvVars(), d.GetUsage())
		}
		if c := f.(cli.CategorizableFlag); c.GetCategory() != "s" {
			t.Errorf("%s: section %q", f.Names(), c.GetCategory())
		}
	}
	if want := []string{"kafkacacertificatepath", "newcertfile", "newkeyfile", "newusername", "newpassword"}; !slices.Equal(names, want) {
		t.Errorf("options %v, want %v", names, want)
	}
}

func TestLogin(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		l := new(Login)
		set(t, l.Flags("s", "DNSMONSTER_NEWUSERNAME", "DNSMONSTER_NEWPASSWORD", "DNSMONSTER_NEWPASSWORDFILE"), args...)
		got := ""
		if err := l.Check(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: error %q, want %q", args, got, want)
		}
	}
	f("")
	f("", "--newusername=me")
	f("", "--newusername=me", "--newpassword=hush")
	f("newpassword: needs the user's name, too: set newusername", "--newpassword=hush")
}

// written returns the path of a temporary file with this content.
func written(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.pem")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func text(t *testing.T, paths ...string) (all string) {
	t.Helper()
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all += string(b)
	}
	return all
}

// TestConfigErrors: errors begin with the option and name the file.
func TestConfigErrors(t *testing.T) {
	a := lab.NewAuthority(t)
	cert, key := a.Issue("me")
	_, other := a.Issue("other")
	f := func(want string, args ...string) {
		t.Helper()
		got := ""
		if _, err := options(t, args...).Config("", false); err != nil {
			got = err.Error()
		}
		if want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%q: error %q, want %q", args, got, want)
		}
	}
	broken := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("nothing")}))
	both := written(t, text(t, cert, key))
	empty, half, dir := written(t, ""), written(t, text(t, a.File)+broken), t.TempDir()
	sealed := written(t, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	old := written(t, "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,AA\n\nAAAA\n-----END RSA PRIVATE KEY-----\n")

	f("")
	f("", "--newcafile="+a.File)
	f("", "--newcafile="+a.File, "--newcertfile="+cert, "--newkeyfile="+key)
	f("", "--newcertfile="+both, "--newkeyfile="+both)
	f("newcafile: open /no/such: no such file or directory", "--newcafile=/no/such")
	f("newcafile: read "+dir+": is a directory", "--newcafile="+dir)
	f("newcafile: "+empty+": no certificate in it", "--newcafile="+empty)
	f("newcafile: "+key+": no certificate in it", "--newcafile="+key)
	f("newcafile: "+half+": certificate 2: malformed", "--newcafile="+half)
	f("newcafile: /dev/zero: more than 1 MiB", "--newcafile=/dev/zero")
	f("newcertfile: needs the file with its key, too: set newkeyfile", "--newcertfile="+cert)
	f("newkeyfile: needs the file with its certificate, too: set newcertfile", "--newkeyfile="+key)
	f("newcertfile: open /no/such", "--newcertfile=/no/such", "--newkeyfile="+key)
	f("newcertfile: "+key+": no certificate in it", "--newcertfile="+key, "--newkeyfile="+cert)
	f("newkeyfile: open /no/such", "--newcertfile="+cert, "--newkeyfile=/no/such")
	f("newkeyfile: "+cert+": no key in it", "--newcertfile="+cert, "--newkeyfile="+cert)
	f("newkeyfile: "+other+" does not match "+cert+": private key does not match public key", "--newcertfile="+cert, "--newkeyfile="+other)
	f("newkeyfile: "+sealed+": the key is encrypted", "--newcertfile="+cert, "--newkeyfile="+sealed)
	f("newkeyfile: "+old+": the key is encrypted", "--newcertfile="+cert, "--newkeyfile="+old)
}

// shake makes one connection to a server that presents a certificate and requires one
// signed by clients; nil: it requires none. It returns the client's error.
func shake(t *testing.T, client *tls.Config, certFile, keyFile string, clients *x509.CertPool, version uint16) error {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	server := &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: version, MinVersion: tls.VersionTLS10}
	if clients != nil {
		server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, clients
	}
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			s := tls.Server(conn, server)
			if err = s.Handshake(); err == nil {
				_, err = s.Write([]byte("x"))
			}
		}
		done <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = tls.Client(raw, client).Read(make([]byte, 1))
	if err != nil {
		raw.Close() // so that the server does not wait for us
	}
	<-done
	return err
}

// TestHandshakes makes real handshakes: they follow the options, and a failure comes
// with advice that names the option to change.
func TestHandshakes(t *testing.T) {
	a, b := lab.NewAuthority(t), lab.NewAuthority(t)
	cert, key := a.Issue("server", "db.example.org")
	mine, mineKey := b.Issue("me")
	clients, err := authorities(b.File)
	if err != nil {
		t.Fatal(err)
	}
	ca, ours := "--newcafile="+a.File, []string{"--newcertfile=" + mine, "--newkeyfile=" + mineKey}
	f := func(want, server string, skip bool, clients *x509.CertPool, version uint16, args ...string) {
		t.Helper()
		o := options(t, args...)
		c, err := o.Config(server, skip)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := shake(t, c, cert, key, clients, version); err != nil {
			if got = Advice(err, o.OptionNames("newendpoint")); got == "" {
				got = err.Error()
			}
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q to %s: %q, want %q", args, server, got, want)
		}
	}
	const name = "db.example.org"
	f("", name, false, nil, tls.VersionTLS13, ca)
	f("", name, false, nil, tls.VersionTLS12, ca)
	f("let the server speak TLS 1.2 or later", name, true, nil, tls.VersionTLS11)
	f("set the CA certificate that signs the server's certificate with --newcafile", name, false, nil, 0)
	f("set the CA certificate that signs the server's certificate with --newcafile", name, false, nil, 0, "--newcafile="+b.File)
	f("use the name in --newendpoint that the server's certificate has", "other.example.org", false, nil, 0, ca)
	f("", "other.example.org", true, nil, 0, "--newcafile="+b.File)
	f("", name, false, clients, 0, append(ours, ca)...)
	f("set it with --newcertfile and --newkeyfile", name, false, clients, 0, ca)
}

// TestServerError: an internal error of the server is not blamed on our certificate.
func TestServerError(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		defer server.Close()
		failing := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("out of order") }}
		tls.Server(server, failing).Handshake()
	}()
	err := tls.Client(client, &tls.Config{ServerName: "db.example.org"}).Handshake()
	if err == nil {
		t.Fatal("the handshake succeeds")
	}
	if advice := Advice(err, new(TLS).OptionNames("newendpoint")); advice != "" {
		t.Errorf("%v: %q", err, advice)
	}
}

// TestRenewedCertificate: a renewed certificate is used from the next call on.
func TestRenewedCertificate(t *testing.T) {
	a := lab.NewAuthority(t)
	cert, key := a.Issue("first")
	path, keyPath := written(t, text(t, cert)), written(t, text(t, key))
	o := options(t, "--newcertfile="+path, "--newkeyfile="+keyPath)
	name := func() string {
		t.Helper()
		c, err := o.Config("", false)
		if err != nil {
			t.Fatal(err)
		}
		return c.Certificates[0].Leaf.Subject.CommonName
	}
	if got := name(); got != "first" {
		t.Errorf("presents %s", got)
	}
	cert, key = a.Issue("second")
	if err := errors.Join(os.WriteFile(path, []byte(text(t, cert)), 0o600), os.WriteFile(keyPath, []byte(text(t, key)), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := name(); got != "second" {
		t.Errorf("after the renewal: presents %s", got)
	}
}
