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

// A mark tells other processes that the one which made a filter still runs. It
// is a netlink socket whose port number is the filter's handle, so it goes with
// the process, and it is seen in all of the network namespace, from every
// container in it, and nowhere else.
//
// Anybody can open a netlink socket and take any number. But the kernel lets
// only who has CAP_NET_ADMIN in the namespace join a group of NETLINK_FIB_LOOKUP,
// which is in every kernel with IPv4 and sends nothing to its groups. So a socket
// in markGroup is a mark. A number that somebody holds to be in the way is
// passed over: the number is drawn at random.
type mark struct {
	socket int
	number uint32
}

const (
	markGroup    = 1 << 30
	markProtocol = unix.NETLINK_FIB_LOOKUP
)

func markOf(handle uint32) uint32 { return handle &^ handleFlags }

// setMark must not be called without CAP_NET_ADMIN.
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

// guarded tells whether the filters without a mark on an interface are in use.
// Versions before marks guarded them by an abstract socket. Anybody can make that,
// so it counts only as root's or our own user's.
func guarded(ifindex int) bool {
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

// livingMarks are the numbers of all marks in this thread's namespace.
func livingMarks() (map[uint32]bool, error) {
	f, err := os.Open("/proc/thread-self/net/netlink")
	if err != nil {
		return nil, fmt.Errorf("tell whether filters of %s are in use: %w", FilterName, err)
	}
	defer f.Close()
	living := make(map[uint32]bool)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var protocol int
		var number, groups uint32
		// sk Eth Pid Groups ...; the first line has the titles.
		_, rest, _ := strings.Cut(lines.Text(), " ")
		if n, _ := fmt.Sscanf(strings.TrimSpace(rest), "%d %d %x", &protocol, &number, &groups); n == 3 && protocol == markProtocol && groups&markGroup != 0 {
			living[number] = true
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("tell whether filters of %s are in use: %w", FilterName, err)
	}
	return living, nil
}
