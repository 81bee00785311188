package psql

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// TestManyQuestions: a message with ten thousand questions is as many rows, of
// which the first alone holds the whole record.
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
		r := newRows(&Output{full: true, common: outputs.Common{Server: "sensor1"}})
		r.encode(b, &layout{columns: []column{{name: "fullquery", kind: colFullQuery, oid: oid}, {name: "question", kind: colQuestion, oid: oidText}}}, time.Now())
		if records, names := bytes.Count(r.buf, []byte(`"Timestamp"`)), bytes.Count(r.buf, []byte("\x00\x00\x00\x0cexample.org.")); records != 1 || names != questions {
			t.Errorf("type %d: %d records and %d questions, want 1 and %d", oid, records, names, questions)
		}
	}
}
