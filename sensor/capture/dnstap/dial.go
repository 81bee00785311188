package dnstap

import (
	"context"
	"net"
	"time"
)

const (
	redialFirst = 100 * time.Millisecond
	redialMost  = 5 * time.Second
	dialTimeout = 10 * time.Second
)

// dial connects to an address, and again whenever the connection has ended, until the
// source is closed.
func (s *Source) dial(ctx context.Context, a Address) {
	log := s.options.Log.With("address", a.String())
	dialer := net.Dialer{Timeout: dialTimeout}
	waits, pause := false, redialFirst
	for ctx.Err() == nil {
		raw, err := dialer.DialContext(ctx, a.dialed(), a.Where)
		switch {
		case ctx.Err() != nil:
		case err != nil && !waits:
			waits = true
			log.Warn("waiting for the sender: it cannot be reached; the sensor keeps trying", "error", err)
		case err == nil:
			if waits {
				log.Info("connected to the sender after waiting for it")
			}
			waits = false
			if s.dialed(raw, a) {
				pause = redialFirst
			}
			if ctx.Err() == nil {
				log.Debug("the connection has ended; connecting again")
			}
		}
		if err != nil && ctx.Err() == nil || err == nil {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, redialMost)
		}
		if raw != nil && ctx.Err() != nil {
			raw.Close()
		}
	}
}

// dialed serves a connection, and reports whether a stream came.
func (s *Source) dialed(raw net.Conn, a Address) bool {
	keepAlive(raw)
	c := s.add(raw, a)
	if c == nil {
		s.refused.Add(1)
		raw.Close()
		return false
	}
	s.serve(c)
	return c.begun
}
