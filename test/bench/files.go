//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// job is one program with its arguments, to run over a capture.
type job struct {
	name string
	args []string // of replay; nil: the reference
	once bool     // slow: one round is enough
}

// jobs are measured in turn. The first is the reference, to which the others are
// compared. Most have one worker; the last four tell how much faster two workers on two
// processors are than one on one.
var jobs = []job{
	{name: "reference: gopacket, miekg/dns, encoding/json"},
	{name: "JSON", args: []string{"--workers", "1"}},
	{name: "CSV", args: []string{"--workers", "1", "--stdoutoutputtype", "1", "--stdoutoutputformat", "csv"}},
	{name: "json-flat", args: []string{"--workers", "1", "--stdoutoutputtype", "1", "--stdoutoutputformat", "json-flat"}},
	{name: "json-ocsf", args: []string{"--workers", "1", "--stdoutoutputtype", "1", "--stdoutoutputformat", "json-ocsf"}},
	{name: "gotemplate `{{.}}`", once: true, args: []string{"--workers", "1", "--stdoutoutputtype", "1", "--stdoutoutputformat", "gotemplate"}},
	{name: "null", args: []string{"--workers", "1", "--nulloutputtype", "1"}},
	{name: "JSON, one processor", args: []string{"--gomaxprocs", "1", "--workers", "1"}},
	{name: "JSON, two processors", args: []string{"--gomaxprocs", "2", "--workers", "2"}},
	{name: "null, one processor", args: []string{"--gomaxprocs", "1", "--workers", "1", "--nulloutputtype", "1"}},
	{name: "null, two processors", args: []string{"--gomaxprocs", "2", "--workers", "2", "--nulloutputtype", "1"}},
}

// pairs are the jobs whose wall-clock times tell the gain of a second processor.
var pairs = [][2]string{{"JSON, one processor", "JSON, two processors"}, {"null, one processor", "null, two processors"}}

type fileOptions struct {
	sensor, cache, doc, report string
	rounds                     int
}

func benchFiles(ctx context.Context, args []string) error {
	var o fileOptions
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.StringVar(&o.sensor, "sensor", "./dnsmonster-sensor", "the `binary` to measure")
	flags.StringVar(&o.cache, "captures", filepath.Join("build", "captures"), "`folder` for the captures; existing ones are used")
	flags.IntVar(&o.rounds, "rounds", 5, "`number` of rounds for the medians")
	flags.StringVar(&o.doc, "doc", "", "also insert the figures into this `page`, between its markers")
	flags.StringVar(&o.report, "report", filepath.Join("build", "bench.md"), "`file` for the figures")
	if err := flags.Parse(args); err != nil {
		return err
	}
	all, err := captures(ctx, o.cache)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var report strings.Builder
	fmt.Fprintf(&report, "%s\n\nMedians of %d rounds, the programs in turn. CPU seconds are user and system time of the whole process, output to /dev/null.\n", machine(o.sensor), o.rounds)
	for _, t := range all {
		r, err := o.measureFile(ctx, self, t)
		if err != nil {
			return err
		}
		report.WriteString(r.markdown())
	}
	return keep(report.String(), o.report, o.doc, "make bench")
}

// measureFile runs all jobs over one capture, in rounds.
func (o *fileOptions) measureFile(ctx context.Context, self string, t traffic) (*result, error) {
	r := &result{traffic: t, of: make(map[string]series)}
	// Once unmeasured, to bring the file into the page cache.
	first, err := measure(ctx, o.sensor, "replay", "-v", t.path, "--nulloutputtype", "1")
	if err != nil {
		return nil, err
	}
	if r.messages, err = messages(first.log); err != nil {
		return nil, err
	}
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", t.name, round+1, o.rounds)
		for _, j := range jobs {
			if j.once && round > 0 {
				continue
			}
			command, args := o.sensor, append([]string{"replay", "-v", t.path}, j.args...)
			if j.args == nil {
				command, args = self, []string{"reference", t.path}
			}
			s, err := measure(ctx, command, args...)
			if err != nil {
				return nil, err
			}
			r.of[j.name] = append(r.of[j.name], s)
		}
	}
	return r, nil
}
