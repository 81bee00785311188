//go:build linux

package pages

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/testlog"
)

// columns is the width of the terminal on which pages are tried.
const columns = 110

// shell is a bash on a terminal of its own. It takes commands from a pipe, and ends each
// with a mark on the terminal that carries the exit status.
type shell struct {
	cmd      *exec.Cmd
	terminal *os.File // the side of the person
	commands *os.File
	screen   testlog.Log
	seen     int // bytes of screen that earlier commands have printed
	done     chan struct{}
	why      error // what ended the reading, once done is closed
}

const mark = "\x01page:"

// startShell starts a shell that first runs setup. cmd is the shell's process.
func startShell(t testing.TB, cmd *exec.Cmd) *shell {
	t.Helper()
	person, tty, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	s := &shell{cmd: cmd, terminal: person, commands: out, done: make(chan struct{})}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.ExtraFiles = []*os.File{in} // descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the shell of a page: %v", err)
	}
	go func() {
		defer close(s.done)
		buffer := make([]byte, 64<<10)
		for {
			n, err := person.Read(buffer)
			s.screen.Write(buffer[:n])
			if err != nil { // EIO: nobody has the other side open any more
				s.why = err
				return
			}
		}
	}()
	t.Cleanup(func() {
		out.Close() // the shell ends
		cmd.Process.Kill()
		cmd.Wait()
		select { // what the shell left in the background keeps its terminal
		case <-s.done:
		case <-time.After(100 * time.Millisecond):
		}
		person.Close()
	})
	return s
}

// openTerminal opens a pair of a person's and a program's side.
func openTerminal() (person, tty *os.File, err error) {
	if person, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err != nil {
		return nil, nil, err
	}
	raw, err := person.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var number int
	err = errors.Join(err, raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}))
	if err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	fd := int(tty.Fd())
	mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err == nil {
		mode.Lflag &^= unix.ECHO  // pages show what programs print
		mode.Lflag |= unix.NOFLSH // and all of it, after Ctrl-C too
		err = unix.IoctlSetTermios(fd, unix.TCSETS, mode)
	}
	return person, tty, errors.Join(err, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: columns}))
}

// start begins a command: a file that the shell reads.
func (s *shell) start(file string) error {
	_, err := s.commands.WriteString(file + "\n")
	return err
}

// printed is what the current command has printed so far, and its exit status once it
// has ended.
func (s *shell) printed() (text string, status int, ended bool) {
	text = s.screen.String()[s.seen:]
	text, rest, found := strings.Cut(text, mark)
	number, _, whole := strings.Cut(rest, "\x01")
	if !found || !whole {
		return text, 0, false
	}
	status, err := strconv.Atoi(number)
	return text, status, err == nil
}

// next forgets the current command, which has ended.
func (s *shell) next() {
	all := s.screen.String()
	at := strings.Index(all[s.seen:], mark) + s.seen + len(mark)
	s.seen = at + strings.IndexByte(all[at:], '\x01') + 1
}

// interrupt presses Ctrl-C.
func (s *shell) interrupt() { s.terminal.Write([]byte{3}) }

// dead reports whether the shell itself has ended.
func (s *shell) dead() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}
