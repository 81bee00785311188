package cli

import (
	"context"
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/sensor/signals"
)

// terminal is a terminal that shows a line below all other text, and replaces it.
type terminal struct {
	file *os.File
	mu   sync.Mutex
	line string // shown now
}

// newTerminal returns nil if w is not a terminal, or one that obeys no escape sequences.
func newTerminal(w io.Writer) *terminal {
	if file, ok := printable.Unwrap(w).(*os.File); ok && term.IsTerminal(int(file.Fd())) && printable.Escapes(int(file.Fd())) {
		return &terminal{file: file}
	}
	return nil
}

// clearLine goes to the start of the line and empties it.
const clearLine = "\r\x1b[K"

// Write writes above the line.
func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.line == "" {
		return t.file.Write(p)
	}
	io.WriteString(t.file, clearLine)
	n, err := t.file.Write(p)
	if len(p) > 0 && p[len(p)-1] == '\n' {
		io.WriteString(t.file, t.line)
	} else {
		t.line = ""
	}
	return n, err
}

// endLineAtInterrupt ends the line on which the terminal shows ^C, until stop is called.
func (t *terminal) endLineAtInterrupt(sig *signals.Signals) (stop func() bool) {
	return context.AfterFunc(sig.Stopping(), func() {
		if first, _ := sig.First(); first == os.Interrupt {
			_, _ = t.Write([]byte("\n"))
		}
	})
}

// show changes the line, as much of it as fits; "" takes it away.
func (t *terminal) show(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if width, _, err := term.GetSize(int(t.file.Fd())); err == nil && width > 0 {
		line = line[:min(len(line), width-1)]
	}
	if line != t.line {
		io.WriteString(t.file, clearLine+line)
		t.line = line
	}
}
