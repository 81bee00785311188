package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Explain adds the origin of an option's value to an error that starts with the
// option's name, unless nobody has set it. It does so for each of joined errors, and
// masks secrets.
func (v *Values) Explain(err error) error {
	if list := SplitJoined(err); len(list) > 1 {
		for i, e := range list {
			list[i] = v.Explain(e)
		}
		return errors.Join(list...)
	}
	err = v.MaskError(err)
	if o := v.Get(subject(err)); o != nil && !o.isEmptyDefault() && !strings.HasSuffix(err.Error(), " (from "+o.Origin.String()+")") {
		if text, ok := strings.CutPrefix(err.Error(), o.Name+":"); ok && o.Origin.Layer == CommandLine {
			return &explained{fmt.Sprintf("%s:%s (from %s)", o.typed, text, o.Origin), err}
		}
		return fmt.Errorf("%w (from %s)", err, o.Origin)
	}
	return err
}

// explained is an error in other words.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

// subject returns the first word of an error: an option's name, if it is about one.
func subject(err error) string {
	word := strings.TrimLeft(err.Error(), "-")
	if end := strings.IndexAny(word, ": "); end > 0 {
		word = word[:end]
	}
	return strings.ToLower(word)
}

// IsConsequence reports whether an error is about an option whose value Resolve has
// already refused.
func (v *Values) IsConsequence(err error) bool { return slices.Contains(v.failed, subject(err)) }

// SplitJoined returns the errors that errors.Join has joined, or err itself if it is not
// such an error.
func SplitJoined(err error) []error {
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		var list []error
		var lines []string
		for _, part := range e.Unwrap() {
			list = append(list, SplitJoined(part)...)
			lines = append(lines, part.Error())
		}
		if strings.Join(lines, "\n") == err.Error() { // otherwise the error says more than its parts
			return list
		}
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil && inner.Error() == err.Error() {
			if list := SplitJoined(inner); len(list) > 1 {
				return list
			}
		}
	}
	return []error{err}
}
