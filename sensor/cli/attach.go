package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/live"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/sensor/pipeline"
	"dnsmonster-sensor/userspace/worker"
)

// attachOptions are those of capturing from interfaces.
type attachOptions struct {
	mode        string
	sampleMode  string
	snaplen     int
	ringMB      int
	fragments   int
	useAFPacket bool
	bufferMB    int
	wait        string // as a config.SwitchOrTimeFlag has it
	promiscuous bool
	tap         bool
	decap       cli.StringSlice
	interfaces  cli.StringSlice // of -i
}

func attachCommand(list []outputs.Output) *cli.Command {
	o, a := newCaptureOptions(list), &attachOptions{}
	return &cli.Command{
		Name:      "attach",
		Usage:     "record the DNS messages that pass interfaces, in both directions",
		ArgsUsage: "INTERFACE... | PATTERN... | any",
		UsageText: attachTasks,
		Description: `Loads a program into the kernel that copies DNS packets and lets all traffic pass. Needs root, or the
capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON. Where these are missing, or the kernel is too old, it
captures by AF_PACKET, which needs only CAP_NET_RAW. Systems other than Linux need a build with libpcap, or
Npcap. The argument any means all interfaces that are up, and
those that come up later; a pattern such as 'eth*' means all whose names match. A packet that passes
several interfaces, such as a bridge and its ports, is recorded on each of them.

Ctrl-C or SIGTERM ends the capture. The program is detached, what was captured is delivered, and a summary
is printed. Exit status: 0 all records delivered, 1 wrong use, 2 failure, 3 some records not delivered.

EXAMPLES:
   dnsmonster-sensor attach eth0
   dnsmonster-sensor attach any -c 10
   dnsmonster-sensor attach eth0 --port=53,5353 > records.json
   mkdir -p dns
   dnsmonster-sensor attach eth0 --fileoutputtype=1 --fileoutputpath=dns
   dnsmonster-sensor attach eth0 --decap=vxlan --format=csv`,
		Flags: append(slices.Concat([]cli.Flag{interfaceFlag(&a.interfaces)}, a.flags(), withFormat(o.flags()), o.habitFlags()), &cli.BoolFlag{
			Category: "capture", Name: "promiscuous", EnvVars: []string{"DNSMONSTER_PROMISCUOUS"}, Destination: &a.promiscuous,
			Usage: "put the interfaces into promiscuous mode, to see packets for other hosts, as on a mirror port",
		}),
		Action: func(c *cli.Context) error {
			make := func(s *session) (input, error) {
				return a.input(o, s, slices.Concat(a.interfaces.Value(), c.Args().Slice()))
			}
			return o.begin(c, source{make, []string{"interface"}})
		},
	}
}

func (a *attachOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Category: "capture", Name: "mode", EnvVars: []string{"DNSMONSTER_MODE"}, Value: "auto", Destination: &a.mode,
			Usage: "how to capture: `auto`, tcx, clsact, xdp, afpacket or pcap. auto takes the first of tcx, clsact, afpacket and pcap that works here; xdp captures incoming packets by XDP and outgoing packets by TC",
		},
		&cli.BoolFlag{
			Category: "capture", Name: "useafpacket", EnvVars: []string{"DNSMONSTER_USEAFPACKET"}, Destination: &a.useAFPacket,
			Usage: "the same as --mode=afpacket",
		},
		&cli.IntFlag{
			Category: "capture", Name: "afpacketbuffersizemb", EnvVars: []string{"DNSMONSTER_AFPACKETBUFFERSIZEMB"}, Value: 64, Destination: &a.bufferMB,
			Usage: "`MEGABYTES` of memory for captured packets in modes afpacket and pcap, for all workers and interfaces together",
		},
		&config.SwitchOrTimeFlag{StringFlag: cli.StringFlag{
			Category: "capture", Name: "wait", EnvVars: []string{"DNSMONSTER_WAIT"}, Destination: &a.wait,
			Usage: "wait for interfaces that do not exist yet, for ever or for this `TIME`, instead of ending with an error",
		}},
		&cli.BoolFlag{
			Category: "capture", Name: "tap", EnvVars: []string{"DNSMONSTER_TAP"}, Destination: &a.tap,
			Usage: "for mirror ports: drop every incoming frame once it has been captured, which saves half of the cost. Switches promiscuous mode on. Outgoing frames are not recorded. Refused if it would cut off an address of this host, unless the option force is set",
		},
		&cli.StringFlag{
			Category: "capture", Name: "samplemode", EnvVars: []string{"DNSMONSTER_SAMPLEMODE"}, Value: "packet", Destination: &a.sampleMode,
			Usage: "what --sampleratio a:b keeps. `packet`: a of every b packets; flow: all packets of a conversation, or none",
		},
		&cli.IntFlag{
			Category: "capture", Name: "snaplen", EnvVars: []string{"DNSMONSTER_SNAPLEN"}, Destination: &a.snaplen,
			Usage: "copy at most this many `BYTES` of a packet; 0: all",
		},
		&cli.IntFlag{
			Category: "capture", Name: "ringmb", EnvVars: []string{"DNSMONSTER_RINGMB"}, Value: 16, Destination: &a.ringMB,
			Usage: "`MEGABYTES` of each worker's ring buffer in modes tcx, clsact and xdp and with --tap, a power of two",
		},
		&cli.IntFlag{
			Category: "capture", Name: "fragmentquota", EnvVars: []string{"DNSMONSTER_FRAGMENTQUOTA"}, Value: 1000, Destination: &a.fragments,
			Usage: "capture at most this `NUMBER` of IP fragments per second and processor whose first fragment was not seen. No effect in modes afpacket and pcap",
		},
		&cli.StringSliceFlag{
			Category: "capture", Name: "decap", EnvVars: []string{"DNSMONSTER_DECAP"}, Destination: &a.decap,
			Usage: "record the DNS inside tunnels of these `KINDS`: " + strings.Join(decapWords(), ", ") +
				". Separate several by commas, or repeat the option. Without it, DNS inside tunnels is not recorded from an interface; from files it always is",
		},
	}
}

// check looks at the options, which may be set even if the input is a file.
func (a *attachOptions) check() error {
	var p problems
	if _, err := live.ParseMode(a.mode); err != nil {
		p.add(usageError("--mode: %w", err))
	}
	p.addIf(a.useAFPacket && a.mode != string(live.ModeAuto) && a.mode != string(live.ModeAFPacket),
		"--useafpacket means --mode=afpacket: remove it, or --mode=%s", a.mode)
	switch mode := a.chosenMode(); {
	case !a.tap, mode == live.ModeAuto, mode == live.ModeXDP:
	case a.useAFPacket:
		p.add(usageError("--tap captures by XDP: remove it, or --useafpacket"))
	default:
		p.add(usageError("--tap captures by XDP: remove it, or --mode=%s", mode))
	}
	p.addIf(a.bufferMB < 1 || a.bufferMB > 65536, "--afpacketbuffersizemb %d: use 1 to 65536", a.bufferMB)
	p.addIf(a.sampleMode != "packet" && a.sampleMode != "flow", "--samplemode %q: use packet or flow", a.sampleMode)
	p.addIf(a.snaplen != 0 && (a.snaplen < 64 || a.snaplen > 65535), "--snaplen %d: use 64 to 65535, or 0 for whole packets", a.snaplen)
	p.addIf(a.ringMB < 1 || a.ringMB > 1024 || a.ringMB&(a.ringMB-1) != 0, "--ringmb %d: use 1, 2, 4, ... 1024", a.ringMB)
	p.addIf(a.fragments < 0 || a.fragments > 10_000_000, "--fragmentquota %d: use 0 to 10000000", a.fragments)
	if _, err := parseDecap(a.decap.Value()); err != nil {
		p.add(usageError("--decap: %w", err))
	}
	return p.err()
}

// input makes the input of the command attach.
func (a *attachOptions) input(o *captureOptions, s *session, names []string) (input, error) {
	var p problems
	p.add(a.check())
	if err := checkNames(s.inv, names, isInterface, isFile, "replay", "a file, not an interface"); err != nil {
		p.add(err)
	} else {
		p.add(a.checkInterfaces(names))
	}
	if err := p.err(); err != nil {
		return input{}, err
	}
	a.promiscuous = a.promiscuous || a.tap
	in := liveInput(a.liveOptions(o, s, names))
	exist := in.check
	in.check = func() error { return errors.Join(exist(), checkRights(s.inv, a.chosenMode()), a.checkTap(o, names)) }
	return in, nil
}

// chosenMode is the mode that the options ask for.
func (a *attachOptions) chosenMode() live.Mode {
	if a.useAFPacket {
		return live.ModeAFPacket
	}
	return live.Mode(a.mode)
}

// checkTap reports what --tap would cut off.
func (a *attachOptions) checkTap(o *captureOptions, names []string) error {
	if !a.tap || o.force {
		return nil
	}
	return live.CheckTap(names)
}

// checkRights names the rights that attach needs and the user lacks.
func checkRights(inv *invocation, mode live.Mode) error {
	missing := live.MissingRights(mode)
	if len(missing) == 0 {
		return nil
	}
	lacks := joinAnd(missing)
	if mode == live.ModeAuto && live.MissingRights(live.ModeAFPacket) != nil {
		lacks += " for eBPF, and CAP_NET_RAW for AF_PACKET"
	}
	words := slices.Concat([]string{inv.program, "attach"}, inv.line.Arguments, optionWords(inv.command("attach"), inv.line.Given, nil))
	return usageError("attach: this user may not capture, because it lacks %s; run as root: %s", lacks, commandLine("sudo", words...))
}

// checkInterfaces checks the names of the interfaces to capture from.
func (a *attachOptions) checkInterfaces(names []string) error {
	var p problems
	if len(names) == 0 {
		p.add(noInput{errors.New("attach: name an interface, such as: dnsmonster-sensor attach eth0 (see dnsmonster-sensor check)")})
	}
	for i, name := range names {
		if _, err := time.ParseDuration(name); err == nil && config.ParseSwitchOrTime(a.wait) < 0 && !watch.Exists(name) {
			p.add(argumentErrorf("attach: no interface %s: if it is the time of --wait, write --wait=%s", name, name))
		}
		if slices.Contains(names[:i], name) {
			p.add(argumentErrorf("attach: interface %s is named twice", name))
		}
	}
	if slices.Contains(names, watch.Any) {
		if len(names) > 1 {
			p.add(argumentErrorf("attach: any means all interfaces: name no others"))
		}
		p.addIf(a.tap, "--tap needs interfaces by name or pattern: with any it would cut off this host")
		p.addIf(a.promiscuous, "attach: --promiscuous needs interfaces by name: any captures only what this host sends and receives")
	}
	return p.err()
}

// liveOptions makes the options of the source from the command's, which have been checked.
func (a *attachOptions) liveOptions(o *captureOptions, s *session, interfaces []string) live.Options {
	o.severalInterfaces = len(interfaces) > 1 || watch.IsPattern(interfaces[0])
	choose := capture.Selection{
		Sample: o.ratio(), FlowSampling: a.sampleMode == "flow", SnapLen: uint32(a.snaplen), FragmentQuota: uint32(a.fragments),
	}
	for _, p := range o.ports.Value() {
		choose.Ports = append(choose.Ports, uint16(p))
	}
	// Both were checked before.
	choose.Decap, _ = parseDecap(a.decap.Value())
	choose.TunnelPorts, _ = parseTunnelPorts(o.decode.tunnelPorts.Value())
	mode := a.chosenMode()
	if a.tap {
		mode = live.ModeTap
	}
	return live.Options{
		Watch: watch.Options{
			Interfaces: interfaces, Promiscuous: a.promiscuous, Wait: config.ParseSwitchOrTime(a.wait), Dedup: o.decode.dedup, Log: s.log,
		},
		Select: choose, Mode: mode, Force: o.force, Lanes: o.workers, RingBytes: a.ringMB << 20, BufferBytes: a.bufferMB << 20,
		Choose: s.decoder.Lane,
	}
}

// deviceOptions are those of run for capturing from an interface.
type deviceOptions struct {
	attachOptions
	device        string
	noPromiscuous bool
}

func (d *deviceOptions) name() (option string, set bool) { return "devname", d.device != "" }

// names are the interfaces and patterns of devname.
func (d *deviceOptions) names() []string { return elementsAsTyped(d.device) }

func (d *deviceOptions) nameFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Category: "capture", Name: "devname", EnvVars: []string{"DNSMONSTER_DEVNAME"}, Destination: &d.device,
			Usage: "`INTERFACE` to capture from; any: all interfaces that are up, and those that come up later; a pattern such as eth*: those whose names match. Separate several by commas",
		},
		&cli.BoolFlag{
			Category: "capture", Name: "nopromiscuous", EnvVars: []string{"DNSMONSTER_NOPROMISCUOUS"}, Destination: &d.noPromiscuous,
			Usage: "do not put the interface into promiscuous mode",
		},
	}
}

func (d *deviceOptions) input(o *captureOptions, s *session) (input, error) {
	names := d.names()
	d.promiscuous = !d.noPromiscuous && !slices.Contains(names, watch.Any) // any means what this host sends and receives
	var p problems
	p.add(d.check())
	p.add(d.checkInterfaces(names))
	if err := p.err(); err != nil {
		return input{}, err
	}
	in := liveInput(d.liveOptions(o, s, names))
	exists := in.check
	in.check = func() error {
		if err := exists(); err != nil {
			return fmt.Errorf("devname: %w", err)
		}
		return d.checkTap(o, names)
	}
	return in, nil
}

// liveInput captures from interfaces.
func liveInput(o live.Options) input {
	open := func(stop <-chan struct{}) (capture.Source, error) {
		o.Watch.Stop = stop
		source, err := live.Open(o)
		if err != nil {
			return nil, err
		}
		return source, nil
	}
	attached := func(s capture.Source) []string { return s.(*live.Source).Attached() }
	return input{
		Input:   pipeline.Input{Live: true, Open: open},
		sampler: worker.NewSampler(o.Select.Sample, o.Select.FlowSampling), // for back ends that do not sample
		check:   func() error { return watch.Check(o.Watch) },
		opens:   func() string { return attachingTo(o.Watch.Interfaces) },
		end:     "Ctrl-C ends",
		hints:   liveHints(o),
		doing: func(s capture.Source, verbose bool) string {
			text := capturingOn(o.Watch.Interfaces, attached(s), verbose)
			switch kinds := o.Select.Decap; {
			case len(kinds) > 4 && !verbose:
				text += fmt.Sprintf(", also in tunnels of %d kinds", len(kinds))
			case kinds != nil:
				text += ", also in tunnels (" + decapNames(kinds) + ")"
			}
			if why := s.(*live.Source).Why(); why != "" {
				text += ", " + why
			}
			return text
		},
		logStart: func(s capture.Source) {
			about := []any{
				"attached", cmp.Or(strings.Join(attached(s), "; "), "none"), "workers", len(s.Lanes()), "decap", decapNames(o.Select.Decap),
				"mode", s.(*live.Source).Mode(),
			}
			if why := s.(*live.Source).Why(); why != "" {
				about = append(about, "why", why)
			}
			o.Watch.Log.Info("capturing", about...)
		},
	}
}

// attachingTo describes the start of a capture.
func attachingTo(names []string) string {
	all, _ := watch.Interfaces() // none if nobody knows
	number := 0
	for _, i := range all {
		if slices.ContainsFunc(names, func(word string) bool { return watch.Matches(word, i.Name) || slices.Contains(i.Other, word) }) {
			number++
		}
	}
	if number == 0 { // with --wait
		return joinOr(names) + " to be there"
	}
	if len(names) == 1 && !watch.IsPattern(names[0]) {
		return "the kernel to capture on " + names[0]
	}
	if number == 1 {
		return "the kernel to capture on 1 interface"
	}
	return fmt.Sprintf("the kernel to capture on %d interfaces", number)
}
