package outputs

import (
	"log/slog"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

func TestValidate(t *testing.T) {
	f := func(change func(*Settings), problem string) {
		t.Helper()
		s := quick(1, 1)
		change(&s)
		_, err := NewRunner(&fake{}, s, false, event.NewIDs(), account.NewDeliveryCounters(), nil)
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("error %v, want %q", err, problem)
		}
	}
	f(func(*Settings) {}, "")
	f(func(s *Settings) { s.Type = Off }, "set up output fake: output type 0")
	f(func(s *Settings) { s.Type = Skip }, "output type 2 needs a skip list: give --skipdomainsfile")
	f(func(s *Settings) { s.Type = Allow }, "output type 3 needs an allow list: give --allowdomainsfile")
	f(func(s *Settings) { s.Type = SkipAndAllow }, "output type 4 needs a skip list")
	f(func(s *Settings) { s.Type = 5 }, "output type 5: not one of 0 to 4")
	f(func(s *Settings) { s.Workers = 0 }, "0 workers")
	f(func(s *Settings) { s.BatchSize = -1 }, "batch size -1")
	f(func(s *Settings) { s.BatchDelay = -1 }, "batch delay")
	f(func(s *Settings) { s.Timeout = -1 }, "timeout")
	f(func(s *Settings) { s.QueueBytes = -1 }, "queue of -1 bytes")
	f(func(s *Settings) { s.QueueEvents = -1 }, "queue of -1 events")
	f(func(s *Settings) { s.Spool = SpoolSettings{Dir: "/nowhere", Bytes: 1000} }, "--spoolmb")
	f(func(s *Settings) { s.Spool = SpoolSettings{Dir: "/dev/null/x", Bytes: 8 << 20} }, "make spool")
}

// TestBatchWithinMemory: if memory cannot hold a batch as large as configured, one warning
// says so and how to fix it; the defaults cause none.
func TestBatchWithinMemory(t *testing.T) {
	f := func(what string, change func(*Settings), live bool, bytes int64, warnings ...string) {
		t.Helper()
		var text strings.Builder
		set := Settings{Type: All, Workers: 1, BatchSize: 100_000, BatchBytes: NoByteLimit, BatchSizeOption: "fakebatchsize"}
		change(&set)
		r, err := NewRunner(&fake{}, set, live, event.NewIDs(), account.NewDeliveryCounters(), slog.New(slog.NewTextHandler(&text, nil)))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Discard()
		if r.set.BatchBytes != bytes {
			t.Errorf("%s: batches of %d bytes, want %d", what, r.set.BatchBytes, bytes)
		}
		if strings.Count(text.String(), "level=WARN") != min(1, len(warnings)) {
			t.Errorf("%s: log %q", what, text.String())
		}
		for _, w := range warnings {
			if !strings.Contains(text.String(), w) {
				t.Errorf("%s: log %q, want %q", what, text.String(), w)
			}
		}
	}
	spool := SpoolSettings{Dir: t.TempDir(), Bytes: 1 << 30}
	f("interface", func(*Settings) {}, true, 32<<20)
	f("file", func(*Settings) {}, false, 32<<20)
	f("interface, spool", func(s *Settings) { s.Spool = spool }, true, 16<<20)
	f("file, spool", func(s *Settings) { s.Spool = spool }, false, 16<<20)
	f("small batches", func(s *Settings) { s.BatchBytes = 0 }, true, 256<<10)
	f("small batches, file", func(s *Settings) { s.BatchBytes = 0 }, false, 256<<10)
	f("by delay", func(s *Settings) { s.BatchSize = 0 }, true, 32<<20)
	f("a destination's bound", func(s *Settings) { s.BatchBytes = 1 << 20 }, true, 1<<20)
	f("many rows", func(s *Settings) { s.BatchSize = 1_000_000 }, true, 32<<20,
		"fakebatchsize=1000000 of output fake needs about 143.1 MiB, but at most 32.0 MiB is available: set --queuemb=287, or smaller batches")
	f("little memory", func(s *Settings) { s.QueueBytes = 8 << 20 }, true, 4<<20, "at most 4.0 MiB is available: set --queuemb=29")
	f("little memory, file", func(s *Settings) { s.QueueBytes = 8 << 20 }, false, 4<<20, "set --queuemb=29")
	f("little disk", func(s *Settings) { s.Spool = spool; s.Spool.Bytes = minSpool }, true, 1<<20, "at most 1.0 MiB is available: set --spoolmb=115, or")
	f("little of both", func(s *Settings) { s.Spool, s.QueueBytes = spool, 8<<20; s.Spool.Bytes = minSpool }, true, 1<<20,
		"set --queuemb=58 and --spoolmb=115, or")
	f("few records", func(s *Settings) { s.QueueEvents = 1000 }, true, 32<<20,
		"fakebatchsize=100000 is more than the 500 records that --packetlimit=1000 leaves for a batch of output fake: set --packetlimit=199999, or")
	f("few records, no option", func(s *Settings) { s.QueueEvents, s.BatchSizeOption = 1000, "" }, true, 32<<20)
}
