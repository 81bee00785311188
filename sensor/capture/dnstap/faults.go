package dnstap

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"dnsmonster-sensor/outputs/oserror"
	"dnsmonster-sensor/outputs/secure"
	"dnsmonster-sensor/userspace/framestream"
)

var errMemory = errors.New("the memory for long frames is used up by other senders")

// tlsError is a handshake that failed.
type tlsError struct{ error }

func (e *tlsError) Unwrap() error { return e.error }

// answerError means that an answer could not be sent.
type answerError struct{ error }

func (e *answerError) Unwrap() error { return e.error }

// strangeError means that something other than Frame Streams came.
type strangeError struct{ text string }

func (e *strangeError) Error() string { return e.text }

// webVerbs begin the requests of HTTP.
var webVerbs = []string{"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "CONNECT ", "PRI * "}

// notFrames explains an error about what has come. b is what was not understood.
func (c *conn) notFrames(err error, b []byte) error {
	var content *framestream.ContentError
	var answer *answerError
	var order *framestream.OrderError
	switch {
	case errors.As(err, &answer), errors.As(err, &order) && order.Got != framestream.Data:
		return err
	case errors.As(err, &content):
		return fmt.Errorf("%w: configure it to send dnstap", err)
	case c.spoke:
		if err == framestream.ErrTooLong {
			return fmt.Errorf("%w: %d bytes are announced, and %d are allowed", err, framestream.Length(b), framestream.MaxFrame)
		}
		return err
	}
	if text := c.seenAs(b); text != "" {
		return &strangeError{text}
	}
	return &strangeError{fmt.Sprintf("this is not Frame Streams: it begins with %q", b[:min(len(b), 16)])}
}

// seenAs names a protocol by its first bytes; "": Frame Streams, or nothing known.
func (c *conn) seenAs(b []byte) string {
	switch {
	case len(b) >= 3 && b[0] == 22 && b[1] == 3:
		if c.at.Network == "tcp" {
			return fmt.Sprintf("it speaks TLS, and %s is an address without TLS: write tls://%s, or switch TLS off in the sender", c.at, c.at.Where)
		}
		return "it speaks TLS: switch TLS off in the sender"
	case begins(b, webVerbs):
		return "it speaks HTTP: only senders of dnstap can use this address"
	}
	return ""
}

func begins(b []byte, verbs []string) bool {
	for _, v := range verbs {
		if n := min(len(v), len(b)); n >= 4 && bytes.Equal(b[:n], []byte(v[:n])) {
			return true
		}
	}
	return false
}

// explain says what made a TLS handshake fail.
func (c *conn) explain(err error) string {
	var record tls.RecordHeaderError
	text := err.Error()
	switch {
	case errors.As(err, &record):
		head := record.RecordHeader[:]
		switch {
		case bytes.HasPrefix(head, []byte{0, 0, 0, 0}):
			return fmt.Sprintf("it speaks Frame Streams without TLS, and %s is an address with TLS: write tcp://%s, or switch TLS on in the sender", c.at, c.at.Where)
		case begins(head, webVerbs):
			return "it speaks HTTP: only senders of dnstap can use this address"
		}
		return fmt.Sprintf("this is not TLS: it begins with %q", head)
	case strings.Contains(text, "client didn't provide a certificate"):
		return "the sender shows no certificate, and dnstapcafile makes the sensor require one: give the sender a certificate"
	case strings.Contains(text, "failed to verify certificate") && !c.source.options.Dial:
		return "the sender's certificate is not accepted: " + text
	case strings.Contains(text, "remote error") && !c.source.options.Dial:
		return "the sender does not accept the sensor's certificate: " + text
	}
	if files := c.source.options.TLS; files != nil && files.HasOptions() {
		if advice := secure.Advice(err, files.OptionNames("dnstapsocket")); advice != "" {
			return text + ": " + advice
		}
	}
	return text
}

// isReset reports whether the other end, or its host, has ended the connection at once.
func isReset(err error) bool {
	return oserror.IsReaderGone(err) || oserror.IsUnreachable(err)
}

// isEnd reports whether a connection has ended without a mistake in what it sent.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || isReset(err)
}

// left counts and logs why a connection has ended.
func (s *Source) left(c *conn, err error) {
	unfinished := c.unfinished
	var failed *tlsError
	var content *framestream.ContentError
	var answer *answerError
	warn := func(kind, text string) { s.said.warn(kind, c, text) }
	switch stands := int(c.progress.Load() % progressStep); {
	case c.expired.Load() && stands == waitsForStart && !c.begun:
		s.noStart.Add(1)
		warn("no start", fmt.Sprintf("a sender did not begin a stream within %v, and its connection was closed", s.bounds.start))
	case errors.As(err, &failed) && !s.closed():
		s.tls.Add(1)
		text := c.explain(failed.error)
		warn("tls "+text, "a TLS handshake with a sender failed: "+text)
	case errors.As(err, &content):
		s.content.Add(1)
		warn("content "+err.Error(), "a sender was refused: "+err.Error())
	case errors.Is(err, framestream.ErrTooLong):
		s.tooLong.Add(1)
		s.breaks(0)
		warn("too long", "a sender's connection was closed: "+err.Error())
	case errors.Is(err, errMemory):
		s.memoryShort.Add(1)
		s.breaks(unfinished)
		warn("memory", "a sender's connection was closed: "+err.Error())
	case c.expired.Load() && unfinished > 0:
		s.stalled.Add(1)
		s.breaks(unfinished)
		warn("stalled", fmt.Sprintf("a sender stopped inside a frame, of which %d bytes had come; its connection was closed", unfinished))
	case errors.As(err, &answer) || isEnd(err):
		s.ends(c, unfinished, err)
	default:
		s.protocol.Add(1)
		if c.state.Started() {
			s.breaks(0)
		}
		warn("protocol "+err.Error(), "a sender's connection was closed: "+err.Error())
	}
}

func (s *Source) breaks(bytes int) {
	s.broken.Add(1)
	s.brokenBytes.Add(uint64(bytes))
}

// ends is what left does for a sender that sent nothing wrong.
func (s *Source) ends(c *conn, unfinished int, err error) {
	log := s.options.Log.With("sender", c.peer, "address", c.at.String(), "end", err)
	switch {
	case unfinished > 0 && !c.begun:
		s.protocol.Add(1)
		s.said.warn("protocol", c, "a sender closed its connection before the end of its first frame")
	case unfinished > 0:
		s.breaks(unfinished)
		s.said.warn("unfinished", c, fmt.Sprintf("a sender closed its connection inside a frame, of which %d bytes had come", unfinished))
	case c.state.Started():
		s.broken.Add(1)
		if !s.closed() {
			s.said.info("no stop", c, "a sender closed its connection without ending its stream")
		}
	case !c.begun:
		log.Debug("a connection without a stream was closed")
	default:
		log.Debug("a sender has disconnected")
	}
}

func (s *Source) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}
