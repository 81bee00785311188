//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/test/lab/tier"
)

// said makes the events of one package: a line for each, "test action seconds
// output".
func said(pkg string, lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		f := strings.SplitN(line, " ", 4)
		fmt.Fprintf(&b, `{"Package":"dnsmonster-sensor/%s","Test":%q,"Action":%q,"Elapsed":%s,"Output":%q}`+"\n", pkg, strings.Trim(f[0], "-"), f[1], f[2], f[3])
	}
	return b.String()
}

func read(t *testing.T, text ...string) (*report, *strings.Builder) {
	t.Helper()
	var w strings.Builder
	r := newReport(&w)
	for _, part := range text {
		if err := r.read(strings.NewReader(part)); err != nil {
			t.Fatal(err)
		}
	}
	return r, &w
}

func wants(t *testing.T, got string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(got, text) {
			t.Errorf("lacks %q:\n%s", text, got)
		}
	}
}

func TestReport(t *testing.T) {
	r, w := read(t,
		said("bpf",
			"TestA run 0 ", "TestB run 0 ", "TestA output 0     a_test.go:1: first\n", "TestB output 0     b_test.go:2: not this\n",
			"TestA output 0     a_test.go:9: this one\n", "TestA fail 1.5 ", "TestB pass 2.5 ", "- output 0 FAIL\n", "- fail 4 "),
		said("sensor",
			"TestC run 0 ", "TestC output 0     c_test.go:3: needs root\n", "TestC skip 0 ",
			"TestD run 0 ", "TestD output 0     d_test.go:3: "+tier.LeftTo+"test-all: a reason\n", "TestD skip 0 ",
			"TestE run 0 ", "TestE output 0     tier.go:3: "+tier.Later+"\n", "TestE skip 0 ", "- pass 3 "),
	)
	wants(t, w.String(), "FAIL     4.0 s bpf\n", "ok       3.0 s sensor\n", "a_test.go:1: first", "a_test.go:9: this one")
	if strings.Contains(w.String(), "not this") {
		t.Errorf("what a test said that passed is shown:\n%s", w)
	}
	if pattern, packages := r.alone(); pattern != "^(TestE)$" || !slices.Equal(packages, []string{"./sensor"}) {
		t.Errorf("alone %q in %q", pattern, packages)
	}
	if r.complete() {
		t.Error("complete, though TestE has not run")
	}
	if err := r.read(strings.NewReader(said("sensor", "TestE run 0 ", "TestE pass 7 ", "- pass 7 "))); err != nil {
		t.Fatal(err)
	}
	if !r.complete() || r.sum() != "2 passed, 1 failed, 2 skipped" {
		t.Errorf("complete %v; %s:\n%s", r.complete(), r.sum(), w)
	}
	w.Reset()
	if unexpected := r.skips([]string{"TestX"}); !slices.Equal(unexpected, []string{"TestC"}) {
		t.Errorf("unexpected skips %q, want TestC alone", unexpected)
	}
	wants(t, w.String(), "skipped:\n  sensor TestC: needs root\n", "left to make test-all: 1\n")
	if unexpected := r.skips([]string{"TestC"}); len(unexpected) > 0 {
		t.Errorf("%q are unexpected, though they are allowed", unexpected)
	}
	w.Reset()
	r.slowest(2)
	if got, want := w.String(), "slowest tests:\n         7.0 s sensor TestE\n         2.5 s bpf TestB\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	path := filepath.Join(t.TempDir(), "times")
	if err := r.writeTimes(path); err != nil {
		t.Fatal(err)
	}
	times, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, string(times), "     4.0 bpf\n    10.0 sensor\n", "    1.50 bpf TestA\n")
}

// TestReportOfARace: a race is printed while one test runs, and fails another one.
func TestReportOfARace(t *testing.T) {
	_, w := read(t, said("bpf", "TestA run 0 ", "TestA output 0 WARNING: DATA RACE in f\n", "TestA pass 1 ", "TestB run 0 ", "TestB fail 1 ", "- fail 2 "))
	wants(t, w.String(), "DATA RACE in f")
}

// TestReportOfACrash: a package that ends before its tests do is shown as a failure, and
// so is one that does not compile.
func TestReportOfACrash(t *testing.T) {
	r, w := read(t, said("bpf", "TestA run 0 ", "TestA output 0 goroutine 7\n", "- output 0 panic: timed out\n", "- fail 9 "))
	wants(t, w.String(), "panic: timed out", "goroutine 7")
	if r.complete() {
		t.Error("complete, though TestA has no verdict")
	}
	_, w = read(t, `{"ImportPath":"dnsmonster-sensor/bpf [x.test]","Action":"build-output","Output":"a.go:1:2: bad\n"}`+"\n"+
		`{"ImportPath":"dnsmonster-sensor/bpf [x.test]","Action":"build-fail"}`+"\nno event\n")
	wants(t, w.String(), "bpf does not compile\na.go:1:2: bad\n", "no event\n")
}
