package cli

import "github.com/urfave/cli/v2"

// habitFlags are the options that attach and replay have and run has not: those that a
// person at a terminal knows from tcpdump. They have no section and no variable. Files and
// environments of a site mean its service, and must not change what a command prints that
// somebody types.
func (o *captureOptions) habitFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{
			Name: "verbose", Aliases: []string{"v"}, Destination: &o.verbose,
			Usage: "show more: whole records with their date in the text format, and the full ledgers at the end",
		},
	}
}
