package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/sensor/lists"
	"dnsmonster-sensor/sensor/metrics"
	"dnsmonster-sensor/sensor/pipeline"
	"dnsmonster-sensor/userspace/mask"
	"dnsmonster-sensor/userspace/packet"
	"dnsmonster-sensor/userspace/stage"
	"dnsmonster-sensor/userspace/worker"
)

// captureOptions are the options of every command that captures. Each run declares them
// anew, since an output holds its parsed options.
type captureOptions struct {
	ports    cli.IntSlice
	workers  int
	sample   string
	grace    time.Duration
	server   string
	mask     mask.Bits
	maskECS  bool
	decode   decodeOptions
	frames   frameOptions // of all commands but attach
	skipTLS  bool
	force    bool
	pinCPUs  string
	records  formatOptions
	process  processOptions
	metrics  metrics.Options
	outputs  []outputs.Output
	delivery outputs.Options
	lists    lists.Options
	domains  *lists.Pair  // made by enabledOutputs
	stages   []stage.Kind // between workers and outputs; no option sets any
	pending  []config.Feature
	live     bool // the input is an interface; set by record
	fallback bool // if no output is switched on, records go to stdout
	verbose  bool // attach, replay and dnstap: show more
	count    int  // attach, replay and dnstap: end after this many records; 0: no limit

	severalInterfaces bool // attach: there may be

	names pipeline.InterfaceNames

	hintAfter time.Duration // how long there may be no record before a hint; 0: as usual
}

func newCaptureOptions(list []outputs.Output) *captureOptions {
	o := &captureOptions{outputs: list, fallback: true}
	o.pending = config.Pending(outputNames(list))
	return o
}

// forPeople reports whether a person has typed the command: any but run, which is a
// service's.
func (o *captureOptions) forPeople() bool { return o.fallback }

func outputNames(list []outputs.Output) (names []string) {
	for _, o := range list {
		names = append(names, o.Name())
	}
	return names
}

func (o *captureOptions) flags() []cli.Flag {
	flags := []cli.Flag{
		&cli.IntSliceFlag{
			Category: "capture", Name: "port", EnvVars: []string{"DNSMONSTER_PORT"}, Value: cli.NewIntSlice(53), Destination: &o.ports,
			Usage: "UDP and TCP `PORT` that carries DNS; repeat, or separate by commas, for several",
		},
		&cli.IntFlag{
			Category: "capture", Name: "workers", EnvVars: []string{"DNSMONSTER_WORKERS"}, Destination: &o.workers,
			Usage: "`NUMBER` of workers that decode packets; 0: one for each processor that this process may use, at most as many as the limit of its control group allows",
		},
		pinFlag(&o.pinCPUs),
		&cli.StringFlag{
			Category: "capture", Name: "sampleratio", EnvVars: []string{"DNSMONSTER_SAMPLERATIO"}, Value: "1:1", Destination: &o.sample,
			Usage: "keep a of every b DNS packets, as `a:b`. For TCP and IP fragments, all packets between two addresses are kept, or none, so that messages stay complete",
		},
	}
	flags = append(flags, o.decode.flags()...)
	flags = append(flags, config.Compatible()...)
	flags = append(flags, config.PendingFlags(o.pending)...)
	for _, out := range o.outputs {
		flags = append(flags, out.Flags()...)
	}
	flags = append(flags, o.generalFlags()...)
	flags = append(flags, o.records.flags()...)
	flags = append(flags, o.delivery.Flags()...)
	flags = append(flags, o.lists.Flags()...)
	flags = append(flags, o.process.flags()...)
	flags = append(flags, o.metrics.Flags()...)
	flags = append(flags, forceFlag(&o.force))
	return config.WithSecretFiles(append(flags, printFlags()...))
}

// forceFlag has no section, so that it cannot be in a configuration file: it is meant for
// one start only.
func forceFlag(to *bool) cli.Flag {
	return &cli.BoolFlag{
		Name: "force", EnvVars: []string{"DNSMONSTER_FORCE"}, Destination: to,
		Usage: "write to folders and files even if other users can change them, let profiles and --writeconfig replace files that hold something else, and let --tap cut off addresses of this host",
	}
}

func (o *captureOptions) generalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.DurationFlag{
			Category: "general", Name: "grace", EnvVars: []string{"DNSMONSTER_GRACE"}, Value: 10 * time.Second, Destination: &o.grace,
			Usage: "`TIME` that outputs have to deliver queued records after the capture has ended. After a signal, it is also the time to read a pipe to its end",
		},
		&cli.IntFlag{
			Category: "general", Name: "masksize4", EnvVars: []string{"DNSMONSTER_MASKSIZE4"}, Value: 32, Destination: &o.mask.V4,
			Usage: "keep the first `BITS` of IPv4 addresses and set the others to 0, in packets and in EDNS client subnets; 32: keep all",
		},
		&cli.IntFlag{
			Category: "general", Name: "masksize6", EnvVars: []string{"DNSMONSTER_MASKSIZE6"}, Value: 128, Destination: &o.mask.V6,
			Usage: "keep the first `BITS` of IPv6 addresses, as masksize4 does for IPv4; 128: keep all",
		},
		&cli.BoolFlag{
			Category: "general", Name: "maskecs", EnvVars: []string{"DNSMONSTER_MASKECS"}, Value: true, Destination: &o.maskECS,
			Usage: "also mask EDNS client subnets inside messages; false: mask only the addresses of packets",
		},
		&cli.StringFlag{
			Category: "general", Name: "servername", EnvVars: []string{"DNSMONSTER_SERVERNAME"}, Value: "default", Destination: &o.server,
			Usage: "`NAME` of this sensor, for metrics and for record formats that have a field for it",
		},
		skipTLSFlag(&o.skipTLS),
	}
}

func skipTLSFlag(to *bool) cli.Flag {
	return &cli.BoolFlag{
		Category: "general", Name: "skiptlsverification", EnvVars: []string{"DNSMONSTER_SKIPTLSVERIFICATION"}, Destination: to,
		Usage: "do not verify certificates on any TLS connection",
	}
}

// check finds errors that the parser cannot see.
func (o *captureOptions) check() error {
	var p problems
	p.add(o.process.check())
	for _, port := range o.ports.Value() {
		p.addIf(port < 1 || port > 65535, "--port %d: a port is a number from 1 to 65535", port)
	}
	p.addIf(len(o.ports.Value()) == 0, "--port: name at least one port")
	p.addIf(o.workers < 0 || o.workers > maxWorkers, "--workers %d: use 0 to %d", o.workers, maxWorkers)
	if _, err := parseRatio(o.sample); err != nil {
		p.add(usageError("--sampleratio: %w", err))
	}
	p.add(checkPinning(o.pinCPUs))
	p.addIf(o.grace < 0, "--grace %s: use 0 or more", o.grace)
	p.add(checkMasks(o.mask))
	p.add(o.decode.check(o.lanes(), o.ports.Value()))
	p.add(o.frames.check())
	_, err := o.records.check()
	p.add(err)
	p.add(o.delivery.Check())
	p.add(o.lists.Check())
	p.add(o.metrics.Check())
	return p.err()
}

func checkMasks(m mask.Bits) error {
	var p problems
	p.addIf(m.V4 < 0 || m.V4 > 32, "--masksize4 %d: use 0 to 32", m.V4)
	p.addIf(m.V6 < 0 || m.V6 > 128, "--masksize6 %d: use 0 to 128", m.V6)
	return p.err()
}

// maxWorkers is the size of the kernel program's array of rings.
const maxWorkers = 64

func (o *captureOptions) portSet() *worker.Ports {
	s := &worker.Ports{}
	for _, p := range o.ports.Value() {
		s.Add(uint16(p))
	}
	return s
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

// ratio returns the sampling ratio, which check has checked.
func (o *captureOptions) ratio() packet.Ratio {
	r, _ := parseRatio(o.sample)
	return r
}
