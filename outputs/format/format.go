// Package format writes events as the records that users parse.
package format

import (
	"fmt"
	"slices"
	"strings"

	"dnsmonster-sensor/userspace/event"
)

// Encoder writes records in one format. It is for one goroutine.
type Encoder interface {
	// Append appends e's records to dst, each with its line end, and returns
	// the extended dst. It borrows e until it returns.
	Append(dst []byte, e *event.Event) []byte
}

// Format is one way to write records.
type Format struct {
	Name       string
	Header     string         // stands before the first record; with its line end
	NewEncoder func() Encoder // one for each goroutine
}

// known are dnsmonster's names, and whether this build writes them.
var known = []Format{
	{Name: "json", NewEncoder: func() Encoder { return new(JSON) }},
	{Name: "csv"},
	{Name: "csv_no_header"},
	{Name: "gotemplate"},
	{Name: "json-ocsf"},
}

// Find returns the format of that name.
func Find(name string) (Format, error) {
	i := slices.IndexFunc(known, func(f Format) bool { return f.Name == name })
	switch {
	case i < 0:
		return Format{}, fmt.Errorf("unknown format %q: one of %s", name, strings.Join(built(), ", "))
	case known[i].NewEncoder == nil:
		return Format{}, fmt.Errorf("format %q is not in this build, which has %s", name, strings.Join(built(), ", "))
	}
	return known[i], nil
}

func built() (names []string) {
	for _, f := range known {
		if f.NewEncoder != nil {
			names = append(names, f.Name)
		}
	}
	return names
}
