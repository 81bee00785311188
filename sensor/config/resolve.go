package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/xrash/smetrics"
)

// Layer is where a value came from; a later one beats an earlier one.
type Layer uint8

// Layers.
const (
	Default Layer = iota
	Credential
	InFile
	Environment
	CommandLine
)

// Origin is where a value came from, exactly.
type Origin struct {
	Layer  Layer
	Detail string // a variable's name, a file and line; "" where the layer says it all
}

func (o Origin) String() string {
	switch o.Layer {
	case Credential:
		return "the systemd credential " + o.Detail
	case InFile:
		return o.Detail
	case Environment:
		return "the environment variable " + o.Detail
	case CommandLine:
		return "the command line"
	}
	return "the default"
}

// Value is an option with what it is set to.
type Value struct {
	*Option
	Text     []string // in normal form; more or less than one only for a List
	Origin   Origin
	fromFile string // the option that named the file with this secret; "": none
	given    Origin // the highest one that gives a value, even a wrong one
}

// Values are all options of a command with what they are set to.
type Values struct {
	list     []Value
	Warnings []string // what the user should know though it is no error
	failed   []string // options that somebody has meant to set, but wrongly
}

// Input is what Resolve looks at.
type Input struct {
	Command string
	Options []Option        // of the command
	Known   func() []Option // of all commands: what a shared file or environment may hold
	Line    []Given
	Environ []string // as os.Environ gives it
	File    *File    // nil: none
}

// FilePath is the configuration file that the line or the environment names, ""
// for none, and which of them names it.
func FilePath(line []Given, environ []string) (path string, at Origin) {
	path, _ = lookup(environ, "DNSMONSTER_CONFIG")
	at = Origin{Environment, "DNSMONSTER_CONFIG"}
	for _, g := range line {
		if g.Name == "config" {
			path, at = g.Value, Origin{Layer: CommandLine}
		}
	}
	return path, at
}

func lookup(environ []string, name string) (string, bool) {
	for _, e := range environ {
		if key, value, _ := strings.Cut(e, "="); key == name {
			return value, true
		}
	}
	return "", false
}

// Resolve finds the value of every option: the command line beats the
// environment, which beats the file, which beats the default. A list on a higher
// layer replaces. The error joins all that is wrong; each line names the option
// and the value's origin.
func Resolve(in Input) (*Values, error) {
	r := &resolver{Input: in, v: &Values{list: make([]Value, len(in.Options))}}
	for i := range in.Options {
		o := &in.Options[i]
		r.v.list[i] = Value{Option: o, Text: o.Default}
	}
	if in.File != nil {
		r.file()
	}
	r.environment()
	r.line()
	r.secrets()
	return r.v, r.err()
}

type resolver struct {
	Input
	v    *Values
	errs []error
}

func (r *resolver) fail(format string, a ...any) {
	r.errs = append(r.errs, fmt.Errorf(format, a...))
}

// wrongValue is an error while no higher layer gives the option a value.
type wrongValue struct {
	option *Option
	at     Origin
	err    error
}

func (e *wrongValue) Error() string {
	return fmt.Sprintf("%s: %v (from %s)", e.option.Name, e.err, e.at)
}

// err is all that is wrong. A wrong value that a higher layer overrides becomes
// a warning.
func (r *resolver) err() error {
	var left []error
	for _, err := range r.errs {
		var wrong *wrongValue
		if errors.As(err, &wrong) {
			if v := r.v.Get(wrong.option.Name); v != nil && v.given.Layer > wrong.at.Layer {
				r.warn("%v: no effect, %s overrides it", wrong, v.given)
				continue
			}
		}
		left = append(left, err)
	}
	return errors.Join(left...)
}

func (r *resolver) warn(format string, a ...any) {
	r.v.Warnings = append(r.v.Warnings, fmt.Sprintf(format, a...))
}

// set gives an option the values of one layer.
func (r *resolver) set(v *Value, text []string, at Origin) {
	v.given = at
	values := make([]string, 0, len(text))
	for _, t := range text {
		if v.List && t == "" && len(text) == 1 {
			break // nothing stands for the empty list
		}
		n, err := v.normal(t)
		if err != nil {
			if v.Secret {
				err = errors.New("the value has a wrong form")
			}
			if parts := strings.FieldsFunc(t, separates); v.List && len(parts) > 1 {
				err = fmt.Errorf("%w: %s", err, several(v.Option, parts, at.Layer))
			}
			r.errs = append(r.errs, &wrongValue{v.Option, at, err})
			r.v.failed = append(r.v.failed, v.Name)
			return
		}
		values = append(values, n)
	}
	if !v.List {
		values = values[len(values)-1:] // as everywhere: the last one counts
	}
	v.Text, v.Origin = values, at
}

// separates tells what people write between the values of a list.
func separates(c rune) bool { return c == ',' || c == ';' || unicode.IsSpace(c) }

// several says how an origin gives a list.
func several(o *Option, values []string, at Layer) string {
	switch option := "--" + o.Name + "="; at {
	case CommandLine:
		return "repeat the option for several: " + option + strings.Join(values, " "+option)
	case Environment:
		return "a variable holds one value: for several use the command line, " + option + strings.Join(values, " "+option) + ", or a line for each in a configuration file"
	}
	return "write a line for each: " + o.Name + " = " + values[0] + " and so on"
}

// file takes the entries, those of one option together.
func (r *resolver) file() {
	seen := slices.Clone(r.File.failed)
	r.v.failed = append(r.v.failed, seen...)
	for _, e := range r.File.Entries {
		at := fmt.Sprintf("%s line %d", r.File.Path, e.Line)
		o := r.known(e, at)
		if o == nil || slices.Contains(seen, o.Name) {
			continue
		}
		seen = append(seen, o.Name)
		text, at := r.entries(o)
		r.give(o, text, Origin{InFile, at})
	}
}

// entries are an option's values in the file, and where they stand.
func (r *resolver) entries(o *Option) (text []string, at string) {
	var lines []string
	for _, e := range r.File.Entries {
		if o.has(strings.ToLower(e.Key)) {
			text, lines = append(text, e.Value), append(lines, strconv.Itoa(e.Line))
		}
	}
	last := lines[len(lines)-1]
	switch {
	case len(lines) == 1:
	case o.List:
		return text, fmt.Sprintf("%s lines %s", r.File.Path, strings.Join(lines, ", "))
	default:
		r.warn("%s stands on lines %s of %s: line %s counts", o.Name, strings.Join(lines, ", "), r.File.Path, last)
	}
	return text, fmt.Sprintf("%s line %s", r.File.Path, last)
}

// known finds the option that an entry means, or says why there is none.
func (r *resolver) known(e Entry, at string) (found *Option) {
	key, section := strings.ToLower(e.Key), strings.ToLower(e.Section)
	defer func() {
		if found == nil {
			r.v.failed = append(r.v.failed, key, nearestKey(r.Known(), section, key))
		}
	}()
	if section != "" && !slices.ContainsFunc(r.Known(), func(o Option) bool { return o.Section == section }) {
		r.fail("%s: unknown section [%s]%s", at, plainWord(e.Section), meant("", nearest(r.Known(), section, func(o *Option) string { return o.Section })))
		return nil
	}
	o := find(r.Known(), key)
	switch {
	case o == nil:
		r.fail("%s: unknown key %s%s", at, plainWord(e.Key), meant("", nearestKey(r.Known(), section, key)))
	case o.Section == "":
		r.fail("%s: %s cannot stand in a file: use --%s on the command line", at, e.Key, o.Name)
	case section != "" && o.Section != section:
		r.fail("%s: %s does not belong in [%s] but in [%s]", at, e.Key, e.Section, o.Section)
	default:
		return o
	}
	return nil
}

// give sets an option of this command, and says so where a file or variable for
// several commands sets one that this command does not have.
func (r *resolver) give(o *Option, text []string, at Origin) {
	if v := r.v.Get(o.Name); v != nil {
		r.set(v, text, at)
		return
	}
	v := &Value{Option: o, Text: o.Default}
	r.set(v, text, at)
	if !slices.Equal(v.Text, o.Default) {
		r.warn("%s has no effect on %s (from %s)", o.Name, r.Command, at)
	}
}

func (r *resolver) environment() {
	var links []string
	defer func() { r.warnOfLinks(links) }()
	for _, e := range r.Environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(strings.ToUpper(name), "DNSMONSTER_") {
			continue
		}
		if r.isServiceLink(name, value) {
			links = append(links, name)
			continue
		}
		i := slices.IndexFunc(r.Known(), func(o Option) bool { return slices.Contains(o.Env, name) })
		if i < 0 {
			r.warn("unknown environment variable %s%s", name, meant("", nearest(r.Known(), strings.ToUpper(name), func(o *Option) string {
				if len(o.Env) == 0 {
					return ""
				}
				return o.Env[0]
			})))
			continue
		}
		o := &r.Known()[i]
		if other := slices.IndexFunc(o.Env, func(n string) bool { return n != name && has(r.Environ, n) }); other >= 0 && other < slices.Index(o.Env, name) {
			r.warn("%s is set, so %s has no effect", o.Env[other], name)
			continue
		}
		if (o.Kind != Text && o.Kind != Bool) && value == "" {
			continue // a number that is left empty is left out
		}
		if v := r.v.Get(o.Name); v != nil && v.Origin.Layer == InFile {
			r.warn("the environment variable %s overrides %s of %s: dnsmonster let the file win", name, o.Name, v.Origin)
		}
		r.give(o, []string{value}, Origin{Environment, name})
	}
}

func has(environ []string, name string) bool {
	_, ok := lookup(environ, name)
	return ok
}

func (r *resolver) line() {
	var seen []string
	for _, g := range r.Line {
		if g.Name == "" {
			r.fail("an option lacks its name: --=...")
			continue
		}
		v := r.v.Get(g.Name)
		if v == nil {
			r.unknown(g.Name)
			continue
		}
		if slices.Contains(seen, v.Name) {
			continue
		}
		seen = append(seen, v.Name)
		var text []string
		for _, other := range r.Line {
			if !v.has(other.Name) {
				continue
			}
			if !other.HasValue && v.Kind != Bool {
				r.fail("--%s needs a value: --%s=%s", other.Name, other.Name, strings.ToUpper(v.Placeholder))
				text = nil
				break
			}
			text = append(text, other.Value)
		}
		if text != nil {
			r.set(v, text, Origin{Layer: CommandLine})
		}
	}
}

func (r *resolver) unknown(name string) {
	if o := find(r.Known(), name); o != nil {
		r.fail("--%s is not an option of %s", name, r.Command)
		return
	}
	r.fail("unknown option --%s%s", plainWord(name), meant("--", nearest(r.Options, name, func(o *Option) string { return o.Name })))
}

// plainWord is a name that somebody has written, unless it may be something else
// that came to stand where a name should: an address, with its password.
func plainWord(name string) string {
	for _, c := range name {
		if c != '_' && c != '-' && c != '.' && c != ' ' && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return masked
		}
	}
	return name
}

// nearestKey proposes a key of the section, or else of another one.
func nearestKey(options []Option, section, key string) string {
	name := func(o *Option) string {
		if o.Section == "" {
			return ""
		}
		return o.Name
	}
	var here []Option
	for _, o := range options {
		if section != "" && o.Section == section {
			here = append(here, o)
		}
	}
	if found := nearest(here, key, name); found != "" {
		return found
	}
	for _, o := range here { // the name without its first words, since the section says them
		if o.Name != key && strings.HasSuffix(o.Name, key) && len(key) > 3 && !o.Hidden {
			return o.Name
		}
	}
	return nearest(options, key, name)
}

// nearest proposes one of the names that of gives options; "" where none is near.
func nearest(options []Option, word string, of func(*Option) string) string {
	var names []string
	for i := range options {
		if name := of(&options[i]); name != "" && !options[i].Hidden {
			names = append(names, name)
		}
	}
	return near(word, names)
}

func near(word string, names []string) string {
	best, distance := "", 2+len(word)/4
	for _, name := range names {
		if d := smetrics.WagnerFischer(word, name, 1, 1, 1); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// DidYouMean proposes what the user may have meant, "" where nothing is near.
func DidYouMean(word string, names []string) string { return meant("", near(word, names)) }

// meant is a proposal, written with the dashes or what else belongs before it.
func meant(before, name string) string {
	if name == "" {
		return ""
	}
	return ": did you mean " + before + name + "?"
}

// Get returns an option's value, nil where the command has no such option.
func (v *Values) Get(name string) *Value {
	for i := range v.list {
		if v.list[i].has(name) {
			return &v.list[i]
		}
	}
	return nil
}

// All returns all values in the order of declaration.
func (v *Values) All() []Value { return v.list }

// String is the value of an option that is no list, "" where there is none.
func (v *Values) String(name string) string {
	if o := v.Get(name); o != nil && len(o.Text) == 1 {
		return o.Text[0]
	}
	return ""
}

// SetOrAttempted tells whether somebody has set one of the options, or has meant to, as
// far as errors tell. A name may be the end of several options' names: one that
// ends so counts where it is not 0.
func (v *Values) SetOrAttempted(names ...string) bool {
	for _, name := range names {
		if slices.ContainsFunc(v.failed, func(f string) bool { return strings.HasSuffix(f, name) }) {
			return true
		}
		for _, o := range v.list {
			if strings.HasSuffix(o.Name, name) && o.String() != "" && o.String() != "0" {
				return true
			}
		}
	}
	return false
}

// Is reports whether a truth value is set.
func (v *Values) Is(name string) bool { return v.String(name) == "true" }
