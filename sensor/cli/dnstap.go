package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/secure"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/dnstap"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/sensor/pipeline"
	"dnsmonster-sensor/userspace/worker"
)

// socketOptions are those of receiving dnstap from servers.
type socketOptions struct {
	dial       bool
	permission string
	group      string
	tls        secure.TLS
}

func dnstapCommand(list []outputs.Output) *cli.Command {
	d := &socketOptions{}
	return d.command(newCaptureOptions(list))
}

func (d *socketOptions) command(o *captureOptions) *cli.Command {
	return &cli.Command{
		Name:      "dnstap",
		Usage:     "record the DNS messages that servers report by dnstap",
		ArgsUsage: "ADDRESS...",
		UsageText: dnstapTasks,
		Description: `Listens at unix://PATH, tcp://HOST:PORT and tls://HOST:PORT for servers that send dnstap: unbound, BIND,
Knot DNS, Knot Resolver, dnsdist, PowerDNS Recursor and others. With --dial it connects to a server that listens. Servers and sensor may
start and restart in any order. docs/dnstap.md has the lines for the configuration of each server.

A server needs the right to write to a unix socket: see --dnstapgroup and --dnstappermission.

Ctrl-C or SIGTERM ends. What was received is delivered, and a summary is printed. Exit status: 0 all
records delivered, 1 wrong use, 2 failure, 3 some records not delivered.

EXAMPLES:
   dnsmonster-sensor dnstap unix:///run/dnsmonster.sock --dnstappermission=0777
   dnsmonster-sensor dnstap tcp://127.0.0.1:6000 --dnstaptypes=client
   dnsmonster-sensor dnstap tcp://[::]:6000 > records.json
   dnsmonster-sensor dnstap --dial tcp://192.0.2.1:6000 -c 10`,
		Flags: slices.Concat(withFormat(o.flags()), o.frames.flags(), d.flags(), o.habitFlags()),
		Action: func(c *cli.Context) error {
			make := func(s *session) (input, error) { return d.commandInput(o, s, c.Args().Slice()) }
			return o.begin(c, source{make, nil})
		},
	}
}

func (d *socketOptions) flags() []cli.Flag {
	flags := []cli.Flag{
		&cli.BoolFlag{
			Category: "capture", Name: "dnstapdial", Aliases: []string{"dial"}, EnvVars: []string{"DNSMONSTER_DNSTAPDIAL"}, Destination: &d.dial,
			Usage: "connect to dnstap servers that listen at the addresses, instead of listening there. The sensor connects again whenever a connection ends",
		},
		&cli.StringFlag{
			Category: "capture", Name: "dnstappermission", EnvVars: []string{"DNSMONSTER_DNSTAPPERMISSION"}, Value: "755", Destination: &d.permission,
			Usage: "`MODE` of the file of a dnstap socket, in octal; for unix:// only. A server needs the right to write: 0770 lets the owner and the group connect",
		},
		&cli.StringFlag{
			Category: "capture", Name: "dnstapgroup", EnvVars: []string{"DNSMONSTER_DNSTAPGROUP"}, Destination: &d.group,
			Usage: "`GROUP` of the file of a dnstap socket, by name or number; for unix:// only. Empty: the group of the sensor",
		},
	}
	return append(flags, d.tlsFlags()...)
}

// tlsFlags declare the files for tls://, with other texts than for outputs: here the sensor
// is usually the TLS server.
func (d *socketOptions) tlsFlags() []cli.Flag {
	flags := d.tls.Flags("capture", "DNSMONSTER_DNSTAPCAFILE", "DNSMONSTER_DNSTAPCERTFILE", "DNSMONSTER_DNSTAPKEYFILE")
	for i, usage := range []string{
		"`FILE` with CA certificates, in PEM; for tls:// only. Each server that connects must then present a certificate that one of them signs. " +
			"With --dnstapdial: one of them must sign the server's certificate; empty: one of this system's",
		"`FILE` with the certificate, in PEM, that the sensor presents to dnstap servers, and its chain; for tls:// only. A changed file is used for the next connections",
		"`" + secure.KeyPlaceholder + "` with the key of that certificate, in PEM; it may be the same file",
	} {
		flags[i].(*cli.StringFlag).Usage = usage
	}
	return flags
}

// check looks at the options, which may be set even if the input is another one.
func (d *socketOptions) check() error {
	_, err := d.mode()
	return err
}

// mode reads the permissions of sockets.
func (d *socketOptions) mode() (fs.FileMode, error) {
	n, err := strconv.ParseUint(d.permission, 8, 32)
	switch {
	case err != nil:
		return 0, usageError("--dnstappermission %q: use an octal number, such as 0770", d.permission)
	case n > 0o777:
		return 0, usageError("--dnstappermission %q: use 0 to 0777", d.permission)
	case n&0o222 == 0:
		return 0, usageError("--dnstappermission %q: nobody could connect, because that needs the right to write: use 0770, or 0777 for everybody", d.permission)
	}
	return fs.FileMode(n), nil
}

// commandInput makes the input of the command dnstap.
func (d *socketOptions) commandInput(o *captureOptions, s *session, addresses []string) (input, error) {
	var p problems
	p.add(d.check())
	if len(addresses) == 0 {
		p.add(noInput{errors.New("dnstap: name an address, such as: dnsmonster-sensor dnstap unix:///run/dnsmonster.sock")})
	}
	p.add(notForFrames(s.inv.values))
	if err := otherThanAddress(s.inv, addresses); err != nil {
		p.add(err)
	} else {
		p.add(d.checkAddresses("dnstap", addresses, func(format string, a ...any) error { return argumentErrorf(format, a...) }))
	}
	if err := p.err(); err != nil {
		return input{}, err
	}
	return d.socketInput("dnstap", addresses, o, s), nil
}

// checkAddresses checks the form of addresses, and whether the options fit them. what is
// the command or option that names them.
func (d *socketOptions) checkAddresses(what string, addresses []string, errorf func(string, ...any) error) error {
	var p problems
	secured := slices.ContainsFunc(addresses, isTLS)
	for i, a := range addresses {
		if _, err := dnstap.ParseAddress(a); err != nil {
			p.add(errorf("%s: %w", what, err))
		}
		if slices.Contains(addresses[:i], a) {
			p.add(errorf("%s: %s is named twice", what, a))
		}
	}
	p.addIf(!d.dial && secured && d.tls.CertFile == "" && d.tls.KeyFile == "", "--dnstapcertfile: an address tls:// needs a certificate: set dnstapcertfile and dnstapkeyfile")
	for _, f := range []struct{ option, value string }{{"dnstapcafile", d.tls.CAFile}, {"dnstapcertfile", d.tls.CertFile}, {"dnstapkeyfile", d.tls.KeyFile}} {
		p.addIf(f.value != "" && !secured, "--%s: it is for addresses tls://, and there is none: remove it, or use tls:// instead of tcp://", f.option)
	}
	p.addIf(d.group != "" && !slices.ContainsFunc(addresses, isUnix), "--dnstapgroup: it is for addresses unix://, and there is none: remove it")
	p.addIf(d.group != "" && d.dial, "--dnstapgroup: with --dnstapdial the server makes the socket, and its configuration sets the group: remove it")
	return p.err()
}

func isUnix(address string) bool { return isOf("unix", address) }
func isTLS(address string) bool  { return isOf("tls", address) }

func isOf(network, address string) bool {
	a, err := dnstap.ParseAddress(address)
	return err == nil && a.Network == network
}

// notForFrames is the error for options that need packets.
func notForFrames(v *config.Values) error {
	var p problems
	p.addIf(v.Is("dedup"), noDedup+"remove it")
	p.addIf(setsFilter(v), "--filter: it does not apply to dnstap: a filter of tcpdump looks at the headers of packets, and dnstap frames have none; "+
		"remove it, and use --dnstaptypes or the lists of domains")
	return p.err()
}

func setsFilter(v *config.Values) bool {
	filter := v.String("filter")
	return strings.TrimSpace(filter) != "" && !config.IsDefaultFilter(filter)
}

// takesFrames reports whether the input is dnstap sockets.
func takesFrames(v *config.Values) bool {
	return v.Get("dnstapdial") != nil && (v.Get("dnstapsocket") == nil || v.String("dnstapsocket") != "")
}

// socketInput receives at addresses, which have been checked.
func (d *socketOptions) socketInput(what string, addresses []string, o *captureOptions, s *session) input {
	mode, _ := d.mode()
	options := dnstap.Options{Addresses: addresses, Dial: d.dial, Mode: mode, Group: d.group, TLS: &d.tls, SkipVerify: o.skipTLS, Log: s.log}
	var opened *dnstap.Source // nil if a signal has come before
	open := func(stop <-chan struct{}) (capture.Source, error) {
		options.Lanes, options.Stop = o.workers, stop // keepOrder may have changed it
		source, err := dnstap.Open(options)
		if err != nil {
			return nil, namedError(what, err)
		}
		opened = source
		return source, nil
	}
	senders := func() int {
		if opened == nil {
			return 0
		}
		return opened.Senders().Connected
	}
	renew := func() error {
		if opened == nil {
			return nil
		}
		return opened.Reload()
	}
	check := func() error {
		var p problems
		for _, err := range dnstap.Check(options) {
			p.add(namedError(what, err))
		}
		return p.err()
	}
	return input{
		Input: pipeline.Input{Live: !d.dial, Open: open}, check: check, sampler: worker.NewSampler(o.ratio(), false), frames: true, end: "Ctrl-C ends",
		hints: d.hints(addresses, senders, &o.frames, s),
		note:  func() string { return d.advice(opened.Senders().Files) },
		renew: renew,
		doing: func(capture.Source, bool) string { return d.receiving(opened.Senders().Addresses) },
		logStart: func(capture.Source) {
			s.log.Info("receiving dnstap", "addresses", strings.Join(opened.Senders().Addresses, " "), "dial", d.dial, "workers", o.workers)
		},
	}
}

// namedError names the option that an error is about: that of the addresses, unless the error
// begins with another one.
func namedError(what string, err error) error {
	if name, _, ok := strings.Cut(err.Error(), ": "); ok && strings.HasPrefix(name, "dnstap") && !strings.Contains(name, " ") {
		return usageError("--%w", err)
	}
	return usageError("%s: %w", what, err)
}

// receiving says for the start line what has been opened.
func (d *socketOptions) receiving(addresses []string) string {
	if d.dial {
		return "receiving dnstap from " + joinAnd(addresses)
	}
	return "listening for dnstap at " + joinAnd(addresses)
}

// advice says who can connect to the sensor's socket files, if there are any and only the sensor's own user can; "" if
// others can, too.
func (d *socketOptions) advice(files bool) string {
	mode, _ := d.mode()
	if !files || mode&0o022 != 0 {
		return ""
	}
	return fmt.Sprintf("hint: with mode %04o only the user of the sensor, and root, can connect to the unix socket; for a server with a user of its own try --dnstapgroup=GROUP --dnstappermission=0770", mode)
}

// hints are for people who get no records.
func (d *socketOptions) hints(addresses []string, senders func() int, frames *frameOptions, s *session) pipeline.Hints {
	h := pipeline.Hints{Unit: "frame", Where: joinAnd(addresses), Endless: true}
	h.Quiet = func() string { return d.whyQuiet(addresses, senders()) }
	if !s.isSet("dnstaptypes") {
		h.Notice = frames.twice
	} else {
		h.Try = []string{"--dnstaptypes=all (all types of messages)"}
	}
	return h
}

// whyQuiet says what to look at if no frame comes from the senders that are connected.
func (d *socketOptions) whyQuiet(addresses []string, senders int) string {
	var try []string
	text := "no server is connected"
	switch {
	case senders == 1:
		text, try = "a server is connected and reports nothing", append(try, "a query to it", "the server's options for dnstap (which messages it reports)")
	case senders > 1:
		text = fmt.Sprintf("%d servers are connected and report nothing", senders)
		try = append(try, "queries to them", "their options for dnstap (which messages they report)")
	case d.dial:
		try = append(try, "whether the server listens there")
	default:
		if slices.ContainsFunc(addresses, isUnix) {
			try = append(try, "--dnstapgroup and --dnstappermission (the server's user must have the right to write to the socket)")
		}
		try = append(try, "the server's options for dnstap (they must name this address)", "the server's log")
	}
	return text + "; check " + strings.Join(try, ", ")
}

// listedSockets are the sockets of run.
type listedSockets struct {
	socketOptions
	addresses cli.StringSlice
}

func (d *listedSockets) name() (option string, set bool) {
	return "dnstapsocket", len(d.list()) > 0
}

// list are the addresses.
func (d *listedSockets) list() []string {
	return listed(d.addresses.Value())
}

func (d *listedSockets) check() error {
	var p problems
	p.add(d.socketOptions.check())
	for _, a := range d.list() {
		if _, err := dnstap.ParseAddress(a); err != nil {
			p.add(usageError("--dnstapsocket: %w", err))
		}
	}
	return p.err()
}

func (d *listedSockets) nameFlags() []cli.Flag {
	return []cli.Flag{&cli.StringSliceFlag{
		Category: "capture", Name: "dnstapsocket", EnvVars: []string{"DNSMONSTER_DNSTAPSOCKET"}, Destination: &d.addresses,
		Usage: "`SOCKET` at which servers report by dnstap: unix://PATH, tcp://HOST:PORT or tls://HOST:PORT. Separate several by commas, or repeat the option",
	}}
}

func (d *listedSockets) input(o *captureOptions, s *session) (input, error) {
	var p problems
	p.add(notForFrames(s.inv.values))
	p.add(d.checkAddresses("--dnstapsocket", d.list(), usageError))
	if err := p.err(); err != nil {
		return input{}, err
	}
	return d.socketInput("--dnstapsocket", d.list(), o, s), nil
}
