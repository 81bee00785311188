//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"time"

	"dnsmonster-sensor/test/chdb"
	"dnsmonster-sensor/test/chproxy/fault"

	"github.com/ClickHouse/ch-go/proto"
)

var (
	insertSQL = regexp.MustCompile("(?is)^(INSERT\\s+INTO\\s+(?:TABLE\\s+)?((?:[\\w.]|`[^`]*`|\"[^\"]*\")+)\\s*(?:\\(([^()]*)\\))?(?:\\s*SETTINGS\\s.*?)?)\\s*(?:VALUES|FORMAT\\s+\\w+)?\\s*;?$")
	useSQL    = regexp.MustCompile("(?is)^USE\\s+[`\"]?(\\w+)[`\"]?\\s*;?$")
	rowsSQL   = regexp.MustCompile(`(?is)^\(*\s*(?:SELECT|WITH)\b`)
	formatSQL = regexp.MustCompile(`(?is)\s+FORMAT\s+\w+\s*$`)
)

// runQuery reads a query, and answers it. An error ends the connection.
func (c *conn) runQuery() error {
	if err := c.decodeQuery(); err != nil {
		return err
	}
	sql := strings.TrimSpace(c.query.Body)
	m := insertSQL.FindStringSubmatch(sql)
	c.fault = c.s.fault(sql, m != nil)
	if m != nil {
		note := fault.Insert{Begin: time.Now(), Connection: c.id, SQL: sql, Settings: make(map[string]string)}
		for _, st := range c.query.Settings {
			note.Settings[st.Key] = st.Value
		}
		ends, err := c.insert(m[1], m[2], m[3], &note)
		note.End = time.Now()
		if err != nil {
			note.Error = err.Error()
		}
		c.s.note(note)
		return c.answer(ends, err)
	}
	err := c.disturb(fault.Query)
	if err == nil {
		err = c.rows(sql)
	}
	if err == nil {
		err = c.disturb(fault.Stored)
	}
	return c.answer(false, err)
}

// answer ends a query: with the end of its answer or with an exception. ends: the
// connection is of no use any more.
func (c *conn) answer(ends bool, err error) error {
	switch {
	case ends || errors.Is(err, errClose):
		return err
	case err != nil && !errors.Is(err, errCancelled):
		c.out.Reset()
		return c.exception(err)
	}
	proto.ServerCodeEndOfStream.Encode(&c.out)
	return c.flush()
}

// rows runs a query that brings no data.
func (c *conn) rows(sql string) error {
	if m := useSQL.FindStringSubmatch(sql); m != nil {
		c.database = m[1]
		return c.s.use(c.database, nil, func(*chdb.Session) error { return nil })
	}
	sql = formatSQL.ReplaceAllString(strings.TrimRight(sql, "; \n\t"), "")
	var header []described
	var pieces [][]byte
	err := c.s.use(c.database, c.query.Settings, func(e *chdb.Session) error {
		if !rowsSQL.MatchString(sql) { // the engine gives only these piece by piece
			piece, err := e.Query(sql, "Native")
			pieces = append(pieces, piece)
			return err
		}
		var err error // pieces have no rows of an empty answer, and no zones of times
		if header, err = describe(e, "("+sql+"\n)"); err != nil {
			return err
		}
		return e.Select(sql, "Native", func(piece []byte) error {
			pieces = append(pieces, piece)
			if c.left() {
				return errCancelled
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	if header != nil {
		if err := c.data(emptyBlock(header, c.revision)); err != nil {
			return err
		}
	}
	rows := 0
	for _, piece := range pieces {
		n, err := c.blocks(piece, header)
		if err != nil {
			return err
		}
		rows += n
	}
	if header != nil {
		proto.Profile{Rows: uint64(rows), Blocks: uint64(len(pieces))}.EncodeAware(&c.out, c.revision)
		proto.ServerCodeProgress.Encode(&c.out)
		proto.Progress{Rows: uint64(rows)}.EncodeAware(&c.out, c.revision)
	}
	return nil
}

// blocks puts the blocks of a piece of native format into the answer.
func (c *conn) blocks(piece []byte, header []described) (rows int, err error) {
	s := &stream{r: bufio.NewReader(bytes.NewReader(piece))}
	for {
		s.kept = s.kept[:0]
		columns, err := s.uvarint()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return 0, err
		}
		n, err := s.uvarint()
		if err != nil {
			return 0, err
		}
		var block proto.Buffer
		block.PutInt(columns)
		block.PutInt(n)
		for i := range columns {
			d := described{}
			if d.name, err = s.text(); err == nil {
				d.typ, err = s.text()
			}
			if err != nil {
				return 0, err
			}
			s.kept = s.kept[:0]
			if n > 0 {
				if err := c.column(s, d.typ, n); err != nil {
					return 0, err
				}
			}
			if i < len(header) {
				d = header[i]
			}
			d.encode(&block, c.revision)
			block.PutRaw(s.kept)
		}
		if err := c.data(block.Buf); err != nil {
			return 0, err
		}
		rows += n
	}
}

// data puts a packet with a block into the answer.
func (c *conn) data(block []byte) error {
	proto.ServerCodeData.Encode(&c.out)
	if proto.FeatureTempTables.In(c.revision) {
		c.out.PutString("")
	}
	var b proto.Buffer
	if proto.FeatureBlockInfo.In(c.revision) {
		proto.BlockInfo{BucketNum: -1}.Encode(&b)
	}
	b.PutRaw(block)
	if c.compressor == nil {
		c.out.PutRaw(b.Buf)
		return nil
	}
	const most = 1 << 20
	for from := 0; from < len(b.Buf); from += most {
		if err := c.compressor.Compress(b.Buf[from:min(from+most, len(b.Buf))]); err != nil {
			return err
		}
		c.out.PutRaw(c.compressor.Data)
	}
	return nil
}

// described is a column as the engine describes it.
type described struct{ name, typ, kind, expression string }

// describe asks for the columns of a table, or of a query in parentheses.
func describe(e *chdb.Session, what string) (list []described, err error) {
	answer, err := e.Query("DESCRIBE TABLE "+what, "TSV")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(answer)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		list = append(list, described{unescape.Replace(f[0]), unescape.Replace(f[1]), f[2], unescape.Replace(f[3])})
	}
	return list, nil
}

var unescape = strings.NewReplacer(`\\`, `\`, `\'`, "'", `\n`, "\n", `\t`, "\t")

func (d described) encode(b *proto.Buffer, revision int) {
	b.PutString(d.name)
	b.PutString(d.typ)
	if proto.FeatureCustomSerialization.In(revision) {
		b.PutBool(false)
	}
}

func emptyBlock(list []described, revision int) []byte {
	var b proto.Buffer
	b.PutInt(len(list))
	b.PutInt(0)
	for _, d := range list {
		d.encode(&b, revision)
	}
	return b.Buf
}
