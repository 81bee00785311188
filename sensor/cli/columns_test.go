//go:build linux

package cli

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/outputs/format"
)

// columnsPage is docs/columns.md with a fresh table.
func columnsPage(t *testing.T) []byte {
	t.Helper()
	page, err := os.ReadFile("../../docs/columns.md")
	if err != nil {
		t.Fatal(err)
	}
	return between(t, page, "columns", columnsTable(t))
}

// columnsTable has a line for each column, with its name in each output that writes
// rows.
func columnsTable(t *testing.T) []byte {
	t.Helper()
	outputs, lists := []string{"csv"}, [][]columns.Named{format.CSVColumns()}
	for _, o := range all.New() {
		if l, ok := o.(columns.Lister); ok {
			outputs, lists = append(outputs, o.Name()), append(lists, l.Columns())
		}
	}
	b := new(bytes.Buffer)
	fmt.Fprintf(b, "| column | values | absent where | | %s\n|---|---|---|---|%s\n", strings.Join(outputs, " | ")+" |", strings.Repeat("---|", len(outputs)))
	for id := range columns.ID(columns.Count) {
		c := id.Column()
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |", c.Name, c.Values(), c.Absent, c.Doc)
		for _, list := range lists {
			b.WriteString(" " + nameIn(list, id) + " |")
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// nameIn is the column's name in an output; "": it has none. CSV splits the
// time into several fields.
func nameIn(list []columns.Named, id columns.ID) string {
	i := slices.IndexFunc(list, func(n columns.Named) bool { return n.ID == id })
	if i < 0 {
		return ""
	}
	first, rest, several := strings.Cut(list[i].Name, ",")
	if several {
		return "`" + first + "` to `" + rest[strings.LastIndexByte(rest, ',')+1:] + "`"
	}
	return "`" + first + "`"
}

// TestColumnsOfOutputs: no output names a column twice.
func TestColumnsOfOutputs(t *testing.T) {
	found := 0
	for _, o := range all.New() {
		l, ok := o.(columns.Lister)
		if !ok {
			continue
		}
		found++
		names, ids := make(map[string]bool), make(map[columns.ID]bool)
		for _, n := range l.Columns() {
			if n.Name == "" || names[n.Name] || ids[n.ID] {
				t.Errorf("%s: the column %s, named %q, is there twice", o.Name(), n.ID.Column().Name, n.Name)
			}
			names[n.Name], ids[n.ID] = true, true
		}
	}
	if found == 0 {
		t.Error("no output has columns")
	}
}
