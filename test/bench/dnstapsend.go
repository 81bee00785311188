//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/framestream"
)

// dataFrames returns the first n data frames of a Frame Streams file, each with its length.
func dataFrames(file []byte, n int) (frames []byte, found int, err error) {
	for found < n {
		f, size, err := framestream.Next(file, framestream.MaxFrame)
		if err != nil {
			return nil, 0, fmt.Errorf("%d frames are too few: %w", found, err)
		}
		if f.Control == framestream.Data {
			frames = append(frames, file[:size]...)
			found++
		}
		file = file[size:]
	}
	return frames, found, nil
}

// sendEvery is how often a paced sender writes.
const sendEvery = time.Millisecond

// send connects to a socket and sends frames, rate of them per second.
func send(socket string, frames []byte, n, rate int) error {
	conn, err := connect(socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := exchange(conn, framestream.Ready, framestream.Accept); err != nil {
		return err
	}
	if _, err := conn.Write(framestream.AppendControl(nil, framestream.Start, dnstap.ContentType)); err != nil {
		return err
	}
	if rate == fast {
		defer share()()
	}
	begin := time.Now()
	for sent := 0; sent < len(frames); {
		due := len(frames)
		if share := time.Since(begin).Seconds() * float64(rate) / float64(n); share < 1 {
			due = int(share * float64(len(frames)))
		}
		if due <= sent {
			time.Sleep(sendEvery)
			continue
		}
		written, err := conn.Write(frames[sent:due])
		if sent += written; err != nil {
			return err
		}
	}
	return exchange(conn, framestream.Stop, framestream.Finish)
}

// share keeps this goroutine on the first processor, until the function that it returns is
// called.
func share() func() {
	runtime.LockOSThread()
	var before, one unix.CPUSet
	one.Set(0)
	if unix.SchedGetaffinity(0, &before) != nil || unix.SchedSetaffinity(0, &one) != nil {
		return runtime.UnlockOSThread
	}
	return func() {
		unix.SchedSetaffinity(0, &before)
		runtime.UnlockOSThread()
	}
}

// connect waits until somebody listens. It returns a file that blocks, as the sockets of
// libfstrm do: with Go's own, each read of the receiver would wake the sender's poller, at
// the receiver's cost.
func connect(socket string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket})
		if err == nil {
			return os.NewFile(uintptr(fd), socket), nil
		}
		if time.Now().After(deadline) {
			unix.Close(fd)
			return nil, err
		}
	}
}

// exchange sends a control frame and waits for its answer.
func exchange(conn *os.File, say, want framestream.Control) error {
	content := ""
	if say == framestream.Ready {
		content = dnstap.ContentType
	}
	if _, err := conn.Write(framestream.AppendControl(nil, say, content)); err != nil {
		return err
	}
	var answer []byte
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(conn, b); err != nil {
			return err
		}
		answer = append(answer, b...)
		f, _, err := framestream.Next(answer, framestream.MaxFrame)
		switch {
		case errors.Is(err, framestream.ErrMore):
		case err != nil:
			return err
		case f.Control != want:
			return fmt.Errorf("%v was answered by %v", say, f.Control)
		default:
			return nil
		}
	}
}
