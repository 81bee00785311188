package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Input has everything that Resolve reads.
type Input struct {
	Command string
	Partial bool                         // the command needs a part of a sensor's configuration: that the rest has no effect is no surprise
	Options []Option                     // of the command
	Known   func() []Option              // of all commands, which a shared file or environment may set
	Owners  func(option string) []string // the commands that have it; nil: unknown
	Line    []Given
	Environ []string // as os.Environ gives it
	File    *File    // nil: none
}

// FilePath returns the configuration file that the command line or the environment
// names, "" for none, and which of them does.
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

// Resolve finds the value of every option: the command line overrides the environment,
// which overrides the file, which overrides the default. A list is overridden as a
// whole. The error joins everything that is wrong, with a line for each that names the
// option and the origin of the value.
func Resolve(in Input) (*Values, error) {
	r := &resolver{Input: in, v: &Values{list: make([]Value, len(in.Options))}}
	for i := range in.Options {
		o := &in.Options[i]
		r.v.list[i] = Value{Option: o, Text: o.Default}
	}
	if in.File != nil {
		r.applyFile()
	}
	r.applyEnvironment()
	r.applyLine()
	r.applySecrets()
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

// wrongValue is an error unless a higher layer gives the option a value.
type wrongValue struct {
	option *Option
	at     Origin
	err    error
}

func (e *wrongValue) Error() string {
	name := e.option.Name
	if e.at.Layer == CommandLine {
		name = "--" + name
	}
	return fmt.Sprintf("%s: %v (from %s)", name, e.err, e.at)
}

// err joins everything that is wrong. A wrong value that a higher layer overrides
// becomes a warning.
func (r *resolver) err() error {
	var left []error
	for _, err := range r.errs {
		var wrong *wrongValue
		if errors.As(err, &wrong) {
			if v := r.v.Get(wrong.option.Name); v != nil && v.attempted.Layer > wrong.at.Layer {
				r.warn("%v: no effect, %s overrides it", wrong, v.attempted)
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

// set sets an option to the values of one layer.
func (r *resolver) set(v *Value, text []string, at Origin) {
	v.attempted = at
	if v.List && v.Kind == Int {
		text = splitNumbers(text)
	}
	values := make([]string, 0, len(text))
	for _, t := range text {
		if v.List && t == "" && len(text) == 1 {
			break // an empty value means the empty list
		}
		n, err := v.normalize(t)
		if err != nil && !v.Secret {
			err = hint(v.Option, t, err, at.Layer)
		}
		if err != nil {
			if v.Secret {
				err = errors.New("the value has a wrong form")
			}
			if parts := strings.FieldsFunc(t, isSeparator); v.List && v.Kind != Int && len(parts) > 1 {
				err = fmt.Errorf("%w: %s", err, howToRepeat(v.Option, parts, at.Layer))
			}
			r.errs = append(r.errs, &wrongValue{v.Option, at, err})
			r.v.failed = append(r.v.failed, v.Name)
			return
		}
		values = append(values, n)
	}
	if !v.List {
		values = values[len(values)-1:] // the last one counts
	}
	v.Text, v.Origin = values, at
}

// isSeparator reports whether c is what people write between the values of a list.
func isSeparator(c rune) bool { return c == ',' || c == ';' || unicode.IsSpace(c) }

// howToRepeat says how to give a list in a layer.
func howToRepeat(o *Option, values []string, at Layer) string {
	switch option := "--" + o.Name + "="; at {
	case CommandLine:
		return "repeat the option for several: " + option + strings.Join(values, " "+option)
	case Environment:
		return "a variable holds one value: for several use the command line, " + option + strings.Join(values, " "+option) + ", or a line for each in a configuration file"
	}
	return "write a line for each: " + o.Name + " = " + values[0] + " and so on"
}

// applyFile applies the entries of the file, all of one option at once.
func (r *resolver) applyFile() {
	seen := slices.Clone(r.File.failed)
	r.v.failed = append(r.v.failed, seen...)
	for _, e := range r.File.Entries {
		at := fmt.Sprintf("%s line %d", r.File.Path, e.Line)
		o := r.findKey(e, at)
		if o == nil || slices.Contains(seen, o.Name) {
			continue
		}
		seen = append(seen, o.Name)
		text, at := r.entriesOf(o)
		r.assign(o, text, Origin{InFile, at})
	}
}

// entriesOf returns an option's values in the file, and their lines.
func (r *resolver) entriesOf(o *Option) (text []string, at string) {
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
		r.warn("%s is set on lines %s of %s: only line %s counts", o.Name, strings.Join(lines, ", "), r.File.Path, last)
	}
	return text, fmt.Sprintf("%s line %s", r.File.Path, last)
}

// findKey returns the option that an entry sets. If there is none, it records why.
func (r *resolver) findKey(e Entry, at string) (found *Option) {
	key, section := strings.ToLower(e.Key), strings.ToLower(e.Section)
	defer func() {
		if found == nil {
			r.v.failed = append(r.v.failed, key, nearestKey(r.Known(), section, key))
		}
	}()
	if section != "" && !slices.ContainsFunc(r.Known(), func(o Option) bool { return o.Section == section }) {
		nearest := nearestOption(r.Known(), section, func(o *Option) string { return o.Section })
		r.fail("%s: unknown section [%s]%s", at, nameOrMask(e.Section), suggestion("", nearest))
		return nil
	}
	o := find(r.Known(), key)
	switch {
	case o == nil:
		nearest := nearestKey(r.Known(), section, key)
		if o := find(r.Options, key); o != nil { // by a short name, which only the command line has
			nearest = o.Name
		}
		r.fail("%s: unknown key %s%s", at, nameOrMask(e.Key), suggestion("", nearest))
	case o.Section == "":
		r.fail("%s: %s cannot be set in a file: use --%s on the command line", at, e.Key, o.Name)
	case section != "" && o.Section != section:
		r.fail("%s: %s does not belong in [%s] but in [%s]", at, e.Key, e.Section, o.Section)
	default:
		return o
	}
	return nil
}

// assign sets an option of this command. It warns if a file or variable that several
// commands share sets an option that this command does not have, unless it has only some of
// them anyway. A wrong value is an error all the same.
func (r *resolver) assign(o *Option, text []string, at Origin) {
	if v := r.v.Get(o.Name); v != nil {
		r.set(v, text, at)
		return
	}
	v := &Value{Option: o, Text: o.Default}
	r.set(v, text, at)
	if !r.Partial && !slices.Equal(v.Text, o.Default) {
		r.warn("%s has no effect on %s (from %s)", o.Name, r.Command, at)
	}
}

func (r *resolver) applyEnvironment() {
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
			r.warn("unknown environment variable %s%s", name, r.likeVariable(strings.ToUpper(name)))
			continue
		}
		o := &r.Known()[i]
		usual := o.Env[:slices.Index(o.Env, name)] // they come before this one
		if other := slices.IndexFunc(usual, func(n string) bool { return has(r.Environ, n) }); other >= 0 {
			r.warn("%s is set, so %s has no effect", usual[other], name)
			continue
		}
		if o.Kind != Text && !o.isSwitch() && value == "" {
			continue // an empty number is ignored
		}
		if v := r.v.Get(o.Name); v != nil && v.Origin.Layer == InFile {
			r.warn("the environment variable %s overrides %s of %s: dnsmonster let the file win", name, o.Name, v.Origin)
		}
		r.assign(o, []string{value}, Origin{Environment, name})
	}
}

// likeVariable says which variable is probably meant by a name in capitals.
func (r *resolver) likeVariable(name string) string {
	name = strings.TrimPrefix(name, "DNSMONSTER_")
	if o := find(r.Known(), strings.ToLower(name)); o != nil && len(o.Env) == 0 {
		return ": --" + o.Name + " is an option of the command line only"
	}
	if o := find(r.Options, strings.ToLower(name)); o != nil && len(o.Env) > 0 { // by a short name, which only the command line has
		return suggestion("", o.Env[0])
	}
	return suggestion("DNSMONSTER_", nearestOption(r.Known(), name, func(o *Option) string {
		if len(o.Env) == 0 {
			return ""
		}
		return strings.TrimPrefix(o.Env[0], "DNSMONSTER_")
	}))
}

func has(environ []string, name string) bool {
	_, ok := lookup(environ, name)
	return ok
}

func (r *resolver) applyLine() {
	var seen []string
	var foreign []Given
	defer func() { // when it is known what all options are set to
		for _, g := range foreign {
			r.failForeign(&g)
		}
	}()
	for _, g := range r.Line {
		if g.Name == "" {
			r.fail("an option has no name: --=...")
			continue
		}
		v := r.v.given(&g)
		switch {
		case v == nil && g.Short:
			foreign = append(foreign, g)
			continue
		case v == nil:
			r.failUnknown(&g)
			continue
		}
		if slices.Contains(seen, v.Name) {
			continue
		}
		seen = append(seen, v.Name)
		var text []string
		for _, other := range r.Line {
			if !v.given(&other) {
				continue
			}
			if !other.HasValue && !v.isSwitch() {
				r.failNoValue(v.Option, &other)
				text = nil
				break
			}
			text = append(text, other.Value)
		}
		if text != nil {
			v.typed = g.typed()
			r.set(v, text, Origin{Layer: CommandLine})
		}
	}
}

// failNoValue records that an option ends the line, and lacks its value.
func (r *resolver) failNoValue(o *Option, g *Given) {
	r.v.failed = append(r.v.failed, o.Name)
	separator := "="
	if g.Short {
		separator = " "
	}
	r.fail("%s needs a value: %s%s%s", g.typed(), g.typed(), separator, strings.ToUpper(o.placeholder()))
}
