package dnstap

import (
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// processOf names the process at the other end.
func processOf(u *net.UnixConn) string {
	rc, err := u.SyscallConn()
	if err != nil {
		return "unix"
	}
	var cred *unix.Ucred
	if rc.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return "unix"
	}
	text := fmt.Sprintf("process %d of user %d", cred.Pid, cred.Uid)
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cred.Pid)); err == nil {
		text += fmt.Sprintf(" (%q)", strings.TrimSpace(string(name)))
	}
	return text
}
