package httpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/event"
)

// Writer is an outputs.Writer that sends the events of a block as rows, one
// behind the other, and reads what the destination says of each. What is sent
// stays as it is from one attempt to the next, so that only what was not taken is
// sent again, with the same ids. A block that a stop interrupts is sent again as a
// whole, from the spool.
//
// A body that is too large for the server is halved until it is not. So is one
// that is refused where Halve is set.
type Writer struct {
	Client  *Client
	Request *Request

	// Append appends the row of event n of a block, with what ends it. It may be
	// several lines, which then share one Verdict. An event that becomes no row, or
	// an error, is refused.
	Append func(dst []byte, b *event.Block, n int, e *event.Event) ([]byte, error)

	// Read says what the answer to some rows means for each of them: all are
	// Taken at first. Its error means that nothing is known of any, or, where it
	// is outputs.Permanent, that none will be taken. nil: all are taken.
	Read func(a *Answer, rows []Verdict) error

	MaxBytes int  // of one body, before it is compressed; 0: as many as there are. One row may be longer.
	Halve    bool // a body that is refused may have good rows: the destination says nothing of single ones

	block    event.ID // whose rows are here
	held     bool     // they are
	body     []byte
	rows     []row // that have not been taken, in order
	verdicts []Verdict
	known    int       // bytes of a body that the server has said are too many; 0: none
	since    time.Time // when it has said so
}

// Verdict is what a destination says of one row.
type Verdict struct {
	Outcome Outcome
	Why     string // where it is not Taken; somebody else's text
}

type row struct {
	event, end int // its position in the block, -1: it is over; and its end in the body
}

// maxHalves is how many bodies a destination may refuse of one block. With more, it
// is the destination that is wrong, and not the rows.
const maxHalves = 500

// remembered is how long a server's word on too large a body counts: somebody may let
// it take more.
const remembered = 10 * time.Minute

// outcome is what one Write has found.
type outcome struct {
	refused, bad int   // rows, and bodies
	why          error // of the first row that was refused
	failed       error // of the first row that failed for the moment
}

// Write sends the block.
func (w *Writer) Write(ctx context.Context, b *event.Block) (refused int, err error) {
	var o outcome
	if !w.held || b.ID() != w.block {
		w.encode(b, &o)
	}
	err = w.send(ctx, &o)
	w.compact()
	if err != nil {
		return o.refused, err
	}
	w.held = false
	if o.failed != nil {
		failed := make([]int, len(w.rows))
		for i, r := range w.rows {
			failed[i] = r.event
		}
		return o.refused, &outputs.Partial{Failed: failed, Err: o.failed}
	}
	return outputs.Refused(o.refused, o.why)
}

// Close gives back the connections that nobody uses.
func (w *Writer) Close() error {
	w.Client.Close()
	return nil
}

func (w *Writer) encode(b *event.Block, o *outcome) {
	w.block, w.held, w.body, w.rows = b.ID(), true, w.Request.Buffer(), w.rows[:0]
	if time.Since(w.since) > remembered {
		w.known = 0
	}
	var e event.Event
	for n, r := 0, b.Reader(); r.Next(&e); n++ {
		before := len(w.body)
		body, err := w.Append(w.body, b, n, &e)
		if err != nil || len(body) == before {
			if err == nil {
				err = errors.New("the event becomes no row")
			}
			o.refuse(1, err)
			w.body = body[:before]
			continue
		}
		w.body = body
		w.rows = append(w.rows, row{event: n, end: len(body)})
	}
	w.Request.raw.b = w.body
}

// send sends all rows in as few bodies as they need.
func (w *Writer) send(ctx context.Context, o *outcome) error {
	for first := 0; first < len(w.rows); {
		end := w.fit(first)
		if err := w.part(ctx, first, end, o); err != nil {
			return err
		}
		first = end
	}
	return nil
}

// fit is how many rows behind first go into one body.
func (w *Writer) fit(first int) (end int) {
	most := w.MaxBytes
	if w.known > 0 && (most == 0 || w.known <= most) {
		most = w.known - 1
	}
	from := w.start(first)
	for end = first + 1; end < len(w.rows) && (most == 0 || w.rows[end].end-from <= most); end++ {
	}
	return end
}

func (w *Writer) start(i int) int {
	if i == 0 {
		return 0
	}
	return w.rows[i-1].end
}

// part sends the rows from first to end, in halves where it has to be.
func (w *Writer) part(ctx context.Context, first, end int, o *outcome) error {
	body := w.body[w.start(first):w.rows[end-1].end]
	if end-first > 1 && w.known > 0 && len(body) >= w.known {
		return w.halves(ctx, first, end, o)
	}
	w.Request.part(body)
	answer, err := w.Client.Send(ctx, w.Request)
	if err == nil {
		err = w.read(answer, first, end, o)
	}
	switch large := errors.Is(err, ErrTooLarge); {
	case err == nil:
		return nil
	case !errors.Is(err, outputs.ErrPermanent):
		return err
	case end-first == 1 || !large && !w.Halve:
		w.over(first, end)
		o.refuse(end-first, err)
		return nil
	case large && (w.known == 0 || len(body) < w.known):
		w.known, w.since = len(body), time.Now()
	}
	if o.bad++; o.bad > maxHalves {
		return fmt.Errorf("more than %d bodies of one batch are refused, the last one since: %s", maxHalves, err) // no %w: the rows are not to blame
	}
	return w.halves(ctx, first, end, o)
}

func (w *Writer) halves(ctx context.Context, first, end int, o *outcome) error {
	middle := first + (end-first)/2
	if err := w.part(ctx, first, middle, o); err != nil {
		return err
	}
	return w.part(ctx, middle, end, o)
}

// read takes the answer to the rows from first to end.
func (w *Writer) read(answer *Answer, first, end int, o *outcome) error {
	if w.Read == nil {
		w.over(first, end)
		return nil
	}
	w.verdicts = w.verdicts[:0]
	for range end - first {
		w.verdicts = append(w.verdicts, Verdict{Outcome: Taken})
	}
	if err := w.Read(answer, w.verdicts); err != nil {
		return fmt.Errorf("the answer of %s: %w", answer.At.Name, err)
	}
	for i, v := range w.verdicts {
		switch v.Outcome {
		case Taken:
			w.over(first+i, first+i+1)
		case Refused, TooLarge:
			w.over(first+i, first+i+1)
			o.refuse(1, errors.New(w.Client.plain(v.Why)))
		default:
			if o.failed == nil {
				o.failed = errors.New(w.Client.plain(v.Why))
			}
		}
	}
	return nil
}

func (o *outcome) refuse(n int, why error) {
	if o.refused += n; o.why == nil {
		o.why = why
	}
}

// over is for rows that need not be sent again.
func (w *Writer) over(first, end int) {
	for i := first; i < end; i++ {
		w.rows[i].event = -1
	}
}

// compact forgets the rows that are over.
func (w *Writer) compact() {
	if !slices.ContainsFunc(w.rows, func(r row) bool { return r.event < 0 }) {
		return
	}
	left, from, old := w.rows[:0], 0, w.body
	body := w.Request.Buffer() // often the memory of old, in which rows move forward
	for _, r := range w.rows {
		if r.event >= 0 {
			body = append(body, old[from:r.end]...)
			left = append(left, row{r.event, len(body)})
		}
		from = r.end
	}
	w.rows, w.body, w.Request.raw.b = left, body, body
}

// Lines makes a request whose rows are lines of JSON.
func (c *Client) NewLinesRequest(path string) *Request {
	r := c.NewRequest(http.MethodPost, path)
	r.Header.Set("Content-Type", "application/x-ndjson")
	return r
}
