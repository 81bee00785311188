package watch

import (
	"log/slog"
	"time"
)

// port is a place in the host's network that is captured, or waited for: the
// interface of a name or, of any, of a number.
type port struct {
	name       string
	index      int          // of the interface that it was attached to last
	attachment Attachment   // nil: there is no interface, or it cannot be captured
	promisc    *promiscuous // nil: not asked for, or not possible
	failed     netInterface // as which it could not be attached
	state      state        // that was said last

	takenSaid time.Time // when it was said that another program had taken the programs off
	takenMore int       // how often that has happened since
}

// state is what the log has said of a port.
type state uint8

const (
	unseen state = iota
	captured
	gone
	taken // by another program
	failing
	renamed // captured, under another name
)

// over is what the log says when a port is captured after this state.
func (s state) over() string {
	switch s {
	case gone:
		return "interface is back"
	case renamed:
		return "interface has its name again"
	case taken:
		return "attached again"
	}
	return "interface is captured"
}

// say warns of a state, once.
func (p *port) say(log *slog.Logger, s state, message string, args ...any) {
	if p.state != s {
		p.state = s
		log.Warn(message, args...)
	}
}

func (p *port) gone(log *slog.Logger) {
	p.say(log, gone, "interface is gone, waiting for it to come back", "interface", p.name)
}

// takenQuiet is how long nothing is said where another program takes the programs
// off again and again.
const takenQuiet = time.Minute

// taken says that another program has taken ours off.
func (p *port) taken(log *slog.Logger) {
	p.takenMore++
	if time.Since(p.takenSaid) < takenQuiet {
		return
	}
	p.say(log, taken, "another program has taken ours off, attaching again", "interface", p.name, "times", p.takenMore)
	p.takenSaid, p.takenMore = time.Now(), 0
}

// detach takes the programs off and ends promiscuous mode.
func (p *port) detach() error {
	p.endPromiscuous()
	if p.attachment == nil {
		return nil
	}
	err := p.attachment.Close()
	p.attachment = nil
	return err
}

func (p *port) endPromiscuous() {
	p.promisc.end()
	p.promisc = nil
}
