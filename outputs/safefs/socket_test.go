//go:build linux

package safefs

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The rights are exact, whatever the umask is, and the file goes at the end.
func TestListenUnix(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	path := t.TempDir() + "/s"
	group := os.Getegid()
	if os.Geteuid() == 0 {
		group = 7
	}
	for _, mode := range []fs.FileMode{0o755, 0o666, 0o620, 0o600} {
		l, err := ListenUnix(path, mode, group)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Lstat(path)
		if err != nil || st.Mode() != mode|fs.ModeSocket || int(st.Sys().(*syscall.Stat_t).Gid) != group {
			t.Errorf("%v, %v", st.Mode(), err)
		}
		if err := CheckUnix(path); !errors.Is(err, ErrInUse) {
			t.Errorf("while it is used: %v", err)
		}
		if _, err := ListenUnix(path, mode, -1); !errors.Is(err, ErrInUse) {
			t.Errorf("while it is used: %v", err)
		}
		nc, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
		if err := l.Remove(); err != nil {
			t.Error(err)
		}
		if nc, err = l.Accept(); err != nil { // who was there is still served
			t.Error(err)
		}
		nc.Close()
		l.Close()
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is left: %v", err)
		}
	}
}

// A socket on which nobody listens is replaced; everything else stays.
func TestListenUnixOverFiles(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/s"
	killed, err := ListenUnix(path, 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	killed.Close()
	if err := CheckUnix(path); err != nil {
		t.Errorf("a stale socket: %v", err)
	}
	l, err := ListenUnix(path, 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Remove(); err != nil {
		t.Error(err)
	}
	if nc, err := net.Dial("unix", path); err != nil {
		t.Errorf("the file of the second socket was removed for the first one: %v", err)
	} else {
		nc.Close()
	}
	datagrams, err := net.ListenPacket("unixgram", dir+"/gram")
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	writeFile(t, dir+"/file", "keep")
	link(t, dir+"/nothing", dir+"/link")
	mkdir(t, dir+"/folder", 0o755)
	mkdir(t, dir+"/open", 0o777)
	for name, want := range map[string]string{
		"gram": "a program listens on it already", "file": "exists and is not a socket", "link": "is a symbolic link", "folder": "exists and is not a socket",
		"open/s": "can be written to by every user", "no/s": "no such file",
	} {
		for _, err := range []error{CheckUnix(dir + "/" + name), second(ListenUnix(dir+"/"+name, 0o600, -1))} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
	wantContent(t, dir+"/file", "keep")
	l.Remove()
	l.Close()
}

func second(_ *Socket, err error) error { return err }

// Of many that start at once over a stale socket, one has the socket.
func TestListenUnixRace(t *testing.T) {
	path := t.TempDir() + "/s"
	for range 20 {
		stale, err := ListenUnix(path, 0o600, -1)
		if err != nil {
			t.Fatal(err)
		}
		stale.Close()
		var won atomic.Pointer[Socket]
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				l, err := ListenUnix(path, 0o600, -1)
				switch {
				case err == nil && !won.CompareAndSwap(nil, l):
					t.Error("two listen")
				case err != nil && !errors.Is(err, ErrInUse):
					t.Error(err)
				}
			})
		}
		all.Wait()
		nc, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
		won.Load().Remove()
		won.Load().Close()
	}
}
