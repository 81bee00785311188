package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"dnsmonster-sensor/sensor/capture/file"
	"dnsmonster-sensor/test/bench/generator"
	"dnsmonster-sensor/userspace/packet"
)

// settle is how long frames may take through the pipeline.
const settle = 300 * time.Millisecond

// liveBench sends loads to capturing programs.
type liveBench struct {
	host      *host
	generator *generator.Generator
	seconds   int // of each load
}

// trial is one load on one program.
type trial struct {
	generator.Result
	lost   int
	where  string  // losses by name
	cpu    float64 // of the capturing process until its end, in seconds
	during cpuTime // the same while frames were sent
	kernel float64 // of its BPF programs, in seconds
}

// each returns the share of one frame in seconds, in ns.
func (t *trial) each(seconds float64) float64 { return seconds / float64(t.Sent) * 1e9 }

// limit is the reason why a rate could not be higher.
type limit struct {
	generator bool   // the generator could not send faster
	lost      string // otherwise: the losses above it
}

func (l limit) String() string {
	if l.generator {
		return "the generator's processor: it makes no more, and nothing is lost"
	}
	return "loss above it: `" + l.lost + "`"
}

// narrow is the precision of the search: the lowest rate with loss is higher than the
// highest one without by less than this.
const narrow = 1.04

// highest finds the highest rate without loss. It starts at the generator's full speed,
// and then searches around the rate that came through.
func (l *liveBench) highest(ctx context.Context, command []string) (trial, limit, error) {
	full, err := l.tryTwice(ctx, command, 0)
	if err != nil || full.lost == 0 {
		return full, limit{generator: true}, err
	}
	var best trial
	lost := full.where
	for low, high, rate := 0.0, full.PerSecond(), 0.95*full.through(); low*narrow < high; {
		t, err := l.tryTwice(ctx, command, int(rate))
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
		rate = next(low, high)
	}
	return best, limit{lost: lost}, nil
}

// next returns a rate between two. While the upper one is only a bound, it is not far from
// the lower one.
func next(low, high float64) float64 {
	const step = 1.1
	switch {
	case low == 0:
		return high / step
	case low*step*step < high:
		return low * step
	}
	return (low + high) / 2
}

// through is the rate of frames that were not lost.
func (t *trial) through() float64 {
	return t.PerSecond() * (1 - min(float64(t.lost)/float64(t.Sent), 0.99))
}

// tryTwice is try, but repeats a trial with a loss or too low a rate once: the machine may
// have been busy.
func (l *liveBench) tryTwice(ctx context.Context, command []string, rate int) (trial, error) {
	t, err := l.try(ctx, command, rate)
	if err == nil && (t.lost > 0 || t.PerSecond() < 0.98*float64(rate)) {
		return l.try(ctx, command, rate)
	}
	return t, err
}

// try sends one load to one program; rate 0 is full speed.
func (l *liveBench) try(ctx context.Context, command []string, rate int) (trial, error) {
	if err := ctx.Err(); err != nil {
		return trial{}, err
	}
	r, err := l.host.start(ctx, command...)
	if err != nil {
		return trial{}, err
	}
	load := generator.Load{Count: rate * l.seconds, Rate: rate, CPU: l.host.generator, Namespace: l.host.namespace(), Interface: readIface}
	if rate == 0 {
		load.Count = fullSpeed * l.seconds
	}
	t, err := l.send(r, load)
	s, stopErr := r.stop()
	if err := errors.Join(err, stopErr); err != nil {
		return trial{}, err
	}
	seen := 0
	if seen, t.lost, t.where, err = account(s.log); err != nil {
		return trial{}, err
	}
	fmt.Fprintf(os.Stderr, "%s: asked for %d packets/s, sent %d at %.0f, lost %d %s, %.2f CPU s\n",
		filepath.Base(command[0]), rate, t.Sent, t.PerSecond(), t.lost, t.where, t.cpu)
	if seen != t.Sent {
		return trial{}, fmt.Errorf("%d frames were sent, and %d seen:\n%s", t.Sent, seen, s.log)
	}
	return t, nil
}

// fullSpeed is a rate that one processor reaches. It only gives the number of frames for a
// round of about the requested length.
const fullSpeed = 2_000_000

// send sends a load to a capturing program, and measures it.
func (l *liveBench) send(r *reader, load generator.Load) (t trial, err error) {
	before, err := r.cpu() // loading programs is not part of the cost per packet
	if err != nil {
		return t, err
	}
	if t.Result, err = l.generator.Send(load); err != nil {
		return t, err
	}
	end, err := r.cpu()
	if err != nil {
		return t, err
	}
	t.kernel = r.programTime() / 1e9
	time.Sleep(settle)
	after, err := r.cpu()
	if err != nil {
		return t, err
	}
	t.during = cpuTime{end.all - before.all, end.user - before.user}
	t.cpu = after.all - before.all
	return t, nil
}

var (
	saw    = regexp.MustCompile(`(?m)^(?: *kernel tc ingress +in|packets) (\d+)`)
	losses = regexp.MustCompile(`\b(ring_full|copy_failed|queue_full|abandoned|socket_full) (\d+)`)
)

// account reads from a program's log how many frames it saw and lost.
func account(log string) (seen, lost int, where string, err error) {
	m := saw.FindStringSubmatch(log)
	if m == nil {
		return 0, 0, "", fmt.Errorf("no account of frames in the log:\n%s", log)
	}
	seen, _ = strconv.Atoi(m[1])
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

// storeOf fills a store with the first frames of a capture.
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
