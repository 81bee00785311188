//go:build linux

package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
)

// TestSameRecordsOnOtherProcessors: the program for 64-bit and 32-bit ARM processors, in an
// emulator, writes the records of all captures byte for byte as the one for this processor.
func TestSameRecordsOnOtherProcessors(t *testing.T) {
	if !tier.Full() {
		t.Skip("left to make test-all: it builds the sensor three times")
	}
	lab.Need(t, "qemu-aarch64-static", "qemu-arm-static")
	captures, err := filepath.Glob("../userspace/worker/testdata/*.pcap")
	if err != nil || len(captures) < 20 {
		t.Fatal(captures, err)
	}
	records := func(arch string, emulator ...string) []string {
		program := filepath.Join(t.TempDir(), arch)
		build := exec.Command("go", "build", "-tags", "urfave_cli_no_docs", "-o", program, "..")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if arch != "this" {
			build.Env = append(build.Env, "GOARCH="+arch)
		}
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build for %s: %v\n%s", arch, err, out)
		}
		args := slices.Concat(emulator, []string{program, "replay"}, captures, []string{"--stdoutoutputtype=1", "--stdoutoutputformat=json"})
		out, err := exec.Command(args[0], args[1:]...).Output()
		if err != nil {
			t.Fatalf("replay by %s: %v", arch, err)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		slices.Sort(lines) // lanes write in any order
		return lines
	}
	want := records("this")
	if len(want) < 1000 {
		t.Fatalf("only %d records", len(want))
	}
	for arch, emulator := range map[string]string{"arm64": "qemu-aarch64-static", "arm": "qemu-arm-static"} {
		if got := records(arch, emulator); !slices.Equal(got, want) {
			t.Errorf("%s: %d records, want %d, or another text", arch, len(got), len(want))
		}
	}
}
