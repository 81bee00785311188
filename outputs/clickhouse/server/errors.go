package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/ClickHouse/ch-go/proto"

	"dnsmonster-sensor/outputs/oserror"
	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/outputs/secure"
)

// Error is an error that the server has sent.
type Error struct {
	Code    int
	Name    string // such as UNKNOWN_TABLE; "" if the code is unknown here
	Message string // the first line, bounded and without control characters
	Address string
	View    string // the materialized view that has failed; "" if it was the table
}

func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("code %d: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("%s (code %d): %s", e.Name, e.Code, e.Message)
}

// failure is any error of a connection: what was being done, and where.
type failure struct {
	doing, address string
	err            error
	mayBeStored    bool
}

func (f *failure) Error() string { return fmt.Sprintf("%s %s: %v", f.doing, f.address, f.err) }
func (f *failure) Unwrap() error { return f.err }

// MayBeStored reports whether the data of a failed Insert may be in the table, wholly or
// partly: all of it had been handed to the kernel. The server stores nothing of a block that
// it has not received completely. An error that the server sends afterwards does not
// exclude it: a materialized view may fail after the table has its part.
func MayBeStored(err error) bool {
	f := (*failure)(nil)
	return err != nil && (!errors.As(err, &f) || f.mayBeStored)
}

// setupError is an error that somebody has to put right.
type setupError struct{ text, advice string }

func (e *setupError) Error() string { return e.text }

// changedError says that the table is not what the data was made for.
type changedError struct{ text string }

func (e *changedError) Error() string { return "the table has been changed: " + e.text }

var errBroken = errors.New("the connection is closed")

// failed completes an error. An end of ctx explains all others.
func (c *Conn) failed(ctx context.Context, doing string, err error, mayBeStored bool) error {
	var said *Error
	if ended := ctx.Err(); ended != nil && !errors.As(err, &said) {
		err = ended
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, ended) {
			err = fmt.Errorf("%w: %w", ended, cause)
		}
	}
	return &failure{doing: doing, address: c.address, err: shortened(err), mayBeStored: mayBeStored}
}

// shortened removes addresses, which failure adds.
func shortened(err error) error {
	var op *net.OpError
	switch {
	case errors.As(err, new(*handshakeCut)):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errClosed
	case errors.As(err, &op) && error(op) == err:
		return op.Err
	}
	return err
}

var errClosed = errors.New("the server has closed the connection")

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

func asError(err error, to **Error) bool { return errors.As(err, to) }

const (
	maxMessage    = 500
	maxExceptions = 16 // inside each other
)

// exception reads an error of the server. Of errors inside it only the first counts.
func (c *Conn) exception() error {
	r := c.in
	var first *Error
	for range maxExceptions {
		code := int32(r.fixed(4))
		name, message := r.string(), r.string()
		r.string() // stack
		nested := r.byte()
		if first == nil && r.err == nil {
			first = c.newError(int(code), name, message)
		}
		if r.err != nil || nested == 0 {
			break
		}
	}
	if first == nil {
		return r.err
	}
	return first
}

func (c *Conn) newError(code int, name, message string) *Error {
	message = strings.TrimPrefix(message, name+": ")
	message = strings.TrimPrefix(message, "DB::Exception: ")
	if i := strings.Index(message, ". Stack trace:"); i >= 0 {
		message = message[:i]
	}
	message = strings.TrimSuffix(message, ".") // advice may follow
	e := &Error{Code: code, Address: c.address}
	if e.Name = errorName(code); e.Name != "" {
		message = strings.TrimSuffix(strings.TrimSpace(message), " ("+e.Name+")")
	}
	e.Message = printableLine(c.hide(message))
	if _, after, found := strings.Cut(message, "while pushing to view "); found {
		view, _, _ := strings.Cut(after, " ")
		e.View = printableLine(strings.TrimRight(view, ".:,"))
	}
	return e
}

// errorName returns the name that servers have for a code now, or "".
func errorName(code int) string {
	switch p := proto.Error(code); {
	case p == proto.ErrQuotaExceeded: // the library has a former name for these
		return "QUOTA_EXCEEDED"
	case p == proto.ErrReplicaAlreadyExists:
		return "REPLICA_ALREADY_EXISTS"
	case p.IsAError():
		return p.String()
	}
	return ""
}

// printableLine returns the first line of a text, bounded and without control characters.
func printableLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "..."
	}
	var b bytes.Buffer
	printable.NewWriter(&b).Write([]byte(text))
	return b.String()
}

// wrongPort explains the first byte of an answer in another protocol.
func wrongPort(first uint64, secured bool) error {
	const alert = 0x15
	switch {
	case first == 'H' && secured:
		return &setupError{"the server answers with HTTP", "this is the port of HTTPS: set that of the native protocol with TLS, 9440 unless the server's configuration has another, in --clickhouseaddress"}
	case first == 'H':
		return &setupError{"the server answers with HTTP", "this is the port of HTTP: set that of the native protocol, 9000 unless the server's configuration has another, in --clickhouseaddress"}
	case first == alert && !secured:
		return &setupError{"the server answers with TLS", "set --clickhousesecure, or a port without TLS in --clickhouseaddress"}
	}
	return &setupError{"the server does not speak ClickHouse's native protocol", "set the port of the native protocol, 9000, or 9440 with TLS, in --clickhouseaddress"}
}

// explainTLS explains a handshake with a port without TLS: ClickHouse closes the connection, or
// answers in its own protocol.
func explainTLS(err error) error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		return &setupError{"the server does not speak TLS", "set a port with TLS, 9440 unless the server's configuration has another, in --clickhouseaddress, or --clickhousesecure=false"}
	}
	if errors.Is(err, io.EOF) || oserror.IsReset(err) {
		return &handshakeCut{err}
	}
	return err
}

// handshakeCut is an end of the connection inside the TLS handshake.
type handshakeCut struct{ err error }

func (e *handshakeCut) Error() string {
	return "the server has closed the connection during the TLS handshake: if it does so each time, the port may be one without TLS"
}
func (e *handshakeCut) Unwrap() error { return e.err }

// silentPort is an end of the connection before the first byte of the server's greeting.
// A port of HTTP waits for more, one of TLS cuts the connection, and a server that refuses
// our certificate may do so after the handshake.
type silentPort struct {
	err    error
	advice string
}

func (e *silentPort) Error() string { return e.err.Error() }
func (e *silentPort) Unwrap() error { return e.err }

// explainConnect adds to an error of Dial that a server which says nothing in a TLS handshake
// may wait for something else.
func (c *Conn) explainConnect(err error) error {
	if c.raw == nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &silentPort{err, "the server does not answer in TLS: if this is a port of HTTP, or one without TLS, set that of the native protocol with TLS, 9440 unless the server's configuration has another, in --clickhouseaddress"}
}

// explainLogin adds to an error of Dial what a server may mean by it that has said nothing.
func (c *Conn) explainLogin(err error) error {
	if c.in.source.left != maxHello {
		return err
	}
	_, port, _ := net.SplitHostPort(c.address)
	secured := c.config.TLS != nil
	switch cut := errors.Is(err, errClosed) || secure.MaybeCertificateRejected(err); {
	case secure.Advice(err, optionNames) != "":
		return err
	case cut && secured:
		return &silentPort{err, "the server may not accept our certificate, or require one: set it with " + optionNames.Cert}
	case cut:
		return &silentPort{err, "if this is a port with TLS, set --clickhousesecure; otherwise the server's log says why"}
	case port == "8123" || port == "8443":
		return &setupError{err.Error(), "port " + port + " is that of HTTP: set that of the native protocol, 9000, or 9440 with TLS, in --clickhouseaddress"}
	}
	return &silentPort{err, "the server has sent no greeting: if this is a port of HTTP, set that of the native protocol, 9000, or 9440 with TLS, in --clickhouseaddress"}
}
