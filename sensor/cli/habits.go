package cli

import (
	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/sensor/config"
)

// habitFlags are the options that attach, replay and dnstap have and run has not: those that a
// person at a terminal knows from tcpdump. They have no section and no variable: the files and
// variables of a site are for its service, and must not change a command that somebody types.
func (o *captureOptions) habitFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{
			Name: "count", Aliases: []string{"c"}, Destination: &o.count,
			Usage: "stop after this `NUMBER` of records. A record counts if at least one output takes it. From a file, they are the first records, unless a number of workers is set",
		},
		&cli.BoolFlag{
			Name: "verbose", Aliases: []string{"v"}, Destination: &o.verbose,
			Usage: "show more: longer lines with dates in the text format, and the full ledgers at the end",
		},
	}
}

// interfaceFlag names interfaces by an option, as tcpdump does. Arguments may name more.
func interfaceFlag(to *cli.StringSlice) cli.Flag {
	return &cli.StringSliceFlag{
		Name: "interface", Aliases: []string{"i"}, Destination: to,
		Usage: "`INTERFACE` to capture from, or any. The same as an argument; repeat for several",
	}
}

// readFlag names files by an option, as tcpdump does. Arguments may name more.
func readFlag(to *cli.StringSlice) cli.Flag {
	return &cli.StringSliceFlag{
		Name: "read", Aliases: []string{"r"}, Destination: to,
		Usage: "capture `FILE` to read; -: stdin. The same as an argument; repeat for several",
	}
}

// checkCount checks the value of --count, if it is set.
func (o *captureOptions) checkCount(v *config.Values) error {
	if count := v.Get("count"); count != nil && count.Origin.Layer != config.Default && o.count < 1 {
		return usageError("--count %d: use 1 or more; without this option there is no limit", o.count)
	}
	return nil
}
