package dnstap

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	saidEvery = time.Minute // for one kind of line and one sender
	saidMost  = 64          // senders for which that is remembered
)

// limiter bounds the log lines that strangers can cause: one a minute for each kind of line
// and sender, for at most saidMost of them. A sender that makes another mistake is another
// kind, so that whoever repairs one mistake sees the next.
type limiter struct {
	log *slog.Logger

	mu     sync.Mutex
	last   map[string]time.Time // by kind and sender
	silent int                  // lines left out since the last one that was written
}

func (l *limiter) warn(kind string, c *conn, text string) { l.say(slog.LevelWarn, kind, c, text) }
func (l *limiter) info(kind string, c *conn, text string) { l.say(slog.LevelInfo, kind, c, text) }

func (l *limiter) say(level slog.Level, kind string, c *conn, text string) {
	more, ok := l.may(kind+" "+c.at.String()+" "+c.host(), time.Now())
	if !ok {
		return
	}
	if c.peer == "" { // it was refused
		c.peer = peerOf(c.raw)
	}
	args := []any{"sender", c.peer, "address", c.at.String()}
	if more > 0 {
		args = append(args, "lines_left_out", more)
	}
	l.log.Log(context.Background(), level, text, args...)
}

// may reports whether a line may be written, and how many were left out before it.
func (l *limiter) may(key string, now time.Time) (more int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, found := l.last[key]; found && now.Sub(at) < saidEvery {
		l.silent++
		return 0, false
	}
	if len(l.last) >= saidMost {
		for k, at := range l.last {
			if now.Sub(at) >= saidEvery {
				delete(l.last, k)
			}
		}
	}
	if len(l.last) >= saidMost {
		l.silent++
		return 0, false
	}
	if l.last == nil {
		l.last = make(map[string]time.Time)
	}
	l.last[key] = now
	more, l.silent = l.silent, 0
	return more, true
}

// connected says that a sender has begun its first stream.
func (s *Source) connected(c *conn, first bool) {
	if first {
		s.said.info("connected", c, "a sender is connected")
		return
	}
	s.options.Log.Debug("another sender is connected", "sender", c.peer, "address", c.at.String())
}

// host is the sender without what differs from connection to connection.
func (c *conn) host() string {
	if a, ok := c.raw.RemoteAddr().(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return "local"
}

// peerOf names the other end for people. Its program chooses the name of a process.
func peerOf(raw net.Conn) string {
	u, ok := raw.(*net.UnixConn)
	if !ok {
		return raw.RemoteAddr().String()
	}
	return processOf(u)
}
