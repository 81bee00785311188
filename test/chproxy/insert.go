//go:build linux

package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"dnsmonster-sensor/test/chdb"
	"dnsmonster-sensor/test/chproxy/fault"

	"github.com/ClickHouse/ch-go/proto"
)

// insert answers the columns of an INSERT, reads its data, and stores it. head is the SQL
// without VALUES. ends: the connection is of no use any more.
func (c *conn) insert(head, table, columns string, note *fault.Insert) (ends bool, err error) {
	if err := c.disturb(fault.Query); err != nil {
		return false, err
	}
	var all []described
	var plain []byte
	err = c.s.use(c.database, c.query.Settings, func(e *chdb.Session) (err error) {
		if all, err = describe(e, table); err == nil {
			plain, err = e.Query("SELECT toUInt8(NOT getSetting('low_cardinality_allow_in_native_format'))", "TSV")
		}
		return err
	})
	if err != nil {
		return false, err
	}
	list, err := choose(all, table, columns)
	if err != nil {
		return false, err
	}
	if plain[0] == '1' { // a server does this to the columns, and takes data of their own types
		for i := range list {
			list[i].typ = dictionary.ReplaceAllString(list[i].typ, "$1")
		}
	}
	if err := c.sendColumns(all, list); err != nil {
		return true, err
	}
	if err := c.disturb(fault.Header); err != nil {
		return c.drain(err)
	}
	c.block = stream{discard: c.fault != nil && c.fault.Do == fault.Discard}
	if err := c.readBlocks(note); errors.Is(err, errCancelled) {
		return false, err
	} else if err != nil {
		return true, err
	}
	if err := c.disturb(fault.Data); err != nil {
		return false, err
	}
	if note.Rows > 0 && !c.block.discard {
		err := c.s.use(c.database, c.query.Settings, func(e *chdb.Session) error { return e.Insert(head, "Native", c.block.kept) })
		if err != nil {
			return false, err
		}
	}
	return false, c.disturb(fault.Stored)
}

var dictionary = regexp.MustCompile(`LowCardinality\((\w+|\w+\(\w+\))\)`)

func (c *conn) readBlocks(note *fault.Insert) error {
	for {
		rows, end, err := c.readBlock()
		if err != nil {
			return err
		}
		if end {
			return nil
		}
		note.Rows += rows
		note.Blocks++
		if note.Blocks == 1 {
			if err := c.disturb(fault.Block); err != nil {
				return err
			}
		}
	}
}

// drain answers an exception while the client still sends data, and reads that.
func (c *conn) drain(failure error) (ends bool, err error) {
	if errors.Is(failure, errClose) {
		return true, failure
	}
	if err := c.exception(failure); err != nil {
		return true, err
	}
	c.block = stream{discard: true}
	for {
		if _, end, err := c.readBlock(); err != nil || end {
			return true, failure // no client goes on after this
		}
	}
}

// choose picks the columns that an INSERT names, in its order; those that take values if
// it names none.
func choose(all []described, table, columns string) (list []described, err error) {
	if strings.TrimSpace(columns) == "" {
		for _, d := range all {
			if d.kind == "" || d.kind == "DEFAULT" {
				list = append(list, d)
			}
		}
		return list, nil
	}
	for name := range strings.SplitSeq(columns, ",") {
		name = strings.Trim(strings.TrimSpace(name), "`\"")
		i := slices.IndexFunc(all, func(d described) bool { return d.name == name })
		if i < 0 {
			return nil, &exception{proto.ErrNoSuchColumnInTable, fmt.Sprintf("No such column %s in table %s", name, table)}
		}
		list = append(list, all[i])
	}
	return list, nil
}

// sendColumns answers how the table and the data of an INSERT must look.
func (c *conn) sendColumns(all, list []described) error {
	if proto.FeatureColumnDefaultsMetadata.In(c.revision) {
		var b strings.Builder
		fmt.Fprintf(&b, "columns format version: 1\n%d columns:\n", len(all))
		for _, d := range all {
			fmt.Fprintf(&b, "%s %s", backquote(d.name), d.typ)
			if d.kind != "" {
				fmt.Fprintf(&b, "\t%s\t%s", d.kind, d.expression)
			}
			b.WriteByte('\n')
		}
		proto.TableColumns{Second: b.String()}.EncodeAware(&c.out, c.revision)
	}
	if err := c.data(emptyBlock(list, c.revision)); err != nil {
		return err
	}
	return c.flush()
}
