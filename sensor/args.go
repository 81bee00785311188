package sensor

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange makes up for what the command line library does not do: option names
// are folded to lower case, and options may stand behind arguments. Values are
// never touched. What is not known is left for the library to complain about.
func arrange(app *cli.App, args []string) []string {
	if len(args) == 0 {
		return args
	}
	out, rest := args[:1:1], args[1:]
	flags := app.Flags
	for i, a := range rest {
		if strings.HasPrefix(a, "-") {
			continue
		}
		if cmd := app.Command(a); cmd != nil {
			out = append(append(out, rest[:i]...), a)
			flags, rest = cmd.Flags, rest[i+1:]
		}
		break
	}
	var options, arguments []string
	for i := 0; i < len(rest); i++ {
		a := rest[i]
		if a == "--" {
			arguments = append(arguments, rest[i+1:]...)
			break
		}
		if !strings.HasPrefix(a, "-") || a == "-" {
			arguments = append(arguments, a)
			continue
		}
		name, _, hasValue := strings.Cut(a, "=")
		options = append(options, strings.ToLower(name)+a[len(name):])
		if !hasValue && takesValue(flags, strings.ToLower(strings.TrimLeft(name, "-"))) && i+1 < len(rest) {
			i++
			options = append(options, rest[i])
		}
	}
	out = append(out, options...)
	if len(arguments) > 0 {
		out = append(append(out, "--"), arguments...)
	}
	return out
}

func takesValue(flags []cli.Flag, name string) bool {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			d, ok := f.(cli.DocGenerationFlag)
			return ok && d.TakesValue()
		}
	}
	return false
}
