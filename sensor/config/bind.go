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

// Bind stores the values in the variables that the flags were declared with. The set
// that it returns holds the flags and the arguments of the command line.
//
// The library would do the same when it runs a command, but in time quadratic in the
// number of flags, which would take longer than the rest of a start.
func (v *Values) Bind(flags []cli.Flag, arguments []string) (*flag.FlagSet, error) {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range flags {
		if err := applyWithoutEnv(f, set); err != nil {
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

// applyWithoutEnv keeps the library from reading the environment: Resolve has read the
// variables that count, and the others may be malformed.
func applyWithoutEnv(f cli.Flag, set *flag.FlagSet) error {
	env := envVars(f)
	if env == nil {
		return f.Apply(set)
	}
	names := *env
	*env = nil
	defer func() { *env = names }()
	return f.Apply(set)
}

// envVars returns a pointer to the names of a flag's environment variables.
func envVars(f cli.Flag) *[]string {
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
	case *SwitchOrTimeFlag:
		return &f.EnvVars
	}
	return nil
}

// flagText returns the value in the form that a flag of the library parses: a list is
// serialized, so that it replaces the default and is not split at commas.
func (v *Value) flagText() string {
	switch {
	case !v.List:
		return v.Text[0]
	case v.Kind == Int:
		var list []int
		for _, t := range v.Text {
			n, _ := strconv.Atoi(t) // checked by Resolve
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
