package domains

import (
	"slices"
	"strings"
)

// reference is the rules in their simplest form: it tries each entry.
type reference struct {
	lines  []string
	legacy bool
}

func (r reference) match(name string) bool {
	return slices.ContainsFunc(r.lines, func(line string) bool {
		line = toLower(line)
		if !r.legacy {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "#") {
				return false
			}
		}
		text, logic := line, "fqdn"
		if parts := strings.Split(line, ","); len(parts) == 2 {
			text, logic = parts[0], parts[1]
		}
		if r.legacy {
			return text != "" && matchLegacy(text, logic, name)
		}
		text, logic = strings.TrimSpace(text), strings.TrimSpace(logic)
		return text != "" && matchLabels(text, logic, name)
	})
}

func matchLegacy(text, logic, name string) bool {
	switch logic {
	case "prefix":
		return strings.HasPrefix(name, text)
	case "suffix":
		return strings.HasSuffix(name, text)
	}
	return name == text
}

func matchLabels(text, logic, name string) bool {
	if logic == "prefix" {
		return strings.HasPrefix(name, text)
	}
	have := labels(name)
	if logic != "suffix" {
		return slices.Equal(have, labels(text))
	}
	below := len(text) > 1 && text[0] == '.' && text[1] != '.'
	if below {
		text = text[1:]
	}
	want := labels(text)
	if len(want) > len(have) || below && len(want) == len(have) {
		return false
	}
	return slices.Equal(have[len(have)-len(want):], want)
}

// labels returns the labels of a name as bytes, without the root.
func labels(name string) []string {
	if name == "." {
		return nil
	}
	var list []string
	label, open := "", false
	for name != "" {
		open = true
		switch {
		case name[0] == '.':
			list, label, open, name = append(list, label), "", false, name[1:]
		case name[0] != '\\' || len(name) == 1:
			label, name = label+name[:1], name[1:]
		case len(name) > 3 && decimal(name[1:4]) >= 0:
			label, name = label+toLower(string([]byte{byte(decimal(name[1:4]))})), name[4:]
		default:
			label, name = label+name[1:2], name[2:]
		}
	}
	if open {
		list = append(list, label)
	}
	return list
}

// decimal is the value of three digits, or -1 if that is not a byte.
func decimal(s string) int {
	v := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			return -1
		}
		v = 10*v + int(c-'0')
	}
	if v > 255 {
		return -1
	}
	return v
}

// toLower converts ASCII only.
func toLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 32
		}
	}
	return string(b)
}
