package table

import (
	"bytes"

	"dnsmonster-sensor/outputs/columns"
)

// The columns that most tables have, in the types that they have there, are read by calls
// that the compiler inlines: through the table of columns a row of dnsmonster's table takes
// 15 % longer. A test compares the two.

// direct8 and direct16 are fillUint for values that always fit into one byte and two.
var direct8 = map[columns.ID]func(*column, []row){
	columns.IPVersion: func(c *column, rows []row) {
		for i, dst := 0, c.extend(len(rows)); i < len(dst); i++ {
			dst[i] = byte(rows[i].IPVersion())
		}
	},
	columns.Opcode: func(c *column, rows []row) {
		for i, dst := 0, c.extend(len(rows)); i < len(dst); i++ {
			dst[i] = byte(rows[i].Opcode())
		}
	},
	columns.EDNS: func(c *column, rows []row) {
		for i, dst := 0, c.extend(len(rows)); i < len(dst); i++ {
			dst[i] = byte(rows[i].EDNS())
		}
	},
	columns.DO: func(c *column, rows []row) {
		for i, dst := 0, c.extend(len(rows)); i < len(dst); i++ {
			dst[i] = byte(rows[i].DO())
		}
	},
}

var direct16 = map[columns.ID]func(*column, []row){
	columns.QType: func(c *column, rows []row) {
		dst := c.extend(2 * len(rows))
		for i := range rows {
			le.PutUint16(dst[2*i:], rows[i].Question.Type)
		}
	},
	columns.QClass: func(c *column, rows []row) {
		dst := c.extend(2 * len(rows))
		for i := range rows {
			le.PutUint16(dst[2*i:], rows[i].Question.Class)
		}
	},
	columns.Rcode: func(c *column, rows []row) {
		dst := c.extend(2 * len(rows))
		for i := range rows {
			le.PutUint16(dst[2*i:], uint16(rows[i].Rcode()))
		}
	},
	columns.SrcPort: func(c *column, rows []row) {
		dst := c.extend(2 * len(rows))
		for i := range rows {
			le.PutUint16(dst[2*i:], rows[i].Event.Src.Port())
		}
	},
	columns.DstPort: func(c *column, rows []row) {
		dst := c.extend(2 * len(rows))
		for i := range rows {
			le.PutUint16(dst[2*i:], rows[i].Event.Dst.Port())
		}
	},
	columns.MessageID: func(c *column, rows []row) {
		dst := c.extend(2 * len(rows))
		for i := range rows {
			le.PutUint16(dst[2*i:], rows[i].Event.DNS.ID)
		}
	},
}

// fillSrcIP and fillDstIP are fillIPv6.
func fillSrcIP(c *column, rows []row) {
	dst := c.extend(16 * len(rows))
	for i := range rows {
		b := rows[i].Event.Src.Addr().As16()
		copy(dst[16*i:], b[:])
	}
}

func fillDstIP(c *column, rows []row) {
	dst := c.extend(16 * len(rows))
	for i := range rows {
		b := rows[i].Event.Dst.Addr().As16()
		copy(dst[16*i:], b[:])
	}
}

// fillProtocol3 fills dnsmonster's three characters.
func fillProtocol3(c *column, rows []row) {
	dst := c.extend(3 * len(rows))
	for i := range rows {
		p := rows[i].Event.Proto
		to := dst[3*i : 3*i+3]
		clear(to[copy(to, p.Short()):]) // a number is shorter
		if len(p.String()) > 3 {
			c.clamped++
		}
	}
}

// setDirect replaces the column's fill by a direct one, if there is one for its type.
func (c *column) setDirect(id columns.ID, t *typeText) {
	fill := c.fill
	switch t.name {
	case "UInt8":
		fill = direct8[id]
	case "UInt16":
		fill = direct16[id]
	case "IPv6":
		fill = map[columns.ID]func(*column, []row){columns.SrcIP: fillSrcIP, columns.DstIP: fillDstIP}[id]
	case "FixedString":
		if id == columns.Protocol && c.size == 3 {
			fill = fillProtocol3
		}
	}
	if fill != nil {
		c.fill = fill
	}
}

// sameValue compares what texts are made of, at a fraction of the cost.
var sameValue = map[columns.ID]func(a, b *row) bool{
	columns.Protocol:  func(a, b *row) bool { return a.Event.Proto == b.Event.Proto },
	columns.Direction: func(a, b *row) bool { return a.Event.Direction == b.Event.Direction },
	columns.Tunnel:    func(a, b *row) bool { return a.Event.Tunnel == b.Event.Tunnel },
	columns.Identity:  func(a, b *row) bool { return bytes.Equal(a.Event.Identity, b.Event.Identity) },
	columns.Version:   func(a, b *row) bool { return bytes.Equal(a.Event.Version, b.Event.Version) },
}

// setSame lets a dictionary of strings take runs of equal values.
func (c *column) setSame(id columns.ID, t *typeText) {
	if in := t.inside(); t.name == "LowCardinality" && in != nil && in.name == "String" {
		c.same = sameValue[id]
	}
}
