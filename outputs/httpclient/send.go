package httpclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"dnsmonster-sensor/outputs"
)

// Response is the destination's response to a request that it accepted.
type Response struct {
	Status  int
	Header  http.Header
	Body    []byte          // borrowed until the request is sent again
	Address outputs.Address // the address that answered
}

// Send sends r to the preferred healthy address and, on failure, to the others in
// turn; each gets its share of the time that ctx leaves. It returns the response to an
// accepted request. The caller reads what a response with status 200 says about single
// records.
//
// An error suits outputs.Writer's Write: outputs.ErrPermanent and ErrTooLarge mean
// that the body will never be accepted, and *outputs.RetryAfter says when to try
// again. Any other error is worth another attempt. A body may have been accepted
// although its response was lost: then it arrives twice, unless the destination
// recognises it.
func (c *Client) Send(ctx context.Context, r *Request) (*Response, error) {
	var resp *Response
	var err error
	var failed []error
	c.addresses.TryEach(ctx, func(ctx context.Context, at outputs.Address) (more bool) {
		resp, err = c.SendTo(ctx, r, at)
		if err == nil || errors.Is(err, outputs.ErrPermanent) {
			return false // other addresses would refuse it as well
		}
		failed = append(failed, err)
		return true
	})
	switch {
	case resp != nil || errors.Is(err, outputs.ErrPermanent):
		return resp, err
	case len(failed) == 0 || errors.Is(ctx.Err(), context.Canceled):
		return nil, fmt.Errorf("%s: %w", r.method, context.Cause(ctx))
	case len(failed) == 1:
		return nil, failed[0]
	}
	return nil, joinErrors(failed)
}

// SendTo is Send to one address, for requests that only one server can answer.
func (c *Client) SendTo(ctx context.Context, r *Request, at outputs.Address) (*Response, error) {
	c.sending.RLock()
	resp, err := c.attempt(ctx, r, at)
	c.sending.RUnlock()
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			e.text = r.method + " " + c.remotes[at.Index].display(r.path) + ": " + e.text
		}
	}
	c.report(ctx, at, err)
	return resp, err
}

// display is a request's URL for messages, without its query.
func (r *remote) display(path string) string {
	path, _, _ = strings.Cut(path, "?")
	if path = strings.Trim(path, "/"); path != "" {
		path = "/" + path
	}
	return r.name + path
}

// attempt makes one request and reads its response.
func (c *Client) attempt(ctx context.Context, r *Request, at outputs.Address) (*Response, error) {
	// A response that came before the body was read leaves the library writing the
	// body. Cancelling the context ends that.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := c.do(ctx, at.Index, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	outcome, ok := c.config.Statuses[resp.StatusCode]
	if !ok {
		outcome = OutcomeOf(resp.StatusCode)
	}
	if outcome != Accepted {
		return nil, c.statusError(resp, outcome)
	}
	r.responseBody, err = readAll(r.responseBody[:0], resp.Body, c.config.MaxResponse)
	if err != nil {
		return nil, c.transportError(ctx, fmt.Errorf("read the response: %w", err))
	}
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: r.responseBody, Address: at}, nil
}

// readAll reads to the end, at most limit bytes, and appends to to.
func readAll(to []byte, from io.Reader, limit int64) ([]byte, error) {
	b := bytes.NewBuffer(to)
	n, err := b.ReadFrom(io.LimitReader(from, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("it has more than %d bytes", limit)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("it ends early: %w", err)
	}
	return b.Bytes(), err
}
