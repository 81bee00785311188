package dnstap

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// firstPassed is SD_LISTEN_FDS_START.
const firstPassed = 3

// passedFiles are the passed descriptors. They stay open to the end of the process, as
// they do in systemd: senders that connect meanwhile wait for the next sensor.
var passedFiles = sync.OnceValue(func() (list []*passedSocket) {
	if pid, err := strconv.Atoi(os.Getenv("LISTEN_PID")); err != nil || pid != os.Getpid() {
		return nil
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 1 {
		return nil
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for i := range min(n, 1024) {
		unix.CloseOnExec(firstPassed + i)
		p := &passedSocket{file: os.NewFile(uintptr(firstPassed+i), "passed socket")}
		if i < len(names) {
			p.name = names[i]
		}
		list = append(list, p)
	}
	return list
})

// passedSockets returns the passed sockets that listen for streams.
func passedSockets() (list []*passedSocket, err error) {
	for _, p := range passedFiles() {
		p := &passedSocket{file: p.file, name: p.name}
		fd := int(p.file.Fd())
		kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		if err != nil || kind != unix.SOCK_STREAM {
			return nil, fmt.Errorf("systemd has passed %q, which is not a stream socket: use ListenStream= in the socket unit", p.name)
		}
		if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
			return nil, fmt.Errorf("systemd has passed the socket %q, which does not listen: use Accept=no in the socket unit", p.name)
		}
		name, err := unix.Getsockname(fd)
		if err != nil {
			return nil, os.NewSyscallError("getsockname", err)
		}
		switch a := name.(type) {
		case *unix.SockaddrUnix:
			p.address = Address{Network: "unix", Where: a.Name}
		case *unix.SockaddrInet4:
			p.bound = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
		case *unix.SockaddrInet6:
			p.bound = netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
		}
		if p.bound.IsValid() {
			p.address = Address{Network: "tcp", Where: p.bound.String()}
		}
		list = append(list, p)
	}
	return list, nil
}
