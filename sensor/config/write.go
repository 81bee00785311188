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
			if o.Section == section && (o.visible() || o.Origin.Layer != Default && !slices.Equal(o.Text, o.Default)) {
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

// WriteTable writes the values that differ from their defaults, with their origins, for
// display, with secrets masked. With all, it writes all values. file is the path of the
// configuration file. WriteTable calls Write once, because a writer that escapes text needs
// whole characters.
func WriteTable(w io.Writer, v *Values, file string, all bool) error {
	var b bytes.Buffer
	defaults := 0
	for _, section := range v.sections() {
		first := true
		for _, o := range v.list {
			isDefault := slices.Equal(o.Text, o.Default)
			switch {
			case o.Section != section, o.Origin.Layer == Default && (!all || !o.visible()):
				continue
			case isDefault && !all:
				defaults++
				continue
			}
			if first {
				first = false
				fmt.Fprintf(&b, "\n[%s]\n", section)
			}
			if len(o.Text) == 0 {
				writeRow(&b, o.Name+" =", o.Origin, file)
			}
			for _, t := range o.Text {
				writeRow(&b, o.Name+" = "+quoteIfNeeded(o.Shown(t)), o.Origin, file)
			}
		}
	}
	switch {
	case defaults == 1:
		b.WriteString("\n1 option is set to its default (--all shows it)\n")
	case defaults > 1:
		fmt.Fprintf(&b, "\n%d options are set to their defaults (--all shows them)\n", defaults)
	}
	_, err := b.WriteTo(w)
	return err
}

func writeRow(b *bytes.Buffer, text string, at Origin, file string) {
	fmt.Fprintf(b, "%-40s ; %s\n", strings.TrimSpace(text), strings.TrimPrefix(strings.TrimPrefix(at.String(), "the "), file+" "))
}
