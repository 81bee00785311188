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

// Writer is an outputs.Writer that sends the events of a block as concatenated rows
// and reads what the destination says about each row. The rows stay encoded from one
// attempt to the next: only rows that were not accepted are sent again, with the same
// ids. A block that a stop interrupts is sent again as a whole, from the spool.
//
// A body that is too large for the server is halved until it is accepted. With Halve set, a
// refused body is halved too.
type Writer struct {
	Client  *Client
	Request *Request

	// Append appends the row of event n of a block, with its terminator. A row may be
	// several lines, which then share one Verdict. An event that makes no row, or an
	// error, counts as refused.
	Append func(dst []byte, b *event.Block, n int, e *event.Event) ([]byte, error)

	// Read sets what the response says about each row; rows are preset to Accepted.
	// Its error means that nothing is known about any row or, if it is outputs.Permanent,
	// that none will be accepted. nil: all are accepted.
	Read func(resp *Response, rows []Verdict) error

	MaxBytes int  // of one body, before compression; 0: unlimited. A single row may be longer.
	Halve    bool // a refused body may contain good rows: the destination judges whole bodies only

	block        event.ID // the block whose rows are encoded
	encoded      bool     // rows and body belong to block
	body         []byte
	rows         []row // not accepted yet, in order
	verdicts     []Verdict
	sizeLimit    int       // a body of this size was too large for the server; 0: unknown
	sizeLimitSet time.Time // when the server said so
}

// Verdict is what a destination says about one row.
type Verdict struct {
	Outcome Outcome
	Why     string // if it is not Accepted; untrusted text
}

type row struct {
	event int // position in the block; -1: the row is done
	end   int // offset in the body
}

// maxRefusedBodies bounds how many bodies of one block a destination may refuse.
// Beyond it, the destination is at fault and not the rows.
const maxRefusedBodies = 500

// sizeLimitAge is how long sizeLimit is respected: the server may be reconfigured to
// accept more.
const sizeLimitAge = 10 * time.Minute

// result is what one Write has found out so far.
type result struct {
	refused       int // rows
	refusedBodies int
	why           error // of the first refused row
	failed        error // of the first row to try again
}

// Write sends the block.
func (w *Writer) Write(ctx context.Context, b *event.Block) (refused int, err error) {
	var res result
	if !w.encoded || b.ID() != w.block {
		w.encode(b, &res)
	}
	err = w.sendAll(ctx, &res)
	w.compact()
	if err != nil {
		return res.refused, err
	}
	w.encoded = false
	if res.failed != nil {
		failed := make([]int, len(w.rows))
		for i, r := range w.rows {
			failed[i] = r.event
		}
		return res.refused, &outputs.Partial{Failed: failed, Err: res.failed}
	}
	return outputs.Refused(res.refused, res.why)
}

// Close closes idle connections.
func (w *Writer) Close() error {
	w.Client.Close()
	return nil
}

func (w *Writer) encode(b *event.Block, res *result) {
	w.block, w.encoded, w.body, w.rows = b.ID(), true, w.Request.Buffer(), w.rows[:0]
	if time.Since(w.sizeLimitSet) > sizeLimitAge {
		w.sizeLimit = 0
	}
	var e event.Event
	for n, r := 0, b.Reader(); r.Next(&e); n++ {
		before := len(w.body)
		body, err := w.Append(w.body, b, n, &e)
		if err != nil || len(body) == before {
			if err == nil {
				err = errors.New("the event makes no row")
			}
			res.refuse(1, err)
			w.body = body[:before]
			continue
		}
		w.body = body
		w.rows = append(w.rows, row{event: n, end: len(body)})
	}
	w.Request.raw.b = w.body
}

// sendAll sends all rows in as few bodies as possible.
func (w *Writer) sendAll(ctx context.Context, res *result) error {
	for first := 0; first < len(w.rows); {
		end := w.rangeEnd(first)
		if err := w.sendRange(ctx, first, end, res); err != nil {
			return err
		}
		first = end
	}
	return nil
}

// rangeEnd returns the end of the rows from first on that fit into one body.
func (w *Writer) rangeEnd(first int) (end int) {
	limit := w.MaxBytes
	if w.sizeLimit > 0 && (limit == 0 || w.sizeLimit <= limit) {
		limit = w.sizeLimit - 1
	}
	from := w.offset(first)
	for end = first + 1; end < len(w.rows) && (limit == 0 || w.rows[end].end-from <= limit); end++ {
	}
	return end
}

// offset is where row i begins in the body.
func (w *Writer) offset(i int) int {
	if i == 0 {
		return 0
	}
	return w.rows[i-1].end
}

// sendRange sends the rows from first up to end, in halves if necessary.
func (w *Writer) sendRange(ctx context.Context, first, end int, res *result) error {
	body := w.body[w.offset(first):w.rows[end-1].end]
	if end-first > 1 && w.sizeLimit > 0 && len(body) >= w.sizeLimit {
		return w.sendHalves(ctx, first, end, res)
	}
	w.Request.setPart(body)
	resp, err := w.Client.Send(ctx, w.Request)
	if err == nil {
		err = w.readVerdicts(resp, first, end, res)
	}
	switch large := errors.Is(err, ErrTooLarge); {
	case err == nil:
		return nil
	case !errors.Is(err, outputs.ErrPermanent):
		return err
	case end-first == 1 || !large && !w.Halve:
		w.markDone(first, end)
		res.refuse(end-first, err)
		return nil
	case large && (w.sizeLimit == 0 || len(body) < w.sizeLimit):
		w.sizeLimit, w.sizeLimitSet = len(body), time.Now()
	}
	if res.refusedBodies++; res.refusedBodies > maxRefusedBodies {
		return fmt.Errorf("more than %d bodies of one batch are refused, the last one because: %s", maxRefusedBodies, err) // no %w: it is not permanent, the rows are not at fault
	}
	return w.sendHalves(ctx, first, end, res)
}

func (w *Writer) sendHalves(ctx context.Context, first, end int, res *result) error {
	middle := first + (end-first)/2
	if err := w.sendRange(ctx, first, middle, res); err != nil {
		return err
	}
	return w.sendRange(ctx, middle, end, res)
}

// readVerdicts applies the response to the rows from first up to end.
func (w *Writer) readVerdicts(resp *Response, first, end int, res *result) error {
	if w.Read == nil {
		w.markDone(first, end)
		return nil
	}
	w.verdicts = w.verdicts[:0]
	for range end - first {
		w.verdicts = append(w.verdicts, Verdict{Outcome: Accepted})
	}
	if err := w.Read(resp, w.verdicts); err != nil {
		return fmt.Errorf("the response of %s: %w", resp.Address.Name, err)
	}
	for i, v := range w.verdicts {
		switch v.Outcome {
		case Accepted:
			w.markDone(first+i, first+i+1)
		case Refused, TooLarge:
			w.markDone(first+i, first+i+1)
			res.refuse(1, errors.New(w.Client.sanitize(v.Why)))
		default:
			if res.failed == nil {
				res.failed = errors.New(w.Client.sanitize(v.Why))
			}
		}
	}
	return nil
}

func (r *result) refuse(n int, why error) {
	if r.refused += n; r.why == nil {
		r.why = why
	}
}

// markDone marks rows that need not be sent again.
func (w *Writer) markDone(first, end int) {
	for i := first; i < end; i++ {
		w.rows[i].event = -1
	}
}

// compact removes the rows that are done.
func (w *Writer) compact() {
	if !slices.ContainsFunc(w.rows, func(r row) bool { return r.event < 0 }) {
		return
	}
	left, from, old := w.rows[:0], 0, w.body
	body := w.Request.Buffer() // usually the memory of old, within which rows move forward
	for _, r := range w.rows {
		if r.event >= 0 {
			body = append(body, old[from:r.end]...)
			left = append(left, row{r.event, len(body)})
		}
		from = r.end
	}
	w.rows, w.body, w.Request.raw.b = left, body, body
}

// NewLinesRequest returns a request whose rows are lines of JSON.
func (c *Client) NewLinesRequest(path string) *Request {
	r := c.NewRequest(http.MethodPost, path)
	r.Header.Set("Content-Type", "application/x-ndjson")
	return r
}
