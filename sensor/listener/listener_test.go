package listener

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/testlog"
)

// served starts a server on loopback that answers with one word.
func served(t *testing.T, max int, times Timeouts, log io.Writer) (l *Listener, address string) {
	t.Helper()
	l, err := Listen("tcp", "127.0.0.1:0", max)
	if err != nil {
		t.Fatal(err)
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	server := NewServer(hello, times, slog.New(slog.NewTextHandler(log, nil)), "words")
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l, l.Addr().String()
}

func dial(t *testing.T, address, send string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, send); err != nil {
		t.Fatal(err)
	}
	return c
}

func get(address string) error {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + address)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if body, err := io.ReadAll(r.Body); string(body) != "hello" {
		return fmt.Errorf("answer %q, %v", body, err)
	}
	return nil
}

// TestFullOfIdleConnections: however many connections others leave open, and whatever
// they have sent, the listener holds no more than its bound, and requests are answered.
func TestFullOfIdleConnections(t *testing.T) {
	long := Timeouts{time.Hour, time.Hour, time.Hour, time.Hour}
	for what, send := range map[string]string{
		"nothing sent": "", "half a header": "GET / HTTP/1.1\r\nHost: a", "kept alive": "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"half a body": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf",
	} {
		l, address := served(t, 8, long, io.Discard)
		for range 200 {
			dial(t, address, send)
		}
		for range 3 {
			if err := get(address); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := l.Len(); n > 9 { // one more for a moment
			t.Errorf("%s: %d connections are open, the bound is 8", what, n)
		}
	}
}

// TestTimeouts: a connection is closed, wherever in a request its client stops.
func TestTimeouts(t *testing.T) {
	short := Timeouts{Header: 50 * time.Millisecond, Request: 100 * time.Millisecond, Answer: 200 * time.Millisecond, Idle: 50 * time.Millisecond}
	l, address := served(t, 100, short, io.Discard)
	for _, send := range []string{"", "GET / HTTP/1.1\r\nHost: a", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf"} {
		c := dial(t, address, send)
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, bufio.NewReader(c)); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%q: the connection is still open: %v", send, err)
		}
	}
	await.True(t, "no connection is left", func() bool { return l.Len() == 0 })
}

// TestErrorsAreInOurLog: the server's own errors go to our log, in few lines.
func TestErrorsAreInOurLog(t *testing.T) {
	var text testlog.Log
	l, err := Listen("tcp", "127.0.0.1:0", 8)
	if err != nil {
		t.Fatal(err)
	}
	bad := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { panic("bad") })
	server := NewServer(bad, Usual, slog.New(slog.NewTextHandler(&text, nil)), "words")
	go server.Serve(l)
	defer server.Close()
	for range 5 {
		if err := get(l.Addr().String()); err == nil {
			t.Error("no error")
		}
	}
	if got := text.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `level=WARN msg="cannot serve words" error="http: panic serving`) {
		t.Errorf("log:\n%s", got)
	}
}

// TestSuppressedErrorsAreCounted: the next line says how many errors have none.
func TestSuppressedErrorsAreCounted(t *testing.T) {
	var text testlog.Log
	w := &throttled{log: slog.New(slog.NewTextHandler(&text, nil))}
	for range 4 {
		io.WriteString(w, "bad\n")
	}
	w.last = time.Now().Add(-logEvery)
	io.WriteString(w, "bad\n")
	if got := text.String(); strings.Count(got, "\n") != 2 || text.Lines("error=bad", "errors_without_a_line=3") != 1 {
		t.Errorf("log:\n%s", got)
	}
}
