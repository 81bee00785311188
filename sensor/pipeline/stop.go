package sensor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/account"
)

// feed is where packets will come from.
type feed struct {
	live    bool
	files   []string     // that are read, where it is not live
	ordered bool         // records have to come in the files' order
	look    func() error // why open would fail; nil: nobody knows

	// open may come back with less where stop is closed meanwhile.
	open func(stop <-chan struct{}) (capture.Source, error)
}

// record runs a capture from start to end: it is what all capturing commands
// do. The options have been checked.
func record(c *cli.Context, o *common, s *session, in feed) error {
	o.live = in.live
	active, err := o.activeOutputs(c, s.log)
	if err != nil || s.inv.trial {
		return err
	}
	if err := o.look(in, active); err != nil {
		return err
	}
	s.keepOrder(o, in, active)
	s.inv.signals.ifStuck(unreadError(unopened(in.files)))
	profiles, err := o.process.profile(o.force)
	if err != nil {
		return err
	}
	err = recordTo(c, o, s, active, in)
	if perr := profiles.write(); perr != nil {
		return &exitError{exitFailure, errors.Join(err, perr)}
	}
	return err
}

func recordTo(c *cli.Context, o *common, s *session, active []active, in feed) error {
	// A reader that leaves, and a file that reaches its limit (ulimit -f), are
	// write errors and not the end of the process.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ)
	calls := s.inv.signals

	runners, err := newRunners(active, in.live, s.log)
	if err != nil {
		return err
	}
	defer discard(runners)
	o.delivery.WarnUnclaimed(runners, s.log)
	metrics, err := o.metrics.open(s.isDefault("metricendpointtype"), o.server, c.App.ErrWriter)
	if err != nil {
		return err
	}
	defer metrics.close()
	var source capture.Source = nothing{}
	if !in.live || !calls.stopped() {
		if source, err = in.open(calls.stopping.Done()); err != nil {
			return sourceError(err)
		}
	}
	o.names.of(source)
	p := newPipeline(source, s.workerConfig(o), o.stages, runners, s.log)
	if err := p.prepare(o, s, active); err != nil {
		return err
	}
	calls.started()
	if calls.stopped() {
		if p.drainSource(); p.nothingToDo() {
			return p.leave(c.App.ErrWriter, calls)
		}
	}
	defer o.domains.Follow()()
	defer s.reloadAtHangup(p, o.domains)()
	metrics.start(p.books, s.log, p.fail, &listCollector{o.domains}, &failureCollector{p})
	stats := startStats(c.App.ErrWriter, o.metrics.stats, p.books)
	endProgress := s.startProgress(source, active, p.books)
	p.runUntilEnd(o.grace, calls)
	endProgress()
	stats.stop()
	metrics.stop(p.quietEnd(calls), s.log)
	return p.conclude(c.App.ErrWriter, calls)
}

// nothing is the source of a run that ends before it has begun.
type nothing struct{}

func (nothing) Lanes() []capture.Lane { return nil }
func (nothing) Live() bool            { return true }
func (nothing) Given() uint64         { return 0 }
func (nothing) Err() error            { return nil }
func (nothing) Close() error          { return nil }

// leave ends a run that was stopped before anything was captured. The outputs
// have not been started: what their spools hold stays there.
func (p *pipeline) leave(w io.Writer, calls *signals) error {
	p.log.Info("stopped during the start", "signal", calls.first)
	p.closeSource()
	p.lanes.Wait()
	return p.conclude(w, calls)
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
func (p *pipeline) runUntilEnd(grace time.Duration, calls *signals) {
	run, abort := context.WithCancel(context.Background())
	defer abort()
	ended := p.start(run)
	go p.endEarly(run, abort, grace, calls)
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

// lastCall is how long outputs have for what a pipe delivered in the last moments
// of the grace time.
const lastCall = time.Second

// endEarly ends the capture at a signal, or when no output takes records any
// more, and everything at a second signal or when the grace time is over. It
// returns when run ends.
func (p *pipeline) endEarly(run context.Context, abort context.CancelFunc, grace time.Duration, calls *signals) {
	gone, stopping := p.gone(run), calls.stopping.Done()
	var over <-chan time.Time
	left := false // a pipe that had not ended
	drained := make(chan time.Duration, 1)
	for {
		select {
		case <-run.Done():
			return
		case <-gone:
			gone = nil
			p.closeSource()
		case <-stopping:
			stopping = nil
			p.log.Info("stopping", "signal", calls.first, "grace", grace)
			go func() { // detaching from hundreds of interfaces takes the kernel seconds
				begun := time.Now()
				p.drainSource()
				drained <- time.Since(begun)
			}()
		case took := <-drained: // which is not the outputs' time
			over = time.After(time.Until(calls.at.Add(grace + took)))
		case <-over:
			if in := p.interrupted(); !left && in != nil && in.Delivering() {
				left = true
				p.log.Warn("a pipe has not ended within the grace time: what it still delivers is not read")
				p.closeSource()
				over = time.After(lastCall)
				continue
			}
			p.closeSource()
			abort()
		case <-calls.atOnce:
			p.log.Warn("second signal: leaving at once")
			abort()
			p.closeSource()
			return
		}
	}
}

// gone returns a channel that is closed when no output is left that takes
// records, if that happens before the end of run. A reader that leaves before
// the others is worth a line: its records are abandoned from then on.
func (p *pipeline) gone(run context.Context) <-chan struct{} {
	done := make(chan struct{})
	left := make(chan *outputs.Runner, len(p.runners))
	for _, r := range p.runners {
		go func() {
			select {
			case <-r.Ended():
				left <- r
			case <-run.Done():
			}
		}()
	}
	go func() {
		for others := len(p.runners) - 1; others >= 0; others-- {
			select {
			case r := <-left:
				if others > 0 && errors.Is(r.Err(), outputs.ErrReaderGone) {
					p.log.Error("an output ends: its reader has left, what is still to come for it is abandoned", "output", r.Name(), "error", r.Err())
				}
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
		if !errors.Is(r.Err(), outputs.ErrReaderGone) {
			return false
		}
	}
	return true
}

// quietEnd tells whether nobody is meant to hear of the end: the reader of a
// pipe has left, and nobody has stopped the sensor.
func (p *pipeline) quietEnd(calls *signals) bool { return p.readerLeft() && !calls.stopped() }

// closeSource ends the lanes.
func (p *pipeline) closeSource() {
	if err := p.source.Close(); err != nil {
		p.fail("capture", fmt.Errorf("detach: %w", err))
	}
}

// freeSource gives back what the source holds beyond its end.
func (p *pipeline) freeSource() error {
	if f, ok := p.source.(capture.Freer); ok {
		return f.Free()
	}
	return nil
}

// conclude prints the books and returns what the exit status says.
func (p *pipeline) conclude(w io.Writer, calls *signals) error {
	ledgers, err := p.books.ledgers()
	if err != nil {
		return &exitError{exitFailure, err}
	}
	if err := p.freeSource(); err != nil {
		return &exitError{exitFailure, err}
	}
	runErr := errors.Join(p.err(), p.outputErr())
	if runErr == nil && p.quietEnd(calls) {
		return nil // the end of a pipe is an orderly end, and quiet
	}
	summary(w, ledgers, time.Since(p.books.begun))
	unread := unreadError(p.unread())
	if runErr != nil {
		return &exitError{exitFailure, errors.Join(runErr, p.undelivered(ledgers), unread)}
	}
	if err := errors.Join(p.undelivered(ledgers), unread); err != nil {
		return &exitError{exitUndelivered, err}
	}
	return nil
}

// outputErr is why outputs have ended before their time, or not well.
func (p *pipeline) outputErr() error {
	var errs []error
	for _, r := range p.runners {
		if err := r.Err(); err != nil && !errors.Is(err, outputs.ErrReaderGone) && !errors.Is(err, errUnready) {
			errs = append(errs, fmt.Errorf("output %s: %w", r.Name(), err))
		}
		if err := r.CloseErr(); err != nil {
			errs = append(errs, fmt.Errorf("output %s does not close cleanly: %w", r.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// undelivered says what was lost or is still to be sent, and why the outputs
// could not take it; nil: nothing.
func (p *pipeline) undelivered(ledgers []account.Ledger) error {
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
	if undelivered == nil {
		return nil
	}
	errs := []error{fmt.Errorf("not delivered: %s", strings.Join(undelivered, "; "))}
	for _, r := range p.runners {
		if err := r.LastError(); err != nil && r.Err() == nil {
			errs = append(errs, fmt.Errorf("output %s failed to the end: %w", r.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// waiting says which outputs have left events in the spool for the next start,
// "" where none has.
func (p *pipeline) waiting() string {
	var parts []string
	for _, r := range p.runners {
		if n := r.SpoolEvents(); n > 0 {
			parts = append(parts, fmt.Sprintf("%d wait in the spool (%s)", n, r.Name()))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ") + " and will be sent first at the next start"
}
