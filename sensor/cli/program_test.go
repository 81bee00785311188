package cli

import (
	"testing"

	"dnsmonster-sensor/test/program"
)

// TestMain: tests start the sensor as a process of its own, which is this binary.
func TestMain(m *testing.M) { program.Main(m, Main) }
