//go:build linux

// Package lab gives tests two hosts on one machine: network namespaces joined by a
// veth pair, real servers (Knot DNS, PostgreSQL), proxies that fail on request, load
// generators, and exact counters. There is one way to start each server, and it is
// here. The zone, the certificates and the data are made up; nothing leaves the
// machine. Only tests use this package. It knows nothing of the sensor, and making
// hosts needs root.
package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/lab/tier"
)

// prefix starts the name of every namespace and folder made here; the process
// id follows.
const prefix = "sensorlab-"

// netnsDir is where `ip netns` keeps its names.
const netnsDir = "/run/netns"

// Lab is two hosts on one wire. The wire carries what the test sends and nothing
// else: the hosts have each other's addresses configured, never resolve them, and
// announce nothing. So further addresses must be added with AddAddr.
type Lab struct {
	Server *Host
	Client *Host

	tunnels int // how many tunnels were opened
}

// Host is one end of the wire.
type Host struct {
	NS    string // name of its network namespace
	Iface string // its Ethernet interface
	MAC   string
	V4    netip.Addr
	V6    netip.Addr

	addrs []netip.Addr
	peer  *Host
}

var (
	number     atomic.Int32
	sweepStale sync.Once // once per process is enough
)

// New makes a lab. The end of the test removes it, and kills every process that
// still runs in it. New skips the test under the race detector (tier.Kernel), and
// where the caller may not make namespaces; with CI=true the latter is a failure.
func New(t testing.TB) *Lab {
	t.Helper()
	tier.Kernel(t)
	if os.Geteuid() != 0 {
		missing(t, "needs root: it makes network namespaces")
	}
	Need(t, "ip")
	sweepStale.Do(removeStale)

	name := fmt.Sprintf("%s%d-%d-", prefix, os.Getpid(), number.Add(1))
	l := &Lab{
		Server: &Host{
			NS: name + "server", Iface: "srv0", MAC: "02:00:00:00:00:01",
			V4: netip.MustParseAddr("192.0.2.1"), V6: netip.MustParseAddr("2001:db8::1"),
		},
		Client: &Host{
			NS: name + "client", Iface: "cli0", MAC: "02:00:00:00:00:02",
			V4: netip.MustParseAddr("192.0.2.2"), V6: netip.MustParseAddr("2001:db8::2"),
		},
	}
	l.Server.peer, l.Client.peer = l.Client, l.Server
	for _, h := range []*Host{l.Server, l.Client} {
		h.addrs = []netip.Addr{h.V4, h.V6}
	}
	t.Cleanup(func() {
		remove(l.Server.NS)
		remove(l.Client.NS)
	})
	if err := l.build(); err != nil {
		if strings.Contains(err.Error(), "Operation not permitted") {
			missing(t, "this root may not make network namespaces: "+err.Error())
		}
		t.Fatal(err)
	}
	return l
}

func (l *Lab) build() error {
	s, c := l.Server, l.Client
	steps := [][]string{
		{"netns", "add", s.NS},
		{"netns", "add", c.NS},
		{
			"link", "add", "name", s.Iface, "address", s.MAC, "txqueuelen", "10000", "netns", s.NS, "type", "veth",
			"peer", "name", c.Iface, "address", c.MAC, "txqueuelen", "10000", "netns", c.NS,
		},
	}
	for _, args := range steps {
		if err := ip(args...); err != nil {
			return err
		}
	}
	for _, h := range []*Host{s, c} {
		if err := ip("-n", h.NS, "link", "set", "lo", "up"); err != nil {
			return err
		}
		// Without a link-local address the kernel solicits no router. With neighbour resolution off it does not check
		// addresses for duplicates, and joins no multicast group that it would report.
		if err := ip("-n", h.NS, "link", "set", h.Iface, "addrgenmode", "none", "arp", "off"); err != nil {
			return err
		}
	}
	for _, h := range []*Host{s, c} {
		if err := h.up(); err != nil {
			return err
		}
	}
	return nil
}

// up sets the interface up, and restores what it lost while it was down: its IPv6
// addresses, and those of its neighbour.
func (h *Host) up() error {
	if err := ip("-n", h.NS, "link", "set", h.Iface, "up"); err != nil {
		return err
	}
	for _, a := range h.addrs {
		bits := "/24"
		if a.Is6() {
			bits = "/64"
		}
		if err := ip("-n", h.NS, "addr", "replace", a.String()+bits, "dev", h.Iface); err != nil {
			return err
		}
	}
	for _, a := range h.peer.addrs {
		if err := ip("-n", h.NS, "neigh", "replace", a.String(), "lladdr", h.peer.MAC, "dev", h.Iface, "nud", "permanent"); err != nil {
			return err
		}
	}
	return h.settle(h.Iface)
}

// settle waits until the kernel lets an interface's addresses be used, a moment after
// they are added.
func (h *Host) settle(iface string) error {
	for range 1000 {
		out, err := exec.Command(find("ip"), "-n", h.NS, "-6", "addr", "show", "dev", iface, "tentative").CombinedOutput()
		if err != nil {
			return fmt.Errorf("read addresses of %s: %w: %s", iface, err, out)
		}
		if len(out) == 0 {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("wait for the addresses of %s: still tentative", iface)
}

// Up sets the interface up again, so that it works as before Down.
func (h *Host) Up(t testing.TB) {
	t.Helper()
	if err := h.up(); err != nil {
		t.Fatal(err)
	}
}

// Down sets the interface down.
func (h *Host) Down(t testing.TB) {
	t.Helper()
	if err := ip("-n", h.NS, "link", "set", h.Iface, "down"); err != nil {
		t.Fatal(err)
	}
}

// AddAddr gives the host a further address, and makes it known to the other host.
// It should lie in 192.0.2.0/24 or 2001:db8::/64.
func (h *Host) AddAddr(t testing.TB, a netip.Addr) {
	t.Helper()
	h.addrs = append(h.addrs, a)
	for _, h := range []*Host{h, h.peer} {
		if err := h.up(); err != nil {
			t.Fatal(err)
		}
	}
}

// OffloadsOff makes both hosts put real packets on the wire: no segments beyond the
// MTU, no checksums left to hardware.
func (l *Lab) OffloadsOff(t testing.TB) {
	t.Helper()
	Need(t, "ethtool")
	for _, h := range []*Host{l.Server, l.Client} {
		h.Run(t, "ethtool", "-K", h.Iface, "tx", "off", "rx", "off", "sg", "off", "tso", "off", "gso", "off", "gro", "off")
	}
}

// Command is exec.CommandContext inside the host. A signal to its process reaches the
// program itself. The program sees a fresh /sys, without the mounts below the
// machine's own.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, find("ip"), append([]string{"netns", "exec", h.NS, find(name)}, args...)...)
}

// Run runs a command inside the host and returns what it printed on stdout and
// stderr. A command that fails, or takes more than a minute, fails the test.
func (h *Host) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := h.Command(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("run %s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Do calls f inside the host, on the caller's goroutine. Sockets and processes
// that f makes stay in the host; goroutines that it starts do not run there.
func (h *Host) Do(f func() error) (err error) {
	target, err := os.Open(filepath.Join(netnsDir, h.NS))
	if err != nil {
		return fmt.Errorf("enter namespace: %w", err)
	}
	defer target.Close()

	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace: %w", err)
	}
	defer home.Close()
	if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace %s: %w", h.NS, err)
	}
	defer func() {
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			// The thread stays locked, so that no other goroutine runs in the wrong place.
			err = errors.Join(err, fmt.Errorf("leave namespace %s: %w", h.NS, back))
			return
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

// Need skips the test unless all commands are installed. With CI=true a missing
// command is a failure.
func Need(t testing.TB, commands ...string) {
	t.Helper()
	var lacking []string
	for _, c := range commands {
		path := find(c)
		if _, err := exec.LookPath(path); err != nil || !filepath.IsAbs(path) {
			lacking = append(lacking, c)
		}
	}
	if len(lacking) > 0 {
		missing(t, "not installed: "+strings.Join(lacking, ", ")+" (packaging/dev/install-tools.sh test installs the tools)")
	}
}

func missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// find returns the path of a command, also from the folders of the
// administrator's commands, which a PATH often lacks; the name itself if there
// is no such command.
func find(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if strings.Contains(name, "/") {
		return name
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return name
}

func ip(args ...string) error {
	out, err := exec.Command(find("ip"), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// removeStale removes the namespaces and folders of processes that were killed before
// they could clean up. Those with our own process id belong to an earlier process.
func removeStale() {
	for _, ns := range stale(netnsDir) {
		remove(ns)
	}
	for _, dir := range stale(os.TempDir()) {
		_ = os.RemoveAll(filepath.Join(os.TempDir(), dir)) // another process may be removing it
	}
}

// stale lists the names in dir that carry the id of a dead process.
func stale(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // no lab was ever made here
	}
	var names []string
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), prefix)
		field, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(field)
		if !ours || err != nil || pid <= 0 {
			continue
		}
		if pid == os.Getpid() || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			names = append(names, e.Name())
		}
	}
	return names
}

// folder makes a scratch folder. t.TempDir will not do: the name of a test can make
// the path too long for a socket, and nobody would remove the folder of a killed
// process.
func folder() (string, error) {
	return os.MkdirTemp("", fmt.Sprintf("%s%d-", prefix, os.Getpid()))
}

// remove kills the processes in a namespace of ours, and deletes it: a namespace
// lives on, without a name, while a process is in it. It ignores errors: the
// namespace may be half made, or another process may be removing it.
func remove(ns string) {
	out, _ := exec.Command(find("ip"), "netns", "pids", ns).Output()
	for _, field := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(field); err == nil && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_ = ip("netns", "delete", ns)
}
