package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// Column is a column of a block. State and Data are its bytes in ClickHouse's native
// format, in any number of pieces. They are borrowed until Insert returns, also if ctx
// ends.
type Column struct {
	Name, Type  string
	Rows        int
	State, Data [][]byte // State is what precedes the rows: of LowCardinality
}

// Setting is a setting of one query. A server that does not know it ignores it, unless it
// is required: then it refuses the query.
type Setting struct {
	Name, Value string
	Required    bool
}

const inserting = "insert at"

// Insert sends one block with one INSERT, whose text ends with VALUES and names the
// columns. Without an error the server has acknowledged it. MayBeStored says what an error
// leaves open; after any error the connection is broken, and nothing reads the columns.
func (c *Conn) Insert(ctx context.Context, sql string, cols []Column, settings []Setting) error {
	start := time.Now()
	if err := c.checkInsert(cols); err != nil {
		return c.failed(ctx, inserting, err, false)
	}
	stop := c.watch(ctx)
	sent := false
	err := c.startInsert(sql, cols, settings)
	if err == nil {
		sent, err = c.sendBlock(cols)
	}
	if !stop() && err == nil {
		// Acknowledged, but the deadline of the connection is over.
		c.close()
	}
	if err != nil {
		c.close()
		err = c.failed(ctx, inserting, err, sent)
	}
	c.logged(sql, start, cols[0].Rows, err)
	return err
}

func (c *Conn) checkInsert(cols []Column) error {
	if c.Broken() {
		return errBroken
	}
	if len(cols) == 0 || cols[0].Rows == 0 {
		return errors.New("a block without rows")
	}
	for i := range cols {
		if cols[i].Rows != cols[0].Rows {
			return fmt.Errorf("column %s has %d rows, column %s %d", cols[i].Name, cols[i].Rows, cols[0].Name, cols[0].Rows)
		}
	}
	return nil
}

// startInsert sends the query, and waits until the server wants its data.
func (c *Conn) startInsert(sql string, cols []Column, settings []Setting) error {
	if err := c.sendQuery(sql, settings, c.out.compress != nil); err != nil {
		return err
	}
	c.in.allow(maxAnswer)
	for {
		code, err := c.packet(func() error { return c.compareHeader(cols) })
		switch {
		case err != nil || code == proto.ServerCodeData:
			return err
		case code == proto.ServerCodeEndOfStream:
			return errors.New("the server has ended the INSERT before its data")
		}
	}
}

// compareHeader reads the empty block that precedes data: the columns as they are now.
func (c *Conn) compareHeader(cols []Column) error {
	r, err := c.startBlock(c.out.compress != nil)
	if err != nil {
		return err
	}
	n, rows := c.readBlockHead(r)
	if r.err == nil && rows > 0 {
		return errors.New("the server answers an INSERT with rows")
	}
	if r.err == nil && n != len(cols) {
		return &changedError{fmt.Sprintf("the server expects %d columns, not %d", n, len(cols))}
	}
	for i := range n {
		name, typ := r.string(), r.string()
		switch {
		case r.err != nil:
			return r.err
		case name != cols[i].Name:
			return &changedError{fmt.Sprintf("the server expects column %s, not %s", printableLine(name), printableLine(cols[i].Name))}
		case typ != cols[i].Type && typ != withoutDictionaries(cols[i].Type):
			return &changedError{fmt.Sprintf("column %s is %s now, not %s", printableLine(name), printableLine(typ), printableLine(cols[i].Type))}
		}
	}
	return r.err
}

// withoutDictionaries is a type as a server names it that has switched off
// low_cardinality_allow_in_native_format. It takes the table's own types all the same.
func withoutDictionaries(typ string) string {
	const begin = "LowCardinality("
	for {
		at := strings.Index(typ, begin)
		if at < 0 {
			return typ
		}
		inner, open := typ[at+len(begin):], 0
		end := strings.IndexFunc(inner, func(r rune) bool {
			switch r {
			case '(':
				open++
			case ')':
				open--
			}
			return open < 0
		})
		if end < 0 {
			return typ
		}
		typ = typ[:at] + inner[:end] + inner[end+1:]
	}
}

// sendBlock sends the data while another goroutine waits for the answer, because a server
// that has failed may read no more. Both have ended when it returns.
func (c *Conn) sendBlock(cols []Column) (sent bool, err error) {
	c.in.allow(maxAnswer)
	go c.readAnswer()
	sent, err = c.out.block(cols)
	if err != nil && !isTimeout(err) {
		c.raw.SetReadDeadline(time.Now().Add(time.Second)) // for the reason, if the server has said one
	}
	answer := <-c.answers
	switch {
	case err == nil, answer != nil && isTimeout(err), asError(answer, new(*Error)):
		return sent, answer
	}
	return sent, err
}

// readAnswer waits for the end of an INSERT. An error ends what is being sent.
func (c *Conn) readAnswer() {
	for {
		code, err := c.packet(nil)
		if err != nil {
			c.raw.SetWriteDeadline(time.Unix(1, 0))
		}
		if err != nil || code == proto.ServerCodeEndOfStream {
			c.answers <- err
			return
		}
	}
}

// CheckInsert runs an INSERT without a row: the server says whether it would take one with
// these settings.
func (c *Conn) CheckInsert(ctx context.Context, sql string, settings []Setting) error {
	return c.do(ctx, "insert", func() error {
		if err := c.sendQuery(sql, settings, false); err != nil {
			return err
		}
		c.in.allow(maxAnswer)
		for asked := false; ; {
			code, err := c.packet(nil)
			if err != nil || code == proto.ServerCodeEndOfStream {
				return err
			}
			if code != proto.ServerCodeData || asked {
				continue
			}
			asked = true
			if err = c.out.endOfData(false); err == nil {
				err = c.out.flush()
			}
			if err != nil {
				return c.afterWriteError(err)
			}
		}
	})
}
