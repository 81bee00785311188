package config

import (
	"strings"
	"unicode"

	"github.com/xrash/smetrics"
)

// nameOrMask returns what the user has written as a name, masked if it does not look
// like one: it may be an address with a password.
func nameOrMask(name string) string {
	for _, c := range name {
		if c != '_' && c != '-' && c != '.' && c != ' ' && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return masked
		}
	}
	return name
}

// nearestKey returns the key of the section that is most similar, else one of another
// section, "" if none is similar.
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
	if found := nearestOption(here, key, name); found != "" {
		return found
	}
	for _, o := range here { // without the prefix that repeats the section
		if o.Name != key && strings.HasSuffix(o.Name, key) && len(key) > 3 && !o.Hidden {
			return o.Name
		}
	}
	return nearestOption(options, key, name)
}

// nearestOption returns the name most similar to word among those that nameOf gives the
// options, "" if none is similar.
func nearestOption(options []Option, word string, nameOf func(*Option) string) string {
	var names []string
	for i := range options {
		if name := nameOf(&options[i]); name != "" && !options[i].Hidden {
			names = append(names, name)
		}
	}
	return nearestName(word, names)
}

func nearestName(word string, names []string) string {
	best, distance := "", 2+len(word)/4
	for _, name := range names {
		if d := smetrics.WagnerFischer(word, name, 1, 1, 1); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// Nearest returns the name most similar to word, "" if none is similar.
func Nearest(word string, names []string) string { return nearestName(word, names) }

// DidYouMean returns ": did you mean ...?" with the name most similar to word, "" if none
// is similar.
func DidYouMean(word string, names []string) string { return suggestion("", nearestName(word, names)) }

// suggestion returns ": did you mean ...?" with a prefix such as dashes, "" without a name.
func suggestion(prefix, name string) string {
	if name == "" {
		return ""
	}
	return ": did you mean " + prefix + name + "?"
}
