package format

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/userspace/event"
)

// Options are the options of formats. The zero value gives dnsmonster's records,
// with times in UTC.
type Options struct {
	Server        string                               // name of this sensor, in formats that have it
	Fields        Fields                               // additional fields of JSON records: see ParseFields
	InterfaceName func(number uint32, at int64) string // name of an interface at the time of a packet, "" if unknown; nil: all are unknown
	Location      *time.Location                       // time zone of the records; nil: UTC
	CSVIP         IPForm                               // how CSV writes addresses
	Template      string                               // of gotemplate; "": {{.}}

	// The options of text alone.
	Verbose    bool       // whole dates and records; Width has no effect
	Width      func() int // cells of the terminal's lines, asked for each line; nil, or 0: unlimited
	Colour     bool       // with a terminal's colours
	Interfaces bool       // records come from several interfaces: show which
}

// moreFields are what JSON and text records have only on request, in this order: columns and,
// at the end, what a dnstap frame says.
// A record that has no value for a field lacks it.
var moreFields = []struct {
	word string // in the option
	key  string // in format json; the other formats use the column's name
	id   columns.ID
}{
	{"interface", "Interface", columns.Interface},
	{"direction", "Direction", columns.Direction},
	{"vlan", "VLAN", columns.VLAN},
	{"tunnel", "Tunnel", columns.Tunnel},
	{"samplerate", "SampleRate", columns.SampleRate},
	{word: "dnstap"}, // no column: see frame
}

// Fields is a set of moreFields, a bit for each.
type Fields uint32

// The same as bits.
const (
	fieldInterface Fields = 1 << iota
	fieldDirection
	fieldVLAN
	fieldTunnel
	fieldSampleRate
	fieldDnstap
)

// NeedsFrames reports whether a field is taken from the dnstap frame that a message came
// in, so that events must have it (event.FrameHead).
func (f Fields) NeedsFrames() bool { return f&fieldDnstap != 0 }

// FieldNames returns the words that ParseFields knows.
func FieldNames() (names []string) {
	for _, f := range moreFields {
		names = append(names, f.word)
	}
	return names
}

// ParseFields reads a list such as "interface,vlan". It ignores empty words.
func ParseFields(list string) (f Fields, err error) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name == "" {
			continue
		}
		i := slices.Index(FieldNames(), name)
		if i < 0 {
			return 0, fmt.Errorf("unknown field %q: use one of %s", name, strings.Join(FieldNames(), ", "))
		}
		f |= 1 << i
	}
	return f, nil
}

// fieldWriter writes the additional fields.
type fieldWriter struct {
	fields []writtenField
	row    columns.Row
	text   []byte
	frame  *frame // nil: not requested
}

type writtenField struct {
	column *columns.Column
	json   string // the key in format json, from the comma before it to the colon
	flat   string // the same in the other formats
}

func newFieldWriter(o Options) (w fieldWriter) {
	w.row.InterfaceName = o.InterfaceName
	for i, f := range moreFields {
		switch {
		case o.Fields>>i&1 == 0:
		case 1<<i == fieldDnstap:
			w.frame = &frame{}
		default:
			c := f.id.Column()
			w.fields = append(w.fields, writtenField{c, `,"` + f.key + `":`, `,"` + c.Name + `":`})
		}
	}
	return w
}

// append appends the fields that e has. There may be none.
func (w *fieldWriter) append(dst []byte, e *event.Event, flat bool) []byte {
	w.row.Event = e
	for i := range w.fields {
		f := &w.fields[i]
		if !f.column.HasValue(&w.row) || f.column.Kind == columns.Float && f.column.Float(&w.row) == 1 {
			continue
		}
		key := f.json
		if flat {
			key = f.flat
		}
		dst = append(dst, key...)
		switch f.column.Kind {
		case columns.Uint:
			dst = appendUint(dst, f.column.Uint(&w.row))
		case columns.Float: // only the sample rate, which must be exact
			dst = appendRate(dst, uint64(e.Sample.Of), uint64(e.Sample.Keep))
		default:
			w.text = f.column.Append(&w.row, w.text[:0])
			dst = append(appendText(append(dst, '"'), w.text), '"')
		}
	}
	if w.frame != nil {
		dst = w.frame.append(dst, e, flat)
	}
	return dst
}

// appendRate appends of/keep, with up to six decimals.
func appendRate(dst []byte, of, keep uint64) []byte {
	dst = appendUint(dst, of/keep)
	rest := of % keep
	if rest == 0 {
		return dst
	}
	dst = append(dst, '.')
	for range 6 {
		rest *= 10
		dst = append(dst, '0'+byte(rest/keep))
		if rest %= keep; rest == 0 {
			break
		}
	}
	return dst
}
