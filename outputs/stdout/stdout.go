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
	"dnsmonster-sensor/outputs/format"
)

// batch is small, so that a reader sees records soon; a busy lane fills it long
// before the runner's delay is over.
const batch = 1000

// Output is the standard output.
type Output struct {
	kind    int
	choice  format.Choice
	workers int
	common  outputs.Common

	once   sync.Once
	out    io.Writer
	device bool // out is neither a file nor a pipe
	err    error
	turn   *turn
	idle   presses
}

// New returns an output for this process's standard output.
func New() *Output { return to(nil) }

func to(out io.Writer) *Output {
	return &Output{out: out, turn: newTurn()}
}

// Name is "stdout".
func (o *Output) Name() string { return "stdout" }

// Use takes the program's own options.
func (o *Output) Use(c outputs.Common) { o.common = c }

// Flags declares the options.
func (o *Output) Flags() []cli.Flag {
	const section = "stdout_output"
	return []cli.Flag{
		&cli.IntFlag{
			Category: section,
			Name:     "stdoutoutputtype",
			EnvVars:  []string{"DNSMONSTER_STDOUTOUTPUTTYPE"},
			Usage: "`TYPE` of filter for stdout: 0 off, 1 all records, 2 those the skip list does not match, " +
				"3 those the allow list matches, 4 both",
			Destination: &o.kind,
		},
		&cli.StringFlag{
			Category:    section,
			Name:        "stdoutoutputformat",
			EnvVars:     []string{"DNSMONSTER_STDOUTOUTPUTFORMAT"},
			Usage:       format.Usage,
			Value:       "json",
			Destination: &o.choice.Name,
		},
		&cli.StringFlag{
			Category:    section,
			Name:        "stdoutoutputgotemplate",
			EnvVars:     []string{"DNSMONSTER_STDOUTOUTPUTGOTEMPLATE"},
			Usage:       format.TemplateUsage,
			Value:       "{{.}}",
			Destination: &o.choice.Template,
		},
		&cli.IntFlag{
			Category:    section,
			Name:        "stdoutoutputworkercount",
			EnvVars:     []string{"DNSMONSTER_STDOUTOUTPUTWORKERCOUNT"},
			Usage:       "`NUMBER` of goroutines that format records; whole blocks of lines are written one at a time",
			Value:       8,
			Destination: &o.workers,
		},
	}
}

// Settings checks the options.
func (o *Output) Settings() (outputs.Settings, error) {
	s := outputs.Settings{Type: outputs.Type(o.kind), Workers: o.workers, BatchSize: batch, RetryMax: time.Second}
	if o.kind < int(outputs.Off) || o.kind > int(outputs.SkipAndAllow) {
		return s, fmt.Errorf("stdoutoutputtype: %d is not one of 0 to 4", o.kind)
	}
	if o.workers < 1 {
		return s, fmt.Errorf("stdoutoutputworkercount: %d, at least 1", o.workers)
	}
	if _, err := o.records(); err != nil {
		return s, err
	}
	return s, nil
}

// Open makes a writer. Writers of one Output take turns, block by block.
func (o *Output) Open(context.Context) (outputs.Writer, error) {
	f, err := o.records()
	if err != nil {
		return nil, outputs.Permanent(err)
	}
	o.once.Do(func() { o.err = o.openOut(f.Header) })
	if errors.Is(o.err, outputs.ErrGone) {
		return nil, o.err
	}
	if o.err != nil {
		return nil, outputs.Permanent(o.err)
	}
	w := newWriter(o.out, o.turn, &o.idle, f.NewEncoder())
	if w.fullFor = fullFor; o.common.Live {
		w.fullFor = -1
	} else if o.device {
		w.fullFor = 0
	}
	return w, nil
}

func (o *Output) records() (format.Format, error) {
	return o.choice.Format(o.Name(), o.common.Records)
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
		return fmt.Errorf("write the header: %w: %w", outputs.ErrGone, err)
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
