//go:build linux

package bpf

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// The probes try features instead of comparing versions: distributions backport
// features. They return nil, an error that wraps ebpf.ErrNotSupported, or another
// error if the kernel does not say, mostly for lack of rights.

// HaveRingbuf probes for ring buffers (Linux 5.8), which all programs need.
func HaveRingbuf() error {
	if err := features.HaveMapType(ebpf.RingBuf); err != nil {
		return fmt.Errorf("probe BPF ring buffers (Linux 5.8): %w", err)
	}
	return nil
}

// HaveTCX probes for TC programs attached by links (Linux 6.6).
func HaveTCX() error {
	missing := MissingCapabilities()
	if slices.Contains(missing, "CAP_NET_ADMIN") || len(missing) == 0 && Rights() != nil {
		return fmt.Errorf("probe TCX (Linux 6.6): %w", unix.EPERM) // the library would report a kernel without TCX
	}
	// Every namespace has lo as its first interface.
	_, err := link.QueryPrograms(link.QueryOptions{Target: 1, Attach: ebpf.AttachTCXIngress})
	if errors.Is(err, unix.EINVAL) {
		err = ebpf.ErrNotSupported
	}
	if err != nil {
		return fmt.Errorf("probe TCX (Linux 6.6): %w", err)
	}
	return nil
}

// HaveXDP probes for the helper that the XDP programs need (Linux 5.18).
func HaveXDP() error {
	if err := features.HaveProgramHelper(ebpf.XDP, asm.FnXdpLoadBytes); err != nil {
		return fmt.Errorf("probe bpf_xdp_load_bytes (Linux 5.18): %w", err)
	}
	return nil
}

// Supported returns an error that says why the programs for TC cannot run here, nil
// if they can.
func Supported() error {
	if err := Rights(); err != nil {
		return err
	}
	return HaveRingbuf()
}

// Rights returns an error that says why the kernel refuses bpf() to this thread, nil if
// it does not.
func Rights() error {
	if missing := MissingCapabilities(); len(missing) > 0 {
		return fmt.Errorf("missing %s: %w", strings.Join(missing, ", "), os.ErrPermission)
	}
	switch err := HaveRingbuf(); {
	case errors.Is(err, os.ErrPermission):
		return refused(os.ErrPermission)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("this kernel has no bpf(), or a seccomp filter hides it: %w", unix.ENOSYS)
	}
	return nil
}

// refused says why bpf() is refused to a thread that has all capabilities.
func refused(err error) error {
	if inUserNamespace() {
		return fmt.Errorf("bpf() is refused: capabilities in a user namespace, such as those of a rootless container, do not count for it: %w", err)
	}
	return fmt.Errorf("bpf() is refused despite all capabilities, by a seccomp filter or security module%s: %w", lockdown(), err)
}

// inUserNamespace reports whether this is another user namespace than the first one, which
// maps all numbers.
func inUserNamespace() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && !slices.Equal(strings.Fields(string(b)), []string{"0", "0", "4294967295"})
}

// AutoMode returns the best mode that sees both directions.
func AutoMode() Mode {
	if HaveTCX() == nil {
		return ModeTCX
	}
	return ModeClsact
}

// MissingCapabilities returns the capabilities that Load and Attach need and this
// thread does not have.
func MissingCapabilities() []string {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return nil // not known to be missing
	}
	has := func(c int) bool { return data[c/32].Effective&(1<<(c%32)) != 0 }
	var missing []string
	for _, c := range []struct {
		bit  int
		name string
	}{
		{unix.CAP_BPF, "CAP_BPF"},
		{unix.CAP_PERFMON, "CAP_PERFMON"},
		{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"},
	} {
		// CAP_SYS_ADMIN includes the first two.
		if !has(c.bit) && !(c.bit != unix.CAP_NET_ADMIN && has(unix.CAP_SYS_ADMIN)) {
			missing = append(missing, c.name)
		}
	}
	return missing
}

// explain finds the reason for the kernel's error. The verifier's log stays reachable
// through errors.As.
func explain(err error, xdp bool) error {
	if errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("this kernel has no bpf(), or a seccomp filter hides it: %w", err)
	}
	if missing := MissingCapabilities(); len(missing) > 0 {
		return fmt.Errorf("missing %s: run as root, or give the process these capabilities: %w", strings.Join(missing, ", "), os.ErrPermission)
	}
	for _, probe := range []struct {
		have   func() error
		wanted bool
	}{{HaveRingbuf, true}, {HaveXDP, xdp}} {
		if !probe.wanted {
			continue
		}
		if perr := probe.have(); errors.Is(perr, ebpf.ErrNotSupported) {
			return perr
		}
	}
	if errors.Is(err, unix.EPERM) {
		return refused(err)
	}
	return err
}

func lockdown() string {
	b, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		return ""
	}
	if _, rest, ok := strings.Cut(string(b), "["); ok {
		mode, _, _ := strings.Cut(rest, "]")
		return " (lockdown: " + mode + ")"
	}
	return ""
}
