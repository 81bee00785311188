package pipeline

import (
	"errors"
	"fmt"
	"strings"

	"dnsmonster-sensor/sensor/capture"
)

// unread lists the inputs that were not read to their end, unless the run has all the
// records that were asked for.
func (p *pipeline) unread() []capture.Unread {
	if p.limitReached() {
		return nil
	}
	if in := p.drainer(); in != nil {
		return in.Unread()
	}
	return nil
}

// Unopened returns the error of a run that has opened none of its files, nil if there
// are none.
func Unopened(paths []string) error {
	var list []capture.Unread
	for _, path := range paths {
		list = append(list, capture.Unread{Path: path})
	}
	return unreadError(list)
}

// maxUnopened is how many of the files that were never opened are named. The others
// follow these on the command line.
const maxUnopened = 100

// unreadError says how much of each input was read, and which were not opened: the
// user must know before deleting what was replayed. It is nil if the list is empty.
func unreadError(list []capture.Unread) error {
	var errs []error
	var rest []string
	for _, u := range list {
		if u.Begun {
			errs = append(errs, errors.New("interrupted: "+readUpTo(u)))
		} else {
			rest = append(rest, inputName(u.Path))
		}
	}
	if more := len(rest) - maxUnopened; more > 0 {
		rest = append(rest[:maxUnopened], fmt.Sprintf("and %d more", more))
	}
	if rest != nil {
		errs = append(errs, fmt.Errorf("interrupted: never opened: %s", strings.Join(rest, ", ")))
	}
	if errs == nil {
		return nil
	}
	return &Error{Undelivered, errors.Join(errs...)}
}

// readUpTo says how much of an input was read.
func readUpTo(u capture.Unread) string {
	at := fmt.Sprintf("offset %d", u.Offset)
	if u.Decompressed {
		at += " in the decompressed data"
	}
	switch {
	case u.Known && u.Decompressed: // a decompressor reads a little ahead
		at += fmt.Sprintf(", about %d%% of the file", min(int(100*u.Share), 99))
	case u.Known:
		at += fmt.Sprintf(", %.1f%% of the file", float64(int(1000*u.Share))/10)
	case u.Pipe:
		at += "; the pipe had not ended"
	}
	return fmt.Sprintf("%s was read up to %s", inputName(u.Path), at)
}

func inputName(path string) string {
	if path == "-" {
		return "the standard input"
	}
	return path
}
