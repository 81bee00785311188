//go:build linux

package httpclient

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/secure"
	"dnsmonster-sensor/test/lab"
)

// proxy starts a proxy that requires a user. It forwards CONNECT to one server,
// whatever the request names, and answers plain requests itself.
func proxy(t *testing.T, to string) string {
	t.Helper()
	return lab.Serve(t, func(conn net.Conn) {
		q, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		q.Header.Set("Authorization", q.Header.Get("Proxy-Authorization"))
		user, password, _ := q.BasicAuth()
		switch {
		case user+password != "mehush":
			io.WriteString(conn, "HTTP/1.1 407 Who Are You\r\nContent-Length: 0\r\n\r\n")
		case q.Method != http.MethodConnect:
			text := "by proxy " + q.URL.Host
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		case q.URL.Hostname() == "busy.example.org":
			io.WriteString(conn, "HTTP/1.1 502 Me hush\r\nContent-Length: 0\r\n\r\n")
		default:
			server, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			defer server.Close()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
			go io.Copy(server, conn)
			io.Copy(conn, server)
		}
	})
}

// TestProxy: the proxy of the option is used for all requests, with its user, and no
// error shows its password.
func TestProxy(t *testing.T) {
	a := lab.NewAuthority(t)
	cert, key := a.Issue("server", "db.example.org")
	s := serveTLS(t, cert, key, nil, 0, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "there: ", r.Header.Get("Proxy-Authorization"))
	})
	p := proxy(t, s.Listener.Addr().String())
	f := func(via, url, wantKind, want string) {
		t.Helper()
		c := client(t, Config{Proxy: via, TLS: secure.TLS{CAFile: a.File}}, url)
		got, err := post(t, c, c.NewRequest(http.MethodPost, ""), "x", generous)
		if kind(err) != wantKind {
			t.Errorf("%s by %s: %s, want %s", url, via, kind(err), wantKind)
		}
		has(t, url, got, want)
		hasNot(t, url, got, "hush", "wrong1")
	}
	f("http://me:hush@"+p, "https://db.example.org", "accepted", "there: ")
	f("me:hush@"+p, "http://127.0.0.1:9", "accepted", "by proxy 127.0.0.1:9")
	f("http://me:wrong1@"+p, "https://db.example.org", "misconfigured", "the proxy answers 407 Who Are You: correct its user and password")
	f("http://me:wrong1@"+p, "http://db.example.org", "misconfigured", "407")
	f("http://me:hush@"+p, "https://busy.example.org", "retry", "the proxy answers 502 Me")
	f("http://me:hush@"+strings.TrimPrefix(closedPort(t), "http://"), "https://db.example.org", "retry", "connection refused")
	f("http://me:hush@"+strings.TrimPrefix(closedPort(t), "http://"), "http://db.example.org", "retry", "connection refused")
	f(None, s.URL, "misconfigured", "127.0.0.1")
}

// TestPlainTextWarning: one warning if a secret is sent unencrypted to another
// machine.
func TestPlainTextWarning(t *testing.T) {
	a := lab.NewAuthority(t)
	cert, key := a.Issue("server", "db.example.org")
	s := serveTLS(t, cert, key, nil, 0, func(http.ResponseWriter, *http.Request) {})
	p := "http://me:hush@" + proxy(t, s.Listener.Addr().String())
	f := func(url, token string, want int) {
		t.Helper()
		var text bytes.Buffer
		c := client(t, Config{Proxy: p, Auth: Auth{Token: token}, TLS: secure.TLS{CAFile: a.File}, Log: slog.New(slog.NewTextHandler(&text, nil))}, url)
		r := c.NewRequest(http.MethodPost, "")
		for range 2 {
			if got, err := post(t, c, r, "x", generous); err != nil {
				t.Error(got)
			}
		}
		if n := strings.Count(text.String(), "unencrypted: use https:// in --newendpoint"); n != want {
			t.Errorf("%s with %q: %d warnings, want %d: %s", url, token, n, want, text.String())
		}
		hasNot(t, "the log", text.String(), "ZQXJ")
	}
	f("http://me:ZQXJ@db.example.org", "", 1)
	f("http://db.example.org", "ZQXJ", 1)
	f("http://db.example.org", "", 0)
	f("http://127.0.0.1:9", "ZQXJ", 0)
	f("https://db.example.org", "ZQXJ", 0)
}

// TestProxyOfTheEnvironment: it is used if no option names a proxy, except for
// hosts in NO_PROXY.
func TestProxyOfTheEnvironment(t *testing.T) {
	if via, set := os.LookupEnv("PROXY_TEST"); set {
		c, err := New(Config{Endpoints: []string{"http://192.0.2.1"}, Proxy: via})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if via == None || os.Getenv("NO_PROXY") != "" {
			cancel() // nothing leaves this machine
		}
		defer cancel()
		at, err := proxyFor(c)
		fmt.Println("goes by", at, err)
		if a, err := c.Send(ctx, c.NewRequest(http.MethodPost, "")); err == nil {
			fmt.Println(string(a.Body))
		}
		return
	}
	p := proxy(t, "")
	f := func(option, environment, not, want string) {
		t.Helper()
		cmd := exec.Command(os.Args[0], "-test.run=^TestProxyOfTheEnvironment$")
		cmd.Env = append(os.Environ(), "PROXY_TEST="+option, "HTTP_PROXY="+environment, "NO_PROXY="+not, "http_proxy=", "no_proxy=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		has(t, fmt.Sprintf("option %q, HTTP_PROXY=%s, NO_PROXY=%s", option, environment, not), string(out), want)
	}
	f("", "http://me:hush@"+p, "", "by proxy 192.0.2.1")
	f("", "http://me:hush@"+p, "192.0.2.1", "goes by <nil> <nil>")
	f("none", "http://me:hush@"+p, "", "goes by <nil> <nil>")
	f("http://me:hush@"+p, "http://127.0.0.1:1", "", "by proxy 192.0.2.1")
	f("", "http://me:12/hush@127.0.0.1:1", "", "HTTP_PROXY or HTTPS_PROXY is not of the form")
}

// proxyFor is the proxy that the transport uses for the first address.
func proxyFor(c *Client) (any, error) {
	q, err := http.NewRequest(http.MethodPost, c.remotes[0].url.String(), nil)
	if err != nil {
		return nil, err
	}
	f := c.http.Transport.(*http.Transport).Proxy
	if f == nil {
		return nil, nil
	}
	u, err := f(q)
	if u == nil {
		return nil, err
	}
	return u.Host, err
}
