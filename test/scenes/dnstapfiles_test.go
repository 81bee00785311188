//go:build linux

package scenes

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/program"
)

// TestDnstapFiles: files that named has rolled, and the one that it still writes, are read;
// together they have what named has counted.
func TestDnstapFiles(t *testing.T) {
	if !tier.Full() {
		t.Skip(tier.LeftTo + "test-all: named keeps frames for a while before it writes them")
	}
	t.Parallel()
	l := lab.New(t)
	z := lab.Zone{Names: 50}
	file := filepath.Join(filepath.Dir(tapSocket(t)), "dnstap.fstrm")
	s := lab.StartDnstap(t, l, "named", lab.DnstapOptions{Lines: []string{"named.file"}, File: file, Zone: z})
	ask := func() {
		t.Helper()
		if _, err := l.Dnsperf(context.Background(), lab.Perf{Queries: z.Queries(500, 1), Rate: 500, Seconds: 1, Port: s.Addr.Port()}); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	s.Rndc("dnstap", "-roll", "7")
	ask()
	counted := s.Queries()
	replay := func(path string) (n uint64, log string) {
		t.Helper()
		p := program.Run(t, "replay", path, "--jsonfields=dnstap")
		for _, r := range taps(t, p.RecordsFile) {
			if !r.DNS.Response {
				n++
			}
		}
		return n, p.Log()
	}
	var rolled []string
	await.True(t, "a rolled file", func() bool {
		rolled, _ = filepath.Glob(file + ".*")
		return len(rolled) == 1
	})
	first, log := replay(rolled[0])
	if first == 0 || strings.Contains(log, "is not finished") {
		t.Errorf("%d queries in the rolled file:\n%s", first, log)
	}
	var second uint64
	await.True(t, "named has begun to write the next file", func() bool {
		second, log = replay(file)
		return second > 0
	})
	if first+second > counted || !strings.Contains(log, "is not finished") {
		t.Errorf("%d and %d queries in files, named counts %d; the file that it still writes:\n%s", first, second, counted, log)
	}
	// named keeps the last frames until others follow, or until it ends.
	s.Signal(syscall.SIGTERM)
	if second, log = replay(file); first+second != counted {
		t.Errorf("%d and %d queries in files, named counts %d:\n%s", first, second, counted, log)
	}
}
