package httpclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"dnsmonster-sensor/outputs"
)

// Answer is what the destination says to a request that it has taken.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte          // borrowed: valid until the request is sent again
	At     outputs.Address // who has answered
}

// Send sends r to the address whose turn it is and, where that fails, to the next
// ones: each has its share of the time that ctx leaves. It returns the answer to
// what was taken. What an answer with status 200 says of single records is the
// caller's to read.
//
// An error fits outputs.Writer's Write: outputs.ErrPermanent and ErrTooLarge say
// that the body will never be taken, and *outputs.RetryAfter when to come back.
// Any other is worth another attempt. A body may have been taken although its
// answer was lost: it arrives twice where the destination does not recognise it.
func (c *Client) Send(ctx context.Context, r *Request) (*Answer, error) {
	var failed []error
	var tried []outputs.Address
	for left := c.addresses.Len(); left > 0 && ctx.Err() == nil; left-- {
		part, cancel := share(ctx, left)
		tried = append(tried, c.addresses.Next(tried...))
		answer, err := c.SendTo(part, r, tried[len(tried)-1])
		cancel()
		if err == nil || errors.Is(err, outputs.ErrPermanent) {
			return answer, err // no address will take what one has looked at and refused
		}
		failed = append(failed, err)
	}
	switch {
	case len(failed) == 0 || errors.Is(ctx.Err(), context.Canceled):
		return nil, fmt.Errorf("%s: %w", r.method, context.Cause(ctx))
	case len(failed) == 1:
		return nil, failed[0]
	}
	return nil, together(failed)
}

// SendTo is Send to one address, for what only one server knows.
func (c *Client) SendTo(ctx context.Context, r *Request, at outputs.Address) (*Answer, error) {
	answer, err := c.attempt(ctx, r, at)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			e.text = r.method + " " + c.places[at.Index].shown(r.path) + ": " + e.text
		}
	}
	c.report(ctx, at, err)
	return answer, err
}

// shown is where a request goes, without its query.
func (p *place) shown(path string) string {
	path, _, _ = strings.Cut(path, "?")
	if path = strings.Trim(path, "/"); path != "" {
		path = "/" + path
	}
	return p.name + path
}

// share is an address's part of the time that ctx leaves for that many.
func share(ctx context.Context, shares int) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok || shares < 2 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/time.Duration(shares))
}

// attempt makes one request and reads its answer.
func (c *Client) attempt(ctx context.Context, r *Request, at outputs.Address) (*Answer, error) {
	// An answer that came before the body was read leaves somebody writing: the
	// end of this context ends that.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	response, err := c.do(ctx, at.Index, r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	outcome, known := c.config.Statuses[response.StatusCode]
	if !known {
		outcome = OutcomeOf(response.StatusCode)
	}
	if outcome != Taken {
		return nil, c.refusal(response, outcome)
	}
	r.answer, err = appendAll(r.answer[:0], response.Body, c.config.MaxAnswer)
	if err != nil {
		return nil, c.failed(ctx, fmt.Errorf("read the answer: %w", err))
	}
	return &Answer{Status: response.StatusCode, Header: response.Header, Body: r.answer, At: at}, nil
}

// appendAll reads to the end, and no more than most bytes.
func appendAll(to []byte, from io.Reader, most int64) ([]byte, error) {
	b := bytes.NewBuffer(to)
	n, err := b.ReadFrom(io.LimitReader(from, most+1))
	if err == nil && n > most {
		err = fmt.Errorf("it has more than %d bytes", most)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("it ends early: %w", err)
	}
	return b.Bytes(), err
}
