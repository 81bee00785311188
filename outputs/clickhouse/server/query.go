package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// Result is a small answer as text, as toString has it, unescaped. NULL is \N.
type Result struct {
	Names, Types []string
	Rows         [][]string
}

// Query returns the answer to a query. An answer of more than 100,000 rows, 1,000,000
// cells or 16 MiB is an error, as is a column of an exotic type: select toString of it.
func (c *Conn) Query(ctx context.Context, sql string) (*Result, error) {
	start, result := time.Now(), new(Result)
	err := c.do(ctx, "query", func() error { return c.query(sql, result) })
	c.logged(sql, start, len(result.Rows), err)
	if err != nil {
		return nil, err
	}
	return result, nil
}

// Exec runs a statement, and discards its answer.
func (c *Conn) Exec(ctx context.Context, sql string) error {
	_, err := c.Query(ctx, sql)
	return err
}

func (c *Conn) query(sql string, result *Result) error {
	if err := c.sendQuery(sql, nil, false); err != nil {
		return err
	}
	c.in.allow(maxResult)
	text := 0
	block := func() error {
		r, err := c.startBlock(false)
		if err != nil {
			return err
		}
		return c.readColumns(r, result, &text)
	}
	for {
		code, err := c.packet(block)
		if err != nil || code == proto.ServerCodeEndOfStream {
			return err
		}
	}
}

// readColumns adds a block to the result. text counts the bytes of all its blocks.
func (c *Conn) readColumns(r *reader, result *Result, text *int) error {
	columns, rows := c.readBlockHead(r)
	if (len(result.Rows)+rows) > maxRows || (len(result.Rows)+rows)*columns > maxCells {
		r.fail(errTooLong)
	}
	if r.err != nil || columns == 0 {
		return r.err
	}
	var names, types []string
	table := make([][]string, rows)
	cells := make([]string, rows*columns)
	for i := range table {
		table[i], cells = cells[:columns:columns], cells[columns:]
	}
	for column := range columns {
		name, typ := r.string(), r.string()
		if r.err != nil {
			return r.err
		}
		names, types = append(names, name), append(types, typ)
		if rows == 0 {
			continue
		}
		values, err := c.readColumn(r, typ, rows, text)
		if err != nil {
			return fmt.Errorf("column %s: %w", printableLine(name), err)
		}
		for i, value := range values {
			table[i][column] = value
		}
	}
	if result.Names != nil && !slices.Equal(names, result.Names) {
		return fmt.Errorf("the blocks of the answer have different columns")
	}
	result.Names, result.Types = names, types
	result.Rows = append(result.Rows, table...)
	return nil
}

func (c *Conn) readColumn(r *reader, typ string, rows int, text *int) ([]string, error) {
	t, err := parseType(typ, 0)
	if err != nil {
		return nil, err
	}
	d := &decoder{reader: r, zone: c.zone, text: text}
	d.state(t)
	values := d.values(t, rows)
	return values, r.err
}
