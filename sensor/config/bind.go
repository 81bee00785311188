package config

import (
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
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
		if err := f.Apply(set); err != nil {
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
