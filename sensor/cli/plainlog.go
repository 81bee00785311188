package cli

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"dnsmonster-sensor/outputs/printable"
)

// plainHandler writes a log for people at a terminal:
//
//	warning: output fails, trying again (output psql, doing connect): connection refused
//
// Information has no word before it. Lines are written with one call each.
type plainHandler struct {
	w       io.Writer
	options *slog.HandlerOptions
	attrs   []slog.Attr
}

// Enabled implements slog.Handler.
func (h *plainHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.options.Level.Level()
}

// WithAttrs implements slog.Handler.
func (h *plainHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &plainHandler{h.w, h.options, append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

// WithGroup implements slog.Handler. The names of groups are not shown.
func (h *plainHandler) WithGroup(string) slog.Handler { return h }

// Handle implements slog.Handler.
func (h *plainHandler) Handle(_ context.Context, r slog.Record) error {
	var line strings.Builder
	switch {
	case r.Level >= slog.LevelError:
		line.WriteString("error: ")
	case r.Level >= slog.LevelWarn:
		line.WriteString("warning: ")
	case r.Level < slog.LevelInfo:
		line.WriteString("debug: ")
	}
	line.WriteString(h.text(slog.String(slog.MessageKey, r.Message)))
	var facts []string
	var why string
	add := func(a slog.Attr) bool {
		switch value := h.text(a); {
		case value == "":
		case a.Key == "error":
			why = value
		default:
			facts = append(facts, strings.ReplaceAll(a.Key, "_", " ")+" "+value)
		}
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	if facts != nil {
		line.WriteString(" (" + strings.Join(facts, ", ") + ")")
	}
	if why != "" {
		line.WriteString(": " + why)
	}
	text := printable.OneLine(line.String())
	if strings.HasPrefix(text, "hint: ") { // the longest lines, and only for people
		text = printable.Wrap(text, 0, 2)
	}
	_, err := io.WriteString(h.w, text+"\n")
	return err
}

// text is the value of an attribute without secrets.
func (h *plainHandler) text(a slog.Attr) string {
	if err, ok := a.Value.Any().(error); ok {
		a.Value = slog.StringValue(printable.OneLineError(err))
	}
	if h.options.ReplaceAttr != nil {
		a = h.options.ReplaceAttr(nil, a)
	}
	return a.Value.Resolve().String()
}
