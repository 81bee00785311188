package cli

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/term"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/pipeline"
	"dnsmonster-sensor/userspace/account"
)

// progressEvery is how often the line changes.
const progressEvery = 500 * time.Millisecond

// startProgress shows the progress of reading files in the terminal's last line
// until stop is called.
func (t *terminal) startProgress(files capture.Progressor, messages func() uint64, begun time.Time) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		last := progress{at: begun}
		for {
			select {
			case <-quit:
				t.show("")
				return
			case now := <-tick.C:
				next := progress{at: now, messages: messages()}
				next.share, next.known = files.Progress()
				t.show(next.line(last, begun))
				last = next
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// recordsOnTerminal reports whether records are written to a terminal: a progress
// line would stand between them.
func recordsOnTerminal(list []pipeline.Output) bool {
	return term.IsTerminal(1) && slices.ContainsFunc(list, func(o pipeline.Output) bool { return o.Output.Name() == "stdout" })
}

// progress is what a run had done at a time.
type progress struct {
	at       time.Time
	messages uint64
	share    float64 // of the input; valid if known
	known    bool
}

// line shows the progress, the rate since last, and the time left at the average rate
// since begun.
func (p progress) line(last progress, begun time.Time) string {
	rate := float64(p.messages-last.messages) / p.at.Sub(last.at).Seconds()
	text := fmt.Sprintf("%s messages, %s/s", account.Number(p.messages), account.Number(uint64(rate+0.5)))
	switch {
	case !p.known:
		return text
	case p.share <= 0:
		return "0%, " + text
	case p.share >= 1:
		return "100%, " + text
	}
	left := time.Duration(float64(p.at.Sub(begun)) * (1 - p.share) / p.share)
	return fmt.Sprintf("%d%%, %s, %s left", int(100*p.share), text, max(left, time.Second).Round(time.Second))
}
