// Package printable makes untrusted text safe to show: answers of servers and names of
// files and interfaces may contain line ends and terminal escape sequences. Text goes
// in, the same text without control characters comes out, if wanted in lines that fit a
// terminal. Records do not pass here: outputs/format escapes them. It imports nothing of
// this project.
package printable

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Writer passes text on to a terminal or a log. A control character becomes \u001b, as
// in JSON, and a byte that is not UTF-8 becomes \x85; line ends and tabs stay.
type Writer struct{ to io.Writer }

// NewWriter returns a Writer that writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w} }

// Write writes all of p with one call. A character must not be split over two calls.
func (w *Writer) Write(p []byte) (int, error) {
	if isPrintable(p) {
		return w.to.Write(p)
	}
	if _, err := w.to.Write(appendPrintable(nil, p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Unwrap returns the writer that w writes to if w is a Writer, and w otherwise. Use it for
// output that must not be changed, such as records.
func Unwrap(w io.Writer) io.Writer {
	if p, ok := w.(*Writer); ok {
		return p.to
	}
	return w
}

// isControl reports control characters, and those that change the order in which a terminal
// shows the others.
func isControl(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r <= 0x9f || r > 0x9f && unicode.Is(unicode.Bidi_Control, r)
}

func isPrintable(p []byte) bool {
	for i := 0; i < len(p); {
		r, n := utf8.DecodeRune(p[i:])
		if isControl(r) || r == utf8.RuneError && n == 1 {
			return false
		}
		i += n
	}
	return true
}

func appendPrintable(dst, p []byte) []byte {
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		switch {
		case r == utf8.RuneError && n == 1:
			dst = fmt.Appendf(dst, `\x%02x`, p[0])
		case isControl(r):
			dst = fmt.Appendf(dst, `\u%04x`, r)
		default:
			dst = append(dst, p[:n]...)
		}
		p = p[n:]
	}
	return dst
}

// OneLineError returns the text of an error in one line. Joined errors are separated
// by "; "; line ends inside a text become \n.
func OneLineError(err error) string {
	text := err.Error()
	var parts []error
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		parts = e.Unwrap()
		texts, lines := make([]string, len(parts)), make([]string, len(parts))
		for i, part := range parts {
			texts[i], lines[i] = part.Error(), OneLineError(part)
		}
		if strings.Join(texts, "\n") == text {
			return strings.Join(lines, "; ")
		}
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			parts = []error{inner}
		}
	}
	for _, part := range parts {
		if inner := part.Error(); strings.Contains(inner, "\n") {
			text = strings.Replace(text, inner, OneLineError(part), 1)
		}
	}
	return OneLine(text)
}

// Columns is the width of wrapped text, which fits every terminal.
const Columns = 80

// Wrap breaks text between words into lines of at most Columns, without a line end after
// the last one. The first line starts at column at, the others are indented.
func Wrap(text string, at, indent int) string {
	var b strings.Builder
	first := true
	for word := range strings.FieldsSeq(text) {
		switch {
		case first:
		case at+1+len(word) > Columns:
			fmt.Fprintf(&b, "\n%*s", indent, "")
			at = indent
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
		first = false
	}
	return b.String()
}

// OneLine returns text with its line ends written as \n.
func OneLine(text string) string { return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(text) }
