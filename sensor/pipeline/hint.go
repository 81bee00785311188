package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"dnsmonster-sensor/userspace/account"
)

// Hints help a person who gets no records.
type Hints struct {
	After time.Duration // how long there may be none; 0: hintAfter
	Ports string        // those that are watched, such as "port 53"
	Where string        // the interfaces, such as "eth0"; "" if the input is files
	Try   []string      // what may help if packets pass
	Find  []string      // what may help if none pass

	Unit    string        // what the input brings; "": "packet"
	Endless bool          // the input has no end of its own, even if it is not live
	Quiet   func() string // says more if nothing comes, such as who is connected; nil: nobody knows
	// Notice says what a user should know about what has come so far, "" if there is
	// nothing. It is said once: while an endless input runs, else at the end. nil: nothing.
	Notice func() string
}

// unit is what the input brings.
func (h *Hints) unit() string { return cmp.Or(h.Unit, "packet") }

// hintAfter is how long a live input may bring no record before somebody is told why.
const hintAfter = 10 * time.Second

// giveHints logs once that nothing passes, and once why what passes is no record, until
// the first record or until stop is called.
func (p *pipeline) giveHints(h Hints) (stop func()) {
	if !p.source.Live() && !h.Endless {
		return func() {}
	}
	after := h.After
	if after == 0 {
		after = hintAfter
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(after)
		defer tick.Stop()
		silent, explained := false, false // that nothing passes has been said, and what passes instead
		for !explained || h.Notice != nil {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			if h.Notice != nil {
				if text := h.Notice(); text != "" {
					p.log.Info(text)
					h.Notice = nil
				}
			}
			if explained {
				continue
			}
			ledgers, err := p.ledgers.read()
			s := summary{ledgers: ledgers}
			seen, known := s.seen()
			switch {
			case err != nil || s.total("message", account.MessageEvent) > 0 || !known:
				explained = true
			case seen == 0 && !silent:
				silent = true
				what, try := h.unit(), h.Find
				if s.filtered() { // others may have passed
					what, try = "packet from or to "+h.Ports, h.Try
				}
				p.log.Info(fmt.Sprintf("hint: no %s %s in %s%s%s", what, h.place(), after, h.more(), toTry(try)))
			case seen > 0:
				p.log.Info(fmt.Sprintf("hint: no DNS message %s in %s: %s", h.place(), after, h.why(s)))
				explained = true
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// place is where nothing was seen.
func (h *Hints) place() string {
	if h.unit() == "frame" {
		return "at " + h.Where
	}
	return "on " + h.Where
}

// more is what else is known if nothing comes.
func (h *Hints) more() string {
	if h.Quiet == nil {
		return ""
	}
	return ": " + h.Quiet()
}

// why says what was seen instead of messages, and what to try.
func (h Hints) why(s summary) string {
	total, live := s.seen()
	if !live {
		total = s.in("packet")
	}
	text := account.Counted(total, h.unit())
	switch {
	case live && h.unit() == "frame":
		text += " received"
	case live:
		text += " passed"
	}
	return strings.Join(append([]string{text}, h.seen(s, total)...), ", ") + toTry(h.Try)
}

// toTry ends a hint.
func toTry(list []string) string {
	if list == nil {
		return ""
	}
	return "; try " + strings.Join(list, ", ")
}

// seen lists what the packets were, of which there are total.
func (h Hints) seen(s summary, total uint64) (list []string) {
	kernel := slices.ContainsFunc(s.ledgers, func(l account.Ledger) bool { return l.Name == "kernel" })
	other := "not from or to " + h.Ports
	words := map[string]string{
		"not_dns": other, "tcp_no_data": "TCP without data", "tcp_used": "TCP whose messages are incomplete",
		"fragment_used": "fragments", "udp_message": "", "delivered": "",
	}
	sums := make(map[string]uint64)
	var order []string
	for _, l := range s.ledgers {
		if l.Name != "kernel" && l.Name != "packet" && l.Name != "message" {
			continue
		}
		for _, o := range l.Outcomes {
			word, named := words[o.Name]
			if !named {
				_, word = wordsOf(l.Name, o.Name)
			}
			if o.Value == 0 || word == "" || kernel && l.Name == "packet" && o.Name == "not_dns" {
				continue
			}
			if sums[word] == 0 {
				order = append(order, word)
			}
			sums[word] += o.Value
		}
	}
	for _, word := range order {
		if word == other && sums[word] == total {
			list = append(list, "none from or to "+h.Ports)
			continue
		}
		list = append(list, account.Number(sums[word])+" "+word)
	}
	return list
}

// fileHint explains why files brought no record, or says what a user should know about
// those that they brought; "": there is nothing to say.
func (p *pipeline) fileHint(s summary) string {
	if n := p.hints.Notice; n != nil && !p.source.Live() && !p.hints.Endless && s.total("message", account.MessageEvent) > 0 {
		return n()
	}
	if p.source.Live() || s.in("packet") == 0 || s.total("message", account.MessageEvent) > 0 {
		return ""
	}
	return "hint: no DNS message: " + p.hints.why(s)
}
