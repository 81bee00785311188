package sensor

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/term"

	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/sensor/capture"
)

// screen is a terminal with a line at its bottom that changes. What is written
// meanwhile appears above.
type screen struct {
	file *os.File
	mu   sync.Mutex
	line string // shown now
}

// newScreen returns nil where w is no terminal.
func newScreen(w io.Writer) *screen {
	if file, ok := printable.Unwrap(w).(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return &screen{file: file}
	}
	return nil
}

// clearLine goes to the start of the line and empties it.
const clearLine = "\r\x1b[K"

// Write writes above the line.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == "" {
		return s.file.Write(p)
	}
	io.WriteString(s.file, clearLine)
	n, err := s.file.Write(p)
	if len(p) > 0 && p[len(p)-1] == '\n' {
		io.WriteString(s.file, s.line)
	} else {
		s.line = ""
	}
	return n, err
}

// show changes the line, as much of it as fits; "" takes it away.
func (s *screen) show(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if width, _, err := term.GetSize(int(s.file.Fd())); err == nil && width > 0 {
		line = line[:min(len(line), width-1)]
	}
	if line != s.line {
		io.WriteString(s.file, clearLine+line)
		s.line = line
	}
}

// progressEvery is how often the line changes.
const progressEvery = 500 * time.Millisecond

// startProgress shows how far the reading of files is, until stop is called. It
// shows nothing where that is not wanted, where the log is not on a terminal, and
// where the records themselves are.
func (s *session) startProgress(source capture.Source, list []active, b *books) (stop func()) {
	files, ok := source.(capture.Progressor)
	if !ok || !s.progress || s.screen == nil || recordsOnTerminal(list) {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		last := progress{at: b.begun}
		for {
			select {
			case <-quit:
				s.screen.show("")
				return
			case now := <-tick.C:
				next := progress{at: now, messages: b.messageCount()}
				next.share, next.known = files.Progress()
				s.screen.show(next.line(last, b.begun))
				last = next
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

func recordsOnTerminal(list []active) bool {
	return term.IsTerminal(1) && slices.ContainsFunc(list, func(a active) bool { return a.output.Name() == "stdout" })
}

// progress is how far a run was at a time.
type progress struct {
	at       time.Time
	messages uint64
	share    float64 // of the input; valid if known
	known    bool
}

// line says where the run is, how fast it was since last, and how long the rest
// takes at the pace since begun.
func (p progress) line(last progress, begun time.Time) string {
	rate := float64(p.messages-last.messages) / p.at.Sub(last.at).Seconds()
	text := fmt.Sprintf("%d messages, %.0f/s", p.messages, rate)
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
