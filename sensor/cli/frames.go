package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/pipeline"
	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/worker"
)

// frameOptions say what becomes of dnstap frames, from sockets and from files.
type frameOptions struct {
	types cli.StringSlice
	both  bool
	seen  worker.SeenTypes // by all workers
}

func (o *frameOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{
			Category: "capture", Name: "dnstaptypes", EnvVars: []string{"DNSMONSTER_DNSTAPTYPES"}, Value: cli.NewStringSlice("all"), Destination: &o.types,
			Usage: "record dnstap messages of these `TYPES`: client (between a server and its clients), resolver, auth, forwarder, stub, tool, update, or all. " +
				"Separate several by commas, or repeat the option",
		},
		&cli.BoolFlag{
			Category: "capture", Name: "dnstapboth", EnvVars: []string{"DNSMONSTER_DNSTAPBOTH"}, Destination: &o.both,
			Usage: "record both messages of a dnstap frame that carries a query and its response, not only the one that its type names",
		},
	}
}

// words are the types. An empty value means all, as the default does.
func (o *frameOptions) words() []string {
	if words := listed(o.types.Value()); words != nil {
		return words
	}
	return []string{"all"}
}

// listed splits values at commas, and leaves out what is empty.
func listed(values []string) (words []string) {
	for _, v := range values {
		for w := range strings.SplitSeq(v, ",") {
			if w = strings.TrimSpace(w); w != "" {
				words = append(words, w)
			}
		}
	}
	return words
}

// check checks the options. Commands without them have all types.
func (o *frameOptions) check() error {
	if _, err := dnstap.ParseTypes(o.words()); err != nil {
		return usageError("--dnstaptypes: %w", err)
	}
	return nil
}

// configure sets the options of a worker. An output or format that passes frames on needs
// them whole.
func (o *frameOptions) configure(c *worker.Config, list []pipeline.Output, fields bool) {
	types, _ := dnstap.ParseTypes(o.words()) // checked before
	keep := fields || slices.ContainsFunc(list, func(out pipeline.Output) bool { return outputs.KeepsFrames(out.Output) })
	c.Frames = worker.FrameConfig{Types: types, Both: o.both, Keep: keep, Seen: &o.seen}
}

// twice is a hint for those who record a lookup twice without having asked for it: what a
// client asks, and what the server asks others for it.
func (o *frameOptions) twice() string {
	if !o.seen.Has(dnstap.ClientQuery, dnstap.ClientResponse) || !o.seen.Has(dnstap.ResolverQuery, dnstap.ResolverResponse, dnstap.ForwarderQuery, dnstap.ForwarderResponse) {
		return ""
	}
	return "hint: messages of clients and of the resolver itself arrive: a lookup that is not in its cache appears twice; try --dnstaptypes=client (only what clients ask and get)"
}

// noDedup begins the error for --dedup where the input is dnstap.
const noDedup = "--dedup: it does not apply to dnstap: a server reports each message once, and without the IP headers by which duplicates are recognised; "
