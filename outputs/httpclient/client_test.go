//go:build linux

package httpclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/secure"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
)

// TestConfigErrors: errors begin with the option and contain no value that may hold a
// secret.
func TestConfigErrors(t *testing.T) {
	f := func(want string, change func(c *Config)) {
		t.Helper()
		c := Config{
			Endpoints: []string{"https://a.example.org:8088/x"}, EndpointOption: "newendpoint", ProxyOption: "newproxy", CompressionOption: "newcompression",
			Auth: Auth{LoginOption: "newusername", TokenOption: "newtoken"},
		}
		change(&c)
		got := ""
		if _, err := New(c); err != nil {
			got = err.Error()
		}
		if want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("error %q, want %q", got, want)
		}
		hasNot(t, "an error", got, "hush", "ZQXJ")
	}
	endpoints := func(list ...string) func(c *Config) { return func(c *Config) { c.Endpoints = list } }
	f("", func(*Config) {})
	f("", endpoints("http://me:hush@a", "HTTPS://[2001:db8::1]:80/x?y=z", " http://b/ "))
	f("newendpoint: not set: use a URL such as https://", endpoints())
	f("newendpoint: not a URL", endpoints("a.example.org:8088"))
	f("newendpoint: use an http:// or https:// URL", endpoints("ftp://a.example.org"))
	f("newendpoint: the URL names no host", endpoints("http:///x"))
	f("newendpoint: number 2: a port is a number", endpoints("http://a", "http://b:ZQXJ"))
	f("newendpoint: it is not certain", endpoints("http://me:12/hush@h/"))
	f("newendpoint: http://a/x is listed twice", endpoints("http://a/x", "http://me:hush@a/x/"))
	f("newendpoint: it contains a user, and --newtoken is set as well", func(c *Config) { c.Endpoints[0], c.Auth.Token = "http://me:hush@h", "ZQXJ" })
	f("newtoken: a user is set as well, in newusername", func(c *Config) { c.Auth.Token, c.Auth.Login = "ZQXJ", secure.Login{Username: "me"} })
	f("newusername: a user name must not contain a colon", func(c *Config) { c.Auth.Login = secure.Login{Username: "ZQXJ:ZQXJ"} })
	f("newtoken: a token must not contain line ends", func(c *Config) { c.Auth.Token = "ZQXJ\n" })
	f(`newcompression: "lz4": use none, gzip or zstd`, func(c *Config) { c.Compression = "lz4" })
	f("", func(c *Config) { c.Proxy = "ZQXJ:hush@127.0.0.1:3128" })
	f("", func(c *Config) { c.Proxy = "socks5://127.0.0.1:1080" })
	f("newproxy: not of the form http://user:password@host:port", func(c *Config) { c.Proxy = "http://ZQXJ:12/hush@h:1" })
	f("newproxy: not of the form http://user:password@host:port", func(c *Config) { c.Proxy = "http://ZQXJ:hu%zzsh@h:1" })
	f("newproxy: not of the form http://user:password@host:port", func(c *Config) { c.Proxy = "http://h:1/path" })
	f("newproxy: use an http://, https:// or socks5:// URL, or none", func(c *Config) { c.Proxy = "ftp://h:1" })
	f("newendpoint: not a URL\nnewtoken: a token must not contain line ends or control characters\nnewcompression: \"x\": use none, gzip or zstd\nnewproxy: not of the form", func(c *Config) {
		c.Endpoints, c.Auth.Token, c.Compression, c.Proxy = []string{"x"}, "ZQXJ\n", "x", "http://h:ZQXJ"
	})
	f(": open /no/such", func(c *Config) { c.TLS.CAFile = "/no/such" })
}

// TestFailover: a dead or a silent address costs an attempt its share of the time and
// no more; the next attempt goes straight to the address that worked.
func TestFailover(t *testing.T) {
	t.Parallel()
	var got atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request, body string) {
		got.Add(1)
		fmt.Fprint(w, r.URL.RequestURI()+" "+body)
	})
	var text bytes.Buffer
	c := client(t, Config{Log: slog.New(slog.NewTextHandler(&text, nil))}, closedPort(t)+"/x", strings.Replace(silentServer(t), "//", "//me:hush@", 1), fullBacklog(t), s.URL+"/x?a=b")
	r := c.NewRequest(http.MethodPost, "/bulk?c=d")
	from := time.Now()
	if a, err := post(t, c, r, "one", 2*time.Second); err != nil || a != "/x/bulk?a=b&c=d one" {
		t.Fatalf("%s, %v", a, err)
	}
	if took := time.Since(from); took < 500*time.Millisecond {
		t.Errorf("took %s: the second address got no time", took)
	}
	if a, err := post(t, c, r, "two", 200*time.Millisecond+generous); err != nil || a != "/x/bulk?a=b&c=d two" || got.Load() != 2 {
		t.Errorf("%s, %v, %d requests", a, err, got.Load())
	}
	has(t, "the log", text.String(), "an address fails, using another one", "now="+s.URL+"/x ")
	hasNot(t, "the log", text.String(), "hush", "a=b")
}

// TestRecovery: the preferred address is used again once it is back.
func TestRecovery(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	preferred := l.Addr().String()
	l.Close()
	second := serve(t, func(w http.ResponseWriter, _ *http.Request, _ string) { fmt.Fprint(w, "second") })
	c := client(t, Config{}, "http://"+preferred, second.URL)
	r := c.NewRequest(http.MethodPost, "")
	if a, _ := post(t, c, r, "x", generous); a != "second" {
		t.Fatal(a)
	}
	if l, err = net.Listen("tcp", preferred); err != nil {
		t.Skipf("another process has taken %s: %v", preferred, err)
	}
	first := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "first") })}
	go first.Serve(l)
	defer first.Close()
	await.True(t, "the first address answers", func() bool {
		a, err := post(t, c, r, "x", generous)
		if err != nil {
			t.Fatalf("%s, %v", a, err)
		}
		return a == "first"
	})
}

// TestAllDown: the error gives a reason for each address.
func TestAllDown(t *testing.T) {
	down := serve(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
		http.Error(w, "in the\nmiddle of \x1b[31msomething", http.StatusServiceUnavailable)
	})
	gone := closedPort(t)
	c := client(t, Config{}, strings.Replace(gone, "//", "//me:hush@", 1), down.URL)
	got, err := post(t, c, c.NewRequest(http.MethodPost, "x"), "x", generous)
	has(t, "the error", got, "none of 2 addresses accepts it: POST "+gone+"/x: ", "connection refused; POST "+down.URL+`/x: the server answers 503 Service Unavailable: in the middle of \u001b[31msomething`)
	if kind(err) != "retry" {
		t.Errorf("%v is %s", err, kind(err))
	}
}

// TestTLS: which servers a client trusts, which certificate it presents, and which
// option repairs a failure.
func TestTLS(t *testing.T) {
	a, b := lab.NewAuthority(t), lab.NewAuthority(t)
	cert, key := a.Issue("server", "127.0.0.1", "db.example.org")
	otherCert, otherKey := a.Issue("other", "db.example.org")
	mine, mineKey := b.Issue("me")
	proto := func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }
	f := func(wantKind, want, url string, skip bool, files secure.TLS) {
		t.Helper()
		files.Flags("s", "DNSMONSTER_NEWCAFILE", "DNSMONSTER_NEWCERTFILE", "DNSMONSTER_NEWKEYFILE")
		c := client(t, Config{TLS: files, SkipVerify: skip}, url)
		got, err := post(t, c, c.NewRequest(http.MethodPost, ""), "x", generous)
		if kind(err) != wantKind || !strings.Contains(got, want) {
			t.Errorf("%s: %s, %q; want %s, %q", url, kind(err), got, wantKind, want)
		}
	}
	s := serveTLS(t, cert, key, nil, tls.VersionTLS13, proto)
	f("accepted", "HTTP/2.0", s.URL, false, secure.TLS{CAFile: a.File})
	f("accepted", "HTTP/2.0", s.URL, true, secure.TLS{})
	f("misconfigured", "set the CA certificate that signs the server's certificate with --newcafile", s.URL, false, secure.TLS{})
	f("misconfigured", "set the CA certificate that signs the server's certificate with --newcafile", s.URL, false, secure.TLS{CAFile: b.File})
	s = serveTLS(t, otherCert, otherKey, nil, tls.VersionTLS12, proto)
	f("misconfigured", "use the name in --newendpoint that the server's certificate has", s.URL, false, secure.TLS{CAFile: a.File})
	f("misconfigured", "it requires TLS there: use https:// in --newendpoint", strings.Replace(s.URL, "https", "http", 1), false, secure.TLS{})
	s = serveTLS(t, cert, key, pool(t, b.File), tls.VersionTLS12, proto)
	f("accepted", "HTTP/2.0", s.URL, false, secure.TLS{CAFile: a.File, CertFile: mine, KeyFile: mineKey})
	f("misconfigured", "requires one: set it with --newcertfile and --newkeyfile", s.URL, false, secure.TLS{CAFile: a.File})
	s = serveTLS(t, cert, key, pool(t, b.File), tls.VersionTLS13, proto)
	f("accepted", "HTTP/2.0", s.URL, false, secure.TLS{CAFile: a.File, CertFile: mine, KeyFile: mineKey})
	for range 20 { // the server may reject us after our side of the handshake
		got := ""
		files := secure.TLS{CAFile: a.File}
		files.Flags("s", "DNSMONSTER_NEWCAFILE", "DNSMONSTER_NEWCERTFILE", "DNSMONSTER_NEWKEYFILE")
		c := client(t, Config{TLS: files}, s.URL)
		if got, _ = post(t, c, c.NewRequest(http.MethodPost, ""), "x", generous); !strings.Contains(got, "set it with --newcertfile and --newkeyfile") {
			t.Errorf("no certificate in TLS 1.3: %s", got)
		}
	}
	plain := serve(t, func(w http.ResponseWriter, _ *http.Request, _ string) {})
	f("misconfigured", "the server does not speak TLS there: use http:// in --newendpoint", strings.Replace(plain.URL, "http", "https", 1), false, secure.TLS{})
}

// TestRenewedCertificate: a renewed certificate is presented without a restart.
func TestRenewedCertificate(t *testing.T) {
	a := lab.NewAuthority(t)
	cert, key := a.Issue("server", "127.0.0.1")
	s := serveTLS(t, cert, key, pool(t, a.File), 0, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	})
	dir := t.TempDir()
	put := func(name string) {
		t.Helper()
		c, k := a.Issue(name)
		for from, to := range map[string]string{c: "/cert", k: "/key"} {
			text, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(dir+to, text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	put("first")
	authorities := dir + "/authorities"
	if text, err := os.ReadFile(a.File); err != nil || os.WriteFile(authorities, text, 0o600) != nil {
		t.Fatal("cannot copy the authority's certificate")
	}
	c := client(t, Config{TLS: secure.TLS{CAFile: authorities, CertFile: dir + "/cert", KeyFile: dir + "/key"}, DisableKeepAlives: true}, s.URL)
	r := c.NewRequest(http.MethodPost, "")
	if err := os.Remove(authorities); err != nil { // read already
		t.Fatal(err)
	}
	for _, name := range []string{"first", "second"} {
		put(name)
		if got, _ := post(t, c, r, "x", generous); got != name {
			t.Errorf("%s, want %s", got, name)
		}
	}
}

// TestAuth: which credentials a server gets; they are not shown when the server
// repeats them.
func TestAuth(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request, _ string) {
		got := r.Header.Get("Authorization") + r.Header.Get("X-Api-Key")
		if user, password, ok := r.BasicAuth(); ok {
			got = user + " " + password
		}
		if r.URL.Path == "/no" {
			http.Error(w, "who is "+got+" "+r.Header.Get("Authorization")+"?", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, got)
	})
	f := func(want, user string, a Auth) {
		t.Helper()
		a.LoginOption, a.TokenOption = "newusername", "newtoken"
		c := client(t, Config{Auth: a}, strings.Replace(s.URL, "//", "//"+user, 1))
		if got, err := post(t, c, c.NewRequest(http.MethodPost, ""), "x", generous); got != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
		got, err := post(t, c, c.NewRequest(http.MethodPost, "no"), "x", generous)
		if kind(err) != "misconfigured" {
			t.Errorf("401 is %s", kind(err))
		}
		has(t, "a 401", got, "POST "+s.URL+"/no: the server answers 401 Unauthorized: who is ")
		hasNot(t, "a 401", got, "hu:sh", "aHU6c2g", "bWU6aHU6c2g=")
	}
	f("", "", Auth{})
	f("me hu:sh", "me:hu%3Ash@", Auth{})
	f("me hu:sh", "", Auth{Login: secure.Login{Username: "me", Password: "hu:sh"}})
	f("Bearer hu:sh", "", Auth{Token: "hu:sh"})
	f("Splunk hu:sh", "", Auth{Token: "hu:sh", Scheme: "Splunk"})
	f("hu:sh", "", Auth{Token: "hu:sh", Header: "X-Api-Key"})
	n := 0
	fresh := Auth{Func: func(_ context.Context, r *http.Request) error {
		if n++; n == 2 {
			return errors.New("no token today")
		}
		r.Header.Set("Authorization", fmt.Sprintf("Bearer %d", n))
		return nil
	}}
	c := client(t, Config{Auth: fresh}, s.URL)
	for i, want := range []string{"Bearer 1", "POST " + s.URL + ": no token today", "Bearer 3"} {
		if got, _ := post(t, c, c.NewRequest(http.MethodPost, ""), "x", generous); got != want {
			t.Errorf("%d: %s, want %s", i, got, want)
		}
	}
}

// TestQuotedSecrets: secrets are masked in the forms in which servers quote them.
func TestQuotedSecrets(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request, _ string) {
		_, p, _ := r.BasicAuth()
		w.WriteHeader(http.StatusForbidden)
		inJSON, _ := json.Marshal(p)
		fmt.Fprintf(w, "no:%s|%s|%s|%s|end", p, inJSON, url.QueryEscape(p), url.PathEscape(p))
	})
	f := func(password, want string) {
		t.Helper()
		c := client(t, Config{Auth: Auth{Login: secure.Login{Username: "me", Password: password}}}, s.URL)
		got, _ := post(t, c, c.NewRequest(http.MethodPost, ""), "x", generous)
		has(t, "the error", got, want)
	}
	const all = `no:********|"********"|********|********|end`
	f("hush", all)
	f("two  blanks", all)
	f("a tab\tin it", all)
	f(`"quoted\"`, all)
	f("per%cent+and/slash?", all)
}

// TestEndsWithItsContext: a request ends with its context, and a stop does not mark
// the address as bad.
func TestEndsWithItsContext(t *testing.T) {
	c := client(t, Config{}, silentServer(t), closedPort(t))
	r := c.NewRequest(http.MethodPost, "")
	r.Body(append(r.Buffer(), 'x'))
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(30*time.Millisecond, cancel)
	from := time.Now()
	_, err := c.Send(ctx, r)
	if took := time.Since(from); !errors.Is(err, context.Canceled) || took > 10*time.Second {
		t.Errorf("%v after %s", err, took)
	}
	if at := c.addresses.Next(); at.Index != 0 {
		t.Errorf("next is %s: the stop has made an address bad", at.Name)
	}
}

// TestNoLeaks: 10,000 requests, failed ones among them, leave no descriptor and no
// goroutine.
func TestNoLeaks(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, body string) {
		if strings.HasSuffix(body, "7") {
			http.Error(w, strings.Repeat("x", 10_000), http.StatusServiceUnavailable)
		}
	})
	count := func() (int, int) {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list), runtime.NumGoroutine()
	}
	files, routines := count()
	c := client(t, Config{Compression: Zstd}, s.URL)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			r := c.NewRequest(http.MethodPost, "x")
			for i := range 1250 {
				post(t, c, r, fmt.Sprint(i), generous)
			}
		})
	}
	all.Wait()
	c.Close()
	s.CloseClientConnections()
	var f, g int
	if !await.Within(await.Limit, func() bool { // one for the poller, one for a connection that the server is closing
		f, g = count()
		return f <= files+1 && g <= routines+1
	}) {
		t.Fatalf("%d descriptors and %d goroutines, before %d and %d", f, g, files, routines)
	}
}

// TestCloseWaitsForOthers: workers share a client, and the first one that ends closes it.
// Connections stay open while a request of another worker is under way, and no longer.
func TestCloseWaitsForOthers(t *testing.T) {
	hangs, release := make(chan struct{}), make(chan struct{})
	var opened, closed atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			close(hangs)
			<-release
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c, err := New(Config{Endpoints: []string{server.URL}, Proxy: "none"})
	if err != nil {
		t.Fatal(err)
	}
	send := func(path string) {
		if _, err := c.Send(t.Context(), c.NewRequest(http.MethodPost, path)); err != nil {
			t.Error(err)
		}
	}
	var other sync.WaitGroup
	other.Go(func() { send("hang") })
	<-hangs
	send("")
	c.Close()
	send("")
	if opened.Load() != 2 || closed.Load() != 0 {
		t.Errorf("%d connections were opened and %d closed while a request was under way, want 2 and 0", opened.Load(), closed.Load())
	}
	close(release)
	other.Wait()
	c.Close()
	await.True(t, "all connections are closed", func() bool { return closed.Load() == 2 })
}
