package pipeline

import (
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
	Try   []string      // what to look at if packets pass
	Find  string        // what to look at if none pass
}

// hintAfter is how long a live input may bring no record before somebody is told why.
const hintAfter = 10 * time.Second

// giveHints logs once that nothing passes, and once why what passes is no record, until
// the first record or until stop is called.
func (p *pipeline) giveHints(h Hints) (stop func()) {
	if !p.source.Live() {
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
		silent := false // that nothing passes has been said
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			ledgers, err := p.ledgers.read()
			s := summary{ledgers: ledgers}
			seen, known := s.seen()
			switch {
			case err != nil || s.total("message", account.MessageEvent) > 0 || !known:
				return
			case seen == 0 && !silent:
				silent = true
				p.log.Info(fmt.Sprintf("hint: no packet on %s in %s: %s", h.Where, after, h.Find))
			case seen > 0:
				p.log.Info(fmt.Sprintf("hint: no DNS message on %s in %s: %s", h.Where, after, h.why(s)))
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// why says what was seen instead of messages, and what to look at.
func (h Hints) why(s summary) string {
	total, known := s.seen()
	if !known {
		total = s.in("packet")
	}
	text := counted(total, "packet") + " passed"
	if parts := h.seen(s); parts != nil {
		text += ", " + strings.Join(parts, ", ")
	}
	if h.Try != nil {
		text += "; " + strings.Join(h.Try, "; ")
	}
	return text
}

// seen lists what the packets were.
func (h Hints) seen(s summary) (list []string) {
	kernel := slices.ContainsFunc(s.ledgers, func(l account.Ledger) bool { return l.Name == "kernel" })
	words := map[string]string{
		"not_dns": "not from or to " + h.Ports, "tcp_no_data": "TCP without data", "tcp_used": "TCP whose messages are incomplete",
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
				word = plainName(o.Name)
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
		list = append(list, account.Number(sums[word])+" "+word)
	}
	return list
}

// fileHint explains why files brought no record; "": they did, or nothing was read.
func (p *pipeline) fileHint(s summary) string {
	if p.source.Live() || s.in("packet") == 0 || s.total("message", account.MessageEvent) > 0 {
		return ""
	}
	return "hint: no DNS message: " + p.hints.why(s)
}
