package sensor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
)

// feed is where packets will come from.
type feed struct {
	live bool
	open func() (capture.Source, error)
}

// record runs a capture from start to end: it is what all capturing commands
// do. The options have been checked.
func record(c *cli.Context, o *common, s *session, in feed) error {
	active, err := o.activeOutputs(c, s.log)
	if err != nil || s.inv.trial {
		return err
	}
	profiles, err := o.process.profile()
	if err != nil {
		return err
	}
	err = recordTo(c, o, s, active, in)
	if perr := profiles.write(); err == nil && perr != nil {
		return &exitError{exitFailure, perr}
	}
	return err
}

func recordTo(c *cli.Context, o *common, s *session, active []active, in feed) error {
	// A reader that leaves is a write error and not the end of the process.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)

	runners, err := newRunners(active, in.live, s.log)
	if err != nil {
		return err
	}
	defer discard(runners)
	o.delivery.Forgotten(runners, s.log)
	metrics, err := o.metrics.open(s.isDefault("metricendpointtype"), o.server, c.App.ErrWriter)
	if err != nil {
		return err
	}
	defer metrics.close()
	source, err := in.open()
	if err != nil {
		return sourceError(err)
	}
	p := newPipeline(source, s.workerConfig(o), runners, s.log)
	if err := p.prepare(o, s, active); err != nil {
		return err
	}
	defer o.domains.Follow()()
	defer s.reloadAtHangup(p, o.domains)()
	metrics.start(p.books, s.log, &listCollector{o.domains})
	stats := startStats(c.App.ErrWriter, o.metrics.stats, p.books)
	endProgress := s.startProgress(source, active, p.books)
	p.runUntilEnd(o.grace, signals)
	endProgress()
	stats.stop()
	metrics.stop(p.readerLeft(), s.log)
	return p.conclude(c.App.ErrWriter)
}

// sourceError gives an error of opening the source its exit status: what the
// user can put right by calling differently is bad use.
func sourceError(err error) error {
	var exit *exitError
	if errors.As(err, &exit) {
		return err
	}
	return &exitError{exitUsage, err}
}

// runUntilEnd captures until the source ends, a signal comes or nobody reads
// any more, and then delivers. It returns when all that can be delivered is.
func (p *pipeline) runUntilEnd(grace time.Duration, signals <-chan os.Signal) {
	run, abort := context.WithCancel(context.Background())
	defer abort()
	ended := p.start(run)
	go p.endEarly(run, abort, grace, signals)
	<-ended
	p.closeSource()
	deliver := run
	if p.source.Live() {
		var cancel context.CancelFunc
		deliver, cancel = context.WithTimeout(run, grace)
		defer cancel()
	} // behind a file nobody is in a hurry: only a signal starts the grace time
	p.deliver(deliver)
}

// echo is how long a repeated signal counts as the same: a terminal, sudo and
// timeout each pass one on, to the process and to its group.
const echo = 500 * time.Millisecond

// endEarly ends the capture at a signal, or when no output takes records any
// more, and everything at a second signal or when the grace time is over. It
// returns when run ends.
func (p *pipeline) endEarly(run context.Context, abort context.CancelFunc, grace time.Duration, signals <-chan os.Signal) {
	gone := p.gone(run)
	var first time.Time // zero: no signal yet
	for {
		select {
		case <-run.Done():
			return
		case <-gone:
			gone = nil
			p.closeSource()
		case s := <-signals:
			if !first.IsZero() {
				if time.Since(first) < echo {
					continue
				}
				p.log.Warn("second signal: leaving at once", "signal", s)
				abort()
				return
			}
			first = time.Now()
			p.log.Info("stopping", "signal", s, "grace", grace)
			time.AfterFunc(grace, abort)
			p.closeSource()
		}
	}
}

// gone returns a channel that is closed when no output is left that takes
// records, if that happens before the end of run.
func (p *pipeline) gone(run context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		for _, r := range p.runners {
			select {
			case <-r.Gone():
			case <-run.Done():
				return
			}
		}
		close(done)
	}()
	return done
}

// readerLeft reports whether every output ended because its reader went away.
func (p *pipeline) readerLeft() bool {
	for _, r := range p.runners {
		if !errors.Is(r.Err(), outputs.ErrGone) {
			return false
		}
	}
	return true
}

func (p *pipeline) closeSource() {
	if err := p.source.Close(); err != nil {
		p.log.Error("detach", "error", err)
	}
}

// freeSource gives back what the source holds beyond its end.
func (p *pipeline) freeSource() error {
	if f, ok := p.source.(interface{ Free() error }); ok {
		return f.Free()
	}
	return nil
}

// conclude prints the books and returns what the exit status says.
func (p *pipeline) conclude(w io.Writer) error {
	ledgers, err := p.books.ledgers()
	if err != nil {
		return &exitError{exitFailure, err}
	}
	if err := p.freeSource(); err != nil {
		return &exitError{exitFailure, err}
	}
	for _, r := range p.runners {
		if err := r.Err(); err != nil && !errors.Is(err, outputs.ErrGone) {
			p.fail(err)
		}
	}
	runErr := p.err()
	if runErr == nil && p.readerLeft() {
		return nil // the end of a pipe is an orderly end, and quiet
	}
	summary(w, ledgers, time.Since(p.books.begun))
	if runErr != nil {
		return &exitError{exitFailure, runErr}
	}
	var undelivered []string
	if text, n := losses(ledgers); n > 0 {
		undelivered = append(undelivered, text)
	}
	for _, r := range p.runners {
		if n := r.Stuck(); n > 0 {
			undelivered = append(undelivered, fmt.Sprintf("%d in memory when the spool's disk did not answer (%s)", n, r.Name()))
		}
	}
	if text := p.waiting(); text != "" {
		undelivered = append(undelivered, text)
	}
	if len(undelivered) > 0 {
		return &exitError{exitUndelivered, fmt.Errorf("not delivered: %s", strings.Join(undelivered, "; "))}
	}
	return nil
}

// waiting says which outputs have left events in the spool for the next start,
// "" where none has.
func (p *pipeline) waiting() string {
	var parts []string
	for _, r := range p.runners {
		if n := r.Waiting(); n > 0 {
			parts = append(parts, fmt.Sprintf("%d wait in the spool (%s)", n, r.Name()))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ") + " and will be sent first at the next start"
}
