package table

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"dnsmonster-sensor/outputs/clickhouse/schema"
	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/outputs/format"
)

// Options are what the values of rows depend on beside the events.
type Options struct {
	FullQuery   bool           // write the whole record into FullQuery
	UseIdentity bool           // Server is the identity of a dnstap message, where there is one
	Server      string         // name of the sensor
	Records     format.Options // of the whole record; the names of interfaces, too
	Old         bool           // the server is one of 2018, without our newer types
}

// Plan is which columns of a table are written, and how.
type Plan struct {
	Def     *Def
	Missing []string // columns of ours that the table lacks, dnsmonster's first
	Foreign []string // columns of theirs that we do not fill, and that have no DEFAULT
	Losses  []Loss

	options Options
	columns []planned
	key     partitionKey
}

// planned is a column that is written.
type planned struct {
	def    ColumnDef
	typ    typeText
	source columns.ID
}

// Loss is a column that cannot hold all values as they are.
type Loss struct {
	Column string
	Note   string // how they are changed
	Fix    string // the statement that prevents it; "": nothing does
	Why    string // there is no Fix
}

// Plan chooses the columns. The error says why nothing can be written to the table, and
// which statement helps.
func (d *Def) Plan(o Options) (*Plan, error) {
	p := &Plan{Def: d, options: o}
	used := make(map[string]bool)
	var problems []error
	for _, f := range fields {
		def, ok := d.column(f.Name, used)
		if !ok || def.computed() {
			if f.ID == columns.PacketTime {
				return nil, d.withoutTime(ok)
			}
			if !ok {
				p.Missing = append(p.Missing, f.Name)
			} else {
				used[def.Name] = true
			}
			continue
		}
		used[def.Name] = true
		if err := p.add(f, def); err != nil {
			problems = append(problems, err)
		}
	}
	for _, c := range d.Columns {
		if !used[c.Name] && c.Default == "" {
			p.Foreign = append(p.Foreign, c.Name)
		}
	}
	p.key = p.readKey()
	return p, errors.Join(problems...)
}

// column finds a column by its name, if need be without case.
func (d *Def) column(name string, used map[string]bool) (found ColumnDef, ok bool) {
	for _, c := range d.Columns {
		if c.Name == name {
			return c, true
		}
		if !ok && !used[c.Name] && strings.EqualFold(c.Name, name) {
			found, ok = c, true
		}
	}
	return found, ok
}

// computed reports whether the server computes the column, so that nobody can write it.
func (c *ColumnDef) computed() bool {
	switch strings.ToUpper(c.Default) {
	case "MATERIALIZED", "ALIAS", "EPHEMERAL":
		return true
	}
	return false
}

func (d *Def) withoutTime(there bool) error {
	why := "it has no column PacketTime, so it is of an older layout of dnsmonster, or no table of DNS records"
	if there {
		why = "the server computes its column PacketTime"
	}
	return fmt.Errorf("table %s cannot be written: %s: its rows would be of 1970, and be deleted as expired. "+
		"Choose another table with --clickhousetable, and create it with `dnsmonster-sensor clickhouse init`", d.Name(), why)
}

func (p *Plan) add(f field, def ColumnDef) error {
	c, t, err := p.open(f.ID, def)
	if err != nil {
		return fmt.Errorf("column %s of table %s has the type %.200s, which cannot hold our values (%s, such as %s): %s",
			def.Name, p.Def.Name(), def.Type, f.ID.Column().Values(), p.typeOf(f), p.modify(f, def, p.typeOf(f)))
	}
	p.columns = append(p.columns, planned{def, t, f.ID})
	if note := c.lossNote(); note != "" {
		l := Loss{Column: def.Name, Note: note}
		l.Fix, l.Why = p.widen(f, def, &t, note)
		p.Losses = append(p.Losses, l)
	}
	return nil
}

// open makes the encoder of a column.
func (p *Plan) open(id columns.ID, def ColumnDef) (*column, typeText, error) {
	t, err := parseType(def.Type)
	if err != nil {
		return nil, t, err
	}
	c, err := newColumn(id.Column(), &t, location(p.Def.Zone))
	if err == nil {
		c.setDirect(id, &t)
		c.setSame(id, &t)
		c.setup(def, id, p.options)
	}
	return c, t, err
}

// typeOf is the type that holds all values of a field, as far as the server has one.
func (p *Plan) typeOf(f field) string {
	if p.options.Old {
		return schema.OldType(f.typ)
	}
	return f.typ
}

// widen is the statement that prevents a loss, or why there is none. NULLs in the column stay
// what they are, and so does the function that sums it up.
func (p *Plan) widen(f field, def ColumnDef, t *typeText, note string) (fix, why string) {
	typ, function := p.typeOf(f), ""
	if t.name == "SimpleAggregateFunction" && len(t.args) == 2 {
		function, t = t.args[0].name, &t.args[1]
	}
	if inner := t.inside(); inner != nil && t.name == "LowCardinality" {
		t = inner
	}
	if t.name == "Nullable" {
		if inner, ok := strings.CutPrefix(typ, "LowCardinality("); ok {
			typ = "LowCardinality(Nullable(" + inner + ")"
		} else {
			typ = "Nullable(" + typ + ")"
		}
		t = t.inside()
	}
	if function != "" {
		typ = "SimpleAggregateFunction(" + function + ", " + typ + ")"
	}
	c, _, err := p.open(f.ID, ColumnDef{Name: def.Name, Type: typ})
	switch {
	case p.Def.hasKey(def.Name):
		return "", "it is in the table's key, and so keeps its type"
	case f.ID.Column().Kind == columns.Addr && t.name == "FixedString":
		return "", "the server cannot convert the bytes that are there"
	case err != nil || c.lossNote() == note:
		return "", "the server has no type that holds more"
	}
	return p.modify(f, def, typ), ""
}

// modify is the statement that gives a column another type. Rows without a weight count once.
func (p *Plan) modify(f field, def ColumnDef, typ string) string {
	sql := "ALTER TABLE " + p.Def.Name() + " MODIFY COLUMN " + identifier(def.Name) + " " + typ
	if f.ID == columns.SampleRate {
		sql += " DEFAULT 1"
	}
	return sql
}

// setup sets what does not depend on the type.
func (c *column) setup(def ColumnDef, id columns.ID, o Options) {
	c.name, c.typ = def.Name, def.Type
	c.constant = id == columns.IndexTime || id == columns.Server && !o.UseIdentity
	if c.constant && c.inner == nil {
		c.fill, c.fillValue = fillConstant, c.fill
	}
	if flag := flagOf[id]; flag != 0 && c.size == 1 && c.uint != nil && c.enum == nil && c.inner == nil {
		c.fill, c.shift = fillFlag, bits.TrailingZeros16(flag)
	}
	if id == columns.FullRecord && o.FullQuery {
		if f, err := format.New("json", o.Records); err == nil {
			c.setJSON(f.NewEncoder())
		}
	}
}

func (c *column) setJSON(e format.Encoder) {
	c.json = e
	if c.inner != nil {
		c.inner.setJSON(e)
	}
}

// lossNote says how values that the column cannot hold are changed. It is "" if the column
// can hold all values.
func (c *column) lossNote() string {
	if c.inner != nil {
		return c.inner.lossNote()
	}
	switch k := c.source.Kind; {
	case c.enum != nil:
		return "values that the Enum lacks are written as its lowest one"
	case k == columns.Time && c.scale == 1e9 && c.size == 4:
		return "times have whole seconds, those before 1970 and after 2105 are moved to the nearest"
	case k == columns.Time && c.size < 8:
		return "times lose the time of day"
	case k == columns.Addr && c.size == 4:
		return "IPv6 addresses are written as 0.0.0.0"
	case k == columns.Float && c.limit > 0:
		return "numbers are rounded, those above " + fmt.Sprint(c.limit) + " are written as that"
	case c.limit > 0 && c.source.Bits > 0 && c.limit < 1<<c.source.Bits-1:
		return fmt.Sprintf("values above %d are written as %d", c.limit, c.limit)
	case c.short != nil && c.size < c.source.Chars:
		return "dnscryptudp and dnscrypttcp are written as dcu and dct"
	case c.text != nil && c.size > 0 && (c.source.Chars == 0 || c.size < c.source.Chars):
		return fmt.Sprintf("longer texts are truncated to %d bytes", c.size)
	}
	return ""
}

// Name is the table's full name as SQL.
func (p *Plan) Name() string { return p.Def.Name() }

// InsertSQL is the statement that a block of the columns follows.
func (p *Plan) InsertSQL() string {
	var names []string
	for _, c := range p.columns {
		names = append(names, identifier(c.def.Name))
	}
	return "INSERT INTO " + p.Name() + " (" + strings.Join(names, ", ") + ") VALUES"
}
