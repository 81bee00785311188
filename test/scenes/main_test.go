//go:build linux

// Package scenes holds the live end-to-end scenes: the whole sensor as a process of
// its own (test/program), between hosts, servers and outages that test/lab makes, on
// the real kernel. Only test files are here. Captures of real servers come from
// userspace/worker/testdata; testdata/spool-v1 is a spool that the first version left.
package scenes

import (
	"testing"

	"dnsmonster-sensor/sensor/cli"
	"dnsmonster-sensor/test/program"
)

func TestMain(m *testing.M) { program.Main(m, cli.Main) }
