package cli

import (
	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/pipeline"
)

// inputs make the commands that capture: one for each kind of input, and run, which
// takes what dnsmonster takes. A new input is a folder in sensor/capture, a file
// here with its command, and a name in this list.
var inputs = []func([]outputs.Output) *cli.Command{runCommand, attachCommand, replayCommand}

// inputCommands gives each command outputs of its own.
func inputCommands(list func() []outputs.Output) []*cli.Command {
	var commands []*cli.Command
	for _, command := range inputs {
		commands = append(commands, command(list()))
	}
	return commands
}

// input is what a command captures from.
type input struct {
	pipeline.Input
	files   []string     // to be read, where it is not live
	ordered bool         // records have to come in the files' order
	check   func() error // why Open would fail, without opening anything; nil: nobody knows
}
