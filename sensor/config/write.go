package config

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// sections lists the sections in the order in which dnsmonster writes them.
func sections(list []Option) []string {
	var head, outputs, tail []string
	seen := make(map[string]bool)
	for _, o := range list {
		if s := o.Section; s != "" && !seen[s] {
			seen[s] = true
			switch {
			case s == "capture":
				head = append(head, s)
			case strings.HasSuffix(s, "_output"):
				outputs = append(outputs, s)
			default:
				tail = append(tail, s)
			}
		}
	}
	slices.Sort(outputs)
	return append(append(head, outputs...), tail...)
}

func (v *Values) sections() []string {
	var list []Option
	for _, o := range v.list {
		list = append(list, *o.Option)
	}
	return sections(list)
}

// WriteINI writes all values as a configuration file, which gives the same values when
// read. Without secrets, it omits those and returns their names.
func WriteINI(w io.Writer, v *Values, secrets bool) (omitted []string, err error) {
	b := bufio.NewWriter(w)
	b.WriteString("; Options of dnsmonster-sensor and their values. The command line and environment\n" +
		"; variables override them. Only \"=\" separates key and value. A list option has one\n" +
		"; line for each value. A value in double quotes is unquoted as in Go.\n")
	for _, section := range v.sections() {
		fmt.Fprintf(b, "\n[%s]\n", section)
		for _, o := range v.list {
			if o.Section == section && (!o.Hidden || o.Origin.Layer != Default) {
				if !writeOption(b, &o, secrets) {
					omitted = append(omitted, o.Name)
				}
			}
		}
	}
	return omitted, b.Flush()
}

// writeOption returns false for a secret that it omits.
func writeOption(b *bufio.Writer, o *Value, secrets bool) bool {
	for line := range strings.Lines(o.Usage) {
		fmt.Fprintf(b, "; %s\n", strings.TrimSpace(line))
	}
	switch {
	case o.Secret && o.fromFile != "":
		fmt.Fprintf(b, "; %s comes from %s\n\n", o.Name, o.fromFile)
		return true
	case !secrets && o.isSensitive():
		fmt.Fprintf(b, "; %s is set (from %s) and not written here: see --writesecrets\n\n", o.Name, o.Origin)
		return false
	case len(o.Text) == 0 && len(o.Default) == 0:
		fmt.Fprintf(b, "; %s =\n", o.Name)
	case len(o.Text) == 0:
		fmt.Fprintf(b, "%s =\n", o.Name)
	}
	for _, t := range o.Text {
		fmt.Fprintf(b, "%s\n", strings.TrimSpace(o.Name+" = "+quoteIfNeeded(t)))
	}
	b.WriteByte('\n')
	return true
}

// WriteTable writes all values with their origins, for display, with secrets masked. It
// calls Write once, because a writer that escapes text needs whole characters.
func WriteTable(w io.Writer, v *Values) error {
	var b bytes.Buffer
	for i, section := range v.sections() {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "[%s]\n", section)
		for _, o := range v.list {
			if o.Section != section || o.Hidden && o.Origin.Layer == Default {
				continue
			}
			if len(o.Text) == 0 {
				writeRow(&b, o.Name+" =", o.Origin)
			}
			for _, t := range o.Text {
				writeRow(&b, o.Name+" = "+quoteIfNeeded(o.Shown(t)), o.Origin)
			}
		}
	}
	_, err := b.WriteTo(w)
	return err
}

func writeRow(b *bytes.Buffer, text string, at Origin) {
	fmt.Fprintf(b, "%-52s ; %s\n", strings.TrimSpace(text), strings.TrimPrefix(at.String(), "the "))
}
