package table

import (
	"math"
	"time"
)

// Limits of times, in seconds: of DateTime64 and Date32, which begin in 1900, and of Date32
// in days.
const (
	firstSecond = -2208988800
	lastDay32   = 120529 // 2299-12-31
	secondsADay = 86400
)

// floorDiv is cheap if by is a constant.
func floorDiv(v, by int64) int64 {
	q := v / by
	if v%by < 0 {
		q--
	}
	return q
}

// within returns v, or the nearest of from and to.
func (c *column) within(v, from, to int64) int64 {
	switch {
	case v < from:
		c.clamped++
		return from
	case v > to:
		c.clamped++
		return to
	}
	return v
}

func fillDateTime(c *column, rows []row) {
	dst := c.extend(4 * len(rows))
	for i := range rows {
		le.PutUint32(dst[4*i:], uint32(c.within(floorDiv(c.source.Time(&rows[i].Row), 1e9), 0, math.MaxUint32)))
	}
}

// fillDateTime64 fills ticks of c.scale nanoseconds.
func fillDateTime64(c *column, rows []row) {
	dst := c.extend(8 * len(rows))
	for i := range rows {
		v := c.within(c.source.Time(&rows[i].Row), firstSecond*1e9, math.MaxInt64)
		switch c.scale {
		case 1:
		case 1e3:
			v = floorDiv(v, 1e3)
		case 1e6:
			v = floorDiv(v, 1e6)
		default:
			v = floorDiv(v, c.scale)
		}
		le.PutUint64(dst[8*i:], uint64(v))
	}
}

// days is the date of a time in the server's zone, in days since 1970.
func (c *column) days(ns int64) int64 {
	if !c.day.has(ns) {
		y, m, d := time.Unix(0, ns).In(c.zone).Date()
		c.day = span{nanoseconds(time.Date(y, m, d, 0, 0, 0, 0, c.zone)), nanoseconds(time.Date(y, m, d+1, 0, 0, 0, 0, c.zone))}
		c.dayNo = floorDiv(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix(), secondsADay)
	}
	return c.dayNo
}

func fillDate(c *column, rows []row) {
	for i := range rows {
		c.buf = le.AppendUint16(c.buf, uint16(c.within(c.days(c.source.Time(&rows[i].Row)), 0, math.MaxUint16)))
	}
}

func fillDate32(c *column, rows []row) {
	for i := range rows {
		c.buf = le.AppendUint32(c.buf, uint32(c.within(c.days(c.source.Time(&rows[i].Row)), firstSecond/secondsADay, lastDay32)))
	}
}

// span is a period, in nanoseconds.
type span struct{ from, to int64 }

func (s span) has(ns int64) bool { return ns >= s.from && ns < s.to }
