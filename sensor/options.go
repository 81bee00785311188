package sensor

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/userspace/packet"
	"dnsmonster-sensor/userspace/worker"
)

// common are the options of every command that captures. Each run declares
// them anew: outputs keep their parsed options in themselves.
type common struct {
	ports   cli.IntSlice
	workers int
	grace   time.Duration
	stats   time.Duration
	metrics string
	outputs []outputs.Output
}

func newCommon() *common {
	return &common{outputs: all.New()}
}

func (o *common) flags() []cli.Flag {
	flags := []cli.Flag{
		&cli.IntSliceFlag{
			Category: "capture", Name: "port", EnvVars: []string{"DNSMONSTER_PORT"}, Value: cli.NewIntSlice(53), Destination: &o.ports,
			Usage: "UDP and TCP `PORT` that carries DNS; repeat for several",
		},
		&cli.IntFlag{
			Category: "capture", Name: "workers", EnvVars: []string{"DNSMONSTER_WORKERS"}, Destination: &o.workers,
			Usage: "`NUMBER` of lanes, each read by one worker; 0: one for each processor",
		},
		&cli.DurationFlag{
			Category: "general", Name: "grace", EnvVars: []string{"DNSMONSTER_GRACE"}, Value: 10 * time.Second, Destination: &o.grace,
			Usage: "`TIME` that outputs have to deliver what is queued, after the end of the capture",
		},
		&cli.DurationFlag{
			Category: "metric", Name: "stats", EnvVars: []string{"DNSMONSTER_STATS"}, Destination: &o.stats,
			Usage: "print a line of rates and losses on stderr at this `INTERVAL`; 0: none",
		},
		&cli.StringFlag{
			Category: "metric", Name: "metricprometheusendpoint", EnvVars: []string{"DNSMONSTER_METRICPROMETHEUSENDPOINT"}, Destination: &o.metrics,
			Usage: "serve metrics for Prometheus at this `URL`, such as http://127.0.0.1:2112/metrics; without a host: loopback",
		},
	}
	for _, out := range o.outputs {
		flags = append(flags, out.Flags()...)
	}
	return flags
}

// check completes the options and looks for what the parser cannot see.
func (o *common) check() error {
	if len(o.ports.Value()) == 0 {
		return usageError("--port: at least one is needed")
	}
	for _, p := range o.ports.Value() {
		if p < 1 || p > 65535 {
			return usageError("--port %d: a port is a number from 1 to 65535", p)
		}
	}
	if o.workers < 0 || o.workers > maxWorkers {
		return usageError("--workers %d: use 0 to %d", o.workers, maxWorkers)
	}
	if o.workers == 0 {
		o.workers = min(runtime.GOMAXPROCS(0), maxWorkers)
	}
	if o.grace < 0 {
		return usageError("--grace %s: a time of 0 or more", o.grace)
	}
	if o.stats != 0 && o.stats < 100*time.Millisecond {
		return usageError("--stats %s: at least 100ms, or 0 for none", o.stats)
	}
	return nil
}

// maxWorkers is what the kernel program's array of rings has room for.
const maxWorkers = 64

func (o *common) portSet() *worker.Ports {
	s := &worker.Ports{}
	for _, p := range o.ports.Value() {
		s.Add(uint16(p))
	}
	return s
}

// active is an output that is switched on.
type active struct {
	output   outputs.Output
	settings outputs.Settings
}

// activeOutputs checks the options of all outputs. Where none is switched on
// records go to stdout.
func (o *common) activeOutputs(c *cli.Context) ([]active, error) {
	list, err := o.switchedOn()
	if err == nil && len(list) == 0 {
		if err := c.Set("stdoutoutputtype", "1"); err != nil {
			return nil, fmt.Errorf("switch on stdout: %w", err)
		}
		return o.switchedOn()
	}
	return list, err
}

func (o *common) switchedOn() ([]active, error) {
	var list []active
	for _, out := range o.outputs {
		s, err := out.Settings()
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		if s.Type != outputs.Off {
			list = append(list, active{out, s})
		}
	}
	return list, nil
}

// parseRatio reads a sampling ratio a:b, which keeps a of every b.
func parseRatio(s string) (packet.Ratio, error) {
	a, b, ok := strings.Cut(s, ":")
	keep, err1 := strconv.ParseUint(a, 10, 32)
	of, err2 := strconv.ParseUint(b, 10, 32)
	switch {
	case !ok || err1 != nil || err2 != nil:
		return packet.Ratio{}, fmt.Errorf("%q is not of the form a:b, such as 1:100", s)
	case keep == 0:
		return packet.Ratio{}, fmt.Errorf("%q would keep nothing", s)
	case keep > of:
		return packet.Ratio{}, fmt.Errorf("%q: cannot keep %d of %d", s, keep, of)
	}
	return packet.Ratio{Keep: uint32(keep), Of: uint32(of)}, nil
}
