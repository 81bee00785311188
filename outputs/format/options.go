package format

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/userspace/event"
)

// Options are what formats can be told. The zero value gives dnsmonster's
// records, with UTC.
type Options struct {
	Server        string                               // name of this sensor, in formats that carry one
	Fields        Fields                               // more of JSON's, behind the usual ones: see ParseFields
	InterfaceName func(number uint32, at int64) string // for the field Interface of a packet of that time: "" where it is not known; nil: none is
	Location      *time.Location                       // time zone of the records; nil: UTC
	CSVIP         IPForm                               // of addresses in CSV
	Template      string                               // of gotemplate; "": {{.}}
}

// moreFields are columns that JSON records carry only if asked to, in this order.
// Each one is left out where the row has no value.
var moreFields = []struct {
	word string // of the option
	key  string // in json; the others have the column's name
	id   columns.ID
}{
	{"interface", "Interface", columns.Interface},
	{"direction", "Direction", columns.Direction},
	{"vlan", "VLAN", columns.VLAN},
	{"tunnel", "Tunnel", columns.Tunnel},
	{"samplerate", "SampleRate", columns.SampleRate},
}

// Fields is a set of moreFields, a bit for each.
type Fields uint32

// FieldNames are the words that ParseFields knows.
func FieldNames() (names []string) {
	for _, f := range moreFields {
		names = append(names, f.word)
	}
	return names
}

// ParseFields reads a list such as "interface,vlan". Empty names are passed
// over.
func ParseFields(list string) (f Fields, err error) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name == "" {
			continue
		}
		i := slices.Index(FieldNames(), name)
		if i < 0 {
			return 0, fmt.Errorf("unknown field %q: one of %s", name, strings.Join(FieldNames(), ", "))
		}
		f |= 1 << i
	}
	return f, nil
}

// fieldWriter writes them.
type fieldWriter struct {
	fields []writtenField
	row    columns.Row
	text   []byte
}

type writtenField struct {
	column *columns.Column
	json   string // the key in json, from the comma before it to the colon
	flat   string // in the others
}

func newFieldWriter(o Options) (w fieldWriter) {
	w.row.InterfaceName = o.InterfaceName
	for i, f := range moreFields {
		if o.Fields>>i&1 == 1 {
			c := f.id.Column()
			w.fields = append(w.fields, writtenField{c, `,"` + f.key + `":`, `,"` + c.Name + `":`})
		}
	}
	return w
}

func (w *fieldWriter) append(dst []byte, e *event.Event, flat bool) []byte {
	if len(w.fields) == 0 {
		return dst
	}
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
		case columns.Float: // there is one: its decimals are exact
			dst = appendRate(dst, uint64(e.Sample.Of), uint64(e.Sample.Keep))
		default:
			w.text = f.column.Append(&w.row, w.text[:0])
			dst = append(appendText(append(dst, '"'), w.text), '"')
		}
	}
	return dst
}

// appendRate appends of/keep, with up to six decimals where it is no whole
// number.
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
