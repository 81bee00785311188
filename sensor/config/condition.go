package config

import (
	"slices"
	"strings"
)

// condition is a test of the values, for tables.
type condition func(*Values) bool

// changedAny reports whether any of the options has another value than its default.
func changedAny(names ...string) condition {
	return func(v *Values) bool {
		return slices.ContainsFunc(names, func(n string) bool { return v.hasBuilt(n) && v.Get(n).changed() })
	}
}

// givenAny reports whether the user has given any of the options a value.
func givenAny(names ...string) condition {
	return func(v *Values) bool {
		return slices.ContainsFunc(names, func(n string) bool {
			o := v.Get(n)
			return o != nil && o.Origin.Layer != Default && o.String() != ""
		})
	}
}

// changedInFile reports whether the file changes any option of a section.
func changedInFile(section string) condition {
	return func(v *Values) bool {
		return slices.ContainsFunc(v.All(), func(o Value) bool {
			return o.Origin.Layer == InFile && o.Section == section && !o.isPending() && !slices.Equal(o.Text, o.Default)
		})
	}
}

// changedWithoutEffect reports whether an option that is accepted for compatibility has
// another value than dnsmonster's default.
func changedWithoutEffect(v *Values) bool {
	return slices.ContainsFunc(v.All(), func(o Value) bool { return o.ignored() && o.visible() && o.changed() })
}

// is reports whether an option has this value. Options that this build lacks have none.
func is(option, value string) condition {
	return func(v *Values) bool { return v.hasBuilt(option) && v.String(option) == value }
}

func isNot(option, value string) condition {
	return func(v *Values) bool { return v.hasBuilt(option) && v.String(option) != value }
}

// hasBuilt reports whether this build has the option.
func (v *Values) hasBuilt(option string) bool {
	o := v.Get(option)
	return o != nil && !o.isPending()
}

// on reports whether an output is switched on.
func on(output string) condition { return isNot(output+"outputtype", "0") }

// readsPackets reports whether the input is packets, not dnstap.
func readsPackets(v *Values) bool { return isNot("devname", "")(v) || isNot("pcapfile", "")(v) }

// readsFrames reports whether the input is dnstap sockets, of run or of a command of its own.
func readsFrames(v *Values) bool {
	return v.hasBuilt("dnstapdial") && (v.Get("dnstapsocket") == nil || isNot("dnstapsocket", "")(v))
}

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
