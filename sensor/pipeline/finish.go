package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/sensor/signals"
	"dnsmonster-sensor/userspace/account"
)

// finish prints the summary, and returns an Error if the run has failed or not everything
// was delivered.
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
	undelivered := errors.Join(p.undelivered(ledgers), unreadError(p.unread()))
	p.printEnd(w, ledgers, runErr != nil || undelivered != nil)
	switch {
	case runErr != nil:
		return &Error{Failed, errors.Join(runErr, undelivered)}
	case undelivered != nil:
		return &Error{Undelivered, undelivered}
	}
	return nil
}

// printEnd prints the summary, the ledgers, or both, with one call: lines of the log do
// not come between. With a summary the ledgers follow only where a reader may need them.
func (p *pipeline) printEnd(w io.Writer, ledgers []account.Ledger, incomplete bool) {
	took := time.Since(p.ledgers.begun)
	s := summary{ledgers: ledgers, took: took, live: p.source.Live(), unit: p.hints.Unit, waiting: make(map[string]uint64), readerLeft: p.readerLeft()}
	for _, r := range p.runners {
		s.waiting[r.Name()] = r.SpoolEvents()
	}
	var text bytes.Buffer
	hint := p.fileHint(s)
	switch {
	case p.report.Brief:
		text.WriteString(s.String())
		if hint != "" {
			fmt.Fprintf(&text, "  %s\n", printable.Wrap(hint, 2, 4))
		}
	case hint != "":
		p.log.Info(hint)
	}
	if !p.report.Brief || p.report.Verbose || incomplete && !s.readerLeft || account.Unaccounted(ledgers) > 0 {
		printLedgers(&text, ledgers, took)
	}
	w.Write(text.Bytes())
}

// outputErr joins the errors that ended outputs early, and those of closing them.
func (p *pipeline) outputErr() error {
	var errs []error
	for _, r := range p.runners {
		if err := r.Err(); err != nil && !errors.Is(err, outputs.ErrReaderGone) && !errors.Is(err, errUnready) {
			errs = append(errs, fmt.Errorf("output %s: %w", r.Name(), err))
		}
		if err := r.CloseErr(); err != nil {
			errs = append(errs, fmt.Errorf("output %s failed to close: %w", r.Name(), err))
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
			parts = append(parts, fmt.Sprintf("%s in the spool (%s)", account.Counted(n, "record"), r.Name()))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ") + ", to be sent first at the next start"
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
