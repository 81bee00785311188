//go:build linux

package scenes

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// questionsOf returns the questions of the records, in the form of packets.Asking.
func questionsOf(t *testing.T, lines []string) string {
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

func writeList(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list.csv")
	lab.ReplaceFile(t, path, text)
	return path
}

// TestOutputTypes with both lists: whole messages in JSON, rows in CSV.
func TestOutputTypes(t *testing.T) {
	t.Parallel()
	file := packets.TempFile(t, packets.Asking("www.skip.example", "WWW.Allow.Example", "both.example", "other.example", "noskip.example", "-", "skip.example allow.example", "skip.example skip.example"))
	skip, allow := writeList(t, "skip.example.,suffix\nboth.example\n"), writeList(t, "# ours\nallow.example,suffix\nboth.example,fqdn\n")
	f := func(kind, records, rows string, skipped uint64, more ...string) {
		t.Helper()
		args := append([]string{"--pcapfile=" + file, "--workers=1", "--stdoutoutputworkercount=1", "--stdoutoutputtype=" + kind,
			"--skipdomainsfile=" + skip, "--allowDomainsFile", allow}, more...)
		p := program.Run(t, args...)
		if got := questionsOf(t, p.Records()); got != records {
			t.Errorf("type %s %q:\n%s\nwant\n%s", kind, more, got, records)
		}
		p = program.Run(t, append(args, "--stdoutoutputformat=csv_no_header")...)
		var names []string
		for _, line := range p.Records() {
			names = append(names, strings.TrimSuffix(strings.Split(line, ",")[17], "."))
		}
		if got := strings.Join(names, ", "); got != rows {
			t.Errorf("type %s %q: rows\n%s\nwant\n%s", kind, more, got, rows)
		}
		if got := p.Wait(time.Second).Sum("delivery", "skipped"); got != skipped {
			t.Errorf("type %s %q: the ledgers say %d skipped, want %d", kind, more, got, skipped)
		}
	}
	f("1", "www.skip.example, WWW.Allow.Example, both.example, other.example, noskip.example, -, skip.example allow.example, skip.example skip.example",
		"www.skip.example, WWW.Allow.Example, both.example, other.example, noskip.example, , skip.example, allow.example, skip.example, skip.example", 0)
	f("2", "WWW.Allow.Example, other.example, noskip.example, -, skip.example allow.example",
		"WWW.Allow.Example, other.example, noskip.example, , allow.example", 3)
	f("3", "WWW.Allow.Example, both.example, skip.example allow.example", "WWW.Allow.Example, both.example, allow.example", 5)
	f("4", "WWW.Allow.Example, skip.example allow.example", "WWW.Allow.Example, allow.example", 6)
	// As in dnsmonster: plain suffixes; an entry without the final dot matches nothing.
	f("2", "WWW.Allow.Example, both.example, other.example, -, skip.example allow.example",
		"WWW.Allow.Example, both.example, other.example, , allow.example", 3, "--domainmatch=legacy")
}

// TestListsAtTheStart: a wrong list is an error that names the option, the position and
// the fix, and nothing is recorded.
func TestListsAtTheStart(t *testing.T) {
	file := packets.TempFile(t, packets.Queries(10))
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	none := filepath.Join(t.TempDir(), "none.csv")
	const out = ": fix the list, or leave it out and use output type 1 (from the command line)"
	f := func(want string, args ...string) {
		t.Helper()
		p := program.Start(t, nil, append([]string{"replay", file}, args...)...)
		r := p.Wait(time.Minute)
		if r.Code != program.ExitUsage || !strings.Contains(r.Log, want) || program.Count(t, p.RecordsFile).Total() > 0 {
			t.Errorf("%q: exit status %d, %d records, want %q:\n%s", args, r.Code, program.Count(t, p.RecordsFile).Total(), want, r.Log)
		}
	}
	f("stdoutoutputtype: output type 2 needs a skip list: give --skipdomainsfile, or use type 1", "--stdoutoutputtype=2")
	f("stdoutoutputtype: output type 3 needs an allow list: give --allowdomainsfile, or use type 1", "--stdoutoutputtype=3", "--skipdomainsfile="+none)
	f("stdoutoutputtype: output type 4 needs an allow list", "--stdoutoutputtype=4", "--skipdomainsfile="+none)
	f("--skipdomainsfile: open "+none+": no such file or directory"+out, "--stdoutoutputtype=2", "--skipdomainsfile="+none)
	f("--allowdomainsfile: open "+none+": no such file or directory"+out, "--stdoutoutputtype=2", "--skipdomainsfile="+none, "--allowdomainsfile="+none)
	f("certificate signed by unknown authority (add the CA certificate that signs the server's certificate to those of this system)"+out, "--stdoutoutputtype=2", "--skipdomainsfile="+s.URL)
	f("--skipdomainsfile: GET "+s.URL+"/x: the server answers 404 Not Found"+out, "--stdoutoutputtype=2", "--skipdomainsfile="+s.URL+"/x", "--skiptlsverification")

	p := program.Run(t, "replay", file, "--skipdomainsfile="+writeList(t, "h1.example.org"))
	if got := program.Count(t, p.RecordsFile).Total(); got != 10 || !strings.Contains(p.Log(), "skipdomainsfile has no effect: no output has type 2 or 4") {
		t.Errorf("a list that no output uses: %d records\n%s", got, p.Log())
	}
}

// waitForQuestions waits until the records have these questions.
func waitForQuestions(p *program.Process, want string) {
	p.T.Helper()
	got := ""
	if !await.Within(await.Limit, func() bool { got = questionsOf(p.T, p.Records()); return got == want }) {
		p.T.Fatalf("records of %q, want %q:\n%s", got, want, p.Log())
	}
}

// TestListsAreReloaded while packets come, from a server that answers correctly, wrongly,
// slowly and without end: only a valid list replaces a list, and recording continues.
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
	url := fmt.Sprintf("http://127.0.0.1:%d/metrics", lab.FreePort(t, "tcp"))
	p, in := program.Feed(t, packets.Asking(), "--workers=1", "--stdoutoutputtype=2", "--skipdomainsfile="+s.URL, "--skipdomainsrefreshinterval=100ms", "--metricprometheusendpoint="+url)
	p.WaitFor("msg=\"list loaded\" list=skip from=" + s.URL + " entries=1 differ=1")
	var want []string
	send := func(names string, expect ...string) {
		t.Helper()
		if _, err := in.Write(packets.Asking(strings.Fields(names)...)[packets.FileHeaderSize:]); err != nil {
			t.Fatal(err)
		}
		want = append(want, expect...)
		waitForQuestions(p, strings.Join(want, ", "))
	}
	send("x.a.example x.b.example", "x.b.example")
	set(text("b.example,suffix\nc.example,suffix\n"))
	p.WaitFor("entries=2")
	send("x.a.example x.b.example", "x.a.example")

	const stays = `msg="the list cannot be read, the old one stays" list=skip error=`
	bad := func(f func(w http.ResponseWriter, r *http.Request), why string) {
		t.Helper()
		set(f)
		p.WaitFor(stays + `"GET ` + s.URL + `: ` + why)
		send("x.a.example x.b.example", "x.a.example")
	}
	status := func(n int) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "x.a.example", n) }
	}
	bad(status(404), "the server answers 404 Not Found")
	bad(status(500), "the server answers 500 Internal Server Error")
	bad(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html><p>sign in</p>") }, "the answer is a web page, not a list")
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
	p.Reload() // does not wait for the slow server
	p.WaitFor("the list can be read again")
	send("x.a.example x.d.example", "x.a.example")

	metrics := program.Scrape(t, url)
	for name, least := range map[string]float64{"entries": 1, "loads_total": 3, "failures_total": 4, "current_timestamp_seconds": float64(time.Now().Unix() - 60)} {
		if got := program.Sample(metrics, "dnsmonster_sensor_list_"+name+`{list="skip"}`); got < least {
			t.Errorf("metric %s is %v, want at least %v", name, got, least)
		}
	}
	in.Close()
	r := p.Wait(time.Minute)
	r.Expect(t, program.ExitOK)
	if got := r.Sum("delivery", "skipped"); got != 8 {
		t.Errorf("the ledgers say %d skipped, want 8", got)
	}
	if n := strings.Count(r.Log, stays); n != 4 {
		t.Errorf("%d lines of failures, want one for each of 4:\n%s", n, r.Log)
	}
}

// TestReloadOfLists: SIGHUP reads lists again. Their addresses and the types of outputs
// may have changed; a wrong configuration changes nothing.
func TestReloadOfLists(t *testing.T) {
	t.Parallel()
	a, b := writeList(t, "a.example,suffix"), writeList(t, "b.example,suffix")
	ini := filepath.Join(t.TempDir(), "c.ini")
	set := func(lines string) {
		t.Helper()
		lab.ReplaceFile(t, ini, "skipdomainsrefreshinterval = 0s\nallowdomainsrefreshinterval = 0s\n"+lines)
	}
	set("stdoutoutputtype = 2\nskipdomainsfile = " + a)
	p, in := program.Feed(t, packets.Asking(), "--workers=1", "--config="+ini)
	var want []string
	send := func(expect string) {
		t.Helper()
		if _, err := in.Write(packets.Asking("a.example", "b.example", "notb.example")[packets.FileHeaderSize:]); err != nil {
			t.Fatal(err)
		}
		want = append(want, expect)
		waitForQuestions(p, strings.Join(want, ", "))
	}
	send("b.example, notb.example")
	lab.ReplaceFile(t, a, "notb.example")
	p.Reload()
	p.WaitFor(`msg=reloaded changed=nothing`)
	p.WaitForCount(`msg="list loaded"`, 2)
	send("a.example, b.example")

	set("stdoutoutputtype = 3\nskipdomainsfile = " + a)
	p.Reload()
	p.WaitFor(`msg="reload: nothing is changed" error="stdoutoutputtype: output type 3 needs an allow list`)
	send("a.example, b.example")

	set("stdoutoutputtype = 3\nskipdomainsfile = " + a + "\nallowdomainsfile = " + b)
	p.Reload()
	p.WaitForCount(`msg="list loaded"`, 4)
	send("b.example")

	set("stdoutoutputtype = 3\ndomainmatch = legacy\nallowdomainsfile = " + b)
	lab.ReplaceFile(t, b, "b.example.,suffix")
	p.Reload()
	p.WaitForCount(`msg="list loaded"`, 5)
	send("b.example, notb.example")

	set("stdoutoutputtype = 1")
	p.Reload()
	p.WaitFor(`stdoutoutputtype=1`)
	send("a.example, b.example, notb.example")
	in.Close()
	p.Wait(time.Minute).Expect(t, program.ExitOK)
}
