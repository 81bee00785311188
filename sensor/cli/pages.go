package cli

//go:generate go test . -run TestGeneratedFiles -update

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/config"
)

// printFlags are the options that no file can hold: config, and those of printAndExit.
func printFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", EnvVars: []string{"DNSMONSTER_CONFIG"}, Usage: "read this configuration `FILE`"},
		&cli.StringFlag{Name: "writeconfig", Usage: "write the current options to this `FILE` and exit; - is stdout. An existing configuration is replaced, any other file is not"},
		&cli.BoolFlag{Name: "writesecrets", Usage: "let --writeconfig write passwords and tokens too"},
		&cli.BoolFlag{Name: "manpage", Usage: "print the manual page and exit"},
		&cli.BoolFlag{Name: "bashcompletion", Usage: "print a completion script for bash and exit"},
		&cli.BoolFlag{Name: "fishcompletion", Usage: "print a completion script for fish and exit"},
		&cli.BoolFlag{Name: "zshcompletion", Usage: "print a completion script for zsh and exit"},
		&cli.BoolFlag{Name: "systemdservice", Usage: "print a systemd unit and exit"},
	}
}

// printAndExit prints or writes what an option asks for, and reports whether there was
// such an option.
func (inv *invocation) printAndExit(app *cli.App) (done bool, err error) {
	w := app.Writer
	if inv.version {
		_, err := fmt.Fprintln(w, versionLine())
		return true, err
	}
	if inv.help != nil {
		return true, help(app, inv.help, inv.helpWords)
	}
	v := inv.values
	if !inv.configurable {
		return false, nil
	}
	switch {
	case v.Is("manpage"):
		p, err := pages(app)
		if err != nil {
			return true, err
		}
		return true, config.ManPage(w, app.Name, app.Usage, app.Description, p)
	case v.Is("bashcompletion"):
		return true, complete(app, config.Bash)
	case v.Is("fishcompletion"):
		return true, complete(app, config.Fish)
	case v.Is("zshcompletion"):
		return true, complete(app, config.Zsh)
	case v.Is("systemdservice"):
		_, err := io.WriteString(w, config.SystemdService)
		return true, err
	case v.String("writeconfig") != "":
		return true, writeConfig(v.String("writeconfig"), v, knownOptions(app), w, app.ErrWriter)
	}
	return false, nil
}

// help explains the command that the line names, the program, or what its words are about.
func help(app *cli.App, line *config.Line, words []string) error {
	all, err := pages(app)
	if err != nil {
		return err
	}
	name := strings.Join(line.Command, " ")
	group := slices.DeleteFunc(slices.Clone(all), func(p config.Page) bool { return p.Name != name && !strings.HasPrefix(p.Name, name+" ") })
	every := slices.Equal(words, []string{"all"})
	if !every {
		words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "all" || w == "help" })
	}
	switch {
	case len(words) > 0 && !every:
		search := config.Search{Program: app.Name, Command: name, Pages: all, Pending: config.Pending(outputNames(app.Metadata[outputsKey].(func() []outputs.Output)()))}
		if err := search.Write(app.Writer, words); err != nil {
			return usageError("%w", err)
		}
	case name == "":
		config.Overview(app.Writer, app.Name, app.Usage, app.Description, all)
		if every {
			config.AllOptions(app.Writer, all)
		}
	case every:
		for i, p := range group {
			if i > 0 {
				fmt.Fprintln(app.Writer)
			}
			p.HelpAll(app.Writer, app.Name)
		}
	case len(group) > 1:
		config.GroupHelp(app.Writer, app.Name, name, group)
	default:
		group[0].Help(app.Writer, app.Name)
	}
	return nil
}

func complete(app *cli.App, script func(io.Writer, string, []config.Page)) error {
	p, err := pages(app)
	if err == nil {
		script(app.Writer, app.Name, p)
	}
	return err
}

// pages describes the commands for people and shells.
func pages(app *cli.App) ([]config.Page, error) {
	var list []config.Page
	for _, c := range app.Commands {
		group := c.Subcommands
		if len(group) == 0 {
			group = []*cli.Command{c}
		}
		for _, sub := range group {
			options, err := config.FromFlags(sub.Flags)
			if err != nil {
				return nil, err
			}
			p := config.Page{Name: sub.Name, Usage: sub.Usage, Arguments: sub.ArgsUsage, Description: sub.Description, Tasks: sub.UsageText, Options: options}
			if sub != c {
				p.Name, p.Group = c.Name+" "+sub.Name, c.Usage
			}
			list = append(list, p)
		}
	}
	return list, nil
}
