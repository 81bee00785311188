package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// stdoutFormat is the option of stdout's record format.
const stdoutFormat = "stdoutoutputformat"

// withFormat gives the option of stdout's format the short name --format, for commands
// that a person types.
func withFormat(flags []cli.Flag) []cli.Flag {
	for _, f := range flags {
		if s, ok := f.(*cli.StringFlag); ok && s.Name == stdoutFormat {
			s.Aliases = append(s.Aliases, "format")
		}
	}
	return flags
}

// showText makes text the format of records on a terminal, unless a format is set.
func (o *captureOptions) showText(c *cli.Context, s *session) error {
	if !o.fallback || s.isSet(stdoutFormat) || !term.IsTerminal(1) {
		return nil
	}
	if err := c.Set(stdoutFormat, "text"); err != nil {
		return fmt.Errorf("choose the format of stdout: %w", err)
	}
	return nil
}
