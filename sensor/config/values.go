package config

import (
	"slices"
	"strings"
)

// Layer is the kind of origin of a value; a later one overrides an earlier one.
type Layer uint8

// Layers.
const (
	Default Layer = iota
	Credential
	InFile
	Environment
	CommandLine
)

// Origin is where a value came from.
type Origin struct {
	Layer  Layer
	Detail string // the name of a variable or credential, or a file and line; "" otherwise
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

// Value is the value of an option.
type Value struct {
	*Option
	Text      []string // in normal form; exactly one unless Option.List
	Origin    Origin
	fromFile  string // the option that named the file with this secret, if one did
	attempted Origin // the highest origin that has a value, even a wrong one
	typed     string // the option as the command line has it, with its dashes
}

// Values has the values of all options of a command.
type Values struct {
	list     []Value
	Warnings []string // for the user
	failed   []string // options that were set to a wrong value, or probably meant by a wrong name
}

// isEmptyDefault reports whether the option is unset and has an empty default.
func (v *Value) isEmptyDefault() bool {
	return v.Origin.Layer == Default && strings.Join(v.Text, "") == ""
}

// String returns the value, or all values of a list.
func (v *Value) String() string { return strings.Join(v.Text, " ") }

// changed reports whether the option is set to another value than its default. Being set
// is not enough: files that dnsmonster has written have every option.
func (v *Value) changed() bool {
	return v.Origin.Layer != Default && !slices.Equal(v.Text, v.Default) && v.String() != ""
}

// Get returns an option's value, nil if the command has no such option.
func (v *Values) Get(name string) *Value {
	for i := range v.list {
		if v.list[i].has(name) {
			return &v.list[i]
		}
	}
	return nil
}

// given returns the value of the option that a word of the command line names, nil if the
// command has no such option.
func (v *Values) given(g *Given) *Value {
	for i := range v.list {
		if v.list[i].given(g) {
			return &v.list[i]
		}
	}
	return nil
}

// All returns all values, in the order of their declaration.
func (v *Values) All() []Value { return v.list }

// String returns the value of an option that has exactly one, else "".
func (v *Values) String(name string) string {
	if o := v.Get(name); o != nil && len(o.Text) == 1 {
		return o.Text[0]
	}
	return ""
}

// SetOrAttempted reports whether one of the options is set, or was set to a wrong value
// or by a wrong name. A name may be the end of several options' names; these count if
// their value is not 0.
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

// Is reports whether a switch is on.
func (v *Values) Is(name string) bool { return v.String(name) == "true" }
