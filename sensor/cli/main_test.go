//go:build linux

package cli

import (
	"testing"

	"dnsmonster-sensor/test/program"
)

// TestMain: tests start this binary as the sensor.
func TestMain(m *testing.M) { program.Main(m, Main) }
