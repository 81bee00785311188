//go:build linux

package httpclient

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
)

// TestStatuses: what each status means for the runner, and how an output overrides it.
func TestStatuses(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request, _ string) {
		var status int
		fmt.Sscanf(r.URL.Path, "/%d", &status)
		if after := r.URL.Query().Get("after"); after != "" {
			w.Header().Set("Retry-After", after)
		}
		if status >= 300 && status < 400 {
			w.Header().Set("Location", "http://me:hush@elsewhere.example.org/x?token=hush")
		}
		w.WriteHeader(status)
	})
	c := client(t, Config{Statuses: map[int]Outcome{409: Accepted, 404: Refused, 500: Misconfigured}}, s.URL)
	f := func(path, want, text string) {
		t.Helper()
		got, err := post(t, c, c.NewRequest(http.MethodPost, path), "x", generous)
		if kind(err) != want {
			t.Errorf("%s: %s, want %s", path, kind(err), want)
		}
		has(t, path, got, text)
		hasNot(t, path, got, "hush")
	}
	f("200", "accepted", "")
	f("204", "accepted", "")
	f("302", "misconfigured", "it redirects to http://elsewhere.example.org/x: if that is the destination, set it in --newendpoint")
	f("307", "misconfigured", "it redirects to")
	f("400", "refused", "the server answers 400 Bad Request")
	f("401", "misconfigured", "the server requires a login")
	f("403", "misconfigured", "")
	f("404", "refused", "")
	f("405", "misconfigured", "correct the path in --newendpoint")
	f("407", "misconfigured", "user and password of the proxy")
	f("408", "retry", "")
	f("409", "accepted", "")
	f("413", "too large", "")
	f("418", "misconfigured", "")
	f("422", "refused", "")
	f("423", "retry", "")
	f("429", "retry", "")
	f("429?after=7", "retry after 7s", "429 Too Many Requests (the server asks to wait 7s)")
	f("500", "misconfigured", "")
	f("502", "retry", "")
	f("503?after=0", "retry after 0s", "")
	f("503?after=99999999999999999999", "retry after 5m0s", "")
	f("503?after=soon", "retry", "")
	f("599", "retry", "")
	f("400?after=7", "refused", "")
	f("403?after=7", "misconfigured", "")
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	f := func(after, date string, want time.Duration, ok bool) {
		t.Helper()
		h := http.Header{"Retry-After": {after}}
		if date != "" {
			h.Set("Date", date)
		}
		if got, is := retryAfter(h, now); got != want || is != ok {
			t.Errorf("%q at %q: %s, %t; want %s, %t", after, date, got, is, want, ok)
		}
	}
	f("", "", 0, false)
	f("30", "", 30*time.Second, true)
	f("301", "", 5*time.Minute, true)
	f("-1", "", 0, false)
	f("1.5", "", 0, false)
	f("Fri, 27 Nov 2026 12:00:20 GMT", "", 20*time.Second, true)
	f("Fri, 27 Nov 2026 11:00:00 GMT", "", 0, true)
	f("Fri, 27 Nov 2026 12:00:20 GMT", "Fri, 27 Nov 2026 12:00:15 GMT", 5*time.Second, true) // the server's clock
	f("Fri, 27 Nov 2099 12:00:20 GMT", "", 5*time.Minute, true)
}

// TestSeveralBusyServers: the shortest delay counts.
func TestSeveralBusyServers(t *testing.T) {
	busy := func(after string) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(429)
		}).URL
	}
	c := client(t, Config{}, busy("40"), busy("20"), closedPort(t))
	got, err := post(t, c, c.NewRequest(http.MethodPost, ""), "x", generous)
	if kind(err) != "retry after 20s" || strings.Count(got, "asks to wait") != 1 {
		t.Errorf("%s: %s", kind(err), got)
	}
}

// TestBadResponses: bad responses end in time and in bounded memory, and acknowledge
// nothing.
func TestBadResponses(t *testing.T) {
	t.Parallel()
	raw := func(text string, endless string) string {
		return "http://" + lab.Serve(t, func(conn net.Conn) {
			q, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil {
				return
			}
			io.Copy(io.Discard, q.Body) // closing with unread data would send a reset
			io.WriteString(conn, text)
			for err == nil && endless != "" {
				_, err = io.WriteString(conn, endless)
				if endless == "." {
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	const ok, unavailable = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 503 Service Unavailable\r\n"
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	w.Write(make([]byte, 1<<20))
	w.Close()
	f := func(text, endless, want string) {
		t.Helper()
		c := client(t, Config{MaxResponse: 100_000}, raw(text, endless))
		timeout := generous
		if endless == "." || text == "" { // only the timeout ends these
			timeout = time.Second
		}
		from := time.Now()
		got, err := post(t, c, c.NewRequest(http.MethodPost, ""), "x", timeout)
		if took := time.Since(from); kind(err) != "retry" || !strings.Contains(got, want) || len(got) > 1000 || took > 10*time.Second {
			t.Errorf("%.60q: %s after %s: %.400q, want %q", text, kind(err), took, got, want)
		}
	}
	filler := strings.Repeat("x", 1000)
	f(ok+"\r\n", filler, "read the response: it has more than 100000 bytes")
	f(ok+"\r\n", ".", "no complete response in time")
	f(ok+"Content-Length: 100\r\n\r\nabc", "", "it ends early: unexpected EOF")
	f(ok+"Transfer-Encoding: chunked\r\n\r\n5\r\nabc", "", "it ends early")
	f(ok+"X: ", filler, "")
	f(fmt.Sprintf(ok+"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", bomb.Len(), bomb.String()), "", "it has more than 100000 bytes")
	f(unavailable+"\r\n", filler, "503 Service Unavailable: xxx")
	f(unavailable+"\r\n", ".", "503 Service Unavailable: ...")
	f("", filler, "")
	f("", "", "")
	f("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", ".", "the server answers 101 Switching Protocols")
	f("HTTP/1.1 503 \x1b[31m"+filler+"\r\n\r\n", "", `\u001b[31m`)
}

// TestCompression: a server gets the body that was meant, from reused buffers.
func TestCompression(t *testing.T) {
	unpack := map[string]func(io.Reader) (io.Reader, error){
		"":     func(r io.Reader) (io.Reader, error) { return r, nil },
		"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"zstd": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request, body string) {
		u, err := unpack[r.Header.Get("Content-Encoding")](strings.NewReader(body))
		if err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		io.Copy(w, u)
	})
	for compression, coding := range map[string]string{"": "", None: "", Gzip: "gzip", Zstd: "zstd"} {
		c := client(t, Config{Compression: compression}, s.URL)
		r := c.NewRequest(http.MethodPost, "")
		for i := range 20 {
			body := strings.Repeat(fmt.Sprintf("line %d\n", i), (20-i)*500)
			if got, err := post(t, c, r, body, generous); got != body {
				t.Fatalf("%s: body %d arrives as %.100q, %v", compression, i, got, err)
			}
			if r.encoding != coding || coding != "" && len(r.body) > len(body)/2 {
				t.Errorf("%s: sent as %q in %d bytes of %d", compression, r.encoding, len(r.body), len(body))
			}
		}
		body := []byte(strings.Repeat("some text\n", 5000))
		if n := testing.AllocsPerRun(20, func() { r.Body(append(r.Buffer(), body...)) }); n > 2 {
			t.Errorf("%s: a body allocates %v times", compression, n)
		}
	}
}

// TestBufferStillRead: a buffer is not reused while the library reads it, which it may
// do for some time after the attempt.
func TestBufferStillRead(t *testing.T) {
	for _, compression := range []string{None, Gzip, Zstd} {
		r := client(t, Config{Compression: compression}, "http://192.0.2.1").NewRequest(http.MethodPost, "")
		same := func() bool {
			before := &r.body[0]
			r.Body(append(r.Buffer(), "body"...))
			return before == &r.body[0]
		}
		r.Body(append(r.Buffer(), "body"...))
		if !same() {
			t.Errorf("%s: the buffer is not reused", compression)
		}
		var q http.Request
		q.Header = http.Header{}
		r.attach(&q)
		again, _ := q.GetBody()
		again.Close()
		again.Close() // a second Close does nothing
		if same() {
			t.Errorf("%s: a buffer is reused that is still read", compression)
		}
		r.attach(&q)
		q.Body.Close()
		if !same() {
			t.Errorf("%s: the buffer is not reused after its reader closed it", compression)
		}
		if n, err := q.Body.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%s: a closed body is read: %d, %v", compression, n, err)
		}
	}
}

// TestServerAnswersEarly: after an early answer the library still reads the old body:
// the next body uses another buffer.
func TestServerAnswersEarly(t *testing.T) {
	t.Parallel()
	t.Run("HTTP/1", func(t *testing.T) { answersEarly(t, false) })
	t.Run("HTTP/2", func(t *testing.T) { answersEarly(t, true) })
}

func answersEarly(t *testing.T, two bool) {
	handle := func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 != two {
			t.Error(r.Proto)
		}
		if r.URL.Query().Has("early") {
			w.WriteHeader(413)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if len(body) > 0 && bytes.Count(body, body[:1]) != len(body) {
			w.WriteHeader(400)
		}
	}
	s := unstarted(handle)
	if two {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	defer s.Close()
	c := client(t, Config{SkipVerify: true}, s.URL)
	early, late := c.NewRequest(http.MethodPost, "?early"), c.NewRequest(http.MethodPost, "")
	for i := range 6 {
		fill := string(rune('a' + i))
		if _, err := post(t, c, early, strings.Repeat(fill, 2<<20), generous); kind(err) == "accepted" {
			t.Errorf("%d: %v", i, err)
		}
		if _, err := post(t, c, late, strings.Repeat(fill, 1<<20), generous); err != nil {
			t.Errorf("%d: %v", i, err)
		}
		if rand.IntN(2) == 0 { // and an aborted one
			post(t, c, late, strings.Repeat(fill, 2<<20), time.Millisecond)
		}
	}
}

// TestIdleConnectionClosed: an idle connection that closes just when it is reused
// costs no attempt.
func TestIdleConnectionClosed(t *testing.T) {
	address := lab.Serve(t, func(conn net.Conn) {
		from := bufio.NewReader(conn)
		for i := range 2 { // the second request gets no answer
			q, err := http.ReadRequest(from)
			if err != nil {
				break
			}
			io.Copy(io.Discard, q.Body)
			if i == 0 {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}
	})
	c := client(t, Config{}, "http://"+address)
	r := c.NewRequest(http.MethodPost, "")
	for i := range 5 {
		if got, _ := post(t, c, r, "x", generous); got != "ok" {
			t.Errorf("%d: %s", i, got)
		}
	}
}

// TestRedirects: only requests without a body follow redirects, a bounded number of
// them, and credentials stay with their host.
func TestRedirects(t *testing.T) {
	other := serve(t, func(w http.ResponseWriter, r *http.Request, _ string) {
		fmt.Fprintf(w, "other %q %q %q", r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), r.Header.Get("Referer"))
	})
	s := serve(t, func(w http.ResponseWriter, r *http.Request, body string) {
		to := map[string]string{"/loop": "/loop", "/other": other.URL, "/same": "/end"}[r.URL.Path]
		if to == "" {
			fmt.Fprintf(w, "end %q %q %q", r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), body)
			return
		}
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	})
	f := func(a Auth, method, path, want string) {
		t.Helper()
		c := client(t, Config{Auth: a}, s.URL)
		r := c.NewRequest(method, path)
		if method != http.MethodGet {
			r.Body(append(r.Buffer(), 'x'))
		}
		ctx, cancel := context.WithTimeout(context.Background(), generous)
		defer cancel()
		got := ""
		if a, err := c.Send(ctx, r); err != nil {
			got = err.Error()
		} else {
			got = string(a.Body)
		}
		has(t, method+" "+path, got, want)
		await.True(t, method+" "+path+": no unread body is left open", func() bool { return r.raw.readers.Load() == 0 })
	}
	key := Auth{Token: "hush", Header: "X-Api-Key"}
	f(Auth{}, "GET", "loop", "stopped after 10 redirects")
	f(Auth{Token: "hush"}, "GET", "same?token=hush", `end "Bearer hush" "" ""`)
	f(Auth{Token: "hush"}, "GET", "other?token=hush", `other "" "" ""`)
	f(key, "GET", "other", `other "" "" ""`)
	f(key, "GET", "same", `end "" "hush" ""`)
	f(key, "POST", "same", "307 Temporary Redirect: it redirects to "+s.URL+"/end")
	f(key, "POST", "other", "307 Temporary Redirect: it redirects to "+other.URL)
	f(key, "POST", "loop", "307 Temporary Redirect")
}
