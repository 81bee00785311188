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

	once sync.Once
	out  io.Writer
	err  error
	turn chan struct{} // holds a token while nobody is in the middle of a block
	idle presses
}

// New returns an output for this process's standard output.
func New() *Output { return to(nil) }

func to(out io.Writer) *Output {
	o := &Output{out: out, turn: make(chan struct{}, 1)}
	o.turn <- struct{}{}
	return o
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
	return newWriter(o.out, o.turn, &o.idle, f.NewEncoder()), nil
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
		o.out = os.NewFile(uintptr(fd), "stdout")
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

// readerLeft tells a reader that is gone for good from a trouble that may pass.
func readerLeft(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}
