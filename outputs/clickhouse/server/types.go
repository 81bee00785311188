package server

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// columnType is a type of ClickHouse, as far as answers are read here.
type columnType struct {
	name  string            // without arguments
	inner *columnType       // of Array, Nullable, LowCardinality
	size  int               // bytes of a value, 0: it varies
	enum  map[uint64]string // of Enum8, Enum16, by the bits of the number
	scale int               // of DateTime64
	zone  *time.Location    // of DateTime, DateTime64; nil: the server's
}

var fixedSizes = map[string]int{
	"UInt8": 1, "UInt16": 2, "UInt32": 4, "UInt64": 8, "Int8": 1, "Int16": 2, "Int32": 4, "Int64": 8,
	"Float32": 4, "Float64": 8, "Bool": 1, "Date": 2, "DateTime": 4, "DateTime64": 8, "Enum8": 1, "Enum16": 2,
	"UUID": 16, "IPv4": 4, "IPv6": 16, "String": 0, "Nothing": 1,
}

const maxDepth = 8

// parseType parses the name of a type.
func parseType(text string, depth int) (*columnType, error) {
	name, args, _ := strings.Cut(text, "(")
	args = strings.TrimSuffix(args, ")")
	t := &columnType{name: name}
	var err error
	switch name {
	case "Array", "Nullable", "LowCardinality":
		if depth == maxDepth {
			return nil, unreadable(text)
		}
		t.inner, err = parseType(args, depth+1)
	case "FixedString":
		t.size, err = strconv.Atoi(args)
		if err != nil || t.size < 1 || t.size > maxText {
			return nil, unreadable(text)
		}
	case "Enum8", "Enum16":
		t.enum, err = parseEnum(args, fixedSizes[name])
	case "DateTime":
		t.zone = parseZone(args)
	case "DateTime64":
		scale, zone, _ := strings.Cut(args, ", ")
		t.scale, err = strconv.Atoi(scale)
		if err != nil || t.scale < 0 || t.scale > 9 {
			return nil, unreadable(text)
		}
		t.zone = parseZone(zone)
	}
	if err != nil {
		return nil, err
	}
	if size, ok := fixedSizes[name]; ok {
		t.size = size
	} else if t.inner == nil && t.size == 0 {
		return nil, unreadable(text)
	}
	return t, nil
}

func unreadable(typ string) error {
	return fmt.Errorf("values of type %s are not read: select toString of it", printableLine(typ))
}

// parseZone returns the time zone of a type, or nil if it has none that is known here.
func parseZone(quoted string) *time.Location {
	if quoted == "" {
		return nil
	}
	zone, err := time.LoadLocation(strings.Trim(quoted, "'"))
	if err != nil {
		return time.UTC
	}
	return zone
}

// parseEnum parses 'name' = 1, 'other' = -2.
func parseEnum(text string, size int) (map[uint64]string, error) {
	names := make(map[uint64]string)
	for rest := text; rest != ""; {
		name, after, quoted := unquote(rest)
		after, assigned := strings.CutPrefix(after, " = ")
		number, next, _ := strings.Cut(after, ", ")
		n, err := strconv.ParseInt(number, 10, 8*size)
		if !quoted || !assigned || err != nil {
			return nil, unreadable("Enum(" + text + ")")
		}
		names[uint64(n)&(1<<(8*size)-1)] = name
		rest = next
	}
	return names, nil
}

// unquote splits 'name' off a text; it resolves backslashes.
func unquote(text string) (name, after string, ok bool) {
	if !strings.HasPrefix(text, "'") {
		return "", text, false
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\'':
			return b.String(), text[i+1:], true
		case text[i] == '\\' && i+1 < len(text):
			i++
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}
