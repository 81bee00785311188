// Package collector sends records to a server that accepts batches over TCP, and answers
// for each of their events.
package collector

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/userspace/event"
)

// Output is the output collector.
type Output struct {
	outputs.Basics
	address string
}

// New returns an output that is switched off.
func New() *Output { return &Output{Basics: outputs.NewBasics("collector")} }

// Flags declares the options.
func (o *Output) Flags() []cli.Flag {
	flags := []cli.Flag{o.TypeFlag("DNSMONSTER_COLLECTOROUTPUTTYPE", "for a collector"), &cli.StringFlag{
		Category: o.Section(), Name: "collectoroutputendpoint", EnvVars: []string{"DNSMONSTER_COLLECTOROUTPUTENDPOINT"}, Destination: &o.address,
		Usage: "`HOST:PORT` of the server",
	}}
	flags = append(flags, o.BatchFlags("DNSMONSTER_COLLECTOROUTPUTBATCHSIZE", 1000, "`NUMBER` of records in a batch", "DNSMONSTER_COLLECTOROUTPUTBATCHDELAY", 0)...)
	return append(flags, o.FormatFlags("DNSMONSTER_COLLECTOROUTPUTFORMAT", "DNSMONSTER_COLLECTOROUTPUTGOTEMPLATE")...)
}

// Settings checks the options, the common ones and those of this output.
func (o *Output) Settings() (outputs.Settings, error) {
	s, err := o.Basics.Settings()
	s.BatchBytes = 4 << 20
	if _, _, bad := net.SplitHostPort(o.address); bad != nil && !o.IsOff() {
		err = errors.Join(err, fmt.Errorf("collectoroutputendpoint: %q: write HOST:PORT, such as collector.example.org:5000", o.address))
	}
	return s, err
}

// Open connects.
func (o *Output) Open(ctx context.Context) (outputs.Writer, error) {
	records, err := o.RecordFormat()
	if err != nil {
		return nil, outputs.Permanent(err)
	}
	w := &writer{address: o.address, encoder: records.NewEncoder()}
	return w, w.connect(ctx)
}

type writer struct {
	address string
	encoder format.Encoder
	conn    net.Conn // nil: the next attempt connects
	body    []byte
}

func (w *writer) connect(ctx context.Context) (err error) {
	if w.conn == nil {
		w.conn, err = new(net.Dialer).DialContext(ctx, "tcp", w.address)
	}
	return err
}

// Close closes the connection.
func (w *writer) Close() (err error) {
	if w.conn != nil {
		err = w.conn.Close()
	}
	w.conn = nil
	return err
}

// answer is the server's answer to a batch. Numbers are positions of events.
type answer struct {
	Refused, Failed []int  // for good, and for the moment
	Wait            int    // seconds until the next attempt: nothing was accepted
	Why             string // if something was not accepted
}

// Write sends the block and waits for the answer. The server remembers the ids of accepted
// blocks, and accepts none of them twice.
func (w *writer) Write(ctx context.Context, b *event.Block) (refused int, err error) {
	if err := w.connect(ctx); err != nil {
		return 0, err
	}
	conn, a := w.conn, answer{}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // ends the calls below
	if _, err = conn.Write(w.encode(b)); err == nil {
		err = json.NewDecoder(io.LimitReader(conn, 1<<20)).Decode(&a)
	}
	if !stop() || err != nil {
		w.Close() // the next batch must not read a late answer to this one
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("send a batch to %s: %w", w.address, err)
	case a.Wait > 0:
		return 0, &outputs.RetryAfter{Wait: time.Duration(a.Wait) * time.Second, Err: errors.New(a.Why)}
	case a.Refused != nil || a.Failed != nil:
		return len(a.Refused), &outputs.Partial{Failed: a.Failed, Err: errors.New(a.Why)}
	}
	return 0, nil
}

// encode writes the block's id, a length, and for each event a length and its records, so
// that nothing needs escaping. If the template fails on an event, that has no records,
// and the server refuses it.
func (w *writer) encode(b *event.Block) []byte {
	id, e := b.ID(), event.Event{}
	w.body = append(append(w.body[:0], id[:]...), 0, 0, 0, 0)
	for r := b.Reader(); r.Next(&e); {
		at := len(w.body)
		w.body = w.encoder.Append(append(w.body, 0, 0, 0, 0), &e)
		binary.BigEndian.PutUint32(w.body[at:], uint32(len(w.body)-at-4))
	}
	binary.BigEndian.PutUint32(w.body[len(id):], uint32(len(w.body)-len(id)-4))
	return w.body
}
