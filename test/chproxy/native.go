//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// stream reads the native format, and keeps the bytes as they are.
type stream struct {
	r       *bufio.Reader
	kept    []byte
	discard bool // keep nothing
	scratch []byte
}

// take reads n bytes. They are valid until the next call.
func (s *stream) take(n int) ([]byte, error) {
	if n < 0 || n > 1<<30 {
		return nil, fmt.Errorf("a column of %d bytes", n)
	}
	if s.discard {
		if cap(s.scratch) < n {
			s.scratch = make([]byte, n)
		}
		_, err := io.ReadFull(s.r, s.scratch[:n])
		return s.scratch[:n], err
	}
	at := len(s.kept)
	if cap(s.kept)-at < n {
		s.kept = append(make([]byte, 0, 2*cap(s.kept)+n), s.kept...)
	}
	s.kept = s.kept[:at+n]
	_, err := io.ReadFull(s.r, s.kept[at:])
	return s.kept[at:], err
}

func (s *stream) uvarint() (int, error) {
	n, err := binary.ReadUvarint(s.r)
	if err == nil && !s.discard {
		s.kept = binary.AppendUvarint(s.kept, n)
	}
	return int(n), err
}

func (s *stream) uint64() (uint64, error) {
	b, err := s.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

func (s *stream) text() (string, error) {
	n, err := s.uvarint()
	if err != nil {
		return "", err
	}
	b, err := s.take(n)
	return string(b), err
}

// column is how long the values of a type are in the native format.
type column interface {
	state(s *stream) error // what precedes all values
	data(s *stream, rows int) error
}

// fixed is a type whose values have this many bytes.
type fixed int

func (f fixed) state(*stream) error { return nil }
func (f fixed) data(s *stream, rows int) error {
	if s.discard {
		_, err := s.r.Discard(int(f) * rows)
		return err
	}
	_, err := s.take(int(f) * rows)
	return err
}

// each is a type whose values are read one by one.
type each func(s *stream) error

func (f each) state(*stream) error { return nil }
func (f each) data(s *stream, rows int) error {
	for range rows {
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

func oneString(s *stream) error {
	n, err := s.uvarint()
	if err != nil || n == 0 {
		return err
	}
	if s.discard {
		_, err = s.r.Discard(n)
	} else {
		_, err = s.take(n)
	}
	return err
}

type nullable struct{ column }

func (n nullable) data(s *stream, rows int) error {
	if _, err := s.take(rows); err != nil {
		return err
	}
	return n.column.data(s, rows)
}

type array struct{ column }

func (a array) data(s *stream, rows int) error {
	if rows == 0 {
		return nil
	}
	ends, err := s.take(8 * rows)
	if err != nil {
		return err
	}
	return a.column.data(s, int(binary.LittleEndian.Uint64(ends[8*rows-8:])))
}

type tuple []column

func (t tuple) state(s *stream) error {
	for _, c := range t {
		if err := c.state(s); err != nil {
			return err
		}
	}
	return nil
}

func (t tuple) data(s *stream, rows int) error {
	for _, c := range t {
		if err := c.data(s, rows); err != nil {
			return err
		}
	}
	return nil
}

// lowCardinality is a dictionary, and the values' numbers in it.
type lowCardinality struct{ dictionary column }

func (lowCardinality) state(s *stream) error {
	version, err := s.uint64()
	if err == nil && version != 1 {
		err = fmt.Errorf("LowCardinality of version %d", version)
	}
	return err
}

func (l lowCardinality) data(s *stream, rows int) error {
	if rows == 0 {
		return nil
	}
	const shared, own = 1 << 8, 1 << 9
	flags, err := s.uint64()
	if err != nil {
		return err
	}
	if flags&shared != 0 || flags&own == 0 || flags&0xff > 3 {
		return fmt.Errorf("LowCardinality with flags %#x", flags)
	}
	size, err := s.uint64()
	if err != nil {
		return err
	}
	if err := l.dictionary.data(s, int(size)); err != nil {
		return err
	}
	n, err := s.uint64()
	if err != nil {
		return err
	}
	if int(n) != rows {
		return fmt.Errorf("LowCardinality of %d rows, want %d", n, rows)
	}
	_, err = s.take(rows << (flags & 0xff))
	return err
}

var fixedSizes = map[string]int{
	"UInt8": 1, "UInt16": 2, "UInt32": 4, "UInt64": 8, "UInt128": 16, "UInt256": 32, "Int8": 1, "Int16": 2, "Int32": 4, "Int64": 8, "Int128": 16, "Int256": 32,
	"Bool": 1, "BFloat16": 2, "Float32": 4, "Float64": 8, "Date": 2, "Date32": 4, "DateTime": 4, "DateTime64": 8, "Time": 4, "Time64": 8, "UUID": 16,
	"IPv4": 4, "IPv6": 16, "Enum8": 1, "Enum16": 2, "Decimal32": 4, "Decimal64": 8, "Decimal128": 16, "Decimal256": 32, "Nothing": 1, "Point": 16,
}

// parseType finds how to read a type, by its name in SQL.
func parseType(text string) (column, error) {
	name, args := splitType(text)
	if n, ok := fixedSizes[name]; ok {
		return fixed(n), nil
	}
	switch name {
	case "String":
		return each(oneString), nil
	case "FixedString":
		n, err := strconv.Atoi(strings.Join(args, ""))
		return fixed(n), err
	case "Decimal":
		return decimal(args)
	case "AggregateFunction":
		return parseAggregate(text, args)
	case "Nested":
		return parseSub(args, func(c ...column) column { return array{tuple(c)} })
	case "Tuple":
		return parseSub(args, func(c ...column) column { return tuple(c) })
	case "Map":
		return parseSub(args, func(c ...column) column { return array{tuple(c)} })
	case "SimpleAggregateFunction":
		return parseSub(args[min(1, len(args)):], func(c ...column) column { return c[0] })
	case "Array":
		return parseSub(args, func(c ...column) column { return array{c[0]} })
	case "Nullable":
		return parseSub(args, func(c ...column) column { return nullable{c[0]} })
	case "LowCardinality":
		return parseSub(args, func(c ...column) column {
			if n, ok := c[0].(nullable); ok {
				return lowCardinality{n.column} // the dictionary's first entry is NULL
			}
			return lowCardinality{c[0]}
		})
	}
	if strings.HasPrefix(name, "Interval") {
		return fixed(8), nil
	}
	return nil, fmt.Errorf("chproxy does not know the type %s", text)
}

func decimal(args []string) (column, error) {
	digits, err := strconv.Atoi(args[0])
	switch {
	case digits <= 9:
		return fixed(4), err
	case digits <= 18:
		return fixed(8), err
	case digits <= 38:
		return fixed(16), err
	}
	return fixed(32), err
}

// parseSub parses the types inside another. Those of a Tuple may have names.
func parseSub(args []string, make func(...column) column) (column, error) {
	var list []column
	for _, a := range args {
		c, err := parseType(a)
		if err != nil {
			_, unnamed, found := strings.Cut(a, " ")
			if !found {
				return nil, err
			}
			if c, err = parseType(unnamed); err != nil {
				return nil, err
			}
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("a type without the types that it consists of")
	}
	return make(list...), nil
}

// parseAggregate knows the states of the functions that tables of DNS records use.
func parseAggregate(text string, args []string) (column, error) {
	if len(args) > 0 && len(args[0]) == 1 { // a version
		args = args[1:]
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("chproxy does not know the type %s", text)
	}
	var value column
	if len(args) > 1 {
		var err error
		if value, err = parseType(args[1]); err != nil {
			return nil, err
		}
	}
	size, _ := value.(fixed)
	switch args[0] {
	case "count":
		return each(func(s *stream) error { _, err := s.uvarint(); return err }), nil
	case "sum":
		return fixed(max(8, int(size))), nil
	case "avg":
		return each(func(s *stream) error {
			if _, err := s.take(max(8, int(size))); err != nil {
				return err
			}
			_, err := s.uvarint()
			return err
		}), nil
	case "min", "max", "any", "anyLast":
		if size == 0 {
			break
		}
		return each(func(s *stream) error {
			has, err := s.take(1)
			if err == nil && has[0] != 0 {
				_, err = s.take(int(size))
			}
			return err
		}), nil
	case "uniq":
		return each(func(s *stream) error {
			if _, err := s.take(1); err != nil {
				return err
			}
			n, err := s.uvarint()
			if err == nil {
				_, err = s.take(4 * n)
			}
			return err
		}), nil
	case "uniqExact":
		if size == 0 {
			size = 16 // a hash
		}
		return each(func(s *stream) error {
			n, err := s.uvarint()
			if err == nil {
				_, err = s.take(int(size) * n)
			}
			return err
		}), nil
	}
	return nil, fmt.Errorf("chproxy does not know the type %s", text)
}

// splitType splits Name(a, b(c, d)) at the commas outside inner parentheses.
func splitType(text string) (name string, args []string) {
	name, rest, found := strings.Cut(text, "(")
	if !found {
		return text, nil
	}
	rest = strings.TrimSuffix(rest, ")")
	depth, quoted, from := 0, false, 0
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case quoted && c == '\\':
			i++
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			args = append(args, strings.TrimSpace(rest[from:i]))
			from = i + 1
		}
	}
	return name, append(args, strings.TrimSpace(rest[from:]))
}
