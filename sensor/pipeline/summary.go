package pipeline

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dnsmonster-sensor/userspace/account"
)

// printLedgers prints the ledgers for people.
func printLedgers(w io.Writer, ledgers []account.Ledger, took time.Duration) {
	fmt.Fprintf(w, "ledgers after %s:\n", took.Round(time.Millisecond))
	for _, l := range ledgers {
		name := l.Name
		if l.Label != "" {
			name += " " + l.Label
		}
		fmt.Fprintf(w, "  %-22s in %s", name, shownNumber(l.In, l.InUnknown))
		for _, o := range l.Outcomes {
			if o.Value > 0 || o.Unknown {
				fmt.Fprintf(w, ", %s %s", o.Name, shownNumber(o.Value, o.Unknown))
			}
		}
		if l.Held > 0 {
			fmt.Fprintf(w, ", held %d", l.Held)
		}
		fmt.Fprintf(w, "; unaccounted %s\n", shownNumber(l.Unaccounted(), !l.Balanced()))
	}
	fmt.Fprintf(w, "unaccounted %d\n", account.Unaccounted(ledgers))
}

// shownNumber is a number for people.
func shownNumber[N int64 | uint64](n N, unknown bool) string {
	if unknown {
		return "unknown"
	}
	return fmt.Sprint(n)
}

// summary says in a few lines what a run has done.
type summary struct {
	ledgers []account.Ledger
	took    time.Duration
	waiting map[string]uint64 // events that an output left in its spool
	live    bool
	unit    string // what the input brings; "": packets, or frames if there were no packets

	readerLeft bool // the reader of every output has left: what it did not take is no loss
}

// String is the text, with a line end after each line:
//
//	1,204 records in 12.3 s (98/s), from 2,410 packets of 9,310 seen; nothing lost
//	  stdout: 1,204 written
//	  left out: 2 packets malformed, 100 packets sampled out
func (s summary) String() string {
	var text bytes.Buffer
	records, marked := s.records(), s.meter("message", "malformed")
	if s.total("limit", account.BeyondCount) > 0 { // most of these are perhaps beyond it
		marked = 0
	}
	fmt.Fprintf(&text, "%s in %s", account.Counted(records, "record"), shownTime(s.took))
	if perSecond := float64(records) / s.took.Seconds(); perSecond >= 0.5 && s.took >= 100*time.Millisecond {
		fmt.Fprintf(&text, " (%s/s)", account.Number(uint64(perSecond+0.5)))
	}
	fmt.Fprintf(&text, ", from %s", account.Counted(s.in("packet"), s.inputUnit()))
	if seen, known := s.seen(); known {
		fmt.Fprintf(&text, " of %s seen", account.Number(seen))
	}
	if marked > 0 {
		fmt.Fprintf(&text, "; %s marked Malformed", account.Counted(marked, "record"))
	}
	fmt.Fprintf(&text, "; %s\n", s.loss())
	for _, l := range s.ledgers {
		if l.Name == "delivery" {
			fmt.Fprintf(&text, "  %s: %s\n", l.Label, s.delivery(&l))
		}
	}
	if list := s.leftOut(); list != nil {
		fmt.Fprintf(&text, "  left out: %s\n", strings.Join(list, ", "))
	}
	return text.String()
}

// loss says how much was lost, loudly if that is not 0.
func (s summary) loss() string {
	_, lost := account.Losses(s.ledgers)
	if s.readerLeft {
		lost -= s.total("delivery", account.Abandoned)
	}
	unaccounted := account.Unaccounted(s.ledgers)
	switch {
	case lost > 0 && unaccounted > 0:
		return fmt.Sprintf("%s LOST, %s UNACCOUNTED", account.Number(lost), account.Number(unaccounted))
	case lost > 0:
		return account.Number(lost) + " LOST"
	case unaccounted > 0:
		return account.Number(unaccounted) + " UNACCOUNTED"
	case s.live && !s.lossKnown():
		return "losses unknown"
	}
	return "nothing lost"
}

// lossKnown reports whether every ledger of the kernel knows what it has lost.
func (s summary) lossKnown() bool {
	return !slices.ContainsFunc(s.ledgers, func(l account.Ledger) bool { return l.Name == "kernel" && !l.LossKnown() })
}

// delivery says what became of the records of one output.
func (s summary) delivery(l *account.Ledger) string {
	words := map[string]string{"delivered": "written", "skipped": "skipped by the filter", "queue_full": "LOST because the queue was full"}
	var parts []string
	for _, o := range l.Outcomes {
		if o.Value > 0 {
			word := words[o.Name]
			switch {
			case o.Name == "abandoned" && s.readerLeft:
				word = "not written, because the reader has left"
			case word == "":
				word = plainName(o.Name)
			}
			parts = append(parts, account.Number(o.Value)+" "+word)
		}
	}
	waits := s.waiting[l.Label]
	if waits > 0 {
		parts = append(parts, account.Number(waits)+" waiting in the spool")
	}
	if l.Held > waits {
		parts = append(parts, account.Number(l.Held-waits)+" still in memory")
	}
	for _, m := range l.Meters {
		if m.Name == "recovered" && m.Value > 0 {
			parts = append(parts, fmt.Sprintf("among them %s that the spool held at the start", account.Number(m.Value)))
		}
	}
	if parts == nil {
		return "nothing written"
	}
	return strings.Join(parts, ", ")
}

// usual are the outcomes that a summary does not mention: what became a record, and
// packets that are part of every capture and carry no message.
var usual = map[string][]string{
	"kernel":  {"delivered", "not_dns"},
	"packet":  {"udp_message", "fragment_used", "whole_message", "tcp_used", "tcp_no_data", "not_dns"},
	"message": {"event"},
	"stage":   {"passed"},
	"limit":   {"passed"},
}

// units are what the ledgers count.
var units = map[string]string{"kernel": "packet", "packet": "packet", "message": "message", "stage": "record", "limit": "record"}

// leftOut lists what did not become a record, apart from losses.
func (s summary) leftOut() (list []string) {
	type kind struct{ unit, name string }
	sums := make(map[kind]uint64) // of all hooks
	var order []kind
	add := func(k kind, n uint64) {
		if n > 0 && sums[k] == 0 {
			order = append(order, k)
		}
		sums[k] += n
	}
	for _, l := range s.ledgers {
		unit, counts := units[l.Name]
		if unit == "packet" {
			unit = s.inputUnit()
		}
		if !counts {
			continue
		}
		for _, o := range l.Outcomes {
			if !o.Lost && !slices.Contains(usual[l.Name], o.Name) {
				what, name := wordsOf(l.Name, o.Name)
				add(kind{cmp.Or(what, unit), name}, o.Value)
			}
		}
		add(kind{unit, "still waiting"}, l.Held)
	}
	for _, k := range order {
		list = append(list, account.Counted(sums[k], k.unit)+" "+k.name)
	}
	return list
}

// frameOutcomes are the names for people of what became of dnstap frames.
var frameOutcomes = map[string]string{
	"frame_unselected": "of types that are not selected", "frame_broken": "broken",
	"frame_not_message": "without a dnstap message", "frame_empty": "without the message that the type names",
}

// wordsOf are what a ledger's outcome counts, "" if that is usual for the ledger, and its
// name for people.
func wordsOf(ledger, name string) (unit, words string) {
	if text, ok := frameOutcomes[name]; ok && ledger == "packet" {
		return "frame", text
	}
	return "", plainName(name)
}

// inputUnit is what has come in: packets, or dnstap frames if nothing else came.
func (s summary) inputUnit() string {
	if s.unit != "" {
		return s.unit
	}
	frames, others := uint64(0), uint64(0)
	for _, l := range s.ledgers {
		if l.Name != "packet" {
			continue
		}
		for _, o := range l.Outcomes {
			switch {
			case frameOutcomes[o.Name] != "" || o.Name == "whole_message":
				frames += o.Value
			case o.Name != "sampled_out":
				others += o.Value
			}
		}
	}
	if frames > 0 && others == 0 {
		return "frame"
	}
	return "packet"
}

// plainName is an outcome's name for people.
func plainName(name string) string { return strings.ReplaceAll(name, "_", " ") }

// shownTime is a time as precise as a person wants it.
func shownTime(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// records is how many messages were recorded: those within the limit, if there is one.
func (s summary) records() uint64 {
	if slices.ContainsFunc(s.ledgers, func(l account.Ledger) bool { return l.Name == "limit" }) {
		return s.total("limit", account.WithinCount)
	}
	return s.total("message", account.MessageEvent)
}

// in is how much has come into the ledgers of one name.
func (s summary) in(name string) (n uint64) {
	for _, l := range s.ledgers {
		if l.Name == name {
			n += l.In
		}
	}
	return n
}

// seen is how many packets passed the kernel's program, if that is known.
func (s summary) seen() (n uint64, known bool) {
	for _, l := range s.ledgers {
		if l.Name == "kernel" {
			if n, known = n+l.In, true; l.InUnknown {
				return 0, false
			}
		}
	}
	return n, known
}

// filtered reports whether seen leaves out what a filter in the kernel has not passed.
func (s summary) filtered() bool {
	return slices.ContainsFunc(s.ledgers, func(l account.Ledger) bool { return l.Filtered })
}

// total sums an outcome over all ledgers of one name.
func (s summary) total(name string, column account.Column) (n uint64) {
	for _, l := range s.ledgers {
		if l.Name == name && int(column) < len(l.Outcomes) {
			n += l.Outcomes[column].Value
		}
	}
	return n
}

// meter sums a meter over all ledgers of one name.
func (s summary) meter(name, meter string) (n uint64) {
	for _, l := range s.ledgers {
		for _, m := range l.Meters {
			if l.Name == name && m.Name == meter {
				n += m.Value
			}
		}
	}
	return n
}
