package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/sensor/capture/file"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/sensor/pipeline"
)

// startLine is what attach, replay and dnstap say when they have begun:
//
//	dnsmonster-sensor v1.2 capturing on eth0 (tcx ingress+egress), port 53, to stdout (json); Ctrl-C ends
type startLine struct {
	doing   string   // what is captured or read
	details []string // ports or types, and what the user must know to understand the records
	outputs []string
	end     string // how to end
}

func (l startLine) String() string {
	text := "dnsmonster-sensor " + version + " " + strings.Join(slices.Concat([]string{l.doing}, l.details), ", ")
	text += ", to " + strings.Join(l.outputs, " and ")
	if l.end != "" {
		text += "; " + l.end
	}
	return printable.OneLine(text)
}

// print writes the line, or logs it in JSON.
func (l startLine) print(w io.Writer, log *slog.Logger, json bool) {
	switch {
	case json:
		log.Info("started", "version", version, "doing", l.doing, "details", l.details, "outputs", l.outputs)
	case log.Enabled(context.Background(), slog.LevelInfo):
		fmt.Fprintln(w, l.String())
	}
}

// startLine is the line of these options; doing says what of the input has been opened.
func (o *captureOptions) startLine(doing string, in input, list []pipeline.Output) startLine {
	l, unit := startLine{doing: doing, end: in.end}, "packets"
	if in.frames || file.AllFrames(in.files) {
		unit = "frames"
		if types := o.frames.words(); !slices.Contains(types, "all") {
			l.details = append(l.details, "types "+strings.Join(types, " "))
		}
	} else {
		l.details = append(l.details, o.portNames())
	}
	if r := o.ratio(); r.Keep != r.Of {
		l.details = append(l.details, fmt.Sprintf("%d of %d %s", r.Keep, r.Of, unit))
	}
	for _, out := range list {
		l.outputs = append(l.outputs, outputs.Describe(out.Output))
	}
	return l
}

// portNames lists the watched ports.
func (o *captureOptions) portNames() string {
	const most = 6
	var names []string
	for _, p := range o.ports.Value() {
		if name := fmt.Sprint(p); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 1 {
		return "port " + names[0]
	}
	if more := len(names) - most; more > 1 && !o.verbose {
		names = append(names[:most], fmt.Sprintf("and %d more", more))
	}
	return "ports " + strings.Join(names, " ")
}

// attachedHook is an attachment's description of one hook.
var attachedHook = regexp.MustCompile(`^(?:tc )?(xdp|ingress|egress) \((.+)\)$`)

// shortAttachment makes "tcx ingress+egress" of "tc ingress (tcx), tc egress (tcx)". Other
// descriptions only lose their brackets, since they will stand in some.
func shortAttachment(description string) string {
	var parts []string
	last := ""
	for part := range strings.SplitSeq(description, ", ") {
		m := attachedHook.FindStringSubmatch(part)
		switch {
		case m == nil:
			return strings.NewReplacer(" (", ", ", ")", "").Replace(description)
		case m[1] == "xdp":
			parts, last = append(parts, part), ""
		case m[2] == last:
			parts[len(parts)-1] += "+" + m[1]
		default:
			parts, last = append(parts, m[2]+" "+m[1]), m[2]
		}
	}
	return strings.Join(parts, ", ")
}

// shownInterfaces is how many interfaces the start line names, without --verbose.
const shownInterfaces = 4

// capturingOn says what is captured. names are those that the user gave; attached is as
// live.Source.Attached.
func capturingOn(names, attached []string, verbose bool) string {
	text := "capturing on "
	if slices.Equal(names, []string{watch.Any}) {
		if text += "any interface"; len(attached) == 0 {
			return text + " that comes up: none is up yet"
		}
		text += ", now "
	}
	if len(attached) == 0 {
		return text + "no interface yet, waiting for " + joinOr(names)
	}
	var ways []string
	by := make(map[string][]string) // interfaces, by how they are attached
	for _, a := range attached {
		name, how, _ := strings.Cut(a, ": ")
		how = shortAttachment(how)
		if by[how] == nil {
			ways = append(ways, how)
		}
		by[how] = append(by[how], name)
	}
	if len(attached) > shownInterfaces && !verbose {
		var first []string
		for _, a := range attached[:shownInterfaces-1] {
			name, _, _ := strings.Cut(a, ": ")
			first = append(first, name)
		}
		return fmt.Sprintf("%s%d interfaces: %s, ... (%s)", text, len(attached), strings.Join(first, ", "), strings.Join(ways, "; "))
	}
	var parts []string
	for _, how := range ways {
		parts = append(parts, strings.Join(by[how], ", ")+" ("+how+")")
	}
	return text + strings.Join(parts, ", ")
}

// readingFiles says what is read.
func readingFiles(paths []string, verbose bool) string {
	const shown = 3
	var names []string
	size, known := int64(0), true
	for _, path := range paths {
		name := path
		st, err := os.Stat(path)
		if path == "-" {
			name = "the standard input"
			st, err = os.Stdin.Stat()
		}
		names = append(names, name)
		if known = known && err == nil && st.Mode().IsRegular(); known {
			size += st.Size()
		}
	}
	text := "reading "
	if len(names) > shown && !verbose {
		text += fmt.Sprintf("%d files: %s, ...", len(names), strings.Join(names[:shown-1], ", "))
	} else {
		text += strings.Join(names, ", ")
	}
	if known {
		text += " (" + shownSize(size) + ")"
	}
	return text
}

// shownSize is a number of bytes for people.
func shownSize(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n == 1:
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}
