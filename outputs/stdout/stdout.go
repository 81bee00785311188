// Package stdout writes records to the standard output.
package stdout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/outputs"
)

// batch is small, so that a reader sees records soon; a busy lane fills it long
// before the runner's delay is over.
const batch = 1000

// Output is the standard output.
type Output struct {
	outputs.Basics

	mu     sync.Mutex
	opened *outputs.Call[error] // nil: nobody has begun to
	out    io.Writer
	device bool // out is neither a file nor a pipe
	turn   *turn
	idle   presses
}

// New returns an output for this process's standard output.
func New() *Output { return to(nil) }

func to(out io.Writer) *Output {
	return &Output{Basics: outputs.NewBasics("stdout"), out: out, turn: newTurn()}
}

// Flags declares the options.
func (o *Output) Flags() []cli.Flag {
	flags := []cli.Flag{o.TypeFlag("DNSMONSTER_STDOUTOUTPUTTYPE", "for stdout")}
	flags = append(flags, o.FormatFlags("DNSMONSTER_STDOUTOUTPUTFORMAT", "DNSMONSTER_STDOUTOUTPUTGOTEMPLATE")...)
	return append(flags, o.WorkersFlag("DNSMONSTER_STDOUTOUTPUTWORKERCOUNT", 8,
		"`NUMBER` of goroutines that format records; whole blocks of lines are written one at a time"))
}

// Settings checks the options.
func (o *Output) Settings() (outputs.Settings, error) {
	s, err := o.Basics.Settings()
	s.BatchSize, s.RetryMax = batch, time.Second
	return s, err
}

// Open makes a writer. Writers of one Output take turns, block by block.
func (o *Output) Open(ctx context.Context) (outputs.Writer, error) {
	f, err := o.RecordFormat()
	if err != nil {
		return nil, outputs.Permanent(err)
	}
	err, late := o.begin(f.Header).Wait(ctx)
	switch {
	case late != nil:
		return nil, fmt.Errorf("write the header: %w", late)
	case errors.Is(err, outputs.ErrReaderGone):
		return nil, err
	case err != nil:
		return nil, outputs.Permanent(err)
	}
	w := newWriter(o.out, o.turn, &o.idle, f.NewEncoder())
	if w.fullFor = fullFor; o.Common.Live {
		w.fullFor = -1
	} else if o.device {
		w.fullFor = 0
	}
	return w, nil
}

// begin opens the standard output, once for all writers.
func (o *Output) begin(header string) *outputs.Call[error] {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.opened == nil {
		o.opened = outputs.StartCall(func() error { return o.openOut(header) })
	}
	return o.opened
}

// openOut takes a copy of the descriptor: for the original numbers 1 and 2,
// the os package turns a broken pipe into the death of the process. It writes
// the format's header, if there is one.
func (o *Output) openOut(header string) error {
	if o.out == nil {
		fd, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return fmt.Errorf("copy the standard output's descriptor: %w", err)
		}
		file := os.NewFile(uintptr(fd), "stdout")
		if st, err := file.Stat(); err == nil {
			o.device = st.Mode()&os.ModeDevice != 0
		}
		o.out = file
	}
	if header == "" {
		return nil
	}
	switch _, err := io.WriteString(o.out, header); {
	case err == nil:
		return nil
	case readerLeft(err):
		return fmt.Errorf("write the header: %w: %w", outputs.ErrReaderGone, err)
	default:
		return fmt.Errorf("write the header: %w", err)
	}
}

// fullFor is how long a replay waits for space on a full disk. What it has not
// written is in its files still; so it ends, and says how far it came.
const fullFor = 10 * time.Second

// full tells a disk that is full from other troubles.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// never tells a trouble that no waiting mends: the standard output cannot be
// written to, or its file is as large as it may be (ulimit -f).
func never(err error) bool {
	return errors.Is(err, syscall.EFBIG) || errors.Is(err, syscall.EBADF) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENXIO)
}

// readerLeft tells a reader that is gone for good from a trouble that may pass.
func readerLeft(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}
