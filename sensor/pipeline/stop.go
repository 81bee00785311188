package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/signals"
	"dnsmonster-sensor/sensor/waiting"
)

// runUntilEnd captures until the source ends, a signal is received or all outputs have
// ended, and then delivers. It returns when everything that can be delivered has been.
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
	}
	taken := waiting.Step{What: p.undeliveredNow, Say: sayTo(p.log)}.Begin()
	defer taken()
	p.deliver(deliver) // after a file without a time limit: only a signal starts the grace time
}

// pipeGrace is how long outputs have to deliver what a pipe brought in the last moments
// of the grace time.
const pipeGrace = time.Second

// endEarly ends the capture at a signal, or when all outputs have ended. It ends delivery
// too at a second signal, or when the grace time is over. It returns when run ends.
func (p *pipeline) endEarly(run context.Context, abort context.CancelFunc, grace time.Duration, sig *signals.Signals) {
	gone, stopping := p.outputsGone(run), sig.Stopping().Done()
	var over <-chan time.Time
	left := false // a pipe that had not ended is no longer waited for
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
			level := slog.LevelInfo
			if p.report.Brief && !p.report.Verbose { // the summary follows, or a line about what is waited for
				level = slog.LevelDebug
			}
			p.log.Log(context.Background(), level, "stopping", "signal", first, "grace", grace)
			go func() { // detaching from hundreds of interfaces takes the kernel seconds
				begun := time.Now()
				detached := waiting.Step{What: p.lastPackets, Say: sayTo(p.log)}.Begin()
				p.drainSource()
				detached()
				drained <- time.Since(begun)
			}()
		case took := <-drained: // that time is not part of the outputs' grace time
			_, at := sig.First()
			over = time.After(time.Until(at.Add(grace + took)))
		case <-over:
			if in := p.drainer(); !left && in != nil && in.Delivering() {
				left = true
				p.log.Warn("a pipe has not ended within the grace time: the rest of it is not read")
				p.closeSource()
				over = time.After(pipeGrace)
				continue
			}
			p.closeSource()
			abort()
		case <-sig.AtOnce():
			p.log.Warn("second signal: exiting at once")
			abort()
			p.closeSource()
			return
		}
	}
}

// outputsGone returns a channel that is closed when all outputs have ended, if that
// happens before the end of run. It logs each output whose reader leaves
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
					p.log.Error("an output ends: its reader has left, its further records are abandoned", "output", r.Name(), "error", r.Err())
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
