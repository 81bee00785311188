package pipeline

import (
	"errors"
	"fmt"
	"strings"

	"dnsmonster-sensor/sensor/capture"
)

func (p *pipeline) unread() []capture.Unread {
	if in := p.drainer(); in != nil {
		return in.Unread()
	}
	return nil
}

// Unopened is the error of a run that has not opened any of its files; nil: it has none.
func Unopened(paths []string) error {
	var list []capture.Unread
	for _, path := range paths {
		list = append(list, capture.Unread{Path: path})
	}
	return unreadError(list)
}

// maxUnopened is how many files are named that were never opened: the others
// follow the last one of these on the command line.
const maxUnopened = 100

// unreadError says how far each input was read, and which were not opened: whoever
// deletes what was replayed has to know. It is nil where the list is empty.
func unreadError(list []capture.Unread) error {
	var errs []error
	var rest []string
	for _, u := range list {
		if u.Begun {
			errs = append(errs, errors.New("interrupted: "+howFar(u)))
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

// howFar says what was read of an input.
func howFar(u capture.Unread) string {
	at := fmt.Sprintf("offset %d", u.Offset)
	if u.Decompressed {
		at += " in the decompressed data"
	}
	switch {
	case u.Known && u.Decompressed: // what a decompressor has taken is a little more than what was read
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
