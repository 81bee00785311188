package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Explain adds to an error that starts with an option's name where the option's
// value came from, unless it has none; of joined errors, to each. Secrets in it
// are masked.
func (v *Values) Explain(err error) error {
	if list := SplitJoined(err); len(list) > 1 {
		for i, e := range list {
			list[i] = v.Explain(e)
		}
		return errors.Join(list...)
	}
	err = v.Redact(err)
	if o := v.Get(subject(err)); o != nil && !o.absent() && !strings.HasSuffix(err.Error(), " (from "+o.Origin.String()+")") {
		return fmt.Errorf("%w (from %s)", err, o.Origin)
	}
	return err
}

// subject is the name that an error starts with.
func subject(err error) string {
	word := strings.TrimLeft(err.Error(), "-")
	if end := strings.IndexAny(word, ": "); end > 0 {
		word = word[:end]
	}
	return strings.ToLower(word)
}

// IsConsequence tells whether an error is about an option whose value could not be taken,
// which another error has said.
func (v *Values) IsConsequence(err error) bool { return slices.Contains(v.failed, subject(err)) }

// absent tells whether nobody has set the option, and its default is nothing.
func (v *Value) absent() bool { return v.Origin.Layer == Default && strings.Join(v.Text, "") == "" }

// SplitJoined are the errors that errors.Join has made one of, err itself where it is
// none of those.
func SplitJoined(err error) []error {
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		var list []error
		var lines []string
		for _, part := range e.Unwrap() {
			list = append(list, SplitJoined(part)...)
			lines = append(lines, part.Error())
		}
		if strings.Join(lines, "\n") == err.Error() { // else it says more than its parts
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
