//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"dnsmonster-sensor/test/lab/tier"
)

// report collects the output of go test.
type report struct {
	w        io.Writer
	tests    map[test]*verdict
	packages map[string]float64 // seconds, of packages that have ended
	output   map[string]string  // of packages and builds, outside their tests
}

type test struct{ pkg, name string }

type verdict struct {
	action  string // pass, fail or skip; "" while it runs
	seconds float64
	output  strings.Builder
}

// event is a line of go test -json.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

func newReport(w io.Writer) *report {
	return &report{w: w, tests: map[test]*verdict{}, packages: map[string]float64{}, output: map[string]string{}}
}

// read reads to the end, and prints a line for each package, and the output of its
// failed tests. For a test that runs again the last result counts.
func (r *report) read(events io.Reader) error {
	s := bufio.NewScanner(events)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		var e event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			fmt.Fprintln(r.w, s.Text()) // from go itself, not from a test
			continue
		}
		if e.Test == "" {
			r.whole(e)
			continue
		}
		key := test{short(e.Package), e.Test}
		v := r.tests[key]
		if v == nil || e.Action == "run" {
			v = &verdict{}
			r.tests[key] = v
		}
		v.output.WriteString(e.Output)
		switch e.Action {
		case "pass", "fail", "skip":
			v.action, v.seconds = e.Action, e.Elapsed
		}
	}
	return s.Err()
}

// whole handles an event of a package or its build.
func (r *report) whole(e event) {
	pkg := short(e.Package + e.ImportPath)
	switch e.Action {
	case "output", "build-output":
		r.output[pkg] += e.Output
	case "build-fail":
		fmt.Fprintf(r.w, "FAIL           %s does not compile\n%s", pkg, r.output[pkg])
	case "pass":
		r.packages[pkg] += e.Elapsed
		fmt.Fprintf(r.w, "ok   %7.1f s %s\n", e.Elapsed, pkg)
	case "fail":
		r.packages[pkg] += e.Elapsed
		fmt.Fprintf(r.w, "FAIL %7.1f s %s\n", e.Elapsed, pkg)
		r.failures(pkg)
	}
}

// failures prints the output of a package's failed tests, and of those that never
// ended.
func (r *report) failures(pkg string) {
	fmt.Fprint(r.w, tail(r.output[pkg]))
	for _, key := range r.sorted() {
		v := r.tests[key]
		raced := v.action == "pass" && strings.Contains(v.output.String(), "WARNING: DATA RACE") // reported in another test than the one that fails
		if key.pkg == pkg && (raced || v.action != "pass" && v.action != "skip") {
			fmt.Fprintf(r.w, "%s\n", tail(v.output.String()))
		}
	}
}

func tail(text string) string {
	const most = 20_000
	return text[max(0, len(text)-most):]
}

// short is a package's name without the module and without the build's suffix.
func short(path string) string {
	path, _, _ = strings.Cut(path, " ")
	return strings.TrimPrefix(path, module)
}

func (r *report) sorted() []test {
	return slices.SortedFunc(maps.Keys(r.tests), func(a, b test) int {
		return strings.Compare(a.pkg+" "+a.name, b.pkg+" "+b.name)
	})
}

var reasonLine = regexp.MustCompile(`^\s*\w+\.go:\d+: (.*)`)

// reason is the last line that a test logged.
func (v *verdict) reason() (reason string) {
	for line := range strings.Lines(v.output.String()) {
		if m := reasonLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			reason = m[1]
		}
	}
	return reason
}

// alone returns a pattern of the names of tests that were skipped to run alone, and
// their packages.
func (r *report) alone() (pattern string, packages []string) {
	var names []string
	for _, key := range r.sorted() {
		if v := r.tests[key]; v.action == "skip" && v.reason() == tier.Later {
			names = append(names, regexp.QuoteMeta(key.name))
			packages = append(packages, "./"+key.pkg)
		}
	}
	return "^(" + strings.Join(names, "|") + ")$", slices.Compact(packages)
}

// complete reports whether each test has a result, and prints those without.
func (r *report) complete() bool {
	ok := true
	for _, key := range r.sorted() {
		if v := r.tests[key]; v.action == "" || v.action == "skip" && v.reason() == tier.Later {
			fmt.Fprintf(r.w, "%s %s began, or was to run alone, and has no verdict\n", key.pkg, key.name)
			ok = false
		}
	}
	return ok
}

// skips prints which tests were skipped and why, and which are left to other tiers. It
// returns the names of those that must not be skipped.
func (r *report) skips(allowed []string) (unexpected []string) {
	left := map[string]int{}
	head := "skipped:\n"
	for _, key := range r.sorted() {
		v := r.tests[key]
		if v.action != "skip" {
			continue
		}
		if target, ok := strings.CutPrefix(v.reason(), tier.LeftTo); ok {
			target, _, _ = strings.Cut(target, ":")
			left[target]++
			continue
		}
		fmt.Fprintf(r.w, "%s  %s %s: %s\n", head, key.pkg, key.name, v.reason())
		head = ""
		if !slices.Contains(allowed, key.name) {
			unexpected = append(unexpected, key.name)
		}
	}
	for _, target := range slices.Sorted(maps.Keys(left)) {
		fmt.Fprintf(r.w, "left to make %s: %d\n", target, left[target])
	}
	return slices.Compact(unexpected)
}

// byTime returns the top-level tests that have ended, the slowest first.
func (r *report) byTime() (list []test) {
	for key, v := range r.tests {
		if v.action != "" && !strings.Contains(key.name, "/") {
			list = append(list, key)
		}
	}
	slices.SortFunc(list, func(a, b test) int {
		if x, y := r.tests[a].seconds, r.tests[b].seconds; x != y {
			if x > y {
				return -1
			}
			return 1
		}
		return strings.Compare(a.pkg+a.name, b.pkg+b.name)
	})
	return list
}

func (r *report) slowest(n int) {
	fmt.Fprintln(r.w, "slowest tests:")
	list := r.byTime()
	for _, key := range list[:min(n, len(list))] {
		fmt.Fprintf(r.w, "     %7.1f s %s %s\n", r.tests[key].seconds, key.pkg, key.name)
	}
}

// writeTimes writes a line for each package, and for each test that took time.
func (r *report) writeTimes(path string) error {
	var b strings.Builder
	for _, pkg := range slices.Sorted(maps.Keys(r.packages)) {
		fmt.Fprintf(&b, "%8.1f %s\n", r.packages[pkg], pkg)
	}
	for _, key := range r.byTime() {
		if s := r.tests[key].seconds; s >= 0.05 {
			fmt.Fprintf(&b, "%8.2f %s %s\n", s, key.pkg, key.name)
		}
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// sum says how many top-level tests passed, failed and were skipped.
func (r *report) sum() string {
	passed, failed, skipped := 0, 0, 0
	for key, v := range r.tests {
		switch {
		case strings.Contains(key.name, "/"):
		case v.action == "pass":
			passed++
		case v.action == "skip":
			skipped++
		default:
			failed++
		}
	}
	return fmt.Sprintf("%d passed, %d failed, %d skipped", passed, failed, skipped)
}
