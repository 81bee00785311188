package config

import (
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
)

// Bind gives the values to the variables that the flags were declared with. The
// set that it returns holds the flags and the arguments of the command line.
//
// The library would do the same when it runs a command, but in time that grows
// with the square of the number of flags: more than all else that a start takes.
func (v *Values) Bind(flags []cli.Flag, arguments []string) (*flag.FlagSet, error) {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range flags {
		if err := applyAlone(f, set); err != nil {
			return nil, err
		}
	}
	for i := range v.list {
		o := &v.list[i]
		if o.Origin.Layer == Default {
			continue
		}
		if err := set.Set(o.Name, o.flagText()); err != nil {
			return nil, fmt.Errorf("%s: %w", o.Name, err)
		}
	}
	return set, set.Parse(append([]string{"--"}, arguments...))
}

// applyAlone keeps the library from reading the environment: what counts there
// has been found out, and what does not count may have the wrong form.
func applyAlone(f cli.Flag, set *flag.FlagSet) error {
	env := variables(f)
	if env == nil {
		return f.Apply(set)
	}
	names := *env
	*env = nil
	defer func() { *env = names }()
	return f.Apply(set)
}

// variables is where a flag keeps the names of its variables.
func variables(f cli.Flag) *[]string {
	switch f := f.(type) {
	case *cli.BoolFlag:
		return &f.EnvVars
	case *cli.StringFlag:
		return &f.EnvVars
	case *cli.IntFlag:
		return &f.EnvVars
	case *cli.Int64Flag:
		return &f.EnvVars
	case *cli.UintFlag:
		return &f.EnvVars
	case *cli.Uint64Flag:
		return &f.EnvVars
	case *cli.Float64Flag:
		return &f.EnvVars
	case *cli.DurationFlag:
		return &f.EnvVars
	case *cli.StringSliceFlag:
		return &f.EnvVars
	case *cli.IntSliceFlag:
		return &f.EnvVars
	case *outputs.SecretFlag:
		return &f.EnvVars
	}
	return nil
}

// flagText is the value as a flag of the library reads it: a list in the form
// that replaces, and is not split at commas.
func (v *Value) flagText() string {
	switch {
	case !v.List:
		return v.Text[0]
	case v.Kind == Int:
		var list []int
		for _, t := range v.Text {
			n, _ := strconv.Atoi(t) // checked before
			list = append(list, n)
		}
		return cli.NewIntSlice(list...).Serialize()
	}
	var list []string
	for _, t := range v.Text {
		list = append(list, strings.TrimSpace(t))
	}
	return cli.NewStringSlice(list...).Serialize()
}
