//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	initPath         = "/init"
	instructionsPath = "/instructions.json"

	endMark     = "## end "
	missingMark = "## missing modules: "
)

// instructions tell init what to do.
type instructions struct {
	Modules []string // files, in loading order
	Missing []string // names of modules that this kernel does not have
	Jobs    []job
}

// job is one test binary.
type job struct {
	Name string // no spaces
	Dir  string
	Path string
	Args []string
}

// runInit is the first process of the emulated machine. It never returns.
func runInit() {
	if err := initialize(); err != nil {
		fmt.Println("## init:", err)
	}
	unix.Sync()
	// With -no-reboot the emulator ends here; powering off would need ACPI.
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	panic(err) // and the kernel with it
}

func initialize() error {
	if err := mountAll(); err != nil {
		return err
	}
	text, err := os.ReadFile(instructionsPath)
	if err != nil {
		return err
	}
	var in instructions
	if err := json.Unmarshal(text, &in); err != nil {
		return fmt.Errorf("read instructions: %w", err)
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		fmt.Println("## kernel", unix.ByteSliceToString(name.Release[:]))
	}
	for _, path := range in.Modules {
		if err := loadModule(path); err != nil {
			in.Missing = append(in.Missing, fmt.Sprintf("%s (%v)", path, err))
		}
	}
	if len(in.Missing) > 0 {
		fmt.Println(missingMark + strings.Join(in.Missing, " "))
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	// A process without rights cannot use eBPF, as on Debian's hosts.
	if err := os.WriteFile("/proc/sys/kernel/unprivileged_bpf_disabled", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("switch eBPF off for processes without rights: %w", err)
	}
	for _, j := range in.Jobs {
		j.run()
	}
	return nil
}

func mountAll() error {
	for _, m := range []struct {
		kind, path string
		optional   bool
	}{
		{"devtmpfs", "/dev", false},
		{"proc", "/proc", false},
		{"sysfs", "/sys", false},
		{"tmpfs", "/run", false},
		{"tmpfs", "/tmp", false},
		{"bpf", "/sys/fs/bpf", false},
		{"tracefs", "/sys/kernel/tracing", true},
		{"cgroup2", "/sys/fs/cgroup", true},
	} {
		err := os.MkdirAll(m.path, 0o755)
		if err == nil {
			err = unix.Mount(m.kind, m.path, m.kind, 0, "")
		}
		// The kernel may have mounted /dev itself.
		if err != nil && !errors.Is(err, unix.EBUSY) && !m.optional {
			return fmt.Errorf("mount %s: %w", m.path, err)
		}
	}
	return nil
}

func (j job) run() {
	cmd := exec.Command(j.Path, j.Args...)
	cmd.Dir = j.Dir
	cmd.Env = []string{"PATH=/bin", "HOME=/tmp", "TMPDIR=/tmp"}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	fmt.Println("## begin", j.Name)
	err := cmd.Run()
	status := cmd.ProcessState.ExitCode()
	if err != nil {
		fmt.Printf("## %s: %v\n", j.Name, err)
	}
	fmt.Printf("%s%s %d\n", endMark, j.Name, status)
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), "", 0)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	req.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}
