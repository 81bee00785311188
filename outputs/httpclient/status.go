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
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/outputs/secure"
)

// Outcome is what the result of an attempt means for the records that were sent.
type Outcome int

// If the outcome is uncertain, records are kept: they are refused only if the response says
// that the records themselves are wrong.
const (
	Retry         Outcome = iota // temporary: try again, at another address if there is one, and when the server says
	Accepted                     // the destination has the request; its response may say more about single records
	Misconfigured                // somebody has to repair it, here or at the server: try again; an error at the start, see StartError
	Refused                      // these records will never be accepted
	TooLarge                     // the whole body will never be accepted, but parts of it may be
)

// OutcomeOf is the meaning of a status, unless Config.Statuses overrides it.
func OutcomeOf(status int) Outcome {
	switch {
	case status >= 200 && status < 300:
		return Accepted
	case status == http.StatusRequestEntityTooLarge:
		return TooLarge
	case status == http.StatusBadRequest, status == http.StatusConflict, status == http.StatusUnprocessableEntity:
		return Refused
	case status == http.StatusRequestTimeout, status == http.StatusLocked, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return Retry
	case status >= 300 && status < 500, status == http.StatusNotImplemented, status == http.StatusHTTPVersionNotSupported:
		return Misconfigured
	}
	return Retry
}

// ErrTooLarge is in the error of a body that is too large for the destination.
var ErrTooLarge = errors.New("too large")

// Error is why a request was not accepted.
type Error struct {
	Outcome Outcome
	Status  int // 0: there was no response
	text    string
	cause   error
}

// Error returns a text that is safe to show: bounded and without secrets.
func (e *Error) Error() string { return e.text }

// Unwrap returns the cause, for errors.Is and As; its text may contain secrets.
func (e *Error) Unwrap() error { return e.cause }

// Is matches outputs.ErrPermanent and ErrTooLarge.
func (e *Error) Is(target error) bool {
	switch target {
	case outputs.ErrPermanent:
		return e.Outcome == Refused || e.Outcome == TooLarge
	case ErrTooLarge:
		return e.Outcome == TooLarge
	}
	return false
}

// StartError marks the error of a misconfiguration as permanent, for an output's
// Check. While the sensor runs it is not permanent: certificates, passwords and paths
// can be corrected at the server.
func StartError(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Outcome == Misconfigured {
		return outputs.Permanent(err)
	}
	return err
}

// transportError explains why there is no response.
func (c *Client) transportError(ctx context.Context, err error) *Error {
	if own := (*Error)(nil); errors.As(err, &own) {
		return own // from the proxy
	}
	var wrapped *url.Error // its text contains the URL
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	e := &Error{text: c.sanitize(err.Error()), cause: err}
	advice, text := secure.Advice(err, c.optionNames), err.Error()
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.text = "no complete response in time: " + e.text
		c.http.CloseIdleConnections() // others may be just as dead
	case ctx.Err() != nil:
	case advice != "" && c.config.TLS.HasOptions():
		e.Outcome, e.text = Misconfigured, e.text+": "+advice
	case advice != "" && errors.As(err, &certificate):
		e.Outcome, e.text = Misconfigured, e.text+" (add the CA certificate that signs the server's certificate to those of this system)"
	case advice != "":
		e.Outcome = Misconfigured
	case strings.Contains(text, "server gave HTTP response to HTTPS client"):
		e.Outcome, e.text = Misconfigured, e.text+": the server does not speak TLS there: use http:// in "+c.optionNames.Server
	case strings.Contains(text, `malformed HTTP response "\x15\x03`):
		e.Outcome, e.text = Misconfigured, "the server requires TLS there: use https:// in "+c.optionNames.Server
	case c.config.TLS.HasOptions() && c.config.TLS.CertFile == "" && c.usesTLS() &&
		(secure.MaybeCertificateRejected(err) || strings.Contains(text, "client conn could not be established")):
		e.text += ": the server may require a client certificate: set it with " + c.optionNames.Cert
	}
	return e
}

func (c *Client) usesTLS() bool {
	for i := range c.remotes {
		if c.remotes[i].url.Scheme == "https" {
			return true
		}
	}
	return false
}

// statusError is the error of a response whose outcome is not Accepted.
func (c *Client) statusError(resp *http.Response, outcome Outcome) error {
	start, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	lower := strings.ToLower(string(start))
	e := &Error{Outcome: outcome, Status: resp.StatusCode, text: "the server answers " + c.Status(resp)}
	if resp.StatusCode == http.StatusBadRequest && strings.Contains(lower, "http request") && strings.Contains(lower, "https") {
		e.Outcome, e.text = Misconfigured, e.text+": it requires TLS there: use https:// in "+c.optionNames.Server
		return e
	}
	if text := c.sanitize(strings.Join(strings.Fields(c.maskSecrets(string(start))), " ")); text != "" {
		e.text += ": " + text
	}
	if advice := c.statusAdvice(resp); advice != "" {
		e.text += ": " + advice
	}
	wait, asked := retryAfter(resp.Header, time.Now())
	if asked && outcome == Retry {
		return &outputs.RetryAfter{Wait: wait, Err: e}
	}
	return e
}

// statusAdvice says how to repair what a status complains about.
func (c *Client) statusAdvice(resp *http.Response) string {
	switch status := resp.StatusCode; {
	case status == http.StatusUnauthorized && c.config.Auth.isSet():
		return "correct " + c.config.Auth.optionName()
	case status == http.StatusUnauthorized:
		return "the server requires a login"
	case status == http.StatusForbidden:
		return "the server does not permit this user to do that"
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return "correct the path in " + c.optionNames.Server
	case status == http.StatusProxyAuthRequired:
		return "correct user and password of the proxy"
	case status == http.StatusUnsupportedMediaType && c.config.CompressionOption != "" && resp.Request.Header.Get("Content-Encoding") != "":
		return "it may not support this compression: set --" + c.config.CompressionOption + "=" + None
	case status >= 300 && status < 400:
		if to, err := resp.Location(); err == nil {
			to.User, to.RawQuery, to.Fragment = nil, "", ""
			return "it redirects to " + c.sanitize(to.String()) + ": if that is the destination, set it in " + c.optionNames.Server
		}
	}
	return ""
}

// Status returns the status of a response in one short line without secrets.
func (c *Client) Status(resp *http.Response) string { return c.sanitize(resp.Status) }

// retryAfter parses the header Retry-After: seconds, or a date, which is compared with
// the server's clock.
func retryAfter(h http.Header, now time.Time) (wait time.Duration, ok bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text != "" && strings.Trim(text, "0123456789") == "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n > uint64(outputs.MaxRetryAfter/time.Second) {
			return outputs.MaxRetryAfter, true
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
	return min(max(when.Sub(now), 0), outputs.MaxRetryAfter), true
}

// joinErrors joins the errors of several addresses. The result is a misconfiguration only if
// all of them are.
func joinErrors(failed []error) error {
	all := &Error{Outcome: Misconfigured, cause: errors.Join(failed...)}
	var soonest *outputs.RetryAfter
	lines := make([]string, len(failed))
	for i, err := range failed {
		var e *Error
		var after *outputs.RetryAfter
		if !errors.As(err, &e) || e.Outcome != Misconfigured {
			all.Outcome = Retry
		}
		if errors.As(err, &after) && (soonest == nil || after.Wait < soonest.Wait) {
			soonest = after
		}
		if lines[i] = err.Error(); after != nil {
			lines[i] = after.Err.Error()
		}
	}
	all.text = fmt.Sprintf("none of %d addresses accepts it: %s", len(failed), strings.Join(lines, "; "))
	if soonest != nil {
		return &outputs.RetryAfter{Wait: soonest.Wait, Err: all}
	}
	return all
}

// maskSecrets masks all secrets in a text. It must come before any other change of the text,
// which could make a secret unrecognisable.
func (c *Client) maskSecrets(text string) string {
	for _, s := range c.secrets {
		text = strings.ReplaceAll(text, s, endpoint.Mask)
	}
	return text
}

// sanitize turns untrusted text into one short line without secrets.
func (c *Client) sanitize(text string) string {
	text = endpoint.MaskURLs(c.maskSecrets(text))
	if len(text) > maxErrorShown {
		text = strings.ToValidUTF8(text[:maxErrorShown], "") + "..."
	}
	var b bytes.Buffer
	printable.NewWriter(&b).Write([]byte(text)) // to memory, never fails
	return printable.OneLine(b.String())
}
