package pipeline

import (
	"testing"
	"time"

	"dnsmonster-sensor/userspace/account"
)

// ledgerOf makes a ledger whose outcomes are pairs of a name and a number. Names with a !
// are losses.
func ledgerOf(name, label string, in uint64, outcomes ...any) account.Ledger {
	l := account.Ledger{Name: name, Label: label, In: in}
	for i := 0; i < len(outcomes); i += 2 {
		o := account.Line{Name: outcomes[i].(string), Value: uint64(outcomes[i+1].(int))}
		if o.Name[0] == '!' {
			o.Name, o.Lost = o.Name[1:], true
		}
		l.Outcomes = append(l.Outcomes, o)
	}
	return l
}

// TestSummary: what a person reads at the end.
func TestSummary(t *testing.T) {
	ingress := func(in, notDNS, delivered int, more ...any) account.Ledger {
		return ledgerOf("kernel", "tc ingress", uint64(in), append([]any{"not_dns", notDNS, "delivered", delivered}, more...)...)
	}
	message := func(events, marked int, more ...any) account.Ledger {
		l := ledgerOf("message", "", 0, append([]any{"event", events}, more...)...)
		for _, o := range l.Outcomes {
			l.In += o.Value
		}
		l.Meters = []account.Line{{Name: "malformed", Value: uint64(marked)}}
		return l
	}
	f := func(name string, s summary, want string) {
		t.Helper()
		if got := s.String(); got != want {
			t.Errorf("%s:\n%swant\n%s", name, got, want)
		}
	}
	f("all fine", summary{live: true, took: 12300 * time.Millisecond, ledgers: []account.Ledger{
		ingress(9310, 6900, 2410), ledgerOf("packet", "", 2410, "udp_message", 1200, "tcp_used", 8, "tcp_no_data", 1202), message(1204, 0),
		ledgerOf("delivery", "stdout", 1204, "delivered", 1204),
	}}, "1,204 records in 12.3 s (98/s), from 2,410 packets of 9,310 seen; nothing lost\n  stdout: 1,204 written\n")
	f("a file, at once", summary{took: 3 * time.Millisecond, ledgers: []account.Ledger{
		ledgerOf("packet", "", 1, "udp_message", 1), message(1, 0), ledgerOf("delivery", "stdout", 1, "delivered", 1),
	}}, "1 record in 3 ms, from 1 packet; nothing lost\n  stdout: 1 written\n")
	f("losses", summary{live: true, took: time.Hour, ledgers: []account.Ledger{
		ingress(2000, 1000, 688, "!ring_full", 312), ledgerOf("packet", "", 688, "udp_message", 688), message(688, 0),
		ledgerOf("delivery", "psql", 688, "delivered", 600, "!queue_full", 80, "!abandoned", 8),
	}}, "688 records in 1h0m0s, from 688 packets of 2,000 seen; 400 LOST\n  psql: 600 written, 80 LOST because the queue was full, 8 abandoned\n")
	f("malformed", summary{took: time.Minute, ledgers: []account.Ledger{
		ledgerOf("packet", "", 107, "udp_message", 100, "malformed", 2, "sampled_out", 5), message(97, 3, "unreadable", 1, "malformed_dropped", 2),
		ledgerOf("delivery", "stdout", 97, "delivered", 97),
	}}, "97 records in 1m0s (2/s), from 107 packets; 3 records marked Malformed; nothing lost\n  stdout: 97 written\n"+
		"  left out: 2 packets malformed, 5 packets sampled out, 1 message unreadable, 2 messages malformed dropped\n")
	waiting := ledgerOf("delivery", "psql", 600, "delivered", 20)
	waiting.Held, waiting.Meters = 580, []account.Line{{Name: "recovered", Value: 500}}
	f("the spool waits", summary{took: time.Second, waiting: map[string]uint64{"psql": 580}, ledgers: []account.Ledger{
		ledgerOf("packet", "", 100, "udp_message", 100), message(100, 0), waiting, ledgerOf("delivery", "stdout", 100, "delivered", 90, "skipped", 10),
	}}, "100 records in 1.0 s (100/s), from 100 packets; nothing lost\n"+
		"  psql: 20 written, 580 waiting in the spool, among them 500 that the spool held at the start\n  stdout: 90 written, 10 skipped by the filter\n")
	f("a limit", summary{took: time.Second, ledgers: []account.Ledger{
		ledgerOf("packet", "", 100, "udp_message", 100), message(100, 15), ledgerOf("limit", "", 100, "passed", 10, "beyond_count", 90),
		ledgerOf("delivery", "stdout", 10, "delivered", 10),
	}}, "10 records in 1.0 s (10/s), from 100 packets; nothing lost\n  stdout: 10 written\n  left out: 90 records beyond count\n")
	unknown := account.Ledger{Name: "kernel", InUnknown: true}
	f("an input that does not count", summary{live: true, took: time.Second, ledgers: []account.Ledger{
		unknown, ledgerOf("packet", "", 0), message(0, 0), ledgerOf("delivery", "file", 0, "delivered", 0),
	}}, "0 records in 1.0 s, from 0 packets; losses unknown\n  file: nothing written\n")
	f("Ctrl-C in a pipeline", summary{live: true, readerLeft: true, took: time.Second, ledgers: []account.Ledger{
		ingress(10, 0, 10), {Name: "kernel", Label: "tc egress", In: 4, Outcomes: []account.Line{{Name: "sampled_out", Value: 3}, {Name: "delivered", Value: 1}}},
		ledgerOf("kernel", "xdp", 2, "sampled_out", 2, "!ring_full", 0), ledgerOf("packet", "", 11, "udp_message", 11), message(11, 0),
		ledgerOf("delivery", "stdout", 11, "delivered", 4, "refused", 0, "x", 0, "y", 0, "z", 0, "w", 0, "v", 0, "!abandoned", 7),
	}}, "11 records in 1.0 s (11/s), from 11 packets of 16 seen; nothing lost\n  stdout: 4 written, 7 not written, because the reader has left\n  left out: 5 packets sampled out\n")
	f("a defect", summary{took: time.Second, ledgers: []account.Ledger{
		ledgerOf("packet", "", 3, "udp_message", 2), message(2, 0), ledgerOf("delivery", "file", 2, "delivered", 2),
	}}, "2 records in 1.0 s (2/s), from 3 packets; 1 UNACCOUNTED\n  file: 2 written\n")
}
