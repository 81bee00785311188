// Package printable makes text safe to show to people: what servers answer, and what
// files and interfaces are called, may hold line ends and a terminal's commands.
// Records are not its business: outputs/format has escapes of their own.
package printable

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Writer passes text on to a terminal or a log. Control characters become \u001b,
// which is what they are in JSON, too, and bytes that are no UTF-8 \x85; line ends
// and tabs stay.
type Writer struct{ to io.Writer }

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w} }

// Write writes all of p, in one piece. A character must not be split over two calls.
func (w *Writer) Write(p []byte) (int, error) {
	if isPrintable(p) {
		return w.to.Write(p)
	}
	if _, err := w.to.Write(appendPrintable(nil, p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Raw is what w writes to, if w is a Writer, and w if not: for text that is known to
// be somebody's own, such as records.
func Unwrap(w io.Writer) io.Writer {
	if p, ok := w.(*Writer); ok {
		return p.to
	}
	return w
}

func isControl(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r <= 0x9f
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

// Line is an error's text in one line. Errors that were joined have "; " between
// them; other line ends, which somebody else's text has brought, become \n.
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

// Words is a text with line ends as \n.
func OneLine(text string) string { return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(text) }
