// Package stdout writes records to the standard output.
package stdout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
)

// batchSize is small so that a reader sees records soon; a busy lane fills a batch
// long before the runner's delay is over.
const batchSize = 1000

// Output is the standard output.
type Output struct {
	outputs.Basics

	mu     sync.Mutex
	opened *outputs.Call[error] // opening out; nil: not begun
	out    io.Writer
	device bool // out is a device, neither a file nor a pipe
	turn   *turn
	pool   formatterPool

	terminal *terminal // nil: out is no terminal
}

// New returns an output that writes to the standard output of this process.
func New() *Output {
	o := newOutput(nil)
	o.terminal = terminalAt(int(os.Stdout.Fd()))
	return o
}

func newOutput(out io.Writer) *Output {
	return &Output{Basics: outputs.NewBasics("stdout"), out: out, turn: newTurn()}
}

// Flags declares the options.
func (o *Output) Flags() []cli.Flag {
	flags := []cli.Flag{o.TypeFlag("DNSMONSTER_STDOUTOUTPUTTYPE", "for stdout")}
	flags = append(flags, o.FormatFlags("DNSMONSTER_STDOUTOUTPUTFORMAT", "DNSMONSTER_STDOUTOUTPUTGOTEMPLATE")...)
	return append(flags, o.WorkersFlag("DNSMONSTER_STDOUTOUTPUTWORKERCOUNT", 8,
		"`NUMBER` of goroutines that format records. Lines are never mixed"))
}

// Settings checks the options.
func (o *Output) Settings() (outputs.Settings, error) {
	s, err := o.Basics.Settings()
	s.BatchSize, s.RetryMax = batchSize, time.Second
	if o.terminal != nil { // one writer keeps the order
		s.Workers, s.BatchDelay = 1, terminalDelay
	}
	return s, err
}

// Open returns a writer. The writers of an Output take turns, one block at a time.
func (o *Output) Open(ctx context.Context) (outputs.Writer, error) {
	f, err := o.Choice.Format(o.Name(), o.records())
	if err != nil {
		return nil, outputs.Permanent(err)
	}
	err, late := o.startOpen(f.Header).Wait(ctx)
	switch {
	case late != nil:
		return nil, fmt.Errorf("write the header: %w", late)
	case errors.Is(err, outputs.ErrReaderGone):
		return nil, err
	case err != nil:
		return nil, outputs.Permanent(err)
	}
	w := newWriter(o.out, o.turn, &o.pool, f.NewEncoder())
	w.fullDiskWait, w.terminal = o.fullDiskWait(), o.terminal
	return w, nil
}

// startOpen opens the standard output once for all writers.
func (o *Output) startOpen(header string) *outputs.Call[error] {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.opened == nil {
		o.opened = outputs.StartCall(func() error { return o.openStdout(header) })
	}
	return o.opened
}

// openStdout duplicates the descriptor, because the os package kills the process when
// a write to descriptor 1 or 2 finds a broken pipe. It writes the format's header, if
// any.
func (o *Output) openStdout(header string) error {
	if o.out == nil {
		file, err := duplicate()
		if err != nil {
			return fmt.Errorf("copy the standard output's descriptor: %w", err)
		}
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
	case o.terminal.isReaderGone(err):
		return fmt.Errorf("write the header: %w: %w", outputs.ErrReaderGone, err)
	default:
		return fmt.Errorf("write the header: %w", err)
	}
}

// replayFullDiskWait is how long a replay waits for space on a full disk. The packets are
// still in its files, so it ends and says how far it came.
const replayFullDiskWait = 10 * time.Second

// fullDiskWait is how long a writer retries on a full disk; negative: for ever.
func (o *Output) fullDiskWait() time.Duration {
	switch {
	case o.Common.Live:
		return -1
	case o.device: // such as /dev/full: it will never have space
		return 0
	}
	return replayFullDiskWait
}
