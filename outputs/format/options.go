package format

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dnsmonster-sensor/userspace/event"
)

// Options are what formats can be told. The zero value gives dnsmonster's
// records, with UTC.
type Options struct {
	Server        string                               // name of this sensor, in formats that carry one
	Fields        Fields                               // more of JSON's, behind the usual ones
	InterfaceName func(number uint32, at int64) string // for the field Interface of a packet of that time: "" where it is not known; nil: none is
	Location      *time.Location                       // time zone of the records; nil: UTC
	CSVIP         IPForm                               // of addresses in CSV
	Template      string                               // of gotemplate; "": {{.}}
}

// Fields is a set of fields that JSON records carry only if asked to. Each one
// is left out where there is nothing to say.
type Fields uint8

// Fields.
const (
	FieldInterface  Fields = 1 << iota // name of the capture interface
	FieldDirection                     // in or out
	FieldVLAN                          // id of the outermost VLAN
	FieldTunnel                        // what the packet was wrapped in
	FieldSampleRate                    // how many messages this one stands for
)

// fieldOptions are what it takes to write them.
type fieldOptions struct {
	fields        Fields
	interfaceName func(number uint32, at int64) string
}

func newFieldOptions(o Options) fieldOptions { return fieldOptions{o.Fields, o.InterfaceName} }

var fieldNames = []string{"interface", "direction", "vlan", "tunnel", "samplerate"}

// ParseFields reads a list such as "interface,vlan". Empty names are passed
// over.
func ParseFields(list string) (f Fields, err error) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name == "" {
			continue
		}
		i := slices.Index(fieldNames, name)
		if i < 0 {
			return 0, fmt.Errorf("unknown field %q: one of %s", name, strings.Join(fieldNames, ", "))
		}
		f |= 1 << i
	}
	return f, nil
}

// fieldKeys are how the fields start in a format, in their order.
type fieldKeys [5]string

var jsonKeys = fieldKeys{`,"Interface":"`, `,"Direction":"`, `,"VLAN":`, `,"Tunnel":"`, `,"SampleRate":`}

func (o *fieldOptions) append(dst []byte, e *event.Event, keys *fieldKeys) []byte {
	if o.fields == 0 {
		return dst
	}
	if o.fields&FieldInterface != 0 && o.interfaceName != nil {
		if name := o.interfaceName(e.Interface, e.Time); name != "" {
			dst = append(appendText(append(dst, keys[0]...), name), '"')
		}
	}
	if direction := e.Direction.String(); o.fields&FieldDirection != 0 && direction != "" {
		dst = append(append(append(dst, keys[1]...), direction...), '"')
	}
	if o.fields&FieldVLAN != 0 && e.HasVLAN {
		dst = appendUint(append(dst, keys[2]...), uint64(e.VLAN&0xfff))
	}
	if tunnel := tunnelName(e.Tunnel); o.fields&FieldTunnel != 0 && tunnel != "" {
		dst = append(append(append(dst, keys[3]...), tunnel...), '"')
	}
	if s := e.Sample; o.fields&FieldSampleRate != 0 && s.Keep != 0 && s.Keep != s.Of {
		dst = appendRate(append(dst, keys[4]...), uint64(s.Of), uint64(s.Keep))
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

// tunnelName is the word for a tunnel, "" for none.
func tunnelName(t event.Tunnel) string {
	if t == event.TunnelNone {
		return ""
	}
	if s, ok := any(t).(fmt.Stringer); ok {
		return s.String()
	}
	return "unknown"
}
