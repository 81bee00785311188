//go:build linux

// Package pty is a pseudo-terminal for tests: a command writes to its one side, the
// test reads what a person would see from the other. It imports nothing of the project.
package pty

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is a pseudo-terminal, until the test ends.
type Terminal struct {
	File *os.File // for a command's standard input, output or error; close it after the start
	t    *testing.T

	master *os.File
	mu     sync.Mutex
	shown  []byte
	done   chan struct{} // closed when all commands have closed their side
}

// New makes a terminal of so many columns, and reads what is written to it.
func New(t *testing.T, columns uint16) *Terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	var number int
	control(t, master, func(fd int) (err error) {
		if number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN); err != nil {
			return err
		}
		return unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	})
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	term := &Terminal{File: slave, t: t, master: master, done: make(chan struct{})}
	term.Resize(columns)
	go term.read()
	return term
}

// Type writes what a person would type into a command that reads the terminal.
func (t *Terminal) Type(text string) {
	t.t.Helper()
	if _, err := t.master.WriteString(text); err != nil {
		t.t.Fatal(err)
	}
}

// Resize changes the number of columns.
func (t *Terminal) Resize(columns uint16) {
	t.t.Helper()
	control(t.t, t.master, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns})
	})
}

// Close closes the window, as a person does who has seen enough.
func (t *Terminal) Close() {
	t.master.Close() // ends the read
	<-t.done
}

// control calls f with a descriptor that is not made blocking, as File.Fd does: Close could not
// end a read.
func control(t *testing.T, file *os.File, f func(fd int) error) {
	t.Helper()
	raw, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		t.Fatal(cerr)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (t *Terminal) read() {
	defer close(t.done)
	b := make([]byte, 64<<10)
	for {
		n, err := t.master.Read(b)
		t.mu.Lock()
		t.shown = append(t.shown, b[:n]...)
		t.mu.Unlock()
		if err != nil { // also when the other side is closed
			return
		}
	}
}

// Shown is what was written so far, with \n at the ends of lines.
func (t *Terminal) Shown() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ReplaceAll(string(t.shown), "\r\n", "\n")
}

// All is what was written until all commands have ended.
func (t *Terminal) All() string {
	t.t.Helper()
	select {
	case <-t.done:
	case <-time.After(time.Minute):
		t.t.Fatalf("the terminal is still in use: %q", t.Shown())
	}
	return t.Shown()
}
