package sensor

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// asking is a capture file with a message for each text: the names that it asks
// for, with spaces between. "-" asks for nothing.
func asking(messages ...string) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0) // raw IP
	for i, text := range messages {
		names := strings.Fields(strings.TrimSuffix(text, "-"))
		dns := []byte{byte(i >> 8), byte(i), 1, 0, 0, byte(len(names)), 0, 0, 0, 0, 0, 0}
		for _, name := range names {
			for label := range strings.SplitSeq(name, ".") {
				dns = append(append(dns, byte(len(label))), label...)
			}
			dns = append(dns, 0, 0, 1, 0, 1)
		}
		packet := appendIPv4(nil, 0xc0000200|uint32(i)&0xff, 53, uint16(i), 0, 17, appendUDP(nil, 4096, 53, dns))
		b = le.AppendUint32(le.AppendUint32(b, 1700000000), uint32(i))
		b = le.AppendUint32(le.AppendUint32(b, uint32(len(packet))), uint32(len(packet)))
		b = append(b, packet...)
	}
	return b
}

// asked are what the records asked for, as asking has it.
func asked(t *testing.T, lines []string) string {
	t.Helper()
	var all []string
	for _, line := range lines {
		if line == "" {
			continue
		}
		var r struct {
			DNS struct{ Question []struct{ Name string } }
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		text := "-"
		for i, q := range r.DNS.Question {
			if i == 0 {
				text = ""
			}
			text = strings.TrimPrefix(text+" "+strings.TrimSuffix(q.Name, "."), " ")
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func list(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list.csv")
	put(t, path, text)
	return path
}

// put replaces a file at once.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".part", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		t.Fatal(err)
	}
}

// TestOutputTypes over both lists: whole messages as JSON, rows as CSV.
func TestOutputTypes(t *testing.T) {
	t.Parallel()
	file := write(t, asking("www.skip.example", "WWW.Allow.Example", "both.example", "other.example", "noskip.example", "-", "skip.example allow.example", "skip.example skip.example"))
	skip, allow := list(t, "skip.example.,suffix\nboth.example\n"), list(t, "# ours\nallow.example,suffix\nboth.example,fqdn\n")
	f := func(kind, records, rows string, skipped uint64, more ...string) {
		t.Helper()
		args := append([]string{"--pcapfile=" + file, "--workers=1", "--stdoutoutputworkercount=1", "--stdoutoutputtype=" + kind,
			"--skipdomainsfile=" + skip, "--allowDomainsFile", allow}, more...)
		p := runs(t, args...)
		if got := asked(t, p.recorded()); got != records {
			t.Errorf("type %s %q:\n%s\nwant\n%s", kind, more, got, records)
		}
		p = runs(t, append(args, "--stdoutoutputformat=csv_no_header")...)
		var names []string
		for _, line := range p.recorded() {
			names = append(names, strings.TrimSuffix(strings.Split(line, ",")[17], "."))
		}
		if got := strings.Join(names, ", "); got != rows {
			t.Errorf("type %s %q: rows\n%s\nwant\n%s", kind, more, got, rows)
		}
		if got := p.wait(time.Second).sum("delivery", "skipped"); got != skipped {
			t.Errorf("type %s %q: the books say %d skipped, want %d", kind, more, got, skipped)
		}
	}
	f("1", "www.skip.example, WWW.Allow.Example, both.example, other.example, noskip.example, -, skip.example allow.example, skip.example skip.example",
		"www.skip.example, WWW.Allow.Example, both.example, other.example, noskip.example, , skip.example, allow.example, skip.example, skip.example", 0)
	f("2", "WWW.Allow.Example, other.example, noskip.example, -, skip.example allow.example",
		"WWW.Allow.Example, other.example, noskip.example, , allow.example", 3)
	f("3", "WWW.Allow.Example, both.example, skip.example allow.example", "WWW.Allow.Example, both.example, allow.example", 5)
	f("4", "WWW.Allow.Example, skip.example allow.example", "WWW.Allow.Example, allow.example", 6)
	// As dnsmonster: plain endings, and what lacks its final dot is nobody's name.
	f("2", "WWW.Allow.Example, both.example, other.example, -, skip.example allow.example",
		"WWW.Allow.Example, both.example, other.example, , allow.example", 3, "--domainmatch=legacy")
}

// TestListsAtTheStart: what cannot be is an error that names option, place and
// way out, and nothing is recorded.
func TestListsAtTheStart(t *testing.T) {
	file := write(t, queries(10))
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	none := filepath.Join(t.TempDir(), "none.csv")
	const out = ": mend the list, or leave it out and use output type 1 (from the command line)"
	f := func(want string, args ...string) {
		t.Helper()
		p := start(t, nil, append([]string{"replay", file}, args...)...)
		r := p.wait(time.Minute)
		if r.code != exitUsage || !strings.Contains(r.log, want) || count(t, p.records).total() > 0 {
			t.Errorf("%q: exit status %d, %d records, want %q:\n%s", args, r.code, count(t, p.records).total(), want, r.log)
		}
	}
	f("stdoutoutputtype: output type 2 needs a skip list: give --skipdomainsfile, or use type 1", "--stdoutoutputtype=2")
	f("stdoutoutputtype: output type 3 needs an allow list: give --allowdomainsfile, or use type 1", "--stdoutoutputtype=3", "--skipdomainsfile="+none)
	f("stdoutoutputtype: output type 4 needs an allow list", "--stdoutoutputtype=4", "--skipdomainsfile="+none)
	f("--skipdomainsfile: stat "+none+": no such file or directory"+out, "--stdoutoutputtype=2", "--skipdomainsfile="+none)
	f("--allowdomainsfile: stat "+none+": no such file or directory"+out, "--stdoutoutputtype=2", "--skipdomainsfile="+none, "--allowdomainsfile="+none)
	f("certificate signed by unknown authority (add the CA that signs the server's certificate to this system's)"+out, "--stdoutoutputtype=2", "--skipdomainsfile="+s.URL)
	f("--skipdomainsfile: GET "+s.URL+"/x: the server answers 404 Not Found"+out, "--stdoutoutputtype=2", "--skipdomainsfile="+s.URL+"/x", "--skiptlsverification")

	p := runs(t, "replay", file, "--skipdomainsfile="+list(t, "h1.example.org"))
	if got := count(t, p.records).total(); got != 10 || !strings.Contains(p.log(), "skipdomainsfile has no effect: no output has type 2 or 4") {
		t.Errorf("a list that no output uses: %d records\n%s", got, p.log())
	}
}

// recordedSoon waits until that is what the records asked for.
func (p *proc) recordedSoon(want string) {
	p.t.Helper()
	got := ""
	for end := time.Now().Add(stuck); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got = asked(p.t, p.recorded()); got == want {
			return
		}
	}
	p.t.Fatalf("records of %q, want %q:\n%s", got, want, p.log())
}

// fileHeader is what stands before a capture file's packets.
const fileHeader = 24

// TestListsAreReloaded while packets come, from a server that answers well,
// badly, slowly and without end: nothing but a list replaces a list, and the
// records go on.
func TestListsAreReloaded(t *testing.T) {
	t.Parallel()
	var answer atomic.Value // func(http.ResponseWriter, *http.Request)
	set := func(f func(w http.ResponseWriter, r *http.Request)) { answer.Store(f) }
	text := func(s string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			etag := fmt.Sprintf(`"%x"`, s)
			if r.Header.Get("If-None-Match") == etag {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			w.Header().Set("ETag", etag)
			io.WriteString(w, s)
		}
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer.Load().(func(http.ResponseWriter, *http.Request))(w, r)
	}))
	defer s.Close()
	set(text("a.example,suffix\n"))
	url := fmt.Sprintf("http://127.0.0.1:%d/metrics", freePort(t, "tcp"))
	p, in := fed(t, asking(), "--workers=1", "--stdoutoutputtype=2", "--skipdomainsfile="+s.URL, "--skipdomainsrefreshinterval=100ms", "--metricprometheusendpoint="+url)
	p.waitFor("msg=\"list loaded\" list=skip from=" + s.URL + " entries=1 differ=1")
	var want []string
	send := func(names string, expect ...string) {
		t.Helper()
		if _, err := in.Write(asking(strings.Fields(names)...)[fileHeader:]); err != nil {
			t.Fatal(err)
		}
		want = append(want, expect...)
		p.recordedSoon(strings.Join(want, ", "))
	}
	send("x.a.example x.b.example", "x.b.example")
	set(text("b.example,suffix\nc.example,suffix\n"))
	p.waitFor("entries=2")
	send("x.a.example x.b.example", "x.a.example")

	const stays = `msg="the list cannot be read, the old one stays" list=skip error=`
	bad := func(f func(w http.ResponseWriter, r *http.Request), why string) {
		t.Helper()
		set(f)
		p.waitFor(stays + `"GET ` + s.URL + `: ` + why)
		send("x.a.example x.b.example", "x.a.example")
	}
	status := func(n int) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "x.a.example", n) }
	}
	bad(status(404), "the server answers 404 Not Found")
	bad(status(500), "the server answers 500 Internal Server Error")
	bad(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html><p>sign in</p>") }, "the answer is a web page and no list")
	bad(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000000")
		io.WriteString(w, "x.a.example\n")
	}, "the list is too large")
	slow := make(chan bool, 100)
	set(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "x.a.example\n")
		w.(http.Flusher).Flush()
		slow <- true
		<-r.Context().Done()
	})
	<-slow
	send("x.a.example x.b.example", "x.a.example")
	set(text("d.example,suffix\n"))
	p.hangup() // does not wait for the slow server
	p.waitFor("the list can be read again")
	send("x.a.example x.d.example", "x.a.example")

	metrics := scrape(t, url)
	for name, least := range map[string]float64{"entries": 1, "loads_total": 3, "failures_total": 4, "current_timestamp_seconds": float64(time.Now().Unix() - 60)} {
		if got := value(metrics, "dnsmonster_sensor_list_"+name+`{list="skip"}`); got < least {
			t.Errorf("metric %s is %v, want at least %v", name, got, least)
		}
	}
	in.Close()
	r := p.wait(time.Minute)
	r.expect(t, exitOK)
	if got := r.sum("delivery", "skipped"); got != 8 {
		t.Errorf("the books say %d skipped, want 8", got)
	}
	if n := strings.Count(r.log, stays); n != 4 {
		t.Errorf("%d lines of failures, want one for each of 4:\n%s", n, r.log)
	}
}

func (p *proc) hangup() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
}

// TestReloadOfLists: at SIGHUP lists are read again, may be elsewhere, and
// outputs may have another type; what cannot be changes nothing.
func TestReloadOfLists(t *testing.T) {
	t.Parallel()
	a, b := list(t, "a.example,suffix"), list(t, "b.example,suffix")
	ini := filepath.Join(t.TempDir(), "c.ini")
	set := func(lines string) {
		t.Helper()
		put(t, ini, "skipdomainsrefreshinterval = 0s\nallowdomainsrefreshinterval = 0s\n"+lines)
	}
	set("stdoutoutputtype = 2\nskipdomainsfile = " + a)
	p, in := fed(t, asking(), "--workers=1", "--config="+ini)
	var want []string
	send := func(expect string) {
		t.Helper()
		if _, err := in.Write(asking("a.example", "b.example", "notb.example")[fileHeader:]); err != nil {
			t.Fatal(err)
		}
		want = append(want, expect)
		p.recordedSoon(strings.Join(want, ", "))
	}
	send("b.example, notb.example")
	put(t, a, "notb.example")
	p.hangup()
	p.waitFor(`msg=reloaded changed=nothing`)
	p.waitForCount(`msg="list loaded"`, 2)
	send("a.example, b.example")

	set("stdoutoutputtype = 3\nskipdomainsfile = " + a)
	p.hangup()
	p.waitFor(`msg="reload: nothing is changed" error="stdoutoutputtype: output type 3 needs an allow list`)
	send("a.example, b.example")

	set("stdoutoutputtype = 3\nskipdomainsfile = " + a + "\nallowdomainsfile = " + b)
	p.hangup()
	p.waitForCount(`msg="list loaded"`, 4)
	send("b.example")

	set("stdoutoutputtype = 3\ndomainmatch = legacy\nallowdomainsfile = " + b)
	put(t, b, "b.example.,suffix")
	p.hangup()
	p.waitForCount(`msg="list loaded"`, 5)
	send("b.example, notb.example")

	set("stdoutoutputtype = 1")
	p.hangup()
	p.waitFor(`stdoutoutputtype=1`)
	send("a.example, b.example, notb.example")
	in.Close()
	p.wait(time.Minute).expect(t, exitOK)
}

// waitForCount waits until a text stands on stderr that often.
func (p *proc) waitForCount(text string, n int) {
	p.t.Helper()
	p.until(fmt.Sprintf("%q, %d times", text, n), func() bool { return strings.Count(p.log(), text) >= n })
}
