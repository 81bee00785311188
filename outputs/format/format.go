// Package format writes events as the records that users parse.
package format

import (
	"fmt"
	"strings"

	"dnsmonster-sensor/userspace/event"
)

// Encoder writes records in one format. It is for one goroutine.
type Encoder interface {
	// Append appends e's records to dst, each with its line end, and returns
	// the extended dst. It borrows e until it returns. Where e cannot be written
	// it appends nothing; the encoder is a Refuser then.
	Append(dst []byte, e *event.Event) []byte
}

// Refuser is an Encoder that cannot write every event.
type Refuser interface {
	Encoder
	// Refused is why the last Append appended nothing.
	Refused() error
}

// Refusal is how many events could not be written, and why the first of them.
type Refusal struct {
	Events int
	Why    error
}

// Format is one way to write records.
type Format struct {
	Name       string
	Header     string         // stands before the first record; with its line end
	NewEncoder func() Encoder // one for each goroutine
}

var known = []struct {
	name, header string
	newEncoder   func(Options) Encoder
}{
	{"json", "", func(o Options) Encoder { return newJSON(o) }},
	{"json-flat", "", func(o Options) Encoder { return newFlat(o) }},
	{"json-ocsf", "", func(o Options) Encoder { return newOCSF(o) }},
	{"csv", csvHeader(), func(o Options) Encoder { return newCSV(o) }},
	{"csv_no_header", "", func(o Options) Encoder { return newCSV(o) }},
	{"gotemplate", "", nil}, // made below: it can fail
}

// Names are the formats that New knows.
func Names() (names []string) {
	for _, k := range known {
		names = append(names, k.name)
	}
	return names
}

// New returns the format of that name with those options, of which it uses what
// concerns it. An error tells an unknown name, or a template that cannot work.
func New(name string, o Options) (Format, error) {
	f := Format{Name: name}
	for _, k := range known {
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
	return f, fmt.Errorf("unknown format %q: one of %s", name, strings.Join(Names(), ", "))
}

// Find is New without options.
func Find(name string) (Format, error) { return New(name, Options{}) }

// AppendBlock appends the records of all events of b, but for those that are
// refused.
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
