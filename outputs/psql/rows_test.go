//go:build linux

package psql

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// TestManyQuestions: a message with ten thousand questions makes as many rows; only
// the first has the whole record.
func TestManyQuestions(t *testing.T) {
	const questions = 10_000
	msg := []byte("\x00\x07\x01\x00\x27\x10\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01" +
		strings.Repeat("\xc0\x0c\x00\x01\x00\x01", questions-1))
	e := event.Event{Message: msg}
	if !dns.Read(msg, false, &e.DNS) || e.DNS.Malformed.Yes() {
		t.Fatalf("the message is bad: %+v", e.DNS.Malformed)
	}
	b := event.NewBlock(len(msg))
	b.Append(&e)
	b.Seal(event.NewIDs().Next(), time.Now())
	for _, oid := range []uint32{oidText, oidJSON, oidJSONB} {
		r := newRowEncoder(&Output{fullQuery: true, Basics: outputs.Basics{Common: outputs.Common{Server: "sensor1"}}})
		r.encode(b, &tableDef{columns: []column{columnNamed("fullquery", oid), columnNamed("question", oidText)}}, time.Now())
		if records, names := bytes.Count(r.buf, []byte(`"Timestamp"`)), bytes.Count(r.buf, []byte("\x00\x00\x00\x0cexample.org.")); records != 1 || names != questions {
			t.Errorf("type %d: %d records and %d questions, want 1 and %d", oid, records, names, questions)
		}
	}
}

// TestOwnTypesTakeAllValues: the types of our own tables hold all values that
// outputs/columns permits, and other types are recognised as narrower.
func TestOwnTypesTakeAllValues(t *testing.T) {
	f := func(name string, oid uint32, fits bool, narrow string) {
		t.Helper()
		c := columnNamed(name, oid)
		if c.fits() != fits || fits && c.lossNote() != narrow {
			t.Errorf("%s with the type %d: fits %v, %q; want %v, %q", name, oid, c.fits(), c.lossNote(), fits, narrow)
		}
	}
	for _, own := range fields {
		f(own.Name, oids[own.typeName()], true, "")
		if c := columnNamed(own.Name, oidText); !c.fits() {
			f(own.Name, oidInet, own.ID.Column().Kind == columns.Addr, "")
		}
	}
	f("size", oidInt2, true, "values above 32767 are written as 32767")
	f("responsecode", oidInt2, true, "")
	f("qr", oidBool, true, "")
	f("opcode", oidBool, true, "values above 1 are written as 1")
	f("packettime", oidInt8, false, "")
	f("question", oidJSON, false, "")
	f("fullquery", oidJSON, true, "")
	f("class", oidText, false, "")
}

// TestNULInJSONB: senders of messages can neither keep records out of a column of type
// jsonb, which holds no U+0000, nor stall the table with many of them.
func TestNULInJSONB(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr, "--psqlsavefullquery")
	p.Exec(t, "CREATE TABLE "+table+" (packettime timestamptz, question text, fullquery jsonb)")
	const value = "a\x00b\\u0000c" // the second one is plain text
	msg := []byte("\x00\x07\x80\x00\x00\x01\x00\x01\x00\x00\x00\x00\x07example\x03org\x00\x01\x01\x00\x01" +
		"\xc0\x0c\x01\x01\x00\x01\x00\x00\x00\x3c\x00" + string(rune(7+len(value))) + "\x00\x05issue" + value)
	e := &event.Event{Time: 1, Src: outputtest.Query(0).Src, Dst: outputtest.Query(0).Dst, Proto: event.UDP, Message: msg}
	if !dns.Read(msg, false, &e.DNS) || e.DNS.Malformed.Yes() {
		t.Fatalf("the message is bad: %+v", e.DNS.Malformed)
	}
	b := event.NewBlock(1 << 20)
	for range 2 * maxCopies {
		b.Append(e)
	}
	b.Seal(event.NewIDs().Next(), time.Now())
	deliver(t, o, openWriter(t, o), b)
	want := `a` + "\ufffd" + `b\u0000c`
	got := p.Strings(t, "SELECT DISTINCT fullquery->'DNS'->'Answer'->0->>'Value' FROM "+table)
	if len(got) != 1 || got[0] != want || meter(o, "clamped") != 2*maxCopies {
		t.Errorf("values %q, want %q; clamped %d, want %d", got, want, meter(o, "clamped"), 2*maxCopies)
	}
}
