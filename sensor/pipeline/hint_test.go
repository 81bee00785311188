package pipeline

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/worker"
)

// hinted is a live source whose counters change while it runs.
type hinted struct {
	bare
	seen, notDNS func() uint64
	filtered     bool
}

func (s *hinted) Kernel() (capture.KernelStats, error) {
	return capture.KernelStats{Hooks: []capture.HookStats{{Hook: "tc ingress", Filtered: s.filtered, Counters: []capture.Counter{
		{Name: "seen", Kind: capture.CountsIn, Value: s.seen(), Known: true},
		{Name: "not_dns", Kind: capture.CountsSkipped, Value: s.notDNS(), Known: true},
	}}}}, nil
}

// TestHints: nothing passes, which is said once; then packets pass that are no DNS, which is
// said once, with what to look at.
func TestHints(t *testing.T) {
	var log testlog.Log
	rounds := 0
	s := &hinted{bare: bare{live: true}}
	s.seen = func() uint64 {
		if rounds++; rounds <= 3 {
			return 0
		}
		return 1234
	}
	s.notDNS = func() uint64 { return 1200 }
	p := join(t, s, worker.Config{}, nil, []Output{{nowhere{}, oneWriter}}, slog.New(slog.NewTextHandler(&log, nil)))
	end := p.giveHints(Hints{After: 20 * time.Millisecond, Ports: "port 53", Where: "eth0", Try: []string{"--port=PORT", "check"}, Find: []string{"any"}})
	silent := `msg="hint: no packet on eth0 in 20ms; try any"`
	passes := `msg="hint: no DNS message on eth0 in 20ms: 1,234 packets passed, 1,200 not from or to port 53; try --port=PORT, check"`
	await.True(t, "both hints", func() bool { return log.Lines(passes) == 1 }, &log)
	end()
	if rounds < 4 || log.Lines(silent) != 1 || log.Lines("hint:") != 2 {
		t.Errorf("%d rounds:\n%s", rounds, log.String())
	}
}

// TestHintBehindAFilter: where the kernel counts only what its filter passes, nobody says
// that nothing passes.
func TestHintBehindAFilter(t *testing.T) {
	var log testlog.Log
	none := func() uint64 { return 0 }
	p := join(t, &hinted{bare{live: true}, none, none, true}, worker.Config{}, nil, []Output{{nowhere{}, oneWriter}}, slog.New(slog.NewTextHandler(&log, nil)))
	end := p.giveHints(Hints{After: 20 * time.Millisecond, Ports: "port 53", Where: "eth0", Try: []string{"--port=PORT", "check"}, Find: []string{"any"}})
	await.True(t, "a hint", func() bool {
		return log.Lines(`msg="hint: no packet from or to port 53 on eth0 in 20ms; try --port=PORT, check"`) == 1
	}, &log)
	end()
}

// TestNoHint once there is a record, or where nobody counts what passes.
func TestNoHint(t *testing.T) {
	f := func(why string, s capture.Source, records uint64) {
		t.Helper()
		var log testlog.Log
		p := join(t, s, worker.Config{}, nil, []Output{{nowhere{}, oneWriter}}, slog.New(slog.NewTextHandler(&log, nil)))
		shard := p.ledgers.messages.Shard()
		shard.Add(account.MessageEvent, records)
		shard.Publish()
		end := p.giveHints(Hints{After: time.Millisecond})
		time.Sleep(20 * time.Millisecond) // many times as long
		end()
		if text := log.String(); strings.Contains(text, "hint") {
			t.Errorf("%s: %s", why, text)
		}
	}
	none := func() uint64 { return 0 }
	f("a record", &hinted{bare: bare{live: true}, seen: none, notDNS: none}, 1)
	f("unknown", &bare{live: true}, 0)
	f("a file", &bare{}, 0)
}

// TestFileHint: a file without DNS ends with an explanation, a file with it without.
func TestFileHint(t *testing.T) {
	f := func(want string, ledgers ...account.Ledger) {
		t.Helper()
		p := toNowhere(t, &bare{})
		p.hints = Hints{Ports: "ports 53 5353", Try: []string{"--port=PORT"}}
		if got := p.fileHint(summary{ledgers: ledgers}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f("hint: no DNS message: 1,007 packets, 1,000 not from or to ports 53 5353, 5 unknown link, 2 unreadable; try --port=PORT",
		ledgerOf("packet", "", 1007, "udp_message", 2, "not_dns", 1000, "unknown_link", 5), ledgerOf("message", "", 2, "event", 0, "unreadable", 2))
	f("hint: no DNS message: 7 packets, none from or to ports 53 5353; try --port=PORT",
		ledgerOf("packet", "", 7, "not_dns", 7), ledgerOf("message", "", 0, "event", 0))
	f("", ledgerOf("packet", "", 7, "udp_message", 1, "not_dns", 6), ledgerOf("message", "", 1, "event", 1))
	f("", ledgerOf("packet", "", 0), ledgerOf("message", "", 0, "event", 0))
}
