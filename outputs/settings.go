package outputs

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Type says whether an output is used, and which domain lists filter it.
type Type int

// Output types, in dnsmonster's numbers.
const (
	Off          Type = iota
	All               // no filter
	Skip              // all but what is on the skip list
	Allow             // only what is on the allow list
	SkipAndAllow      // both
)

// Settings is what the runner needs to know of an output. Where a field says so,
// zero stands for a default. Output.Settings fills the first part. The second part is
// the same for all outputs of a run; the program fills it.
type Settings struct {
	Type            Type
	Workers         int           // writers, each in a goroutine of its own; at least 1
	BatchSize       int           // most events in a batch; 0: as many as BatchBytes allows
	BatchBytes      int64         // most bytes in a batch, as Block.Size counts them; a single larger event is still accepted. 0: 256 KiB. NoByteLimit: what memory allows
	Grow            bool          // batches grow beyond BatchSize while others wait
	BatchDelay      time.Duration // how long an event waits for its batch to fill; 0: 1 s. Everything that the lanes bring in that time is one batch
	BatchSizeOption string        // name of the option that sets BatchSize, for messages; "": there is none
	Timeout         time.Duration // for one attempt of Write or Open; 0: 30 s
	RetryFirst      time.Duration // pause after the first failed attempt; 0: 100 ms
	RetryMax        time.Duration // longest pause between attempts; 0: 30 s

	QueueBytes  int64 // memory for waiting blocks; 0: 64 MiB, or 8 MiB for a file without a spool whose batches take at most half of that
	QueueEvents int   // most events in that memory; 0: no limit
	Spool       SpoolSettings
	Skip, Allow Matcher // the domain lists; nil: not given

	fileEvents int // most events that wait if the input is a file and QueueEvents is 0; 0: no limit
}

// SpoolSettings say what an output keeps on disk.
type SpoolSettings struct {
	Dir    string // of all spools: each output has a folder of its name in it; "": no spool
	Bytes  int64  // most bytes on disk for one output
	Free   int64  // bytes of the file system that must stay free
	Force  bool   // Dir may be a folder that other users can change
	Always bool   // write every block before its first attempt; false: only what memory cannot hold
}

// NoByteLimit is the BatchBytes of an output that limits its batches by events only.
const NoByteLimit = math.MaxInt64

// SetBatch sets size and delay as dnsmonster's batch options mean them: a delay other
// than 0 disables the size.
func (s *Settings) SetBatch(size int, delay time.Duration) {
	s.BatchSize, s.BatchDelay = size, delay
	if delay > 0 {
		s.BatchSize = 0
	}
}

const (
	defaultDelay      = time.Second
	defaultTimeout    = 30 * time.Second
	defaultQueueBytes = 64 << 20
	fileQueueBytes    = 8 << 20 // where all lanes wait for the output, a longer queue gains nothing and misses the CPU cache
	defaultRetryFirst = 100 * time.Millisecond
	defaultRetryMax   = 30 * time.Second

	// minSpool is the smallest spool.Options.Limit: a block is never split between segments.
	minSpool = 8 << 20
)

// Validate reports what is wrong with s. Off is an error too: an output that is off
// has no runner.
func (s *Settings) Validate() error {
	switch {
	case s.Type == Off:
		return errors.New("output type 0: the output is off")
	case s.Type < Off || s.Type > SkipAndAllow:
		return fmt.Errorf("output type %d: not one of 0 to 4", s.Type)
	case s.Workers < 1:
		return fmt.Errorf("%d workers: must be at least 1", s.Workers)
	case s.BatchSize < 0:
		return fmt.Errorf("batch size %d: must not be negative", s.BatchSize)
	case s.BatchBytes < 0:
		return fmt.Errorf("batch of %d bytes: must not be negative", s.BatchBytes)
	case s.BatchDelay < 0:
		return fmt.Errorf("batch delay %s: must not be negative", s.BatchDelay)
	case s.Timeout < 0:
		return fmt.Errorf("timeout %s: must not be negative", s.Timeout)
	case s.QueueBytes < 0:
		return fmt.Errorf("queue of %d bytes: must not be negative", s.QueueBytes)
	case s.QueueEvents < 0:
		return fmt.Errorf("queue of %d events: must not be negative", s.QueueEvents)
	case s.Spool.Dir != "" && s.Spool.Bytes < minSpool:
		return fmt.Errorf("spool of %d bytes: must be at least %d MiB (--spoolmb)", s.Spool.Bytes, minSpool>>20)
	case s.Spool.Free < 0:
		return fmt.Errorf("free space of %d bytes: must not be negative", s.Spool.Free)
	}
	return Filter{s.Type, s.Skip, s.Allow}.Check()
}

// AttemptTimeout is how long one attempt of Write or Open may take.
func (s Settings) AttemptTimeout() time.Duration { return cmp.Or(s.Timeout, defaultTimeout) }

// withDefaults replaces zeros by the defaults. live is as in NewRunner.
func (s Settings) withDefaults(live bool) Settings {
	if !live && s.Spool.Dir == "" && s.typicalBatchBytes() <= fileQueueBytes/2 {
		s.QueueBytes = cmp.Or(s.QueueBytes, fileQueueBytes)
	}
	s.BatchDelay = cmp.Or(s.BatchDelay, defaultDelay)
	s.Timeout = s.AttemptTimeout()
	s.QueueBytes = cmp.Or(s.QueueBytes, defaultQueueBytes)
	s.BatchBytes = min(cmp.Or(s.BatchBytes, blockTarget), max(s.batchRoom(), blockTarget))
	if !live && s.Spool.Dir == "" && s.QueueEvents == 0 && !s.Grow && s.BatchSize > 0 && s.typicalBatchBytes() > fileQueueBytes/2 {
		s.fileEvents = s.BatchSize + s.BatchSize/8 // a batch, and the start of the next one: lanes wait, and more would only take memory
	}
	if most := s.maxBatchEvents(); most > 0 && (s.BatchSize == 0 || s.BatchSize > most) {
		s.BatchSize = most
	}
	s.RetryFirst = cmp.Or(s.RetryFirst, defaultRetryFirst)
	s.RetryMax = max(cmp.Or(s.RetryMax, defaultRetryMax), s.RetryFirst)
	return s
}

// maxBatchEvents is how many events a block may have if QueueEvents bounds the queue, and
// 0 if it does not. The queue itself does not enforce it: while empty, it accepts any block.
func (s *Settings) maxBatchEvents() int { return half(s.QueueEvents) }

// maxJoinedEvents is how many events of several lanes a batch may have, and 0 for no limit.
func (s *Settings) maxJoinedEvents() int {
	if s.Spool.Dir != "" {
		return half(s.spoolQueueEvents())
	}
	return half(s.QueueEvents)
}

// half is half of a bound of events, rounded up; 0 for no bound.
func half(events int) int { return (events + 1) / 2 }

// batchRoom is how many bytes a batch may take: half of the queue's memory, or half of
// the first of the two queues around a spool. The rest is for what arrives while the
// batch is being sent. 256 KiB are always allowed.
func (s *Settings) batchRoom() int64 {
	if s.Spool.Dir != "" {
		return s.spoolQueueBytes() / 2
	}
	return s.QueueBytes / 2
}

// typicalRecord is the approximate length of a record of ordinary traffic.
const typicalRecord = 150

// typicalBatchBytes is the approximate size of the largest batch that the output's settings
// ask for.
func (s *Settings) typicalBatchBytes() int64 {
	bytes := cmp.Or(s.BatchBytes, blockTarget)
	if n := int64(s.BatchSize); n > 0 && n < bytes/typicalRecord {
		return n * typicalRecord
	}
	return bytes
}

// batchWarning explains why batches will be smaller than s asks for, and how to fix that.
// It is "" if they will not. real is s after withDefaults.
func (s *Settings) batchWarning(real Settings, output string) string {
	asks := fmt.Sprintf("%s=%d", s.BatchSizeOption, s.BatchSize)
	switch n := s.typicalBatchBytes(); {
	case s.BatchSizeOption != "" && s.BatchSize > real.BatchSize:
		return fmt.Sprintf("%s is more than the %d records that --packetlimit=%d leaves for a batch of output %s: set --packetlimit=%d, or fewer records for a batch",
			asks, real.BatchSize, s.QueueEvents, output, 2*s.BatchSize-1)
	case n <= real.BatchBytes || n == NoByteLimit:
		return ""
	case s.BatchSizeOption == "":
		asks = "a batch"
		fallthrough
	default:
		return fmt.Sprintf("%s of output %s needs about %s, but at most %s is available: set %s, or smaller batches",
			asks, output, mib(n), mib(real.BatchBytes), real.optionsForBatch(n))
	}
}

// optionsForBatch names the options, with values, that leave room for batches of n bytes.
func (s *Settings) optionsForBatch(n int64) string {
	megabytes := func(n int64) int64 { return (n + 1<<20 - 1) >> 20 }
	if s.Spool.Dir == "" {
		return fmt.Sprintf("--queuemb=%d", megabytes(2*n))
	}
	var set []string
	if s.QueueBytes < 4*n {
		set = append(set, fmt.Sprintf("--queuemb=%d", megabytes(4*n)))
	}
	if s.Spool.Bytes < 8*n {
		set = append(set, fmt.Sprintf("--spoolmb=%d", megabytes(8*n)))
	}
	return strings.Join(set, " and ")
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// spoolQueueBytes bounds each of the two queues around a spool. The spool always has room
// for the contents of both.
func (s *Settings) spoolQueueBytes() int64 { return min(s.QueueBytes/2, s.Spool.Bytes/4) }

// spoolQueueEvents is the same for events.
func (s *Settings) spoolQueueEvents() int { return half(s.QueueEvents) }
