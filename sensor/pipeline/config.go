package pipeline

import (
	"io"
	"log/slog"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/lists"
	"dnsmonster-sensor/sensor/metrics"
	"dnsmonster-sensor/sensor/signals"
	"dnsmonster-sensor/userspace/stage"
	"dnsmonster-sensor/userspace/worker"
)

// Config is all that a run needs. The caller has checked it.
type Config struct {
	Input    Input
	Worker   worker.Config
	Stages   []stage.Kind // between workers and outputs, in their order
	Count    uint64       // end after this many records; 0: no limit
	Outputs  []Output     // at least one
	Delivery *outputs.Options
	Lists    *lists.Pair
	Metrics  metrics.Config
	Names    *InterfaceNames // gets the source; nil: no output needs names
	Grace    time.Duration   // for outputs to deliver what is queued, and for a pipe to end
	Signals  *signals.Signals
	Log      *slog.Logger
	Stderr   io.Writer // for the report, and for metrics that are printed
	Report   Report
	Hints    Hints

	// Reload answers a SIGHUP: it reads the configuration again, and hands what may
	// change to apply. It is called by one goroutine.
	Reload func(apply func(Changes))
	// PinLane binds the calling thread, which runs only the lane, to a processor; nil:
	// lanes run on any thread.
	PinLane func(lane int) error
	// Progress shows the progress of reading files until stop is called; nil: it is not
	// shown.
	Progress func(files capture.Progressor, messages func() uint64, begun time.Time) (stop func())
}

// Report says what is printed at the end. The zero Report is all ledgers.
type Report struct {
	// Brief prints a summary of a few lines for people. The ledgers follow only if
	// something was lost, waits or has failed.
	Brief bool
	// Verbose prints the ledgers after the summary in any case.
	Verbose bool
}

// Output is an output that is switched on.
type Output struct {
	Output   outputs.Output
	Settings outputs.Settings
}

// Input is where packets will come from.
type Input struct {
	Live bool // as the source's Live

	// Open may return a source that lacks some inputs if stop is closed meanwhile.
	Open func(stop <-chan struct{}) (capture.Source, error)
}

// Kind says what an error of Run means to the caller.
type Kind uint8

// The kinds.
const (
	Refused     Kind = iota // it could not start as it was asked to; nothing was written
	Failed                  // a part of it failed
	Undelivered             // it came to its end, but not everything was delivered
)

// Error is an error of Run.
type Error struct {
	Kind Kind
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }
