//go:build linux

package domains

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/dns"
)

func parse(t testing.TB, text string, m Matching) *List {
	t.Helper()
	l, err := Parse(strings.NewReader(text), m)
	if err != nil {
		t.Fatalf("%.80q: %v", text, err)
	}
	return l
}

func TestMatch(t *testing.T) {
	f := func(line, name string, labels, legacy bool) {
		t.Helper()
		if got := parse(t, line, Labels).Match([]byte(name)); got != labels {
			t.Errorf("%q matches %q: %v, want %v", line, name, got, labels)
		}
		if got := parse(t, line, Legacy).Match([]byte(name)); got != legacy {
			t.Errorf("legacy: %q matches %q: %v, want %v", line, name, got, legacy)
		}
	}
	f("google.com.,suffix", "google.com.", true, true)
	f("google.com.,suffix", "www.google.com.", true, true)
	f("google.com.,suffix", "notgoogle.com.", false, true)
	f("google.com.,suffix", "google.com.au.", false, false)
	f(".google.com.,suffix", "google.com.", false, false)
	f(".google.com.,suffix", "www.google.com.", true, true)
	f(".google.com.,suffix", "notgoogle.com.", false, false)
	f("google.com,suffix", "www.google.com.", true, false)
	f("com,suffix", "a.b.c.com.", true, false)
	f("com.,suffix", "com.", true, true)
	f(".,suffix", "example.org.", true, true)
	f(".,suffix", ".", true, true)
	f(".,fqdn", ".", true, true)
	f(".,fqdn", "org.", false, false)
	f("example.org.,fqdn", "example.org.", true, true)
	f("example.org.,fqdn", "www.example.org.", false, false)
	f("example.org,fqdn", "example.org.", true, false)
	f("EXAMPLE.org.,FQDN", "example.org.", true, true)
	f("example.org.", "example.org.", true, true)
	f("example.org.,", "example.org.", true, true)
	f("example.org.,sufix", "example.org.", true, true)
	f("example.org.,sufix", "www.example.org.", false, false)
	f("example.org.,suffix,", "www.example.org.", false, false)
	f("exam,prefix", "example.org.", true, true)
	f("exam,prefix", "an.example.org.", false, false)
	f("example.org.,prefix", "example.org.", true, true)
	f("example.org.uk,prefix", "example.org.", false, false)
	f(" example.org. , suffix ", "www.example.org.", true, false)
	f("\texample.org.\r", "example.org.", true, false)
	f("\ufeffexample.org.", "example.org.", true, true)
	f("#example.org.", "#example.org.", false, true)
	f("# example.org.,suffix", "www.example.org.", false, false)
	f("", ".", false, false)
	f(",suffix", "example.org.", false, false)
	f(",prefix", "example.org.", false, false)
	f(",fqdn", ".", false, false)
	f("*.example.org,suffix", "www.example.org.", false, false)
	// A dot in a label is no boundary, however it is written.
	f("b.example.,suffix", `a\.b.example.`, false, true)
	f(`a\.b.example.,suffix`, `a\.b.example.`, true, true)
	f(`a\046b.example.,suffix`, `x.a\.b.example.`, true, false)
	f(`b.example.,suffix`, `a\\.b.example.`, true, true)
	f(`b.example.,suffix`, `a\\\.b.example.`, false, true)
	f(`\065\066.example.,fqdn`, `ab.example.`, true, false)
	f(`a\032b.example.,fqdn`, `a\ b.example.`, true, false)
	f(`ends\.,suffix`, `ends\..`, true, false)
	f("b\u00fccher.example.", `b\195\188cher.example.`, true, false)
}

// TestDefect34Suffixes: entries matched in the middle of a label, and spaces and comments
// became entries.
func TestDefect34Suffixes(t *testing.T) {
	l := parse(t, "# our own\n\n   \ngoogle.com.,suffix\n", Labels)
	if l.Len() != 1 || l.Match([]byte("notgoogle.com.")) || !l.Match([]byte("mail.google.com.")) {
		t.Errorf("%d entries, notgoogle.com. %v, mail.google.com. %v", l.Len(), l.Match([]byte("notgoogle.com.")), l.Match([]byte("mail.google.com.")))
	}
}

func TestLenAndDiffer(t *testing.T) {
	f := func(text string, labels, legacy, differ int) {
		t.Helper()
		for m, want := range map[Matching]int{Labels: labels, Legacy: legacy} {
			if l := parse(t, text, m); l.Len() != want || l.Differ() != differ {
				t.Errorf("%q, matching %d: %d entries, %d differ; want %d and %d", text, m, l.Len(), l.Differ(), want, differ)
			}
		}
	}
	f("", 0, 0, 0)
	f("\n\n", 0, 0, 0)
	f("example.org.\nexample.org.\nEXAMPLE.ORG.,fqdn\n", 1, 1, 0)
	f("example.org.,fqdn\nexample.org.,suffix\nexample.org.,prefix", 3, 3, 1)
	f(".example.org.,suffix", 1, 1, 0)
	f("example.org.,suffix", 1, 1, 1)
	f(".example.org,suffix", 1, 1, 1)
	f("example.org", 1, 1, 1)
	f("www.,prefix", 1, 1, 0)
	f(" www.,prefix", 1, 1, 1)
	f(".,suffix", 1, 1, 0)
	f("# a comment", 0, 1, 0)          // under Legacy an entry that matches nothing
	f("#no.comment.there.", 0, 1, 1)   // under Legacy a name
	f("example.org.,suffix ", 1, 1, 1) // under Legacy a whole name
	f("<!DOCTYPE html>\n<p>", 2, 2, 2) // under Labels possible names
	f(strings.Repeat("a", 2000)+".", 1, 1, 0)
	f("a.,fqdn,b", 1, 1, 1)
}

func TestOddLines(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		var got []string
		for _, o := range parse(t, text, Labels).OddLines() {
			got = append(got, fmt.Sprintf("%d from %d %q: %s", o.Lines, o.First, o.Text, o.Why))
		}
		if s := strings.Join(got, "\n"); s != want {
			t.Errorf("%q:\n%s\nwant\n%s", text, s, want)
		}
	}
	f("example.org,suffix\n.example.org,suffix\n# a,b,c\n\nwww,prefix\n_tcp.a-1.example.org.\n.,suffix\na\\.b.example\n", "")
	f("a.example\nb.example,sufix\nc.example,regex", `2 from 2 "b.example,sufix": `+oddLogic)
	f("*.example.org", `1 from 1 "*.example.org": `+oddStar)
	f("a..b", `1 from 1 "a..b": `+oddForm)
	f(".example.org", `1 from 1 ".example.org": `+oddForm)
	f(strings.Repeat("a", 64), `1 from 1 "`+strings.Repeat("a", shownText)+`": `+oddForm)
	f(",suffix", `1 from 1 ",suffix": `+oddEmpty)
	f("a,b,c", `1 from 1 "a,b,c": `+oddCommas)
	f("<!DOCTYPE html>\n0.0.0.0 a.example\n||a.example^", `3 from 1 "<!doctype html>": `+oddBytes)
	f("b\u00fccher.example", `1 from 1 "b`+"\u00fc"+`cher.example": `+oddIDN)
	f("\x7fELF\x02\x01", `1 from 1 "\x7felf\x02\x01": `+oddBytes)
}

func TestParseRefuses(t *testing.T) {
	_, err := Parse(strings.NewReader("a\n"+strings.Repeat("x", maxLine+1)), Labels)
	if err == nil || err.Error() != "line 2 has more than 65536 bytes: this is not a list of names" {
		t.Errorf("an endless line: %v", err)
	}
	if _, err := Parse(strings.NewReader("a\n"+strings.Repeat("x", maxLine-2)), Labels); err != nil {
		t.Errorf("a long line: %v", err)
	}
}

// randomName makes a name as in a message, from few labels, so that it often matches an
// entry.
func randomName(r *rand.Rand) []byte {
	pool := []string{"a", "b", "ab", "org", "example", "a.b", `a\`, ".", " ", "\xc3\xbc", "A", "x-y", strings.Repeat("l", 40)}
	var wire []byte
	for range r.IntN(5) {
		l := pool[r.IntN(len(pool))]
		wire = append(append(wire, byte(len(l))), l...)
	}
	name, ok := dns.AppendName(nil, append(wire, 0), 0)
	if !ok {
		panic("domains: a bad random name")
	}
	return Lower(name)
}

// randomLine makes an entry of a name, which is often damaged.
func randomLine(r *rand.Rand) string {
	name := string(randomName(r))
	if r.IntN(3) == 0 {
		name = name[:r.IntN(len(name)+1)]
	}
	if r.IntN(3) == 0 {
		name = strings.TrimSuffix(name, ".")
	}
	if r.IntN(6) == 0 {
		name = "." + name
	}
	if r.IntN(10) == 0 {
		name = " " + name
	}
	return name + []string{"", ",fqdn", ",suffix", ",suffix", ",prefix", ",Suffix ", ",other", ",,"}[r.IntN(8)]
}

// TestAgainstReference compares matches with the rules in their simplest form.
func TestAgainstReference(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	matched := 0
	for range 3000 {
		var lines []string
		for range 1 + r.IntN(6) {
			lines = append(lines, randomLine(r))
		}
		for _, m := range []Matching{Labels, Legacy} {
			l := parse(t, strings.Join(lines, "\n"), m)
			ref := reference{lines, m == Legacy}
			for range 20 {
				name := randomName(r)
				got, want := l.Match(name), ref.match(string(name))
				if got != want {
					t.Fatalf("matching %d, %q matches %q: %v, want %v", m, lines, name, got, want)
				}
				if got {
					matched++
				}
			}
		}
	}
	if matched < 1000 {
		t.Errorf("only %d matches: nothing is compared", matched)
	}
}

// TestDifferAgainstReference: a line that does not count as different matches the same
// names under both kinds of Matching.
func TestDifferAgainstReference(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	same := 0
	for range 20000 {
		line := randomLine(r)
		l := parse(t, line, Labels)
		if l.Differ() > 0 {
			continue
		}
		same++
		legacy := parse(t, line, Legacy)
		for range 10 {
			name := randomName(r)
			// Under Legacy, a suffix that begins with a dot also matches after a dot inside
			// a label. Nobody relies on that.
			if a, b := l.Match(name), legacy.Match(name); a != b && !bytes.Contains(name, []byte(`\.`)) {
				t.Fatalf("%q should match the same, but matches %q: %v, legacy %v", line, name, a, b)
			}
		}
	}
	if same < 1000 {
		t.Errorf("only %d lines match the same: nothing is compared", same)
	}
}

// many is a list of n distinct lines like those of real block lists, with few labels and
// few top-level domains.
func many(n int, logic string) []byte {
	r := rand.New(rand.NewPCG(5, 6))
	var text []byte
	for i := range n {
		text = fmt.Appendf(text, "%s%d.%s.%s", []string{"ads", "tracker-", "www.cdn", "x"}[r.IntN(4)], i,
			[]string{"example", "test-site", "a"}[r.IntN(3)], []string{"org", "com", "co.uk", "net"}[r.IntN(4)])
		text = append(append(text, logic...), '\n')
	}
	return text
}

// TestManyEntries: each of many entries matches, and similar names do not, for entries of
// each kind.
func TestManyEntries(t *testing.T) {
	f := func(logic string, m Matching, dot string) {
		t.Helper()
		text := bytes.ReplaceAll(many(50000, logic), []byte(","), []byte(dot+","))
		l, err := Parse(bytes.NewReader(text), m)
		if err != nil {
			t.Fatal(err)
		}
		if l.Len() != 50000 {
			t.Errorf("%s: %d entries, want 50000", logic, l.Len())
		}
		for line := range bytes.Lines(text) {
			name, _, _ := bytes.Cut(line, []byte(","))
			name = append(bytes.TrimSuffix(slices.Clone(name), []byte(".")), '.')
			if !l.Match(name) {
				t.Fatalf("%s: %s is not found", logic, name)
			}
			other := append([]byte("-"), name...)
			if l.Match(other) != (m == Legacy && logic == ",suffix") {
				t.Fatalf("%s: %s is found", logic, other)
			}
		}
	}
	f(",fqdn", Labels, "")
	f(",suffix", Labels, "")
	f(",prefix", Labels, "")
	f(",fqdn", Legacy, ".")
	f(",suffix", Legacy, ".")
}

// TestLengths: an entry of each length, also those that fill a block or are too long for
// one.
func TestLengths(t *testing.T) {
	var text []byte
	for n := 1; n <= longestText; n++ {
		text = append(append(text, bytes.Repeat([]byte("a"), n)...), '\n')
	}
	l := parse(t, string(text), Legacy)
	if l.Len() != longestText {
		t.Errorf("%d entries, want %d", l.Len(), longestText)
	}
	name := bytes.Repeat([]byte("a"), longestText+1)
	for n := 1; n <= len(name); n++ {
		if got := l.Match(name[:n]); got != (n <= longestText) {
			t.Fatalf("%d bytes: found %v", n, got)
		}
		name[n-1] = 'b'
		if l.Match(name[:n]) {
			t.Fatalf("%d bytes with a b at the end are found", n)
		}
		name[n-1] = 'a'
	}
}

// TestRepeated: repeated entries take no more memory than single ones.
func TestRepeated(t *testing.T) {
	once := many(20000, ",suffix")
	twice := append(bytes.ReplaceAll(once, []byte(",suffix"), []byte(",fqdn")), once...)
	a, b := parse(t, string(once), Labels), parse(t, strings.Repeat(string(twice), 3), Labels)
	if a.Len() != 20000 || b.Len() != 40000 {
		t.Errorf("%d and %d entries, want 20000 and 40000", a.Len(), b.Len())
	}
	if got, want := len(b.suffixes.filter), 2*len(a.suffixes.filter)+1; got > want {
		t.Errorf("%d blocks, want at most %d", got, want)
	}
	for line := range bytes.Lines(once) {
		name, _, _ := bytes.Cut(line, []byte(","))
		name = append(slices.Clone(name), '.')
		if !b.Match(name) || !b.Match(append([]byte("www."), name...)) {
			t.Fatalf("%s is not found", name)
		}
	}
}

// TestMatchDoesNotAllocate: with and without a match, also with entries that are too long
// for blocks.
func TestMatchDoesNotAllocate(t *testing.T) {
	long := strings.Repeat("a-long-label.", 12) + "example."
	lines := "example.org,suffix\nads,prefix\nwww.example.com,fqdn\n" + long + ",suffix\n"
	for m, dot := range map[Matching]string{Labels: "", Legacy: "."} {
		l := parse(t, strings.ReplaceAll(lines, ",", dot+","), m)
		for _, s := range []string{"a.b.c.example.net.", "www.Example.org.", "ads.example.net.", "www.example.com.", "x." + long} {
			name := []byte(s)
			if n := testing.AllocsPerRun(100, func() { Lower(name); l.Match(name) }); n != 0 {
				t.Errorf("Match of %s allocates %v times, want 0", s, n)
			}
		}
	}
}

// TestMillionEntries: a million entries take at most 100 MiB.
func TestMillionEntries(t *testing.T) {
	text := many(1_000_000, ",suffix")
	before := heap()
	l, err := Parse(bytes.NewReader(text), Labels)
	if err != nil {
		t.Fatal(err)
	}
	got := (heap() - before) >> 20
	t.Logf("%d entries in %d MiB, from %d MiB of text", l.Len(), got, len(text)>>20)
	if l.Len() != 1_000_000 || got > 100 {
		t.Errorf("%d entries in %d MiB, want at most 100", l.Len(), got)
	}
	runtime.KeepAlive(text)
}

// heap is the memory in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a.example.,suffix\n#x\nb,prefix\n", "\ufeff\xff,fqdn\n\\", "\\1\\25\\255.x,suffix", "..,suffix\n.,suffix", ",,\n,\n,suffix"} {
		f.Add(s, "a.example.")
	}
	f.Fuzz(func(t *testing.T, text, wire string) {
		name, ok := dns.AppendName(nil, []byte(wire), 0)
		if !ok {
			return
		}
		name = Lower(name)
		for _, m := range []Matching{Labels, Legacy} {
			l, err := Parse(strings.NewReader(text), m)
			if err != nil {
				return
			}
			var lines []string
			for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
				lines = append(lines, strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"))
			}
			if got, want := l.Match(name), (reference{lines, m == Legacy}).match(string(name)); got != want {
				t.Fatalf("matching %d, %q matches %q: %v, want %v", m, text, name, got, want)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	const entries = 1_000_000
	missing := many(2*entries, "")[len(many(entries, "")):]
	for _, c := range []struct {
		name, logic string
		m           Matching
	}{{"fqdn", ",fqdn", Labels}, {"suffix", ",suffix", Labels}, {"prefix", ",prefix", Labels}, {"legacysuffix", ".,suffix", Legacy}} {
		text := many(entries, c.logic)
		l, err := Parse(bytes.NewReader(text), c.m)
		if err != nil {
			b.Fatal(err)
		}
		for _, kind := range []struct {
			name string
			from []byte
		}{{"hit", text}, {"miss", missing}} {
			names := shuffled(kind.from)
			b.Run(fmt.Sprintf("entries=1M/logic=%s/%s", c.name, kind.name), func(b *testing.B) {
				begin := cpu(b)
				for i := 0; b.Loop(); i++ {
					l.Match(names[i%len(names)])
				}
				b.ReportMetric(float64(cpu(b)-begin)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// cpu is the processor time of this process: elapsed time says little while other
// processes run.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// shuffled returns the names of a list in random order, and in that order in memory:
// like the name of a message, each is in the cache when it is looked up.
func shuffled(list []byte) [][]byte {
	lines := bytes.Split(bytes.TrimSpace(list), []byte("\n"))
	rand.New(rand.NewPCG(7, 8)).Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	room := make([]byte, 0, len(list)+len(lines))
	names := make([][]byte, len(lines))
	for i, line := range lines {
		name, _, _ := bytes.Cut(line, []byte(","))
		start := len(room)
		room = append(append(room, bytes.TrimSuffix(name, []byte("."))...), '.')
		names[i] = room[start:]
	}
	return names
}

func BenchmarkParse(b *testing.B) {
	text := many(1_000_000, ",suffix")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse(bytes.NewReader(text), Labels); err != nil {
			b.Fatal(err)
		}
	}
}
