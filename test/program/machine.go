//go:build linux

package program

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// OthersShare begins to measure the share of processor time that other programs
// use: neither this test nor the process. It leaves out what the kernel does for
// packets.
func OthersShare(t *testing.T, pid int) (since func() float64) {
	t.Helper()
	read := func() (all, others float64) { // ticks
		t.Helper()
		var user, nice, system, idle, wait, irq, soft, steal float64
		b, err := os.ReadFile("/proc/stat")
		if err == nil {
			_, err = fmt.Sscanf(string(b), "cpu %f %f %f %f %f %f %f %f", &user, &nice, &system, &idle, &wait, &irq, &soft, &steal)
		}
		if err != nil {
			t.Fatal(err)
		}
		others = user + nice + system + steal
		for _, of := range []string{"self", strconv.Itoa(pid)} {
			b, err := os.ReadFile("/proc/" + of + "/stat")
			if err != nil {
				t.Fatal(err)
			}
			f := strings.Fields(string(b[bytes.LastIndexByte(b, ')'):]))
			for _, field := range f[12:14] { // utime and stime
				ticks, err := strconv.ParseFloat(field, 64)
				if err != nil {
					t.Fatal(err)
				}
				others -= ticks
			}
		}
		return user + nice + system + idle + wait + irq + soft + steal, others
	}
	all, others := read()
	return func() float64 {
		t.Helper()
		allNow, othersNow := read()
		return (othersNow - others) / (allNow - all)
	}
}

// PeakMemory is the largest resident set of a running process so far, in MiB.
func PeakMemory(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kb / 1024
		}
	}
	t.Fatal("no VmHWM in /proc")
	return 0
}
