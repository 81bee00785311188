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
	Server        string              // name of this sensor, in formats that carry one
	Fields        Fields              // more of JSON's, behind the usual ones
	InterfaceName func(uint32) string // for the field Interface: "" where it is not known; nil: none is
	Location      *time.Location      // time zone of the records; nil: UTC
	CSVIP         IPForm              // of addresses in CSV
	Template      string              // of gotemplate; "": {{.}}
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

func (j *wireJSON) appendFields(dst []byte, e *event.Event) []byte {
	if j.fields&FieldInterface != 0 && j.ifname != nil {
		if name := j.ifname(e.Interface); name != "" {
			dst = append(appendText(append(dst, `,"Interface":"`...), name), '"')
		}
	}
	if direction := e.Direction.String(); j.fields&FieldDirection != 0 && direction != "" {
		dst = append(append(append(dst, `,"Direction":"`...), direction...), '"')
	}
	if j.fields&FieldVLAN != 0 && e.HasVLAN {
		dst = appendUint(append(dst, `,"VLAN":`...), uint64(e.VLAN&0xfff))
	}
	if tunnel := tunnelName(e.Tunnel); j.fields&FieldTunnel != 0 && tunnel != "" {
		dst = append(append(append(dst, `,"Tunnel":"`...), tunnel...), '"')
	}
	if s := e.Sample; j.fields&FieldSampleRate != 0 && s.Keep != 0 && s.Keep != s.Of {
		dst = appendRate(append(dst, `,"SampleRate":`...), uint64(s.Of), uint64(s.Keep))
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
