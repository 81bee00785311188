package table

import (
	"errors"
	"math"
	"time"

	"dnsmonster-sensor/outputs/columns"
)

// errMisfit means that values of a kind cannot be written to a type.
var errMisfit = errors.New("the type cannot hold the values")

// newColumn makes the encoder of a column's values for a type. zone is the server's.
func newColumn(source *columns.Column, t *typeText, zone *time.Location) (*column, error) {
	if t.name == "SimpleAggregateFunction" && len(t.args) == 2 {
		t = &t.args[1]
	}
	if isList(source.Kind) != (t.name == "Array") {
		return nil, errMisfit
	}
	return newValue(source, t, zone)
}

// newValue is newColumn for a value of a list, too.
func newValue(source *columns.Column, t *typeText, zone *time.Location) (*column, error) {
	c := &column{source: source, zone: zone}
	if inner := t.inside(); inner != nil {
		return c.wrap(t.name, inner)
	}
	ok := false
	switch source.Kind {
	case columns.Time:
		ok = c.chooseTime(t)
	case columns.Uint, columns.Bool, columns.Uints:
		ok = c.chooseUint(t)
	case columns.Float:
		ok = c.chooseFloat(t)
	case columns.Addr:
		ok = c.chooseAddr(t)
	default:
		ok = c.chooseText(t)
	}
	if !ok {
		return nil, errMisfit
	}
	return c, nil
}

// inside is the type of the values of a type that wraps another one, or nil.
func (t *typeText) inside() *typeText {
	switch t.name {
	case "Array", "Nullable", "LowCardinality":
		if len(t.args) == 1 && t.args[0].name != "" {
			return &t.args[0]
		}
	}
	return nil
}

func isList(k columns.Kind) bool { return k == columns.Uints || k == columns.Texts }

// wrap makes an array, a nullable column, or one with a dictionary.
func (c *column) wrap(name string, t *typeText) (_ *column, err error) {
	switch name {
	case "Array":
		c.fill = fillArray
		if t.name == "Array" {
			return nil, errMisfit
		}
	case "Nullable":
		c.fill, c.uint, c.text = fillNullable, nullableUint, nullableText
		if t.inside() != nil {
			return nil, errMisfit
		}
	default:
		c.fill, c.uint, c.text, c.dict = fillDictionary, dictionaryUint, dictionaryText, newDictionary()
		nullable := t.name == "Nullable"
		if nullable && t.inside() != nil {
			t = t.inside()
		}
		if t.inside() != nil {
			return nil, errMisfit
		}
		defer func() {
			if err == nil && nullable {
				c.nullKey = make([]byte, max(c.inner.size, 1)) // 0, or an empty string
			}
		}()
	}
	c.inner, err = newValue(c.source, t, c.zone)
	if err == nil && c.dict != nil && c.inner.enum != nil {
		err = errMisfit
	}
	return c, err
}

func (t *typeText) number(i int) (int64, bool) {
	if i < len(t.args) && t.args[i].isNum {
		return t.args[i].value, true
	}
	return 0, false
}

func (c *column) chooseTime(t *typeText) bool {
	switch t.name {
	case "DateTime":
		c.fill, c.size, c.scale = fillDateTime, 4, 1e9
	case "DateTime64":
		digits, ok := t.number(0)
		if !ok || digits < 0 || digits > 9 {
			return false
		}
		c.fill, c.size, c.scale = fillDateTime64, 8, 1
		for range 9 - digits {
			c.scale *= 10
		}
	case "Date":
		c.fill, c.size = fillDate, 2
	case "Date32":
		c.fill, c.size = fillDate32, 4
	default:
		return false
	}
	return true
}

// wholeNumbers are the types of whole numbers: their size, and the highest number that we
// write.
var wholeNumbers = map[string]struct {
	size  int
	limit uint64
}{
	"UInt8": {1, math.MaxUint8}, "UInt16": {2, math.MaxUint16}, "UInt32": {4, math.MaxUint32}, "UInt64": {8, math.MaxUint64},
	"UInt128": {16, math.MaxUint64}, "UInt256": {32, math.MaxUint64}, "Bool": {1, 1},
	"Int8": {1, math.MaxInt8}, "Int16": {2, math.MaxInt16}, "Int32": {4, math.MaxInt32}, "Int64": {8, math.MaxInt64},
	"Int128": {16, math.MaxUint64}, "Int256": {32, math.MaxUint64},
}

func (c *column) chooseUint(t *typeText) bool {
	n, whole := wholeNumbers[t.name]
	switch {
	case whole:
		c.size, c.limit = n.size, n.limit
		c.fill, c.uint = fillUint, appendUint
		return true
	case t.name == "Float32", t.name == "Float64":
		c.size, c.uint = floatSize(t), uintAsFloat
	case t.name == "String":
		c.uint = uintAsText
	case c.setEnum(t):
		c.uint = uintAsEnum
	default:
		return false
	}
	c.fill = fillEachUint
	return true
}

func floatSize(t *typeText) int {
	if t.name == "Float32" {
		return 4
	}
	return 8
}

func (c *column) chooseFloat(t *typeText) bool {
	n, whole := wholeNumbers[t.name]
	switch {
	case whole:
		c.size, c.limit, c.fill = n.size, n.limit, fillFloatUint
	case t.name == "Float32", t.name == "Float64":
		c.size, c.fill = floatSize(t), fillFloat
	case t.name == "String":
		c.fill = fillFloatText
	default:
		return false
	}
	return true
}

func (c *column) chooseAddr(t *typeText) bool {
	length, _ := t.number(0)
	switch {
	case t.name == "IPv6", t.name == "FixedString" && length == 16:
		c.size, c.fill = 16, fillIPv6
	case t.name == "IPv4":
		c.size, c.fill = 4, fillIPv4
	case t.name == "FixedString" && length == 4:
		c.size, c.fill = 4, fillIPv4Bytes
	case t.name == "String":
		c.fill = fillAddrText
	default:
		return false
	}
	return true
}

// maxFixed is the longest FixedString that we fill: each row takes all of it.
const maxFixed = 1024

func (c *column) chooseText(t *typeText) bool {
	switch {
	case t.name == "String":
		c.text, c.fill = appendString, fillString
		switch {
		case c.source == columns.QName.Column():
			c.fill = fillName
		case c.source.Kind == columns.JSON:
			c.fill = fillJSON
		}
		return true
	case c.source.Kind == columns.JSON:
		return false
	case t.name == "FixedString":
		length, ok := t.number(0)
		if !ok || length < 1 || length > maxFixed {
			return false
		}
		c.size, c.text, c.fill = int(length), appendFixed, fillEachText
		if short := columns.ProtocolShort.Column(); c.source == columns.Protocol.Column() && c.size >= short.Chars {
			c.short = short
		}
		return true
	case c.setEnum(t):
		c.text, c.fill = textAsEnum, fillEachText
		return true
	}
	return false
}

// setEnum reads the names and numbers of an Enum. It returns false if the type is none.
func (c *column) setEnum(t *typeText) bool {
	switch t.name {
	case "Enum8":
		c.size = 1
	case "Enum16":
		c.size = 2
	default:
		return false
	}
	e := &enum{numbers: make(map[string]int16), has: make(map[int16]bool), least: math.MaxInt16}
	for _, a := range t.args {
		if a.name != "" || a.isNum || a.value != int64(int16(a.value)) {
			return false
		}
		n := int16(a.value)
		e.numbers[a.text], e.has[n], e.least = n, true, min(e.least, n)
	}
	c.enum = e
	return len(e.has) > 0
}
