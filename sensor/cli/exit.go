package cli

import (
	"errors"
	"fmt"
	"slices"

	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/sensor/pipeline"
	"dnsmonster-sensor/sensor/signals"
)

// Exit statuses.
const (
	exitOK          = 0 // all that was captured was delivered
	exitUsage       = 1 // bad use or configuration; nothing was written
	exitFailure     = 2 // failed while running
	exitUndelivered = 3 // finished, but some records were not delivered
)

// statusOf returns the exit status for an error of the program. An error that has none
// of its own means wrong use.
func statusOf(err error) int {
	var exit *exitError
	var run *pipeline.Error
	switch {
	case err == nil || errors.Is(err, signals.ErrStopped):
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &run) && run.Kind == pipeline.Failed:
		return exitFailure
	case errors.As(err, &run) && run.Kind == pipeline.Undelivered:
		return exitUndelivered
	}
	return exitUsage
}

// withStatus gives an error of the pipeline its exit status.
func withStatus(err error) error {
	var run *pipeline.Error
	if errors.As(err, &run) {
		return &exitError{statusOf(run), run.Err}
	}
	return err
}

// exitError is an error that knows its exit status.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, a ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, a...)}
}

// problems are the errors in the options: the user gets all of them at once.
type problems []error

// addIf adds a usage error if something is wrong.
func (p *problems) addIf(wrong bool, format string, a ...any) {
	if wrong {
		*p = append(*p, usageError(format, a...))
	}
}

// add splits joined errors, and skips duplicates.
func (p *problems) add(err error) {
	if err == nil {
		return
	}
	for _, e := range config.SplitJoined(err) {
		if !slices.ContainsFunc(*p, func(known error) bool { return known.Error() == e.Error() }) {
			*p = append(*p, e)
		}
	}
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &exitError{exitUsage, errors.Join(p...)}
}
