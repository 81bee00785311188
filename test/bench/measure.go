//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// sample is the cost of one run of a process.
type sample struct {
	cpu  float64 // seconds, user and system
	wall float64 // seconds
	rss  int64   // bytes, at its peak
	log  string
}

// measure runs a command to its end and discards its output.
func measure(ctx context.Context, name string, args ...string) (sample, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return sample{}, err
	}
	defer null.Close()
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = null, &log
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("run %v: %w\n%s", cmd.Args, err, log.Bytes())
	}
	return finished(cmd, time.Since(begin), log.String()), nil
}

// finished returns the cost of a process that has ended.
func finished(cmd *exec.Cmd, wall time.Duration, log string) sample {
	state := cmd.ProcessState
	usage := state.SysUsage().(*syscall.Rusage)
	return sample{
		cpu:  (state.UserTime() + state.SystemTime()).Seconds(),
		wall: wall.Seconds(),
		rss:  int64(usage.Maxrss) << 10,
		log:  log,
	}
}

var inMessages = regexp.MustCompile(`(?m)^ *message +in (\d+)`)

// messages reads from the ledgers how many messages a run had.
func messages(log string) (int, error) {
	m := inMessages.FindStringSubmatch(log)
	if m == nil {
		return 0, fmt.Errorf("no ledgers in the log:\n%s", log)
	}
	return strconv.Atoi(m[1])
}

// series are the samples of one job, taken in turn with those of the others.
type series []sample

func (s series) median(of func(sample) float64) float64 {
	var v []float64
	for _, x := range s {
		v = append(v, of(x))
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func (s series) cpu() float64  { return s.median(func(x sample) float64 { return x.cpu }) }
func (s series) wall() float64 { return s.median(func(x sample) float64 { return x.wall }) }

// spread returns the smallest and the largest CPU time.
func (s series) spread() (least, most float64) {
	least, most = s[0].cpu, s[0].cpu
	for _, x := range s {
		least, most = min(least, x.cpu), max(most, x.cpu)
	}
	return least, most
}

func (s series) rss() (most int64) {
	for _, x := range s {
		most = max(most, x.rss)
	}
	return most
}
