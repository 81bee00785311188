//go:build linux

package httpclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
)

// serve starts a server that reads the whole body before it answers.
func serve(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, body string)) *httptest.Server {
	t.Helper()
	s := unstarted(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer(w, r, string(body))
	})
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func unstarted(h http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	return s
}

// serveTLS presents a certificate and, unless clients is nil, requires one.
func serveTLS(t *testing.T, certFile, keyFile string, clients *x509.CertPool, version uint16, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	s := unstarted(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: version}
	if clients != nil {
		s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, clients
	}
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(text)
	return p
}

// client returns a client without a proxy, whatever the environment says.
func client(t *testing.T, config Config, endpoints ...string) *Client {
	t.Helper()
	config.Endpoints, config.EndpointOption = endpoints, "newendpoint"
	if config.Proxy == "" {
		config.Proxy = None
	}
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// post sends a body and returns the response, or the text of the error.
func post(t *testing.T, c *Client, r *Request, body string, timeout time.Duration) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	r.Body(append(r.Buffer(), body...))
	a, err := c.Send(ctx, r)
	if err != nil {
		return err.Error(), err
	}
	return string(a.Body), nil
}

const generous = 30 * time.Second // for what takes no time, on a busy machine

// kind says how the runner treats an error.
func kind(err error) string {
	var after *outputs.RetryAfter
	switch {
	case err == nil:
		return "accepted"
	case errors.Is(err, ErrTooLarge) && errors.Is(err, outputs.ErrPermanent):
		return "too large"
	case errors.Is(err, outputs.ErrPermanent):
		return "refused"
	case errors.As(err, &after):
		return "retry after " + after.Wait.String()
	case errors.Is(StartError(err), outputs.ErrPermanent):
		return "misconfigured"
	}
	return "retry"
}

// closedPort is an address at which nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// silentServer is an address that accepts connections and never answers.
func silentServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return "http://" + l.Addr().String()
}

// fullBacklog is an address that drops packets: the kernel does so when too many
// connections wait to be accepted.
func fullBacklog(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 10 {
		conn, err := net.DialTimeout("tcp", at, 50*time.Millisecond)
		if err != nil {
			return "http://" + at
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Fatal("the kernel still accepts connections beyond the backlog")
	return ""
}

func has(t *testing.T, what, got string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			t.Errorf("%s: %q lacks %q", what, got, p)
		}
	}
}

func hasNot(t *testing.T, what, got string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(got, p) {
			t.Errorf("%s: %q has %q", what, got, p)
		}
	}
}
