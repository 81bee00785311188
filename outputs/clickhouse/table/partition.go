package table

import (
	"strings"
	"time"

	"dnsmonster-sensor/outputs/columns"
)

// A server refuses a block with rows of more than 100 partitions
// (max_partitions_per_insert_block).
const partitionsOfPart = 50

// partitionKey is what is known of the expression that determines a row's partition. Two
// times belong to the same partition if they are in the same step of all functions in
// steps. So the number of steps is at least that of partitions.
type partitionKey struct {
	steps   []step
	unknown bool // there is more in it: only the server knows the number of partitions
}

// step is a function of PacketTime that only changes from one period to the next.
type step struct {
	unit  unit
	first time.Weekday // of a week
	zone  *time.Location
}

type unit uint8

const (
	minute unit = iota
	hour
	day
	week
	month
	quarter
	year
)

// units are the functions that we know, in lower case. Where the period is a multiple, the
// unit is its part: then there are more steps than partitions, which does no harm.
var units = map[string]unit{
	"tostartofminute": minute, "tostartoffiveminute": minute, "tostartoffiveminutes": minute, "tostartoftenminutes": minute,
	"tostartoffifteenminutes": minute, "torelativeminutenum": minute, "tointervalminute": minute,
	"tostartofhour": hour, "torelativehournum": hour, "tointervalhour": hour, "toyyyymmddhh": hour,
	"todate": day, "todate32": day, "tostartofday": day, "toyyyymmdd": day, "torelativedaynum": day, "tointervalday": day,
	"tomonday": week, "tostartofweek": week, "toyearweek": week, "torelativeweeknum": day, "tointervalweek": week,
	"toyyyymm": month, "tostartofmonth": month, "torelativemonthnum": month, "tointervalmonth": month,
	"tostartofquarter": quarter, "torelativequarternum": quarter, "tointervalquarter": quarter,
	"toyear": year, "tostartofyear": year, "torelativeyearnum": year, "tointervalyear": year,
}

// readKey reads the key of the table.
func (p *Plan) readKey() (k partitionKey) {
	text := strings.TrimSpace(p.Def.PartitionKey)
	if strings.HasPrefix(text, "(") {
		text = "tuple" + text
	}
	if text == "" {
		return k
	}
	t, err := parseType(strings.ReplaceAll(text, "`", ""))
	if err != nil {
		return partitionKey{unknown: true}
	}
	list := []typeText{t}
	if t.name == "tuple" {
		list = t.args
	}
	for i := range list {
		p.readElement(&list[i], &k)
	}
	return k
}

func (p *Plan) readElement(t *typeText, k *partitionKey) {
	switch p.columnOf(t) {
	case int(columns.IndexTime): // all rows of a block have the same
		return
	case int(columns.Server):
		if !p.options.UseIdentity && len(t.args) == 0 {
			return
		}
	case int(columns.PacketTime):
		if s, ok := p.readStep(t); ok {
			k.steps = append(k.steps, s)
			return
		}
	}
	k.unknown = true
}

// columnOf returns the only column of ours in an expression of functions, or -1.
func (p *Plan) columnOf(t *typeText) int {
	for len(t.args) > 0 {
		t = &t.args[0]
	}
	for _, c := range p.columns {
		if c.def.Name == t.name {
			return int(c.source)
		}
	}
	return -1
}

// readStep reads a function of PacketTime, perhaps of its date.
func (p *Plan) readStep(t *typeText) (s step, ok bool) {
	s.zone = p.timeZone()
	if strings.EqualFold(t.name, "toStartOfInterval") && len(t.args) >= 2 {
		interval := t.args[1]
		if _, ok := interval.number(0); !ok {
			return s, false
		}
		t = &typeText{name: interval.name, args: append([]typeText{t.args[0]}, t.args[2:]...)}
		if strings.EqualFold(interval.name, "toIntervalWeek") {
			s.first = time.Monday
		}
	}
	s.unit, ok = units[strings.ToLower(t.name)]
	if !ok || len(t.args) == 0 {
		return s, false
	}
	if strings.EqualFold(t.name, "toMonday") {
		s.first = time.Monday
	}
	for _, a := range t.args[1:] {
		switch {
		case a.isNum && a.value%2 == 1: // the mode of a week
			s.first = time.Monday
		case a.text != "":
			s.zone = location(a.text)
		case !a.isNum:
			return s, false
		}
	}
	inner := &t.args[0]
	if len(inner.args) == 0 {
		return s, true
	}
	return s, units[strings.ToLower(inner.name)] == day && strings.HasPrefix(strings.ToLower(inner.name), "todate") && len(inner.args[0].args) == 0
}

// timeZone is that of the column PacketTime.
func (p *Plan) timeZone() *time.Location {
	for _, c := range p.columns {
		if c.source != columns.PacketTime {
			continue
		}
		for _, a := range c.typ.args {
			if a.text != "" {
				return location(a.text)
			}
		}
	}
	return location(p.Def.Zone)
}

// period returns the time around ns in which all rows belong to the same partition.
func (k *partitionKey) period(ns int64) span {
	s := span{-1 << 63, 1<<63 - 1}
	for i := range k.steps {
		p := k.steps[i].period(ns)
		s.from, s.to = max(s.from, p.from), min(s.to, p.to)
	}
	return s
}

func (s *step) period(ns int64) span {
	t := time.Unix(0, ns).In(s.zone)
	y, m, d := t.Date()
	date := func(y int, m time.Month, d int) int64 { return nanoseconds(time.Date(y, m, d, 0, 0, 0, 0, s.zone)) }
	switch s.unit {
	case minute, hour:
		length := int64(time.Minute)
		if s.unit == hour {
			length = int64(time.Hour)
		}
		_, offset := t.Zone()
		from := floorDiv(ns+int64(offset)*1e9, length)*length - int64(offset)*1e9
		return span{from, from + length}
	case day:
		return span{date(y, m, d), date(y, m, d+1)}
	case week:
		d -= int(t.Weekday()-s.first+7) % 7
		return span{date(y, m, d), date(y, m, d+7)}
	case month:
		return span{date(y, m, 1), date(y, m+1, 1)}
	case quarter:
		m -= (m - 1) % 3
		return span{date(y, m, 1), date(y, m+3, 1)}
	}
	return span{date(y, 1, 1), date(y+1, 1, 1)}
}

// nanoseconds is the time as in events, or the nearest that they can have.
func nanoseconds(t time.Time) int64 {
	const most = (1<<63-1)/1_000_000_000 - 1
	if s := t.Unix(); s > most || s < -most {
		if s > 0 {
			return 1<<63 - 1
		}
		return -1 << 63
	}
	return t.UnixNano()
}
