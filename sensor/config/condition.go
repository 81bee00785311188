package config

import (
	"slices"
	"strings"
)

// condition is a test of the values, for tables.
type condition func(*Values) bool

// set reports whether the user has given any of the options.
func set(names ...string) condition {
	return func(v *Values) bool {
		return slices.ContainsFunc(names, func(n string) bool {
			o := v.Get(n)
			return o != nil && o.Origin.Layer != Default
		})
	}
}

// setInFile reports whether the file gives any option of a section.
func setInFile(section string) condition {
	return func(v *Values) bool {
		return slices.ContainsFunc(v.All(), func(o Value) bool { return o.Origin.Layer == InFile && o.Section == section })
	}
}

func is(option, value string) condition {
	return func(v *Values) bool { return v.Get(option) != nil && v.String(option) == value }
}

func isNot(option, value string) condition {
	return func(v *Values) bool { return v.Get(option) != nil && v.String(option) != value }
}

// on reports whether an output is switched on.
func on(output string) condition { return isNot(output+"outputtype", "0") }

// readsPackets reports whether the input is packets, not dnstap.
func readsPackets(v *Values) bool { return isNot("devname", "")(v) || isNot("pcapfile", "")(v) }

// writesFormat reports whether an output with one of these formats is on, or one of these
// outputs.
func writesFormat(formats string, outputs ...string) condition {
	return func(v *Values) bool {
		for _, o := range v.list {
			if name, ok := strings.CutSuffix(o.Name, "outputformat"); ok && on(name)(v) && slices.Contains(strings.Fields(formats), o.String()) {
				return true
			}
		}
		return slices.ContainsFunc(outputs, func(o string) bool { return on(o)(v) })
	}
}

// hasType reports whether an output has one of these types.
func hasType(types ...string) condition {
	return func(v *Values) bool {
		return slices.ContainsFunc(v.All(), func(o Value) bool {
			return strings.HasSuffix(o.Name, "outputtype") && slices.Contains(types, v.String(o.Name))
		})
	}
}

func all(conditions ...condition) condition {
	return func(v *Values) bool {
		return !slices.ContainsFunc(conditions, func(c condition) bool { return !c(v) })
	}
}

func either(conditions ...condition) condition {
	return func(v *Values) bool {
		return slices.ContainsFunc(conditions, func(c condition) bool { return c(v) })
	}
}

// isUnset reports whether the option has its default, or the command lacks it.
func isUnset(option string) condition {
	return func(v *Values) bool { o := v.Get(option); return o == nil || o.Origin.Layer == Default }
}

// lacks reports whether the command does not have the option.
func lacks(option string) condition {
	return func(v *Values) bool { return v.Get(option) == nil }
}
