package live

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestUserNamespace: a rootless container shows all capabilities, and yet the kernel
// refuses bpf(). Nothing in the report says that the kernel is too old.
func TestUserNamespace(t *testing.T) {
	const variable = "LIVE_TEST_INSIDE"
	if os.Getenv(variable) == "" {
		c := exec.Command(os.Args[0], "-test.run=^TestUserNamespace$", "-test.v", "-test.timeout=60s")
		c.Env = append(os.Environ(), variable+"=1")
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, UidMappings: ids}
		out, err := c.CombinedOutput()
		if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.ENOSPC) {
			t.Skipf("no user namespaces here: %v", err)
		}
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	r, err := Check(nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = "bpf() is refused: capabilities in a user namespace"
	if r.Mode != ModeAFPacket || !strings.Contains(r.Why, want) {
		t.Errorf("mode %q, %s", r.Mode, r.Why)
	}
	if f := r.Features[0]; f.Have || !strings.Contains(f.Reason, want) {
		t.Errorf("%+v", f)
	}
	for _, f := range r.Features[1:4] {
		if !f.Unknown {
			t.Errorf("%+v", f)
		}
	}
	if slices.ContainsFunc(r.Advice, func(a string) bool { return strings.Contains(a, "newer") }) {
		t.Errorf("advice %q", r.Advice)
	}
	if err := Supported(ModeTCX); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("mode tcx: %v", err)
	}
}
