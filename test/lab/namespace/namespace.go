//go:build linux

// Package namespace gives a test's thread a network namespace of its own, without
// the hosts and links of package lab. Only tests use it.
package namespace

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netns"

	"dnsmonster-sensor/test/lab/tier"
)

// Enter moves the test's goroutine into a new network namespace until the test ends.
// It returns a function that runs a batch of `ip` commands there, one a line. The
// test is a scene of the kernel (see tier.Kernel), and is skipped without root.
func Enter(t *testing.T) (ip func(batch string)) {
	t.Helper()
	tier.Kernel(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes network namespaces")
	}
	runtime.LockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		runtime.UnlockOSThread()
		old.Close()
		t.Skipf("no network namespace can be made: %v", err)
	}
	t.Cleanup(func() {
		ns.Close()
		// A thread that cannot go back ends with the test's goroutine.
		if netns.Set(old) == nil {
			runtime.UnlockOSThread()
		}
		old.Close()
	})
	return func(batch string) {
		t.Helper()
		c := exec.Command("ip", "-batch", "-")
		c.Stdin = strings.NewReader(batch)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("ip %.80s: %v: %s", batch, err, out)
		}
	}
}
