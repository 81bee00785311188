//go:build linux

package bpf

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A mark tells other processes that the process which added a filter still runs. It
// is a netlink socket whose port number is in the filter's handle. So it is gone with
// the process, and all processes in the network namespace see it, whatever their
// container, and no others.
//
// Anybody can open a netlink socket with any number. But only a process with
// CAP_NET_ADMIN in the namespace can join a group of NETLINK_FIB_LOOKUP, which every
// kernel with IPv4 has and which sends nothing to its groups. So only a socket in
// markGroup is a mark. The number is random: if somebody else occupies it, another is
// tried.
type mark struct {
	socket int
	number uint32
}

const (
	markGroup    = 1 << 30
	markProtocol = unix.NETLINK_FIB_LOOKUP
)

func markOf(handle uint32) uint32 { return handle &^ handleFlags }

// setMark needs CAP_NET_ADMIN.
func setMark() (*mark, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, markProtocol)
	if err != nil {
		return nil, fmt.Errorf("mark clsact filters as in use: open netlink socket: %w", err)
	}
	for {
		number := markOf(rand.Uint32() >> 1)
		if number == 0 {
			continue
		}
		err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: number, Groups: markGroup})
		if errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		if err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("mark clsact filters as in use (needs CAP_NET_ADMIN): %w", err)
		}
		return &mark{fd, number}, nil
	}
}

// usedByOldVersion reports whether filters without a mark on an interface are in use.
// Versions that had no marks held an abstract socket instead. Anybody can open one, so
// it counts only if its owner is root or our own user.
func usedByOldVersion(ifindex int) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@%s/clsact/%d", FilterName, ifindex)}) != nil {
		return false
	}
	owner, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && (owner.Uid == 0 || int(owner.Uid) == unix.Geteuid())
}

func (m *mark) close() { unix.Close(m.socket) }

func (m *mark) is(handle uint32) bool { return markOf(handle) == m.number }

func (m *mark) handle(withQdisc bool) uint32 {
	if withQdisc {
		return m.number | handleQdisc
	}
	return m.number | handleFilter
}

// livingMarks returns the numbers of all marks in this thread's namespace.
func livingMarks() (map[uint32]bool, error) {
	f, err := os.Open("/proc/thread-self/net/netlink")
	if err != nil {
		return nil, fmt.Errorf("find out whether filters of %s are in use: %w", FilterName, err)
	}
	defer f.Close()
	living := make(map[uint32]bool)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var protocol int
		var number, groups uint32
		// sk Eth Pid Groups ...; the first line has the column titles.
		_, rest, _ := strings.Cut(lines.Text(), " ")
		if n, _ := fmt.Sscanf(strings.TrimSpace(rest), "%d %d %x", &protocol, &number, &groups); n == 3 && protocol == markProtocol && groups&markGroup != 0 {
			living[number] = true
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("find out whether filters of %s are in use: %w", FilterName, err)
	}
	return living, nil
}
