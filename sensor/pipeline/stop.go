package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/signals"
	"dnsmonster-sensor/userspace/account"
)

// runUntilEnd captures until the source ends, a signal is received or no output takes
// records any more, and then delivers. It returns when everything that can be
// delivered has been.
func (p *pipeline) runUntilEnd(grace time.Duration, sig *signals.Signals) {
	run, abort := context.WithCancel(context.Background())
	defer abort()
	ended := p.start(run)
	go p.endEarly(run, abort, grace, sig)
	<-ended
	p.closeSource()
	deliver := run
	if p.source.Live() {
		var cancel context.CancelFunc
		deliver, cancel = context.WithTimeout(run, grace)
		defer cancel()
	} // after a file there is no hurry: only a signal starts the grace time
	p.deliver(deliver)
}

// pipeGrace is how long outputs have to deliver what a pipe brought in the last moments
// of the grace time.
const pipeGrace = time.Second

// endEarly ends the capture at a signal, or when no output takes records any
// more, and everything at a second signal or when the grace time is over. It
// returns when run ends.
func (p *pipeline) endEarly(run context.Context, abort context.CancelFunc, grace time.Duration, sig *signals.Signals) {
	gone, stopping := p.outputsGone(run), sig.Stopping().Done()
	var over <-chan time.Time
	left := false // a pipe had not ended, and is no longer waited for
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
			first, _ := sig.First()
			p.log.Info("stopping", "signal", first, "grace", grace)
			go func() { // detaching from hundreds of interfaces takes the kernel seconds
				begun := time.Now()
				p.drainSource()
				drained <- time.Since(begun)
			}()
		case took := <-drained: // the outputs do not pay for that time
			_, at := sig.First()
			over = time.After(time.Until(at.Add(grace + took)))
		case <-over:
			if in := p.drainer(); !left && in != nil && in.Delivering() {
				left = true
				p.log.Warn("a pipe has not ended within the grace time: what it still delivers is not read")
				p.closeSource()
				over = time.After(pipeGrace)
				continue
			}
			p.closeSource()
			abort()
		case <-sig.AtOnce():
			p.log.Warn("second signal: leaving at once")
			abort()
			p.closeSource()
			return
		}
	}
}

// outputsGone returns a channel that is closed when no output takes records any more,
// if that happens before the end of run. It logs each output whose reader leaves
// before the others: its records are abandoned from then on.
func (p *pipeline) outputsGone(run context.Context) <-chan struct{} {
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

// endsQuietly reports whether the run ends without a summary: the reader of its pipe
// has left, and no signal has stopped it.
func (p *pipeline) endsQuietly(sig *signals.Signals) bool {
	return p.readerLeft() && !sig.Stopped()
}

// finish prints the summary and returns what kept the run from a good end.
func (p *pipeline) finish(w io.Writer, sig *signals.Signals) error {
	ledgers, err := p.ledgers.read()
	if err != nil {
		return &Error{Failed, err}
	}
	if err := p.freeSource(); err != nil {
		return &Error{Failed, err}
	}
	runErr := errors.Join(p.err(), p.outputErr())
	if runErr == nil && p.endsQuietly(sig) {
		return nil // the end of a pipe is an orderly end, and quiet
	}
	summary(w, ledgers, time.Since(p.ledgers.begun))
	unread := unreadError(p.unread())
	if runErr != nil {
		return &Error{Failed, errors.Join(runErr, p.undelivered(ledgers), unread)}
	}
	if err := errors.Join(p.undelivered(ledgers), unread); err != nil {
		return &Error{Undelivered, err}
	}
	return nil
}

// outputErr joins the errors that ended outputs early, and those of closing them.
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

// undelivered says what was lost or is still to be sent, and why the outputs could not
// take it; nil: everything was delivered.
func (p *pipeline) undelivered(ledgers []account.Ledger) error {
	var undelivered []string
	if text, n := account.Losses(ledgers); n > 0 {
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

// waiting says which outputs have left events in the spool for the next start; "":
// none.
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

// finishUnstarted ends a run that was stopped before anything was captured. The
// outputs have not been started: what their spools hold stays there.
func (p *pipeline) finishUnstarted(w io.Writer, sig *signals.Signals) error {
	first, _ := sig.First()
	p.log.Info("stopped during the start", "signal", first)
	p.closeSource()
	p.lanes.Wait()
	return p.finish(w, sig)
}
