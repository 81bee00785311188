//go:build linux

package lists

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/domains"
)

func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(text))
	w.Close()
	return b.Bytes()
}

// outcome is the result of a read as one word: the number of entries, "same" if
// the list has not changed, or the error.
func outcome(l *domains.List, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case l == nil:
		return "same"
	}
	return fmt.Sprint(l.Len())
}

// put replaces a list atomically.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".part", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		t.Fatal(err)
	}
}

func TestFileIsReadOnlyIfItHasChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	r := newReader(path, domains.Labels, false)
	f := func(force bool, want string) {
		t.Helper()
		if got := outcome(r.read(context.Background(), force)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	put(t, path, "a.example\nb.example")
	f(false, "2")
	f(false, "same")
	f(true, "2")
	put(t, path, "a.example\nb.example\nc.example")
	f(false, "3")
	put(t, path+".new", "x.example\ny.example\nz.example")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path+".new", old, old); err != nil { // replaced by an older file
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	f(false, "3")
	f(false, "same")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f(false, "open "+path+": no such file or directory")
	put(t, path, "")
	f(false, "0")
	put(t, path, string(zipped("a.example\nb.example")))
	f(false, "2")
	put(t, path, "a\n"+strings.Repeat("x", 100_000))
	f(false, "read "+path+": line 2 has more than 65536 bytes: this is not a list of names")
	put(t, path, string(zipped("a.example"))[:15])
	f(false, "read "+path+": unexpected EOF")
}

func TestOnlyRegularFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo, "/dev/zero"} {
		got := outcome(newReader(path, domains.Labels, false).read(context.Background(), false))
		if got != path+" is not a regular file" {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// young makes a file look as if it has just been written, for as long as the test takes.
func young(t *testing.T, path string) {
	t.Helper()
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Error(err)
	}
}

// TestFileThatChangesWhileItIsRead is refused: it may be half of a list.
func TestFileThatChangesWhileItIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	put(t, path, strings.Repeat("some.name.example,suffix\n", 50_000))
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, looks := newReader(path, domains.Labels, false), 0
	young(t, path)
	r.wait = func(time.Duration) {
		looks++
		fmt.Fprintf(f, "n%d.example\n", looks)
		young(t, path)
	}
	got := outcome(r.read(context.Background(), false))
	if looks != attempts {
		t.Errorf("looked at it %d times, want %d", looks, attempts)
	}
	if !strings.HasPrefix(got, path+" changed during each of 5 attempts to read it") {
		t.Errorf("a file that changes: %s", got)
	}
}

// TestHalfWrittenFile: a list that is written in place is read again once it is whole.
func TestHalfWrittenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	put(t, path, "") // as when it is just being written anew
	young(t, path)
	r, written := newReader(path, domains.Labels, false), false
	r.wait = func(time.Duration) {
		if written {
			return
		}
		written = true
		if err := os.WriteFile(path, []byte("a.example\nb.example"), 0o600); err != nil {
			t.Error(err)
		}
	}
	if got := outcome(r.read(context.Background(), false)); got != "2" {
		t.Errorf("%s, want 2", got)
	}
}

// TestBounds: a list that is too large is refused, never cut, compressed or not.
func TestBounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	f := func(text, want string) {
		t.Helper()
		put(t, path, text)
		r := newReader(path, domains.Labels, false)
		r.max = 30
		if got := outcome(r.read(context.Background(), false)); got != want {
			t.Errorf("%d bytes: %s, want %s", len(text), got, want)
		}
	}
	f("123456789\n223456789\n323456789\n", "3")
	f("123456789\n223456789\n323456789\n4", "read "+path+": the list is too large: more than 256 MiB")
	f(string(zipped(strings.Repeat("123456789\n", 3))), "1")
	f(string(zipped(strings.Repeat("123456789\n", 1000))), "read "+path+": the list is too large: more than 256 MiB")
}

// answering is a server with a replaceable answer.
type answering struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request)
	last   *http.Request
}

func serve(t *testing.T, start func(http.Handler) *httptest.Server) *answering {
	a := &answering{}
	a.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.last = r
		a.answer(w, r)
	}))
	a.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(a.Close)
	return a
}

// TestDefect34OnlyA200ReplacesAList: an error page became the list.
func TestDefect34OnlyA200ReplacesAList(t *testing.T) {
	s := serve(t, httptest.NewServer)
	r := newReader(s.URL+"/list.csv", domains.Labels, false)
	f := func(status int, headers, body, want string) {
		t.Helper()
		s.answer = func(w http.ResponseWriter, _ *http.Request) {
			for h := range strings.FieldsSeq(headers) {
				name, value, _ := strings.Cut(h, "=")
				w.Header().Set(name, value)
			}
			w.WriteHeader(status)
			if status != 304 && status != 204 {
				w.Write([]byte(body))
			}
		}
		if got := outcome(r.read(context.Background(), true)); got != want {
			t.Errorf("%d %.40q: %s, want %s", status, body, got, want)
		}
	}
	const page = "<!DOCTYPE html><html><body>not here</body></html>"
	get := "GET " + s.URL + "/list.csv: "
	f(304, "", "", get+"the server answers 304 Not Modified") // the request was not conditional
	f(200, "", "a.example\nb.example\n", "2")
	f(404, "", page, get+"the server answers 404 Not Found")
	f(500, "", "a.example", get+"the server answers 500 Internal Server Error")
	f(204, "", "", get+"the server answers 204 No Content")
	f(206, "", "a.example", get+"the server answers 206 Partial Content")
	f(200, "", page, get+"the answer is a web page, not a list")
	f(200, "", "\n <html>\n", get+"the answer is a web page, not a list")
	f(200, "Content-Encoding=gzip", string(zipped("a.example\n")), "1")
	f(200, "", string(zipped("a.example\nb.example\n")), "2")
	f(200, "Content-Length=100", "a.example\n", get+"unexpected EOF")
	f(200, "Content-Encoding=gzip", "a.name.of.example", get+"gzip: invalid header")
	f(200, fmt.Sprintf("Content-Length=%d", maxBytes+1), "a.example", get+"the list is too large: more than 256 MiB")
	f(200, "", "", "0")
}

// TestConditionalRequests: requests carry the ETag and date of the last answer that
// became the list.
func TestConditionalRequests(t *testing.T) {
	s := serve(t, httptest.NewServer)
	r := newReader(s.URL, domains.Labels, false)
	f := func(etag, modified, body, wantETag, wantModified, want string) {
		t.Helper()
		s.answer = func(w http.ResponseWriter, q *http.Request) {
			if body == "304" {
				w.WriteHeader(304)
				return
			}
			w.Header().Set("ETag", etag)
			w.Header().Set("Last-Modified", modified)
			w.Write([]byte(body))
		}
		got := outcome(r.read(context.Background(), false))
		h := s.last.Header
		if got != want || h.Get("If-None-Match") != wantETag || h.Get("If-Modified-Since") != wantModified {
			t.Errorf("%s, requested with %q and %q; want %s, %q and %q", got, h.Get("If-None-Match"), h.Get("If-Modified-Since"), want, wantETag, wantModified)
		}
		if h.Get("Accept-Encoding") != "gzip" {
			t.Errorf("requested encoding %q, want gzip", h.Get("Accept-Encoding"))
		}
	}
	const when, later = "Tue, 24 Nov 2026 10:00:00 GMT", "Tue, 24 Nov 2026 11:00:00 GMT"
	f(`"1"`, when, "a.example", "", "", "1")
	f("", "", "304", `"1"`, when, "same")
	f(`"2"`, later, "<html>", `"1"`, when, "GET "+s.URL+": the answer is a web page, not a list")
	f(`"2"`, later, "a.example\nb.example", `"1"`, when, "2")
	f("", later, "a.example", `"2"`, later, "1")
	f("", "", "304", "", later, "same")
}

// TestTLS: certificates are verified unless verification is switched off.
func TestTLS(t *testing.T) {
	s := serve(t, httptest.NewTLSServer)
	s.answer = func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("a.example")) }
	got := outcome(newReader(s.URL, domains.Labels, false).read(context.Background(), false))
	if !strings.Contains(got, "certificate signed by unknown authority") || strings.Contains(got, "--skiptlsverification") || !strings.Contains(got, "add the CA") || !strings.Contains(got, s.URL) {
		t.Errorf("a certificate of an unknown authority: %s", got)
	}
	if got := outcome(newReader(s.URL, domains.Labels, true).read(context.Background(), false)); got != "1" {
		t.Errorf("without verification: %s", got)
	}
	plain := serve(t, httptest.NewServer)
	plain.answer = func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("a.example")) }
	s.answer = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) }
	got = outcome(newReader(s.URL, domains.Labels, true).read(context.Background(), false))
	if !strings.Contains(got, "redirected from https to http") {
		t.Errorf("a redirect to a server without TLS: %s", got)
	}
	plain.answer = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/there" {
			http.Redirect(w, r, "/there", http.StatusMovedPermanently)
			return
		}
		w.Write([]byte("a.example"))
	}
	if got := outcome(newReader(plain.URL, domains.Labels, false).read(context.Background(), false)); got != "1" {
		t.Errorf("a redirect: %s", got)
	}
}

// TestPasswordsStayHidden in errors.
func TestPasswordsStayHidden(t *testing.T) {
	s := serve(t, httptest.NewServer)
	s.answer = func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user+password != "mehush" {
			t.Errorf("requested by %s with %s", user, password)
		}
		hijacked, _, _ := w.(http.Hijacker).Hijack()
		io.WriteString(hijacked, "HTTP/1.1 403 not with hush\r\nContent-Length: 0\r\n\r\n")
		hijacked.Close()
	}
	location := strings.Replace(s.URL, "http://", "http://me:hush@", 1)
	for range 2 {
		got := outcome(newReader(location, domains.Labels, false).read(context.Background(), false))
		if strings.Contains(got, "hush") || strings.Contains(got, "me:") || !strings.HasPrefix(got, "GET http://********@127.0.0.1") {
			t.Errorf("error %s", got)
		}
		s.Close() // then it is an error of the connection
	}
}

// TestProxyIsNotShown: the environment's proxy URL may hold a password, even if it
// is malformed.
func TestProxyIsNotShown(t *testing.T) {
	f := func(text string, good bool) {
		t.Helper()
		cmd := exec.Command(os.Args[0], "-test.run=^TestProxyIsNotShown$", "-test.v")
		cmd.Env = append(os.Environ(), "HTTP_PROXY="+text, "PROXY_TEST=1", "NO_PROXY=")
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "ZQXJ") || !strings.Contains(string(out), "GET http://192.0.2.1/list") {
			t.Errorf("%s: %v\n%s", text, err, out)
		}
		if refused := strings.Contains(string(out), "not of the form http://user:password@host:port"); refused == good {
			t.Errorf("%s: refused %v\n%s", text, refused, out)
		}
	}
	if os.Getenv("PROXY_TEST") != "" {
		t.Log(outcome(newReader("http://192.0.2.1/list", domains.Labels, false).read(context.Background(), false)))
		return
	}
	f("http://ZQXJ:ZQXJ@127.0.0.1:1", true)
	f("ZQXJ:ZQXJ@127.0.0.1:1", true)
	f("http://ZQXJ:12/ZQXJ@127.0.0.1:1", false)
	f("http://ZQXJ:%zzZQXJ@127.0.0.1:1", false)
	f("http://ZQXJ:ZQXJ/ZQXJ@127.0.0.1:1", false)
	f("http://ZQXJ:12?ZQXJ@127.0.0.1:1", false)
	f("http://ZQXJ:ZQ XJ@127.0.0.1:1", false)
	f("ZQXJ:ZQXJ/@127.0.0.1:1", false)
}

// TestReadEndsWithItsContext, also in the middle of an answer.
func TestReadEndsWithItsContext(t *testing.T) {
	s := serve(t, httptest.NewServer)
	ctx, cancel := context.WithCancel(context.Background())
	s.answer = func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("a.example\n"))
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	}
	l, err := newReader(s.URL, domains.Labels, false).read(ctx, false)
	if l != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", l, err)
	}
	path := filepath.Join(t.TempDir(), "list")
	put(t, path, "a.example")
	if l, err := newReader(path, domains.Labels, false).read(ctx, false); l != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("file: %v, %v", l, err)
	}
}
