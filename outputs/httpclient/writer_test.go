package httpclient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/httpclient"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/event"
)

var now = time.Now()

// lineServer keeps the lines that it accepts.
type lineServer struct {
	wholeOnly     bool // the response says nothing about single rows
	maxBody       int  // bytes, uncompressed; 0: unlimited
	singleAllowed bool // maxBody does not apply to a single row
	refuse        string

	mu        sync.Mutex
	failLine  string // fails failTimes times
	failTimes int
	busy      int // attempts that are answered with 429 and wait
	wait      time.Duration
	lines     []string
	failures  int
	hang      chan struct{}
	bodies    []int // number of lines of each
}

func (s *lineServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	packed, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	hang := s.hang
	s.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler) // accept nothing: the client may be gone, which the server notices late
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	body := packed
	if r.Header.Get("Content-Encoding") == "zstd" {
		d, _ := zstd.NewReader(nil)
		defer d.Close()
		if body, err = d.DecodeAll(packed, nil); err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
	}
	lines := strings.SplitAfter(string(body), "\n")
	lines = lines[:len(lines)-1]
	s.bodies = append(s.bodies, len(lines))
	if s.maxBody > 0 && len(body) > s.maxBody && !(s.singleAllowed && len(lines) == 1) {
		w.WriteHeader(413)
		return
	}
	fails := s.failures > 0
	if fails {
		s.failures--
	}
	switch {
	case s.busy > 0:
		s.busy--
		w.Header().Set("Retry-After", fmt.Sprint(int(s.wait.Seconds())))
		w.WriteHeader(429)
	case fails && s.failures%3 == 0:
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(429)
	case fails && s.failures%3 == 1:
		w.Header().Set("Content-Length", "1000") // the response is cut short
		fmt.Fprint(w, "[201")
	case s.wholeOnly && fails:
		w.WriteHeader(503)
	case s.wholeOnly && s.refuse != "" && slices.Contains(lines, s.refuse):
		http.Error(w, "a line is bad", 400)
	case s.wholeOnly:
		s.lines = append(s.lines, lines...)
	default:
		s.each(w, lines, fails)
	}
}

// each answers for each line; with fails set, it accepts the first half.
func (s *lineServer) each(w io.Writer, lines []string, fails bool) {
	for i, l := range lines {
		status := 201
		switch {
		case fails && i >= len(lines)/2:
			status = 429
		case l == s.refuse:
			status = 400
		case l == s.failLine && s.failTimes > 0:
			s.failTimes--
			status = 429
		default:
			s.lines = append(s.lines, l)
		}
		fmt.Fprint(w, []string{"[", ","}[min(i, 1)], status)
	}
	fmt.Fprint(w, "]")
}

func (s *lineServer) start(t outputtest.T) string {
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

func (s *lineServer) target(t outputtest.T, o *store, args ...string) *outputtest.Target {
	outputtest.Options(t, o, append([]string{"--storeoutputtype=1", "--storeoutputendpoint=" + s.start(t), "--storeproxy=none"}, args...)...)
	if _, err := o.Settings(); err != nil {
		t.Fatalf("%v", err)
	}
	target := &outputtest.Target{
		Output: o,
		Want:   func(e *event.Event) []string { text, _ := line(nil, nil, 0, e); return []string{string(text)} },
		Received: func() []string {
			s.mu.Lock()
			defer s.mu.Unlock()
			return slices.Clone(s.lines)
		},
		Fail: func(n int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.failures = n
		},
		Hang: func() (release func()) {
			s.mu.Lock()
			defer s.mu.Unlock()
			hang := make(chan struct{})
			s.hang = hang
			return sync.OnceFunc(func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.hang = nil
				close(hang)
			})
		},
		Refuse: func(want string) { s.refuse = want },
		Busy: func(n int, wait time.Duration) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.busy, s.wait = n, wait
		},
	}
	if !s.wholeOnly {
		target.FailOne = func(want string, n int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.failLine, s.failTimes = want, n
		}
	}
	return target
}

func tuned(tune func(*httpclient.Writer)) *store {
	o := newStore()
	o.tune = tune
	return o
}

// TestConformance runs outputtest on an output whose responses judge each row.
func TestConformance(t *testing.T) {
	t.Parallel()
	outputtest.Run(t, func(t outputtest.T) *outputtest.Target { return new(lineServer).target(t, newStore()) })
}

// TestConformanceHalving does so on one whose destination accepts or refuses whole
// bodies, and only small ones.
func TestConformanceHalving(t *testing.T) {
	t.Parallel()
	tune := func(w *httpclient.Writer) { w.Read, w.Halve = nil, true }
	outputtest.Run(t, func(t outputtest.T) *outputtest.Target {
		return (&lineServer{wholeOnly: true, maxBody: 2000, singleAllowed: true}).target(t, tuned(tune), "--storecompression=none")
	})
}

// writer returns a writer to s.
func writer(t *testing.T, s *lineServer, tune func(*httpclient.Writer)) outputs.Writer {
	t.Helper()
	w, err := s.target(t, tuned(tune)).Output.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// TestWriterBounds: MaxBytes, and a size that the server once refused, bound all later
// bodies; a single row that is too large is refused.
func TestWriterBounds(t *testing.T) {
	const each = 44 // bytes of a row
	f := func(most, maxBytes int, want string, bodies []int) {
		t.Helper()
		s := &lineServer{wholeOnly: true, maxBody: most}
		w := writer(t, s, func(w *httpclient.Writer) { w.Read, w.MaxBytes = nil, maxBytes })
		got := ""
		for range 2 {
			n, err := w.Write(context.Background(), blockOf(10))
			got += fmt.Sprintf("%d %v ", n, err)
		}
		if !strings.HasPrefix(got, want) || bodies != nil && !slices.Equal(s.bodies, bodies) {
			t.Errorf("%d, %d: %s, bodies %v; want %s, %v", most, maxBytes, got, s.bodies, want, bodies)
		}
	}
	f(0, 0, "0 <nil> 0 <nil>", []int{10, 10})
	f(0, 4*each, "0 <nil> 0 <nil>", []int{4, 4, 2, 4, 4, 2})
	f(0, 1, "0 <nil> 0 <nil>", slices.Repeat([]int{1}, 20))
	f(3*each, 0, "0 <nil> 0 <nil>", []int{10, 5, 2, 3, 2, 3, 4, 2, 2, 3, 3})
	f(1, 5*each, "10 0 events failed: POST http://", nil)
}

// TestWriterResendsOnlyTheRest: for the same block only rows that were not accepted
// are sent again.
func TestWriterResendsOnlyTheRest(t *testing.T) {
	s := &lineServer{wholeOnly: true}
	w := writer(t, s, func(w *httpclient.Writer) { w.Read, w.MaxBytes = nil, 150 })
	b := blockOf(10)
	n := 0
	full := errors.New("full")
	w.(*httpclient.Writer).Read = func(*httpclient.Response, []httpclient.Verdict) error {
		if n++; n == 3 {
			s.lines = s.lines[:len(s.lines)-3]
			return full
		}
		return nil
	}
	if _, err := w.Write(context.Background(), b); !errors.Is(err, full) {
		t.Fatalf("error %v, want %v", err, full)
	}
	if refused, err := w.Write(context.Background(), b); refused != 0 || err != nil {
		t.Fatalf("%d, %v", refused, err)
	}
	if !slices.Equal(s.bodies, []int{3, 3, 3, 3, 1}) || len(s.lines) != 10 || len(slices.Compact(slices.Sorted(slices.Values(s.lines)))) != 10 {
		t.Errorf("bodies %v, %d lines: %q", s.bodies, len(s.lines), s.lines)
	}
}

// TestWriterRefusals: events that make no row count once, beside rows that have to be
// sent again.
func TestWriterRefusals(t *testing.T) {
	s := &lineServer{}
	w := writer(t, s, func(w *httpclient.Writer) {
		w.Append = func(dst []byte, b *event.Block, n int, e *event.Event) ([]byte, error) {
			switch n {
			case 1:
				return append(dst, "half a row"...), errors.New("no row")
			case 2:
				return dst, nil
			}
			return line(dst, b, n, e)
		}
	})
	s.failures = 3 // the third of three: half of the rows are accepted
	refused, err := w.Write(context.Background(), blockOf(10))
	var partial *outputs.Partial
	if refused != 2 || !errors.As(err, &partial) || !slices.Equal(partial.Failed, []int{6, 7, 8, 9}) || err.Error() != "4 events failed: status 429" {
		t.Errorf("%d, %v", refused, err)
	}
	if len(s.lines) != 4 || strings.Contains(strings.Join(s.lines, ""), "half") {
		t.Errorf("%d lines: %q", len(s.lines), s.lines)
	}
}

// TestDestinationRefusesAll: a destination that refuses everything is not believed for
// ever.
func TestDestinationRefusesAll(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(422)
	}))
	defer server.Close()
	c, err := httpclient.New(httpclient.Config{Endpoints: []string{server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	w := &httpclient.Writer{Client: c, Request: c.NewLinesRequest(""), Append: line, Halve: true}
	refused, err := w.Write(context.Background(), blockOf(1000))
	if err == nil || errors.Is(err, outputs.ErrPermanent) || refused > 510 || refused < 100 || !strings.Contains(err.Error(), "more than 500 bodies of one batch are refused") {
		t.Errorf("%d refused, %v", refused, err)
	}
}

// TestCheck: a misconfiguration is reported at the start.
func TestCheck(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "right" {
			w.WriteHeader(401)
		}
	}))
	defer server.Close()
	f := func(password, url string, want bool) {
		t.Helper()
		o := newStore()
		outputtest.Options(t, o, "--storeoutputtype=1", "--storeoutputendpoint="+url, "--storeproxy=none", "--storeusername=me", "--storepassword="+password)
		if _, err := o.Settings(); err != nil {
			t.Fatal(err)
		}
		err := o.Check(context.Background())
		if errors.Is(err, outputs.ErrPermanent) != want || want && !strings.Contains(err.Error(), "correct --storeusername") {
			t.Errorf("%s at %s: %v", password, url, err)
		}
	}
	f("right", server.URL, false)
	f("wrong", server.URL, true)
	f("wrong", "http://127.0.0.1:1", false) // it may be down
}

// TestWriterAllocations: a row costs no allocation.
func TestWriterAllocations(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	c, err := httpclient.New(httpclient.Config{Endpoints: []string{server.URL}, Proxy: "none", Compression: "zstd"})
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("x"), 100)
	w := &httpclient.Writer{Client: c, Request: c.NewLinesRequest(""), Append: func(dst []byte, _ *event.Block, _ int, _ *event.Event) ([]byte, error) {
		return append(dst, text...), nil
	}}
	cost := func(rows int) float64 {
		b := blockOf(rows)
		return testing.AllocsPerRun(20, func() {
			if _, err := w.Write(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		})
	}
	cost(5000)
	small, large := cost(10), cost(5000)
	if large > small+100 {
		t.Errorf("10 rows allocate %v times, 5000 %v times", small, large)
	}
}

// BenchmarkWriter sends blocks of 1000 rows of 400 bytes to a server that discards
// them.
func BenchmarkWriter(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	text := []byte(strings.Repeat(`{"Timestamp":"2026-11-27T12:00:00Z"}`, 11) + "\n")
	for _, compression := range []string{"none", "gzip", "zstd"} {
		b.Run(compression, func(b *testing.B) {
			c, err := httpclient.New(httpclient.Config{Endpoints: []string{server.URL}, Proxy: "none", Compression: compression})
			if err != nil {
				b.Fatal(err)
			}
			w := &httpclient.Writer{Client: c, Request: c.NewLinesRequest(""), Append: func(dst []byte, _ *event.Block, _ int, _ *event.Event) ([]byte, error) {
				return append(dst, text...), nil
			}}
			block := blockOf(1000)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Write(context.Background(), block); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
