package httpclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/outputs/secure"
)

// Outcome is what an attempt's end means for the records that were sent.
type Outcome int

// Outcomes. Where nobody can know, records are kept: only what says that the
// records themselves are wrong refuses them.
const (
	Retry    Outcome = iota // it may pass: again, at another address if there is one, and when the server says
	Taken                   // the destination has the request; what became of single records is in its answer
	Wrong                   // somebody has to put it right, here or at the server: again, and AtStart says so
	Refused                 // these records will never be taken
	TooLarge                // likewise, but parts of them may be
)

// OutcomeOf is what a status means where a destination's Config.Statuses says
// nothing else.
func OutcomeOf(status int) Outcome {
	switch {
	case status >= 200 && status < 300:
		return Taken
	case status == http.StatusRequestEntityTooLarge:
		return TooLarge
	case status == http.StatusBadRequest, status == http.StatusConflict, status == http.StatusUnprocessableEntity:
		return Refused
	case status == http.StatusRequestTimeout, status == http.StatusLocked, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return Retry
	case status >= 300 && status < 500, status == http.StatusNotImplemented, status == http.StatusHTTPVersionNotSupported:
		return Wrong
	}
	return Retry
}

// ErrTooLarge is in the error of a body that is too large for the destination.
var ErrTooLarge = errors.New("too large")

// Error is why a request was not taken.
type Error struct {
	Outcome Outcome
	Status  int // 0: there was no answer
	text    string
	cause   error
}

// Error is safe to show: bounded, without secrets.
func (e *Error) Error() string { return e.text }

// Unwrap gives what is below, for errors.Is and As; its own text may hold secrets.
func (e *Error) Unwrap() error { return e.cause }

// Is knows outputs.ErrPermanent and ErrTooLarge.
func (e *Error) Is(target error) bool {
	switch target {
	case outputs.ErrPermanent:
		return e.Outcome == Refused || e.Outcome == TooLarge
	case ErrTooLarge:
		return e.Outcome == TooLarge
	}
	return false
}

// AtStart marks an error that somebody has to put right as permanent, for an
// output's Check. While the sensor runs it is not: certificates, passwords and
// paths can be put right at the server.
func AtStart(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Outcome == Wrong {
		return outputs.Permanent(err)
	}
	return err
}

// failed explains what kept an answer from coming.
func (c *Client) failed(ctx context.Context, err error) *Error {
	if own := (*Error)(nil); errors.As(err, &own) {
		return own // of the proxy
	}
	var wrapped *url.Error // its text has the URL
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	e := &Error{text: c.plain(err.Error()), cause: err}
	way, text := secure.Advice(err, c.at), err.Error()
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.text = "no whole answer in time: " + e.text
		c.http.CloseIdleConnections() // others may lead to the same black hole
	case ctx.Err() != nil:
	case way != "" && c.options:
		e.Outcome, e.text = Wrong, e.text+": "+way
	case way != "" && errors.As(err, &certificate):
		e.Outcome, e.text = Wrong, e.text+" (add the CA that signs the server's certificate to this system's)"
	case way != "":
		e.Outcome = Wrong
	case strings.Contains(text, "server gave HTTP response to HTTPS client"):
		e.Outcome, e.text = Wrong, e.text+": the server has no TLS there: use http:// in "+c.at.Server
	case strings.Contains(text, `malformed HTTP response "\x15\x03`):
		e.Outcome, e.text = Wrong, "the server wants TLS there: use https:// in "+c.at.Server
	case c.options && c.config.TLS.CertFile == "" && c.secured() && judgedLate(err):
		e.text += ": the server may require a client certificate: set it with " + c.at.Cert
	}
	return e
}

// judgedLate tells of a connection that the server has ended behind the handshake.
// In TLS 1.3 it judges our certificate when that is over for us: what we have
// written by then can make the system throw its answer away.
func judgedLate(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || strings.Contains(err.Error(), "client conn could not be established")
}

func (c *Client) secured() bool {
	for i := range c.places {
		if c.places[i].url.Scheme == "https" {
			return true
		}
	}
	return false
}

// refusal is the error of an answer that takes nothing.
func (c *Client) refusal(answer *http.Response, outcome Outcome) error {
	start, _ := io.ReadAll(io.LimitReader(answer.Body, longestError))
	said := strings.ToLower(string(start))
	e := &Error{Outcome: outcome, Status: answer.StatusCode, text: "the server answers " + c.Status(answer)}
	if answer.StatusCode == http.StatusBadRequest && strings.Contains(said, "http request") && strings.Contains(said, "https") {
		e.Outcome, e.text = Wrong, e.text+": it wants TLS there: use https:// in "+c.at.Server
		return e
	}
	if text := c.plain(strings.Join(strings.Fields(c.masked(string(start))), " ")); text != "" {
		e.text += ": " + text
	}
	if way := c.way(answer); way != "" {
		e.text += ": " + way
	}
	wait, asked := retryAfter(answer.Header, time.Now())
	if asked && outcome == Retry {
		return &outputs.RetryAfter{Wait: wait, Err: e}
	}
	return e
}

// way says how to put right what a status complains of.
func (c *Client) way(answer *http.Response) string {
	switch status := answer.StatusCode; {
	case status == http.StatusUnauthorized && c.config.Auth.given():
		return "put " + c.config.Auth.option() + " right"
	case status == http.StatusUnauthorized:
		return "the server wants to know who asks"
	case status == http.StatusForbidden:
		return "the server lets this user not do that"
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return "put the path in " + c.at.Server + " right"
	case status == http.StatusProxyAuthRequired:
		return "put user and password of the proxy right"
	case status == http.StatusUnsupportedMediaType && c.config.CompressionOption != "" && answer.Request.Header.Get("Content-Encoding") != "":
		return "it may not unpack that: set --" + c.config.CompressionOption + "=" + None
	case status >= 300 && status < 400:
		if to, err := answer.Location(); err == nil {
			to.User, to.RawQuery, to.Fragment = nil, "", ""
			return "it leads to " + c.plain(to.String()) + ": if that is the destination, name it in " + c.at.Server
		}
	}
	return ""
}

// Status is an answer's status in one short line without secrets.
func (c *Client) Status(answer *http.Response) string { return c.plain(answer.Status) }

// longestWait bounds what a server may ask for.
const longestWait = 5 * time.Minute

// retryAfter reads the header of that name: seconds, or a date, which is by the
// server's clock.
func retryAfter(h http.Header, now time.Time) (wait time.Duration, ok bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text != "" && strings.Trim(text, "0123456789") == "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n > uint64(longestWait/time.Second) {
			return longestWait, true
		}
		return time.Duration(n) * time.Second, true
	}
	when, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(when.Sub(now), 0), longestWait), true
}

// together is one error of attempts at several addresses. Somebody has to put
// them right only where that is so for all.
func together(failed []error) error {
	all := &Error{Outcome: Wrong, cause: errors.Join(failed...)}
	var wish *outputs.RetryAfter
	lines := make([]string, len(failed))
	for i, err := range failed {
		var e *Error
		var w *outputs.RetryAfter
		if !errors.As(err, &e) || e.Outcome != Wrong {
			all.Outcome = Retry
		}
		if errors.As(err, &w) && (wish == nil || w.Wait < wish.Wait) {
			wish = w
		}
		if lines[i] = err.Error(); w != nil {
			lines[i] = w.Err.Error()
		}
	}
	all.text = fmt.Sprintf("none of %d addresses takes it: %s", len(failed), strings.Join(lines, "; "))
	if wish != nil {
		return &outputs.RetryAfter{Wait: wish.Wait, Err: all}
	}
	return all
}

// masked has none of our secrets. It comes before any other change of a text, which
// could make one unlike itself.
func (c *Client) masked(text string) string {
	for _, s := range c.secrets {
		text = strings.ReplaceAll(text, s, endpoint.Mask)
	}
	return text
}

// plain makes somebody else's text one short line without secrets.
func (c *Client) plain(text string) string {
	text = endpoint.MaskURLs(c.masked(text))
	if len(text) > shownError {
		text = strings.ToValidUTF8(text[:shownError], "") + "..."
	}
	var b bytes.Buffer
	printable.NewWriter(&b).Write([]byte(text)) // to memory, which does not fail
	return printable.OneLine(b.String())
}
