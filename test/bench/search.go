//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"dnsmonster-sensor/sensor/capture/file"
	"dnsmonster-sensor/test/bench/generator"
	"dnsmonster-sensor/userspace/packet"
)

// settle is how long the last frames may take through the pipeline.
const settle = 300 * time.Millisecond

// liveBench sends loads to capturing programs.
type liveBench struct {
	host      *host
	generator *generator.Generator
	seconds   int // of each load
}

// trial is the result of one load on one program.
type trial struct {
	generator.Result
	lost   int
	where  string  // names of the counters of losses
	cpu    float64 // CPU seconds of the capturing process, to its end
	during cpuTime // the same, while frames were sent
}

// each returns seconds per frame, in ns.
func (t *trial) each(seconds float64) float64 { return seconds / float64(t.Sent) * 1e9 }

// limit says why a rate could not be higher.
type limit struct {
	generator bool   // its processor made no more frames
	lost      string // otherwise: the counters of losses at higher rates
}

func (l limit) String() string {
	if l.generator {
		return "the generator's processor: it makes no more frames, and none is lost"
	}
	return "losses above it: `" + l.lost + "`"
}

// precision ends the search: the lowest rate with a loss is less than this factor above
// the highest rate without.
const precision = 1.04

// highest finds the highest rate at which nothing is lost. It starts at full speed, and
// then searches around the rate at which frames were delivered.
func (l *liveBench) highest(ctx context.Context, w *way, command []string) (trial, limit, error) {
	full, err := l.tryTwice(ctx, w, command, 0)
	if err != nil || full.lost == 0 {
		return full, limit{generator: true}, err
	}
	var best trial
	lost := full.where
	for low, high, rate := 0.0, full.PerSecond(), 0.95*full.deliveredRate(); low*precision < high; {
		t, err := l.tryTwice(ctx, w, command, int(rate))
		if err != nil {
			return trial{}, limit{}, err
		}
		if t.lost > 0 {
			high, lost = rate, t.where
		} else {
			low = rate
			if t.PerSecond() > best.PerSecond() {
				best = t
			}
		}
		rate = nextRate(low, high)
	}
	return best, limit{lost: lost}, nil
}

// nextRate returns the next rate to try. As long as one end of the interval has not been
// tried near, it stays near the other.
func nextRate(low, high float64) float64 {
	const step = 1.1
	switch {
	case low == 0:
		return high / step
	case low*step*step < high:
		return low * step
	}
	return (low + high) / 2
}

// deliveredRate returns the rate of frames that were not lost.
func (t *trial) deliveredRate() float64 {
	return t.PerSecond() * (1 - min(float64(t.lost)/float64(t.Sent), 0.99))
}

// tryTwice tries again if there was a loss or the rate was not reached: the machine may
// have been busy.
func (l *liveBench) tryTwice(ctx context.Context, w *way, command []string, rate int) (trial, error) {
	t, err := l.try(ctx, w, command, rate)
	if err == nil && (t.lost > 0 || t.PerSecond() < 0.98*float64(rate)) {
		return l.try(ctx, w, command, rate)
	}
	return t, err
}

// try sends one load to one program; rate 0 means full speed.
func (l *liveBench) try(ctx context.Context, w *way, command []string, rate int) (trial, error) {
	if err := ctx.Err(); err != nil {
		return trial{}, err
	}
	c, err := l.host.start(ctx, command...)
	if err != nil {
		return trial{}, err
	}
	load := generator.Load{Count: rate * l.seconds, Rate: rate, CPU: l.host.generator, Namespace: l.host.namespace, Interface: readIface}
	if w.wire {
		load.Through = generator.Far
	}
	if rate == 0 {
		load.Count = fullSpeed * l.seconds
	}
	t, err := l.send(c, load)
	s, stopErr := c.stop()
	if err := errors.Join(err, stopErr); err != nil {
		return trial{}, err
	}
	seen := 0
	if seen, t.lost, t.where, err = readLosses(s.log); err != nil {
		return trial{}, err
	}
	fmt.Fprintf(os.Stderr, "%s: asked for %d packets/s, sent %d at %.0f, lost %d %s, %.2f CPU s\n",
		w.name, rate, t.Sent, t.PerSecond(), t.lost, t.where, t.cpu)
	if seen != t.Sent {
		return trial{}, fmt.Errorf("%d frames were sent, but %d were seen:\n%s", t.Sent, seen, s.log)
	}
	return t, nil
}

// fullSpeed is roughly the rate of one processor. It only sets the number of frames of a
// load at full speed.
const fullSpeed = 2_000_000

// send sends a load to a capturing program and measures that.
func (l *liveBench) send(c *capturer, load generator.Load) (t trial, err error) {
	before, err := c.cpu() // excludes the cost of starting
	if err != nil {
		return t, err
	}
	if t.Result, err = l.generator.Send(load); err != nil {
		return t, err
	}
	end, err := c.cpu()
	if err != nil {
		return t, err
	}
	time.Sleep(settle)
	after, err := c.cpu()
	if err != nil {
		return t, err
	}
	t.during = cpuTime{end.all - before.all, end.user - before.user}
	t.cpu = after.all - before.all
	return t, nil
}

var (
	framesSeen = regexp.MustCompile(`(?m)^(?: *kernel [^,;\n]* in|packets) (\d+)`) // frames go in one direction: other hooks see none
	losses     = regexp.MustCompile(`\b(ring_full|copy_failed|not_read|lane_full|queue_full|abandoned|socket_full|dropped) (\d+)`)
)

// readLosses reads from a program's log how many frames it saw and lost.
func readLosses(log string) (seen, lost int, where string, err error) {
	hooks := framesSeen.FindAllStringSubmatch(log, -1)
	if hooks == nil {
		return 0, 0, "", fmt.Errorf("no number of frames in the log:\n%s", log)
	}
	for _, m := range hooks {
		n, _ := strconv.Atoi(m[1])
		seen += n
	}
	var names []string
	for _, m := range losses.FindAllStringSubmatch(log, -1) {
		n, _ := strconv.Atoi(m[2])
		if n > 0 {
			lost += n
			names = append(names, m[1])
		}
	}
	return seen, lost, strings.Join(names, ", "), nil
}

// storeOf returns a store with the first frames of a capture, as many as fit.
func storeOf(path string) (*generator.Store, error) {
	src, err := file.Open(file.Options{Paths: []string{path}, Lanes: 1})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	var s generator.Store
	for {
		var b packet.Batch
		if err := src.Lanes()[0].Read(&b); err == io.EOF {
			return &s, src.Err()
		} else if err != nil {
			return nil, err
		}
		for _, p := range b.Packets {
			if p.Link != packet.LinkEthernet {
				return nil, fmt.Errorf("send %s: link type %d is not Ethernet", path, p.Link)
			}
			more, err := s.Add(p.Data)
			if err != nil {
				return nil, fmt.Errorf("send %s: %w", path, err)
			}
			if !more {
				return &s, nil
			}
		}
	}
}
