//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Perf is one run of dnsperf from the lab's client against its server. It sends exactly
// Rate*Seconds queries.
type Perf struct {
	Queries []Query // sent in turn, from the start again after the last
	Rate    int     // queries a second
	Seconds int
	V6      bool
	TCP     bool
	Port    uint16   // 0: 53
	Options []string // further options, such as -D for EDNS with DO
}

// PerfResult is what dnsperf reports at its end. Sent = Completed + Lost.
type PerfResult struct {
	Sent, Completed, Lost uint64
	Rcodes                map[string]uint64 // NOERROR: 12
	Seconds               float64
}

// Dnsperf runs to its end. Callers check Need(t, "dnsperf") first.
func (l *Lab) Dnsperf(ctx context.Context, p Perf) (PerfResult, error) {
	dir, err := folder()
	if err != nil {
		return PerfResult{}, fmt.Errorf("run dnsperf: %w", err)
	}
	defer os.RemoveAll(dir)
	var lines bytes.Buffer
	for i := range p.Rate * p.Seconds {
		q := p.Queries[i%len(p.Queries)]
		fmt.Fprintf(&lines, "%s %s\n", q.Name, q.Type)
	}
	data := filepath.Join(dir, "queries")
	if err := os.WriteFile(data, lines.Bytes(), 0o600); err != nil {
		return PerfResult{}, fmt.Errorf("run dnsperf: %w", err)
	}

	family, server, mode := "inet", l.Server.V4, "udp"
	if p.V6 {
		family, server = "inet6", l.Server.V6
	}
	if p.TCP {
		mode = "tcp"
	}
	args := []string{
		"-f", family, "-s", server.String(), "-p", strconv.Itoa(int(cmp.Or(p.Port, 53))), "-m", mode, "-d", data, "-n", "1",
		"-Q", strconv.Itoa(p.Rate), "-c", "20", "-T", "1", "-q", "1000", "-t", "2",
	}
	out, err := l.Client.Command(ctx, "dnsperf", append(args, p.Options...)...).CombinedOutput()
	if err != nil {
		return PerfResult{}, fmt.Errorf("run dnsperf: %w\n%s", err, out)
	}
	r, err := parsePerf(out)
	if err != nil {
		return r, fmt.Errorf("run dnsperf: %w\n%s", err, out)
	}
	return r, nil
}

var rcodeCount = regexp.MustCompile(`([A-Z]+\d*) (\d+) \(`)

func parsePerf(out []byte) (PerfResult, error) {
	r := PerfResult{Rcodes: make(map[string]uint64)}
	seen := 0
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		name, value, found := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		value = strings.TrimSpace(value)
		if !found || value == "" {
			continue
		}
		first, _, _ := strings.Cut(value, " ")
		var err error
		switch name {
		case "Queries sent":
			r.Sent, err = strconv.ParseUint(first, 10, 64)
			seen++
		case "Queries completed":
			r.Completed, err = strconv.ParseUint(first, 10, 64)
			seen++
		case "Queries lost":
			r.Lost, err = strconv.ParseUint(first, 10, 64)
			seen++
		case "Run time (s)":
			r.Seconds, err = strconv.ParseFloat(first, 64)
			seen++
		case "Response codes":
			for _, m := range rcodeCount.FindAllStringSubmatch(value, -1) {
				if r.Rcodes[m[1]], err = strconv.ParseUint(m[2], 10, 64); err != nil {
					break
				}
			}
		}
		if err != nil {
			return r, fmt.Errorf("read %q: %w", lines.Text(), err)
		}
	}
	if seen != 4 {
		return r, fmt.Errorf("read its report: %d of 4 lines found", seen)
	}
	return r, nil
}
