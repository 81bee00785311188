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
	Try   []string      // what may help if packets pass
	Find  []string      // what may help if none pass
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
				p.log.Info(fmt.Sprintf("hint: no packet on %s in %s%s", h.Where, after, toTry(h.Find)))
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

// why says what was seen instead of messages, and what to try.
func (h Hints) why(s summary) string {
	total, live := s.seen()
	if !live {
		total = s.in("packet")
	}
	text := account.Counted(total, "packet")
	if live {
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
		if word == other && sums[word] == total {
			list = append(list, "none from or to "+h.Ports)
			continue
		}
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
