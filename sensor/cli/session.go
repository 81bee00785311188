package cli

import (
	"log/slog"
	"runtime"
	"slices"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/sensor/pipeline"
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/mask"
	"dnsmonster-sensor/userspace/worker"
)

// session holds what the input, the pipeline and a reload share during one run of a
// capturing command.
type session struct {
	inv     *invocation
	log     *slog.Logger
	level   *slog.LevelVar
	decoder *decode.Decoder

	renew    func() error // certificates of the input; nil: it has none
	terminal *terminal    // where the log goes; nil: it goes elsewhere
	onScreen bool         // records go to a terminal, for the person who has typed the command
}

// session checks the options that all capturing commands have, and logs advice
// about them.
func (o *captureOptions) session(c *cli.Context) (*session, error) {
	inv := invocationOf(c)
	if err := o.verify(inv.values); err != nil {
		return nil, err
	}
	if inv.trial {
		return &session{inv: inv, log: slog.New(slog.DiscardHandler)}, nil
	}
	if o.process.gomaxprocs > 0 {
		runtime.GOMAXPROCS(o.process.gomaxprocs)
	}
	o.workers = o.lanes()
	s := &session{inv: inv, decoder: o.decode.decoder(o.portSet())}
	if s.terminal = newTerminal(c.App.ErrWriter); s.terminal != nil {
		c.App.ErrWriter = printable.NewWriter(s.terminal)
	}
	s.log, s.level = o.process.logger(c.App.ErrWriter, o.forPeople() && s.terminal != nil, inv.values.Mask)
	for _, w := range config.Advice(inv.values) {
		s.log.Warn(w)
	}
	inv.warned = true
	if o.skipTLS {
		s.log.Warn("skiptlsverification: certificates are not checked, on any TLS connection")
	}
	return s, nil
}

// verify checks the options without side effects.
func (o *captureOptions) verify(v *config.Values) error {
	pending := o.pending
	if takesFrames(v) { // a filter has an error of its own there
		pending = slices.DeleteFunc(slices.Clone(pending), func(f config.Feature) bool { return f.Name == "capture filter" })
	}
	p := problems(config.RefusePending(pending, v))
	p.add(config.Unreachable(v))
	p.add(o.check())
	p.add(o.checkCount(v))
	return p.err()
}

func (s *session) isSet(option string) bool {
	return s.inv.values.Get(option).Origin.Layer != config.Default
}

// workerConfig is what the options mean to the workers.
func (s *session) workerConfig(o *captureOptions, in input, list []pipeline.Output) worker.Config {
	c := worker.Config{
		Ports:   o.portSet(),
		Decoder: s.decoder,
		Mask:    maskOrNil(o.mask),
		MaskECS: o.maskECS,
		Sample:  in.sampler,
	}
	o.decode.configure(&c, o.workers)
	records, _ := o.records.check() // once more
	allFields := o.verbose          // lines with -v have them
	o.frames.configure(&c, list, records.Fields.NeedsFrames() || allFields)
	return c
}

// maskOrNil returns nil if nothing is to be masked.
func maskOrNil(b mask.Bits) *mask.Bits {
	if b.All() {
		return nil
	}
	return &b
}
