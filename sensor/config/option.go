// Package config resolves the value of every option, and documents the options.
// Declared flags, the command line, the environment and a configuration file come in;
// values with their origins go out, and help, manual page, completion scripts, sample
// file and docs/configuration.md. It must not import the packages that declare and obey
// the options. Tests use options and files of their own; package sensor/cli tests the
// real ones.
package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
)

// Kind is the type of a value.
type Kind uint8

// Kinds.
const (
	Text Kind = iota
	Bool
	Int
	Uint
	Float
	Duration
	SwitchOrTime // of a SwitchOrTimeFlag
)

// Option describes one option.
type Option struct {
	Name        string   // lower case
	Aliases     []string // lower case, without Short
	Short       string   // the name of one letter, "": none
	Section     string   // of the file; "": the option cannot be in a file
	Env         []string // names of the environment variables, the usual one first
	Usage       string   // one or more sentences, without the placeholder's marks
	Placeholder string   // of the value in help texts; "": none
	Kind        Kind
	List        bool // several values; no origin splits them at commas
	Default     []string
	Hidden      bool
	Secret      bool   // never shown
	SecretOf    string // the secret whose file this option names; "": none
}

// setKind sets the kind and default from a flag. Flags of other types are refused.
func (o *Option) setKind(f cli.Flag) error {
	switch f := f.(type) {
	case *cli.BoolFlag:
		o.Kind, o.Default = Bool, []string{strconv.FormatBool(f.Value)}
	case *cli.StringFlag:
		o.Kind, o.Default = Text, []string{f.Value}
	case *cli.IntFlag:
		o.Kind, o.Default = Int, []string{strconv.Itoa(f.Value)}
	case *cli.Int64Flag:
		o.Kind, o.Default = Int, []string{strconv.FormatInt(f.Value, 10)}
	case *cli.UintFlag:
		o.Kind, o.Default = Uint, []string{strconv.FormatUint(uint64(f.Value), 10)}
	case *cli.Uint64Flag:
		o.Kind, o.Default = Uint, []string{strconv.FormatUint(f.Value, 10)}
	case *cli.Float64Flag:
		o.Kind, o.Default = Float, []string{strconv.FormatFloat(f.Value, 'g', -1, 64)}
	case *cli.DurationFlag:
		o.Kind, o.Default = Duration, []string{f.Value.String()}
	case *SwitchOrTimeFlag:
		o.Kind, o.Default = SwitchOrTime, []string{cmp.Or(f.Value, "false")}
	case *cli.StringSliceFlag:
		o.Kind, o.List = Text, true
		if f.Value != nil {
			o.Default = f.Value.Value()
		}
	case *cli.IntSliceFlag:
		o.Kind, o.List = Int, true
		if f.Value != nil {
			for _, n := range f.Value.Value() {
				o.Default = append(o.Default, strconv.Itoa(n))
			}
		}
	case *outputs.SecretFlag:
		o.Kind, o.Default, o.Secret = Text, []string{f.Value}, true
	default:
		return fmt.Errorf("option %s: flags of type %T are not supported", o.Name, f)
	}
	return nil
}

// FromFlags returns the options that flags declare.
func FromFlags(flags []cli.Flag) ([]Option, error) {
	var list []Option
	for _, f := range flags {
		names := f.Names()
		o := Option{Name: names[0]}
		for _, n := range names[1:] {
			if len(n) == 1 {
				o.Short = n
			} else {
				o.Aliases = append(o.Aliases, n)
			}
		}
		if err := o.setKind(f); err != nil {
			return nil, err
		}
		if c, ok := f.(cli.CategorizableFlag); ok {
			o.Section = c.GetCategory()
		}
		if v, ok := f.(cli.VisibleFlag); ok {
			o.Hidden = !v.IsVisible()
		}
		if d, ok := f.(cli.DocGenerationFlag); ok {
			o.Env = d.GetEnvVars()
			o.Placeholder, o.Usage = cutPlaceholder(d.GetUsage())
		}
		if strings.HasSuffix(o.Name, secretFileSuffix) {
			o.SecretOf = strings.TrimSuffix(o.Name, secretFileSuffix)
		}
		list = append(list, o)
	}
	markSecretFiles(list)
	return list, nil
}

// cutPlaceholder returns the word in backquotes, and the usage without the backquotes,
// as the command line library does.
func cutPlaceholder(usage string) (word, text string) {
	before, rest, ok := strings.Cut(usage, "`")
	if !ok {
		return "", usage
	}
	word, after, ok := strings.Cut(rest, "`")
	if !ok {
		return "", usage
	}
	return word, before + word + after
}

// placeholder returns the value's placeholder, or one for its kind.
func (o *Option) placeholder() string {
	if o.Placeholder != "" {
		return o.Placeholder
	}
	return [...]string{"TEXT", "TRUE", "NUMBER", "NUMBER", "NUMBER", "TIME", "TIME"}[o.Kind]
}

// isSwitch reports whether the option may stand without a value.
func (o *Option) isSwitch() bool { return o.Kind == Bool || o.Kind == SwitchOrTime }

// valueText is what help shows after the option's name.
func (o *Option) valueText() string {
	switch o.Kind {
	case Bool:
		return ""
	case SwitchOrTime:
		return "[=" + o.placeholder() + "]"
	}
	return " " + o.placeholder()
}

// has reports whether name, in lower case, is a name of the option.
func (o *Option) has(name string) bool {
	return o.Name == name || o.Short != "" && o.Short == name || slices.Contains(o.Aliases, name)
}

// given reports whether g is a name of the option. A letter after a single dash has to be
// the letter itself, in its own case.
func (o *Option) given(g *Given) bool {
	if g.Short {
		return o.Short == g.Name
	}
	return o.has(g.Name)
}

// normalize checks one value and returns it in normal form: numbers in decimal,
// durations and truth values as Go writes them.
func (o *Option) normalize(text string) (string, error) {
	switch o.Kind {
	case Bool:
		if text == "" { // "dedup =" in a file means the same as --dedup
			return "true", nil
		}
		v, err := strconv.ParseBool(text)
		if err != nil {
			return "", fmt.Errorf("%q is neither true nor false", text)
		}
		return strconv.FormatBool(v), nil
	case SwitchOrTime:
		return normalSwitchOrTime(text)
	case Int:
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "", fmt.Errorf("%q is not a whole number", text)
		}
		return strconv.FormatInt(v, 10), nil
	case Uint:
		v, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return "", fmt.Errorf("%q is not a whole number of 0 or more", text)
		}
		return strconv.FormatUint(v, 10), nil
	case Float:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return "", fmt.Errorf("%q is not a number", text)
		}
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case Duration:
		v, err := time.ParseDuration(text)
		if err != nil {
			return "", fmt.Errorf("%q is not a time such as 500ms, 10s or 1m30s", text)
		}
		return v.String(), nil
	}
	return text, nil
}

// find returns the option with a name, in lower case, or nil.
func find(list []Option, name string) *Option {
	for i := range list {
		if list[i].has(name) {
			return &list[i]
		}
	}
	return nil
}
