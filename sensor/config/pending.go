package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
)

// Feature is an output, an input or a step that dnsmonster has and this build lacks.
// Its options are accepted and their form is checked, so that existing files and
// environments work. They are refused only if they switch the feature on.
type Feature struct {
	Name    string                        // as in "clickhouse output"
	Output  string                        // the output's name; "": not an output
	rows    []row                         // at least one
	on      func(*Values) (option string) // the option that switches it on; "": it is off
	instead string                        // what to do if it is on; "" for an output
}

// row declares one option.
type row struct {
	section, name, env string // env: one or more names, separated by spaces
	value              any    // the default, and by its type the kind
	usage              string
	choices            []string // nil: any value of the kind
}

// secretValue is the default of an option that is a secret.
type secretValue struct{ text, fileEnv string }

func flagsOf(rows []row) (flags []cli.Flag) {
	for _, r := range rows {
		flags = append(flags, r.flag())
	}
	return flags
}

func (r row) flag() cli.Flag {
	env := strings.Fields(r.env)
	switch v := r.value.(type) {
	case string:
		return &cli.StringFlag{Category: r.section, Name: r.name, EnvVars: env, Value: v, Usage: r.usage}
	case secretValue:
		return &outputs.SecretFlag{FileEnv: v.fileEnv, StringFlag: cli.StringFlag{Category: r.section, Name: r.name, EnvVars: env, Value: v.text, Usage: r.usage}}
	case []string:
		return &cli.StringSliceFlag{Category: r.section, Name: r.name, EnvVars: env, Value: cli.NewStringSlice(v...), Usage: r.usage, KeepSpace: true}
	case bool:
		return &cli.BoolFlag{Category: r.section, Name: r.name, EnvVars: env, Value: v, Usage: r.usage}
	case int:
		return &cli.UintFlag{Category: r.section, Name: r.name, EnvVars: env, Value: uint(v), Usage: r.usage}
	case time.Duration:
		return &cli.DurationFlag{Category: r.section, Name: r.name, EnvVars: env, Value: v, Usage: r.usage}
	}
	panic(fmt.Sprintf("option %s: no flag for a default of type %T", r.name, r.value))
}

// Pending returns the features that this build lacks: all but the outputs in built.
func Pending(built []string) []Feature {
	return slices.DeleteFunc(append(pendingSteps(), pendingOutputs()...), func(f Feature) bool { return slices.Contains(built, f.Output) })
}

// lacking begins the usage of options of features that this build lacks.
const lacking = "(not in this build) "

// PendingFlags declares the options of features. Help, manual page, completions and the
// sample file leave them out.
func PendingFlags(list []Feature) []cli.Flag {
	var flags []cli.Flag
	for _, f := range list {
		rows := slices.Clone(f.rows)
		for i := range rows {
			rows[i].usage = lacking + rows[i].usage
		}
		flags = append(flags, flagsOf(rows)...)
	}
	return flags
}

// isPending reports whether the option belongs to a feature that this build lacks.
func (o *Option) isPending() bool { return strings.HasPrefix(o.Usage, lacking) }

// RefusePending returns an error for each of these features that is switched on, and for
// each of their options that has a wrong value.
func RefusePending(list []Feature, v *Values) (errs []error) {
	for _, f := range list {
		for _, r := range f.rows {
			o := v.Get(r.name)
			if o != nil && r.choices != nil && len(o.Text) == 1 && !slices.Contains(r.choices, o.Text[0]) {
				errs = append(errs, fmt.Errorf("%s: %q is not one of %v (from %s)", o.Name, o.Text[0], r.choices, o.Origin))
			}
		}
		if option := f.on(v); option != "" {
			o := v.Get(option)
			errs = append(errs, fmt.Errorf("%s: "+notBuilt+", but %s=%s switches it on: %s (from %s)", f.Name, o.Name, o.Shown(v.String(option)), f.remedy(v), o.Origin))
		}
	}
	return errs
}

const notBuilt = "not in this build"

// IsNotBuilt reports whether an error is about a feature that this build lacks.
func IsNotBuilt(err error) bool { return strings.Contains(err.Error(), ": "+notBuilt+",") }

// remedy says what the user can do about a feature that is on.
func (f *Feature) remedy(v *Values) string {
	if f.Output == "" {
		return f.instead
	}
	var outputs []string
	for _, o := range v.list {
		if name, ok := strings.CutSuffix(o.Name, "outputtype"); ok && o.visible() && name != "null" {
			outputs = append(outputs, name)
		}
	}
	return fmt.Sprintf("set %s=0 and use one of %s", f.rows[0].name, strings.Join(outputs, ", "))
}

// unless says that an option switches a feature on, unless it has one of these values.
func unless(option string, off ...string) func(*Values) string {
	return func(v *Values) string {
		if o := v.Get(option); o == nil || len(o.Text) == 0 || slices.Contains(off, o.Text[0]) {
			return ""
		}
		return option
	}
}

// pendingSteps returns the inputs, and the steps between input and output.
func pendingSteps() []Feature {
	const capture, general = "capture", "general"
	return []Feature{
		{Name: "capture filter", instead: "remove filter; port and the lists of domains can limit what is recorded", on: func(v *Values) string {
			if filter := withoutSpace(v.String("filter")); filter == "" || IsDefaultFilter(filter) {
				return ""
			}
			return "filter"
		}, rows: []row{
			{capture, "filter", "DNSMONSTER_FILTER", DefaultFilter, "tcpdump `EXPRESSION` that packets must match; empty or the default: no filter", nil},
		}},
	}
}

// DefaultFilter is the filter that dnsmonster writes into every configuration file. It
// counts as no filter, because it would drop packets in tunnels.
const DefaultFilter = "((ip and (ip[9] == 6 or ip[9] == 17)) or (ip6 and (ip6[6] == 17 or ip6[6] == 6 or ip6[6] == 44)))"

// IsDefaultFilter ignores white space.
func IsDefaultFilter(filter string) bool { return withoutSpace(filter) == withoutSpace(DefaultFilter) }

func withoutSpace(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if c := s[i]; c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			b = append(b, c)
		}
	}
	return string(b)
}
