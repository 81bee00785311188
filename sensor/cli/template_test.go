//go:build linux

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// TestTemplateFailsOnRecords: a record on which the template fails is refused, and nothing
// of it is written; one line says why, and the exit status is 3.
func TestTemplateFailsOnRecords(t *testing.T) {
	file, dir := packets.TempFile(t, packets.Queries(5000)), t.TempDir()
	const template = "{{if ge .DNS.Id 100}}half a line {{index .DNS.Answer 0}}{{else}}{{.DNS.Id}}{{end}}"
	f := func(output string, lines func(p *program.Process) string, args ...string) {
		t.Helper()
		p := program.Start(t, nil, append([]string{"replay", file}, args...)...)
		p.Wait(time.Minute).Expect(t, exitUndelivered)
		if got := lines(p); strings.Count(got, "\n") != 100 || strings.Contains(got, "half") {
			t.Errorf("%s: %d lines, want 100:\n%.200s", output, strings.Count(got, "\n"), got)
		}
		log := p.Log()
		if strings.Count(log, "records are refused") != 1 || !strings.Contains(log, "index out of range") {
			t.Errorf("%s: not one line with the reason:\n%s", output, log)
		}
		if !strings.Contains(log, "delivered 100, refused 4900") || !strings.Contains(log, "not delivered: 4900 refused (delivery, "+output+")") {
			t.Errorf("%s: the ledgers do not show it:\n%s", output, log)
		}
	}
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	f("stdout", func(p *program.Process) string { return read(p.RecordsFile) }, "--stdoutoutputformat=gotemplate", "--stdoutoutputgotemplate="+template)
	f("file", func(*program.Process) string { return read(filepath.Join(dir, "dnsmonster.log")) }, "--fileoutputtype=1", "--fileoutputpath="+dir,
		"--fileoutputformat=gotemplate", "--fileoutputgotemplate="+template)
}

// TestExportCountsRefusals: spool export counts the events of all blocks that its format
// refuses.
func TestExportCountsRefusals(t *testing.T) {
	f, err := format.New("gotemplate", format.Options{Template: "{{if ge .DNS.Id 2}}{{index .DNS.Answer 0}}{{end}}{{.DNS.Id}}"})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	var refused format.Refusal
	write := writeAll(&out, f, &refused)
	for _, from := range []int{0, 3} {
		if err := write(outputtest.Queries(from, 3)); err != nil {
			t.Fatal(err)
		}
	}
	if out.String() != "0\n1\n" || refused.Events != 4 || !strings.Contains(fmt.Sprint(refused.Why), "index out of range") {
		t.Errorf("lines %q, %d refused because of %v; want 0 and 1, and 4 refused", out.String(), refused.Events, refused.Why)
	}
}
