package sensor

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/userspace/mask"
	"dnsmonster-sensor/userspace/packet"
	"dnsmonster-sensor/userspace/worker"
)

// common are the options of every command that captures. Each run declares
// them anew: outputs keep their parsed options in themselves.
type common struct {
	ports    cli.IntSlice
	workers  int
	sample   string
	grace    time.Duration
	server   string
	mask     mask.Bits
	subnet   bool
	bad      string
	gctime   time.Duration
	dedup    bool
	window   time.Duration
	skipTLS  bool
	records  recordOptions
	process  processOptions
	metrics  metricOptions
	outputs  []outputs.Output
	delivery outputs.Options
	pending  []config.Feature
	fallback bool // where no output is switched on, records go to stdout

	interfaceName func(uint32) string // nil: the input's interfaces have no names
}

func newCommon() *common {
	o := &common{outputs: all.New(), fallback: true}
	var built []string
	for _, out := range o.outputs {
		built = append(built, out.Name())
	}
	o.pending = config.Pending(built)
	return o
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
		&cli.StringFlag{
			Category: "capture", Name: "sampleratio", EnvVars: []string{"DNSMONSTER_SAMPLERATIO"}, Value: "1:1", Destination: &o.sample,
			Usage: "keep exactly a of every b packets that match, as `a:b`; TCP and fragments by pair of addresses, so that messages stay whole",
		},
	}
	flags = append(flags, o.reading()...)
	flags = append(flags, config.Compatible()...)
	flags = append(flags, config.Flags(o.pending)...)
	for _, out := range o.outputs {
		flags = append(flags, out.Flags()...)
	}
	flags = append(flags, o.general()...)
	flags = append(flags, o.records.flags()...)
	flags = append(flags, o.delivery.Flags()...)
	flags = append(flags, o.process.flags()...)
	flags = append(flags, o.metrics.flags()...)
	return config.WithSecretFiles(append(flags, leaveFlags()...))
}

// reading are the options of what happens between packet and record.
func (o *common) reading() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{
			Category: "capture", Name: "dedup", EnvVars: []string{"DNSMONSTER_DEDUP"}, Destination: &o.dedup,
			Usage: "record a packet that is seen more than once, as on two mirror ports, only once",
		},
		&cli.DurationFlag{
			Category: "capture", Name: "dedupwindow", EnvVars: []string{"DNSMONSTER_DEDUPWINDOW"}, Value: 50 * time.Millisecond, Destination: &o.window,
			Usage: "`TIME` within which the same packet counts as seen before",
		},
		&cli.StringFlag{
			Category: "capture", Name: "malformed", EnvVars: []string{"DNSMONSTER_MALFORMED"}, Value: "record", Destination: &o.bad,
			Usage: "`WHAT` becomes of messages that cannot be read to their end: record them, or drop them",
		},
		&cli.DurationFlag{
			Category: "general", Name: "gctime", EnvVars: []string{"DNSMONSTER_GCTIME"}, Value: 10 * time.Second, Destination: &o.gctime,
			Usage: "`TIME` that scales what reassembly waits for: 3 times it for fragments, 6 times for silent TCP streams, half of it for a hole in one",
		},
	}
}

func (o *common) general() []cli.Flag {
	return []cli.Flag{
		&cli.DurationFlag{
			Category: "general", Name: "grace", EnvVars: []string{"DNSMONSTER_GRACE"}, Value: 10 * time.Second, Destination: &o.grace,
			Usage: "`TIME` that outputs have to deliver what is queued, after the end of the capture",
		},
		&cli.IntFlag{
			Category: "general", Name: "masksize4", EnvVars: []string{"DNSMONSTER_MASKSIZE4"}, Value: 32, Destination: &o.mask.V4,
			Usage: "keep the first `BITS` of IPv4 addresses, of packets and in the messages' client subnets; 32: all",
		},
		&cli.IntFlag{
			Category: "general", Name: "masksize6", EnvVars: []string{"DNSMONSTER_MASKSIZE6"}, Value: 128, Destination: &o.mask.V6,
			Usage: "keep the first `BITS` of IPv6 addresses; 128: all",
		},
		&cli.BoolFlag{
			Category: "general", Name: "masksubnet", EnvVars: []string{"DNSMONSTER_MASKSUBNET"}, Value: true, Destination: &o.subnet,
			Usage: "masks hold inside messages too; false: for the addresses of packets alone",
		},
		&cli.StringFlag{
			Category: "general", Name: "servername", EnvVars: []string{"DNSMONSTER_SERVERNAME"}, Value: "default", Destination: &o.server,
			Usage: "`NAME` of this sensor in metrics, and in records that have room for one",
		},
		skipTLSFlag(&o.skipTLS),
	}
}

func skipTLSFlag(to *bool) cli.Flag {
	return &cli.BoolFlag{
		Category: "general", Name: "skiptlsverification", EnvVars: []string{"DNSMONSTER_SKIPTLSVERIFICATION"}, Destination: to,
		Usage: "do not check certificates, on any TLS connection",
	}
}

// check completes the options and looks for what the parser cannot see.
func (o *common) check() error {
	if err := o.process.check(); err != nil {
		return err
	}
	for _, p := range o.ports.Value() {
		if p < 1 || p > 65535 {
			return usageError("--port %d: a port is a number from 1 to 65535", p)
		}
	}
	if len(o.ports.Value()) == 0 {
		return usageError("--port: at least one is needed")
	}
	if o.workers < 0 || o.workers > maxWorkers {
		return usageError("--workers %d: use 0 to %d", o.workers, maxWorkers)
	}
	if _, err := parseRatio(o.sample); err != nil {
		return usageError("--sampleratio: %w", err)
	}
	if o.grace < 0 {
		return usageError("--grace %s: a time of 0 or more", o.grace)
	}
	if err := o.checkMasks(); err != nil {
		return err
	}
	if o.bad != "record" && o.bad != "drop" {
		return usageError("--malformed %q: use record or drop", o.bad)
	}
	if o.gctime < time.Millisecond {
		return usageError("--gctime %s: at least 1ms", o.gctime)
	}
	if o.window < time.Microsecond {
		return usageError("--dedupwindow %s: at least 1us", o.window)
	}
	if _, err := o.records.check(); err != nil {
		return err
	}
	if err := o.delivery.Check(); err != nil {
		return &exitError{exitUsage, err}
	}
	return o.metrics.check()
}

func (o *common) checkMasks() error {
	if o.mask.V4 < 0 || o.mask.V4 > 32 {
		return usageError("--masksize4 %d: use 0 to 32", o.mask.V4)
	}
	if o.mask.V6 < 0 || o.mask.V6 > 128 {
		return usageError("--masksize6 %d: use 0 to 128", o.mask.V6)
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
// records go to stdout, or that is an error.
func (o *common) activeOutputs(c *cli.Context, log *slog.Logger) ([]active, error) {
	if err := o.introduce(log); err != nil {
		return nil, err
	}
	list, err := o.switchedOn()
	switch {
	case err != nil || len(list) > 0:
		return list, err
	case !o.fallback:
		return nil, usageError("no output is switched on: set an output's type, such as --stdoutoutputtype=1 (see dnsmonster-sensor run --help)")
	}
	if err := c.Set("stdoutoutputtype", "1"); err != nil {
		return nil, fmt.Errorf("switch on stdout: %w", err)
	}
	return o.switchedOn()
}

func (o *common) switchedOn() ([]active, error) {
	var list []active
	for _, out := range o.outputs {
		s, err := out.Settings()
		if err == nil && s.Type != outputs.Off {
			o.delivery.Fill(&s)
			if err = s.Validate(); err != nil {
				err = fmt.Errorf("%soutputtype: %w", out.Name(), err)
			}
		}
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

// ratio is the sampling ratio, once checked.
func (o *common) ratio() packet.Ratio {
	r, _ := parseRatio(o.sample)
	return r
}
