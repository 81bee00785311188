// Package format writes events as records: JSON, lines for people, CSV, Go templates.
//
// In: an event, whatever its message holds. Out: the text of its records, appended
// to a buffer; only templates allocate. The package imports no output: outputs choose
// a format by name. Its tests make their own messages, compare with miekg/dns,
// encoding/json and sonic, and also read captures in the folder that
// SENSOR_TEST_CAPTURES names.
//
// Functions called append... append to dst and return the extended dst.
package format

import (
	"fmt"
	"strings"

	"dnsmonster-sensor/userspace/event"
)

// Encoder writes records in one format. It is for one goroutine.
type Encoder interface {
	// Append appends e's records to dst, each with its line end, and returns
	// the extended dst. It borrows e until it returns. If e cannot be written it
	// appends nothing: only a Refuser does that.
	Append(dst []byte, e *event.Event) []byte
}

// Refuser is an Encoder that cannot write all events.
type Refuser interface {
	Encoder
	// Refused returns why the last Append appended nothing.
	Refused() error
}

// Refusal is the number of events that could not be written, and why the first one
// could not.
type Refusal struct {
	Events int
	Why    error
}

// Format is one way to write records.
type Format struct {
	Name       string
	Header     string         // precedes the first record; with its line end
	NewEncoder func() Encoder // one for each goroutine
}

var formats = []struct {
	name, header string
	newEncoder   func(Options) Encoder
}{
	{"json", "", func(o Options) Encoder { return newJSON(o) }},
	{"text", "", func(o Options) Encoder { return newText(o) }},
	{"json-flat", "", func(o Options) Encoder { return newFlat(o) }},
	{"json-ocsf", "", func(o Options) Encoder { return newOCSF(o) }},
	{"csv", csvHeader(), func(o Options) Encoder { return newCSV(o) }},
	{"csv_no_header", "", func(o Options) Encoder { return newCSV(o) }},
	{"gotemplate", "", nil}, // made by New, since it can fail
}

// Names returns the names of all formats.
func Names() (names []string) {
	for _, k := range formats {
		names = append(names, k.name)
	}
	return names
}

// New returns the format of that name with the options that concern it. It fails on
// an unknown name, and on a template that cannot work.
func New(name string, o Options) (Format, error) {
	f := Format{Name: name}
	for _, k := range formats {
		if k.name != name {
			continue
		}
		if k.newEncoder != nil {
			f.Header, f.NewEncoder = k.header, func() Encoder { return k.newEncoder(o) }
			return f, nil
		}
		t, err := parseTemplate(o.Template)
		f.NewEncoder = func() Encoder { return newTemplate(t, o) }
		return f, err
	}
	for _, n := range Names() {
		if strings.EqualFold(n, name) {
			return f, fmt.Errorf("unknown format %q: did you mean %s?", name, n)
		}
	}
	return f, fmt.Errorf("unknown format %q: use one of %s", name, strings.Join(Names(), ", "))
}

// AppendBlock appends the records of all events of b except those that are refused.
func AppendBlock(dst []byte, enc Encoder, b *event.Block) ([]byte, Refusal) {
	var e event.Event
	var refused Refusal
	for r := b.Reader(); r.Next(&e); {
		at := len(dst)
		if dst = enc.Append(dst, &e); len(dst) == at {
			refused.add(enc)
		}
	}
	return dst, refused
}

func (r *Refusal) add(enc Encoder) {
	if r.Events++; r.Why == nil {
		if refuser, ok := enc.(Refuser); ok {
			r.Why = refuser.Refused()
		}
	}
}
