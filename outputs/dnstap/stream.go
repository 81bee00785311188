package dnstap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/secure"
	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/framestream"
)

// lasting is an error that somebody has to repair.
type lasting struct{ error }

func (l lasting) Unwrap() error { return l.error }

func isLasting(err error) bool {
	var l lasting
	return errors.As(err, &l)
}

// stream is a connection whose receiver waits for frames.
type stream struct {
	net.Conn
	at       outputs.Address
	text     string        // the address
	watched  chan struct{} // closed once the receiver has sent something, or has closed
	finished bool          // it was FINISH; valid once watched is closed
	err      error         // else: why the connection is of no use; valid once watched is closed
}

// connect makes a stream to the first address that works. Each address gets its share of
// the time. The error is lasting if those of all addresses are.
func (o *Output) connect(ctx context.Context) (*stream, error) {
	list, err := parseAddresses(o.address)
	if err != nil {
		return nil, err
	}
	addresses := o.health(list)
	var s *stream
	var errs []error
	all := true
	addresses.TryEach(ctx, func(ctx context.Context, at outputs.Address) (more bool) {
		var err error
		if s, err = o.connectTo(ctx, list, at); err == nil {
			return false
		}
		all = all && isLasting(err)
		errs = append(errs, err)
		return true
	})
	switch {
	case s != nil:
		return s, nil
	case len(errs) == 0:
		return nil, ctx.Err()
	case len(errs) == 1:
		return nil, errs[0]
	}
	err = fmt.Errorf("none of %d addresses works: %s", len(errs), strings.ReplaceAll(errors.Join(errs...).Error(), "\n", "; "))
	if all {
		err = lasting{err}
	}
	return nil, err
}

// health is what all writers know of the addresses.
func (o *Output) health(list []address) *outputs.Addresses {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.addresses == nil {
		var names []string
		for _, a := range list {
			names = append(names, a.text)
		}
		o.addresses = outputs.NewAddresses(o.Log(), names...)
	}
	return o.addresses
}

func (o *Output) connectTo(ctx context.Context, list []address, at outputs.Address) (*stream, error) {
	a := &list[at.Index]
	conn, err := o.dial(ctx, a)
	if err == nil {
		if err = handshake(ctx, conn); err != nil {
			conn.Close()
		}
	}
	if err != nil {
		err = o.explain(a, err)
	}
	o.addresses.Report(ctx, at, err)
	if err != nil {
		return nil, err
	}
	o.connections.Add(1)
	s := &stream{Conn: conn, at: at, text: a.text, watched: make(chan struct{})}
	go s.watch() // ends with the connection
	return s, nil
}

func (o *Output) dial(ctx context.Context, a *address) (net.Conn, error) {
	if err := a.checkLocal(); err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, a.network, a.where)
	if err != nil || !a.tls {
		return conn, err
	}
	conf, err := o.tls.Config(a.host, o.Common.SkipVerify)
	if err != nil {
		conn.Close()
		return nil, lasting{err}
	}
	secured := tls.Client(conn, conf)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// explain says where an error happened and how to repair it.
func (o *Output) explain(a *address, err error) error {
	where := fmt.Errorf("%s: %w", a.text, err)
	advice := ""
	switch plain := (tls.RecordHeaderError{}); {
	case errors.As(err, &plain):
		advice = "the receiver does not speak TLS: write tcp://" + a.where
	case errors.Is(err, errSpeaksTLS):
		advice = "write tls://" + a.where
	case a.tls:
		advice = secure.Advice(err, o.tls.OptionNames("dnstapoutputaddress"))
	case a.network == "unix" && errors.Is(err, fs.ErrPermission):
		advice = "the sensor's user must be able to write to the socket and to enter its folder"
	}
	if advice != "" {
		return lasting{fmt.Errorf("%w: %s", where, advice)}
	}
	return where
}

var errSpeaksTLS = errors.New("the receiver speaks TLS")

// interrupt makes calls on conn fail once ctx has ended. The caller calls the function
// that it returns once it has made them.
func interrupt(ctx context.Context, conn net.Conn) func() bool {
	conn.SetDeadline(time.Time{})
	return context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
}

// handshake offers dnstap, and begins the stream if the receiver accepts it.
func handshake(ctx context.Context, conn net.Conn) error {
	defer interrupt(ctx, conn)()
	if _, err := conn.Write(framestream.AppendControl(nil, framestream.Ready, dnstap.ContentType)); err != nil {
		return fmt.Errorf("begin the handshake: %w", err)
	}
	answer, err := readControl(conn)
	switch {
	case ctx.Err() != nil:
		return errors.New("the receiver has taken the connection, but does not answer the handshake of Frame Streams")
	case errors.Is(err, io.EOF):
		return errors.New("the receiver closes the connection instead of answering the handshake: does it receive dnstap, in both directions of Frame Streams, and with TLS or without?")
	case err != nil:
		return fmt.Errorf("the handshake: %w", err)
	case answer.Control != framestream.Accept:
		return lasting{fmt.Errorf("the answer to the handshake is %s instead of ACCEPT: is this a receiver?", answer.Control)}
	}
	ok, named, err := answer.Allows(dnstap.ContentType)
	if err != nil {
		return fmt.Errorf("the handshake: %w", err)
	}
	if !ok {
		return lasting{fmt.Errorf("the receiver accepts content type %q, not %s", named, dnstap.ContentType)}
	}
	if _, err := conn.Write(start); err != nil {
		return fmt.Errorf("begin the stream: %w", err)
	}
	return nil
}

// readControl reads one control frame, and nothing after it.
func readControl(conn net.Conn) (f framestream.Frame, err error) {
	var room [1 << 10]byte
	have := 0
	for {
		f, need, err := framestream.Next(room[:have], 0)
		switch {
		case err == nil:
			return f, nil
		case !errors.Is(err, framestream.ErrMore) && have > 1 && room[0] == 0x15 && room[1] == 3: // an alert
			return f, errSpeaksTLS
		case !errors.Is(err, framestream.ErrMore):
			return f, lasting{fmt.Errorf("the answer %q is not a frame of Frame Streams", room[:have])}
		}
		n, err := io.ReadFull(conn, room[have:need])
		have += n
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		if err != nil {
			return f, err
		}
	}
}

// watch waits for what the receiver sends: nothing, until it has read STOP.
func (s *stream) watch() {
	defer close(s.watched)
	f, err := readControl(s.Conn)
	switch {
	case err == nil && f.Control == framestream.Finish:
		s.finished = true
	case err == nil:
		s.err = fmt.Errorf("the receiver sends %s in the middle of the stream", f.Control)
	case errors.Is(err, io.EOF):
		s.err = errors.New("the receiver has closed the connection")
	default:
		s.err = err
	}
}

// broken is why the receiver takes no more frames; nil if it does, as far as is known.
func (s *stream) broken() error {
	select {
	case <-s.watched:
	default:
		return nil
	}
	if s.finished {
		return errors.New("the receiver has ended the stream")
	}
	return s.err
}

// send hands frames to the system. After an error the stream is of no use: it may have
// ended within a frame.
func (s *stream) send(ctx context.Context, frames []byte) error {
	err := s.broken()
	if err == nil {
		s.SetWriteDeadline(time.Time{})
		done := context.AfterFunc(ctx, func() { s.SetWriteDeadline(time.Unix(1, 0)) })
		_, err = s.Write(frames)
		done()
		if err == nil {
			err = s.broken() // it may have closed without reading them
		}
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("the receiver does not read: %w", ctx.Err())
		}
	}
	if err != nil {
		return fmt.Errorf("send frames to %s: %w", s.text, err)
	}
	return nil
}

// finishTimeout is how long the end of a stream waits for the receiver.
const finishTimeout = 2 * time.Second

// finish ends the stream and closes the connection. The error says that the receiver has
// not confirmed the end.
func (s *stream) finish(limit time.Duration) error {
	s.SetDeadline(time.Now().Add(limit))
	_, err := s.Write(stop)
	if err == nil {
		<-s.watched
		if err = s.err; errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			err = fmt.Errorf("no FINISH within %s", limit)
		}
	}
	s.close()
	if err != nil {
		return fmt.Errorf("end the stream to %s: %w: its last records may be lost", s.text, err)
	}
	return nil
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// close closes the connection and waits for the end of watch.
func (s *stream) close() {
	s.SetDeadline(time.Unix(1, 0)) // closing TLS sends something
	s.Close()
	<-s.watched
}
