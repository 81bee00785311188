//go:build linux

package pages

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// anything stands for any lines where it is alone on a line, and otherwise for any text
// within a line.
const anything = "..."

// interrupt, alone on a line of what a page shows, is where the reader presses Ctrl-C.
const interrupt = "^C"

// withoutInterrupt splits what a page shows at Ctrl-C.
func withoutInterrupt(shown []string) (before, all []string, interrupted bool) {
	i := slices.Index(shown, interrupt)
	if i < 0 {
		return shown, shown, false
	}
	return shown[:i], slices.Concat(shown[:i], shown[i+1:]), true
}

var (
	number  = regexp.MustCompile(`\d[\d,]*(?:\\\.\d+)*`)           // in a quoted pattern
	version = regexp.MustCompile(`^dnsmonster-sensor v[\[\d].*? `) // tests have no version
)

// matches reports whether printed is what shown describes; with open, whether printed
// begins with that; with numbers, whatever the numbers are. reached is the number of shown's lines that the best try used up.
func matches(shown, printed []string, open, numbers bool) (ok bool, reached int) {
	patterns := make([]*regexp.Regexp, len(shown))
	for i, line := range shown {
		parts := strings.Split(strings.TrimRight(line, " "), anything)
		for j := range parts {
			parts[j] = regexp.QuoteMeta(parts[j])
			if numbers {
				parts[j] = number.ReplaceAllString(parts[j], `[\d.,]+`)
			}
		}
		pattern := strings.Join(parts, ".*")
		patterns[i] = regexp.MustCompile("^" + version.ReplaceAllString(pattern, sensor+` \S+ `) + "$")
	}
	// at[j]: the shown lines so far can describe exactly the first j printed lines.
	at := make([]bool, len(printed)+1)
	at[0] = true
	for i, line := range shown {
		next := make([]bool, len(printed)+1)
		for j := range at {
			switch {
			case !at[j]:
			case strings.TrimSpace(line) == anything:
				for k := j; k <= len(printed); k++ {
					next[k] = true
				}
			case j < len(printed) && patterns[i].MatchString(printed[j]):
				next[j+1] = true
			}
		}
		if !slices.Contains(next, true) {
			return false, i
		}
		at = next
	}
	return at[len(printed)] || open, len(shown)
}

// difference shows what a page says and what was printed.
func difference(shown, printed []string, reached int) string {
	var b strings.Builder
	b.WriteString("the page shows:\n")
	for i, line := range shown {
		mark := "  "
		if i == reached {
			mark = "✗ "
		}
		fmt.Fprintf(&b, "    %s%s\n", mark, line)
	}
	if reached == len(shown) {
		b.WriteString("    ✗ (the end; more was printed)\n")
	}
	b.WriteString("printed was:\n")
	return b.String() + excerpt(printed)
}

// excerpt is as much of what was printed as a reader of the test's output wants.
func excerpt(printed []string) string {
	var b strings.Builder
	for i, line := range printed {
		if i == 80 {
			fmt.Fprintf(&b, "      (%d more lines)\n", len(printed)-i)
			break
		}
		fmt.Fprintf(&b, "      %.300s\n", line)
	}
	return b.String()
}

var escape = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// waits matches what the sensor prints on a slow machine only.
var waits = regexp.MustCompile(`^(?:waiting for|waited [\d.]+ m?s for) `)

// screen returns the lines that stand on a terminal after text: without colours, and
// without what was overwritten, or appears on slow machines only.
func screen(text string) []string {
	text = strings.ReplaceAll(escape.ReplaceAllString(text, ""), "\r\n", "\n")
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		line = strings.TrimRight(line, "\r")
		lines[i] = strings.TrimRight(line[strings.LastIndexByte(line, '\r')+1:], " ")
	}
	lines = slices.DeleteFunc(lines, waits.MatchString)
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}
