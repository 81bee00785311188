//go:build linux

package lists

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/testlog"
)

func TestCheck(t *testing.T) {
	f := func(o Options, want string) {
		t.Helper()
		if o.Match == "" {
			o.Match = "labels"
		}
		got := ""
		if err := o.Check(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%+v: %q, want %q", o, got, want)
		}
	}
	f(Options{}, "")
	f(Options{Skip: Source{"/etc/list.csv", 0}, Allow: Source{"HTTPS://lists.example.org/x", time.Minute}}, "")
	f(Options{Skip: Source{"ftp://h/x", 0}}, "--skipdomainsfile ftp://h/x: use a path, or an http:// or https:// URL")
	f(Options{Allow: Source{"http:///x", 0}}, "--allowdomainsfile http:///x: the URL names no host")
	f(Options{Allow: Source{"http://me:hush@h:x/", 0}}, "--allowdomainsfile http://********@h:x/: a port is a number from 1 to 65535")
	f(Options{Allow: Source{"http://me:12/hush@h/", 0}}, "--allowdomainsfile http://********@h/: it is not certain where user and password end: "+endpoint.EscapeHint+"; elsewhere write @ as %40")
	f(Options{Allow: Source{"https://www.example.org/list@latest", 0}}, "")
	f(Options{Skip: Source{"x", time.Millisecond}, Allow: Source{"x", -1}},
		"--skipdomainsrefreshinterval 1ms: use at least 100ms, or 0 for only at SIGHUP\n--allowdomainsrefreshinterval -1ns: use at least 100ms, or 0 for only at SIGHUP")
	f(Options{Match: "suffix"}, `--domainmatch "suffix": use labels or legacy`)
}

// TestSample: the shipped sample does what its comments say, and has no odd lines.
func TestSample(t *testing.T) {
	l := New(Options{Skip: Source{"../../packaging/skipdomains.csv.sample", 0}}, false, slog.New(slog.DiscardHandler))
	for _, err := range l.Load(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range strings.Fields("example.org. www.example.org. a.example.net. www.example.com. ftp.example.com. wpad.example.org. 1.2.0.192.in-addr.arpa.") {
		if !l.Skip.has(name) {
			t.Errorf("%s is not on the list", name)
		}
	}
	for _, name := range strings.Fields("notexample.org. example.net. a.www.example.com. example.com. www.wpad.example.net2. .") {
		if l.Skip.has(name) {
			t.Errorf("%s is on the list", name)
		}
	}
	if list := l.Skip.current.Load(); list.Len() != 7 || len(list.OddLines()) > 0 {
		t.Errorf("%d entries, want 7; odd: %v", list.Len(), list.OddLines())
	}
}

func logTo(text *testlog.Log) *slog.Logger { return slog.New(slog.NewTextHandler(text, nil)) }

func (l *List) has(name string) bool { return l.Match([]byte(name)) }

// TestLoad: a list that cannot be read at the start is an error that names
// option, the location and what to do.
func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	put(t, path, "a.example,suffix\n*.b.example\n# c\n")
	text := &testlog.Log{}
	l := New(Options{Skip: Source{path, 0}, Allow: Source{path + ".none", 0}}, false, logTo(text))
	errs := l.Load(context.Background())
	want := "--allowdomainsfile: open " + path + ".none: no such file or directory: fix the list, or leave it out and use output type 1"
	if errs[0] != nil || errs[1] == nil || errs[1].Error() != want {
		t.Errorf("errors %v, want %s", errs, want)
	}
	if !l.Skip.has("www.a.example.") || l.Skip.has("c.") || !l.Allow.has("www.a.example.") {
		t.Error("the lists hold something else")
	}
	for _, want := range []string{
		`level=INFO msg="list loaded" list=skip from=` + path + ` entries=2 differ=2`,
		`level=WARN msg="the list has suspicious lines" list=skip why="an asterisk stands for itself: use NAME,suffix" lines=1 first_line=2 text=*.b.example`,
	} {
		if text.Count(want) != 1 {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
	if s := l.Stats(); len(s) != 1 || s[0].List != "skip" || s[0].Entries != 2 || s[0].Loads != 1 || time.Since(s[0].CurrentAt) > time.Minute {
		t.Errorf("numbers %+v", s)
	}
}

// TestFollow: a changed list replaces the old one within its interval. One that
// cannot be read does not; it is counted each time, and logged when the error changes.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	put(t, path, "a.example")
	text := &testlog.Log{}
	l := New(Options{Skip: Source{path, 10 * time.Millisecond}}, false, logTo(text))
	for _, err := range l.Load(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
	}
	defer l.Follow()()
	put(t, path, "b.example.")
	await.True(t, "the new list", func() bool { return l.Skip.has("b.example.") && !l.Skip.has("a.example.") })
	failures := func() uint64 { return l.Stats()[0].Failures }
	put(t, path, strings.Repeat("x", 100_000))
	await.True(t, "three failures", func() bool { return failures() >= 3 })
	const line = "the list cannot be read, the old one stays"
	if n := text.Count(line); n != 1 || !l.Skip.has("b.example.") {
		t.Errorf("%d lines of a failure, want 1; the old list stays: %v", n, l.Skip.has("b.example."))
	}
	put(t, path, "c.example.\n"+strings.Repeat("x", 100_000))
	await.True(t, "the other failure", func() bool { return text.Count(line) == 2 })
	put(t, path, "d.example.")
	await.True(t, "the repaired list", func() bool { return l.Skip.has("d.example.") && text.Count("the list can be read again") == 1 })
	put(t, path, "")
	await.True(t, "the empty list", func() bool { return text.Count("the list has no entries") == 1 })
	if l.Skip.has("d.example.") {
		t.Error("the empty list has an entry")
	}
}

// TestReload: another location, another matching, no list any more.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	put(t, a, "a.example.,suffix")
	put(t, b, "b.example.,suffix")
	text := &testlog.Log{}
	o := Options{Skip: Source{a, 0}}
	l := New(o, false, logTo(text))
	l.Load(context.Background())
	defer l.Follow()()
	put(t, a, "changed.example.,suffix")
	time.Sleep(50 * time.Millisecond) // nothing can be awaited
	if !l.Skip.has("a.example.") {
		t.Error("with interval 0 the list changes by itself")
	}
	l.Reload(o)
	await.True(t, "the changed list", func() bool { return l.Skip.has("changed.example.") })
	o.Match = "legacy"
	l.Reload(o)
	await.True(t, "plain suffixes", func() bool { return l.Skip.has("unchanged.example.") })
	o.Skip.Location, o.Allow.Location = b, a
	l.Reload(o)
	await.True(t, "the other locations", func() bool {
		return l.Skip.has("b.example.") && l.Allow.has("changed.example.") && !l.Allow.has("b.example.")
	})
	o.Skip.Location = b + ".none"
	l.Reload(o)
	await.True(t, "the failure", func() bool { return l.Stats()[0].Failures == 1 })
	if !l.Skip.has("b.example.") {
		t.Error("the old list does not stay")
	}
	o.Skip.Location = ""
	l.Reload(o)
	await.True(t, "no list", func() bool { return !l.Skip.has("b.example.") && len(l.Stats()) == 1 })
}

// TestListThatIsNewAtAReload: it filters nothing until it has been read, or an output
// limited to an allow list would lose all records meanwhile.
func TestListThatIsNewAtAReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	text := &testlog.Log{}
	l := New(Options{}, false, logTo(text))
	defer l.Follow()()
	both := Options{Skip: Source{path, 0}, Allow: Source{path, 0}}
	wantNoFilter := func() {
		t.Helper()
		for _, name := range []string{"a.example.", "."} {
			if l.Skip.has(name) || !l.Allow.has(name) {
				t.Errorf("%s: skip list %t, allow list %t; want false, true", name, l.Skip.has(name), l.Allow.has(name))
			}
		}
	}
	wantNoFilter()
	l.Reload(both)
	await.True(t, "the failures", func() bool { return text.Count("it filters nothing until it can be read") == 2 })
	wantNoFilter()
	put(t, path, "a.example")
	l.Reload(both)
	await.True(t, "the lists", func() bool { return l.Skip.has("a.example.") && !l.Allow.has("b.example.") })
	l.Reload(Options{})
	await.True(t, "no lists", func() bool { return len(l.Stats()) == 0 })
	wantNoFilter()
}

// TestReloadInterruptsASlowServer, and that is no failure.
func TestReloadInterruptsASlowServer(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := asked.Add(1); n == 2 {
			w.Write([]byte("half.exa"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		} else {
			fmt.Fprintf(w, "n%d.example", n)
		}
	}))
	defer s.Close()
	text := &testlog.Log{}
	o := Options{Skip: Source{s.URL, 0}}
	l := New(o, false, logTo(text))
	l.Load(context.Background())
	defer l.Follow()()
	l.Reload(o)
	await.True(t, "the slow answer", func() bool { return asked.Load() == 2 })
	l.Reload(o)
	await.True(t, "the next answer", func() bool { return l.Skip.has("n3.example.") })
	if n := l.Stats()[0].Failures; n != 0 {
		t.Errorf("%d failures, want 0:\n%s", n, text)
	}
}

// TestMatchWhileListsChange is for the race detector.
func TestMatchWhileListsChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	put(t, path, "always.example\nn0.example")
	o := Options{Skip: Source{path, 10 * time.Millisecond}}
	l := New(o, false, logTo(&testlog.Log{}))
	l.Load(context.Background())
	stop := l.Follow()
	var lanes sync.WaitGroup
	var done atomic.Bool
	for range 2 {
		lanes.Go(func() {
			for !done.Load() {
				if !l.Skip.has("always.example.") {
					t.Error("a name that is on every list is not found")
					return
				}
			}
		})
	}
	for i := range 8 {
		put(t, path, fmt.Sprintf("always.example\nn%d.example", i))
		if i%4 == 0 {
			l.Reload(o)
		}
		await.True(t, "the next list", func() bool { return l.Skip.has(fmt.Sprintf("n%d.example.", i)) })
		l.Stats()
	}
	done.Store(true)
	lanes.Wait()
	stop()
}
