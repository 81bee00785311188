package sensor

import (
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/sensor/lists"
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/mask"
	"dnsmonster-sensor/userspace/worker"
)

// session is one run of a capturing command: its values, and what of them can
// change while it runs.
type session struct {
	inv     *invocation
	log     *slog.Logger
	level   *slog.LevelVar
	decoder *decode.Decoder
	sample  *worker.Sampler // nil: nothing is left out in user space

	screen   *screen // where the log is on a terminal
	progress bool    // show how far it is
}

// session checks the options that all capturing commands have, and says what
// the user should know of them.
func (o *common) session(c *cli.Context) (*session, error) {
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
	s := &session{inv: inv, decoder: o.reading.decoder(o.portSet())}
	if s.screen = newScreen(c.App.ErrWriter); s.screen != nil {
		c.App.ErrWriter = printable.NewWriter(s.screen)
	}
	s.log, s.level = o.process.logger(c.App.ErrWriter, inv.values.Mask)
	for _, w := range config.Advice(inv.values) {
		s.log.Warn(w)
	}
	inv.warned = true
	if o.skipTLS {
		s.log.Warn("skiptlsverification: certificates are not checked, on any TLS connection")
	}
	return s, nil
}

// verify finds what is wrong with the options, without doing anything.
func (o *common) verify(v *config.Values) error {
	p := problems(config.Refuse(o.pending, v))
	p.add(config.Unreachable(v))
	p.add(o.check())
	return p.err()
}

func (s *session) isDefault(option string) bool {
	return s.inv.values.Get(option).Origin.Layer == config.Default
}

// workerConfig is what the workers need of the options.
func (s *session) workerConfig(o *common) worker.Config {
	c := worker.Config{
		Ports:   o.portSet(),
		Decoder: s.decoder,
		Mask:    masks(o.mask),
		MaskECS: o.maskECS,
		Sample:  s.sample,
	}
	o.reading.configure(&c, o.workers)
	return c
}

// masks are nil where nothing is masked.
func masks(b mask.Bits) *mask.Bits {
	if b.All() {
		return nil
	}
	return &b
}

// reloadAtHangup reads the configuration file again at each SIGHUP, one that came
// during the start included, until stop is called.
func (s *session) reloadAtHangup(p *pipeline, domains *lists.Lists) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-s.inv.signals.hangup:
				s.reload(p, domains)
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		select {
		case <-done:
		case <-time.After(startLeft): // a file that is a pipe can be waited for in vain
		}
	}
}

// reload takes over what can change, and names what cannot. A file that is
// wrong changes nothing.
func (s *session) reload(p *pipeline, domains *lists.Lists) {
	values, err := s.inv.resolve()
	if err == nil {
		err = s.inv.try(values)
	}
	if err != nil {
		s.log.Error("reload: nothing is changed", "error", err)
		return
	}
	changed, fixed := config.Diff(s.inv.values, values)
	next := reloadable(values, p.runners, domains)
	if len(fixed) > 0 {
		s.log.Warn("reload: these options need a new start", "options", strings.Join(fixed, ", "))
	}
	p.masks.Store(masks(next.mask))
	for r, f := range next.filters {
		r.SetFilter(f)
	}
	domains.Reload(next.lists)
	var names []string
	for _, v := range changed {
		names = append(names, v.Name+"="+v.Shown(strings.Join(v.Text, ",")))
		s.inv.values.Get(v.Name).Text = v.Text
	}
	s.level.Set(next.level)
	if names == nil {
		names = []string{"nothing"}
	}
	s.log.Info("reloaded", "changed", strings.Join(names, " "))
}

// changes are what a reload brings.
type changes struct {
	mask    mask.Bits
	level   slog.Level
	lists   lists.Options
	filters map[*outputs.Runner]outputs.Filter
}

// reloadable reads the values that can change, which have been tried.
func reloadable(v *config.Values, runners []*outputs.Runner, domains *lists.Lists) changes {
	number := func(option string) int {
		n, _ := strconv.Atoi(v.String(option))
		return n
	}
	c := changes{
		mask:    mask.Bits{V4: number("masksize4"), V6: number("masksize6")},
		level:   logLevels[number("loglevel")],
		lists:   listOptions(v),
		filters: make(map[*outputs.Runner]outputs.Filter),
	}
	skip, allow := matchers(domains, c.lists)
	for _, r := range runners {
		// Off needs a new start, or records go to stdout for want of an output.
		if kind := outputs.Type(number(r.Name() + "outputtype")); kind != outputs.Off {
			c.filters[r] = outputs.Filter{Type: kind, Skip: skip, Allow: allow}
		}
	}
	return c
}
