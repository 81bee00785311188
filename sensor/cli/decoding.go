package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/dedup"
	"dnsmonster-sensor/userspace/defrag"
	"dnsmonster-sensor/userspace/tcp"
	"dnsmonster-sensor/userspace/worker"
)

// decodeOptions are those of the steps between packet and record.
type decodeOptions struct {
	tunnelPorts cli.StringSlice
	defragMB    int
	tcpMB       int
	gctime      time.Duration
	dedup       bool
	window      time.Duration
	malformed   string
}

func (o *decodeOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{
			Category: "capture", Name: "tunnelport", EnvVars: []string{"DNSMONSTER_TUNNELPORT"}, Destination: &o.tunnelPorts,
			Usage: "UDP port of a tunnel, as `KIND:PORT`. Kinds are " + strings.Join(udpTunnels(), ", ") + ". Separate several by commas, or repeat the option. " +
				"Kinds that are not named keep their usual ports (" + usualPorts() + ")",
		},
		&cli.IntFlag{
			Category: "capture", Name: "defragmb", EnvVars: []string{"DNSMONSTER_DEFRAGMB"}, Value: 64, Destination: &o.defragMB,
			Usage: "`MEGABYTES` of memory for the reassembly of IP fragments, divided among the workers. When it is full, the oldest incomplete datagrams are given up",
		},
		&cli.IntFlag{
			Category: "capture", Name: "tcpmb", EnvVars: []string{"DNSMONSTER_TCPMB"}, Value: 128, Destination: &o.tcpMB,
			Usage: "`MEGABYTES` of memory for TCP streams, divided among the workers. When it is full, streams are dropped, first those that lose the least data",
		},
		&cli.DurationFlag{
			Category: "general", Name: "gctime", EnvVars: []string{"DNSMONSTER_GCTIME"}, Value: 10 * time.Second, Destination: &o.gctime,
			Usage: "`TIME` from which the timeouts of reassembly follow: 3 times this for IP fragments, 6 times this for an idle TCP stream, half of this for a gap in a TCP stream",
		},
		&cli.BoolFlag{
			Category: "capture", Name: "dedup", EnvVars: []string{"DNSMONSTER_DEDUP"}, Destination: &o.dedup,
			Usage: "record a packet only once if it is seen several times, such as on two mirror ports",
		},
		&cli.DurationFlag{
			Category: "capture", Name: "dedupwindow", EnvVars: []string{"DNSMONSTER_DEDUPWINDOW"}, Value: 50 * time.Millisecond, Destination: &o.window,
			Usage: "`TIME` within which an equal packet counts as a duplicate",
		},
		&cli.StringFlag{
			Category: "capture", Name: "malformed", EnvVars: []string{"DNSMONSTER_MALFORMED"}, Value: "record", Destination: &o.malformed,
			Usage: "`ACTION` for messages that dnsmonster does not write: those that its library cannot read, and those without a question. record or drop",
		},
	}
}

// check checks the options, also against the number of workers and the ports that carry
// DNS.
func (o *decodeOptions) check(workers int, dnsPorts []int) error {
	var p problems
	ports, err := parseTunnelPorts(o.tunnelPorts.Value())
	if err != nil {
		p.add(usageError("--tunnelport %w", err))
	}
	for _, port := range ports {
		p.addIf(len(o.tunnelPorts.Value()) > 0 && slices.Contains(dnsPorts, int(port.Number)), "--tunnelport %s:%d: --port says that it carries DNS", port.Tunnel, port.Number)
	}
	p.addIf(o.defragMB < workers || o.defragMB > maxReassemblyMB, "--defragmb %d: use %d, which is 1 for each worker, to %d", o.defragMB, workers, maxReassemblyMB)
	p.addIf(o.tcpMB < workers || o.tcpMB > maxReassemblyMB, "--tcpmb %d: use %d, which is 1 for each worker, to %d", o.tcpMB, workers, maxReassemblyMB)
	p.addIf(o.gctime < time.Millisecond, "--gctime %s: use at least 1ms", o.gctime)
	p.addIf(o.gctime > maxGCTime, "--gctime %s: use at most %s", o.gctime, maxGCTime)
	p.addIf(o.window < time.Microsecond, "--dedupwindow %s: use at least 1us", o.window)
	p.addIf(o.malformed != "record" && o.malformed != "drop", "--malformed %q: use record or drop", o.malformed)
	return p.err()
}

// maxReassemblyMB keeps the counts of a table within its integer types.
const maxReassemblyMB = 1 << 16

// maxGCTime keeps its multiples within a duration.
const maxGCTime = 365 * 24 * time.Hour

// decoder knows the ports of tunnels and of DNS. Everything that looks at the packets
// of one run shares it.
func (o *decodeOptions) decoder(dnsPorts *worker.Ports) *decode.Decoder {
	ports, _ := parseTunnelPorts(o.tunnelPorts.Value()) // checked before
	return decode.NewDecoder(ports, dnsPorts.Has)
}

// configure sets the options of one worker out of workers.
func (o *decodeOptions) configure(c *worker.Config, workers int) {
	c.Defrag = defrag.Config{Bytes: o.defragMB << 20 / workers, Timeout: 3 * int64(o.gctime)}
	c.TCP = tcp.Config{Bytes: o.tcpMB << 20 / workers, GapTimeout: int64(o.gctime) / 2, IdleTimeout: 6 * int64(o.gctime)}
	c.DropMalformed = o.malformed == "drop"
	if o.dedup {
		c.Dedup = &dedup.Config{Window: int64(o.window)}
	}
}
