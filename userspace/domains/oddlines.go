package domains

import "bytes"

// OddLines is the lines of a list that probably do not mean what their author meant, all
// for the same reason.
type OddLines struct {
	Why   string
	Lines int
	First int    // number of the first one
	Text  string // of the first one, truncated for the log
}

// The values of OddLines.Why.
const (
	oddCommas = "more than one comma: the line is a whole name"
	oddLogic  = "a word other than prefix, suffix and fqdn: a whole name"
	oddEmpty  = "no name: left out"
	oddStar   = "an asterisk stands for itself: use NAME,suffix"
	oddForm   = "no domain name has this form"
	oddIDN    = "letters beyond ASCII: on the wire such names are written xn--..."
	oddBytes  = "characters that are rare in domain names: maybe this is no list of names"
)

const shownText = 60

type oddities struct{ list []OddLines }

// check notes a line, in lower case, if it is odd.
func (o *oddities) check(number int, line []byte) {
	clean := bytes.TrimSpace(line)
	if len(clean) == 0 || clean[0] == '#' {
		return
	}
	if why := whyOdd(clean); why != "" {
		o.note(why, number, clean)
	}
}

func (o *oddities) note(why string, number int, line []byte) {
	for i := range o.list {
		if o.list[i].Why == why {
			o.list[i].Lines++
			return
		}
	}
	o.list = append(o.list, OddLines{why, 1, number, string(line[:min(len(line), shownText)])})
}

// whyOdd is "" for a line that is not odd.
func whyOdd(line []byte) (why string) {
	name, logic := split(line)
	name, logic = bytes.TrimSpace(name), bytes.TrimSpace(logic)
	word := string(logic)
	switch {
	case len(name) == 0:
		return oddEmpty
	case bytes.Count(line, []byte{','}) > 1:
		return oddCommas
	}
	if why := whyOddName(name, word == "suffix"); why != "" {
		return why
	}
	if word != "prefix" && word != "suffix" && word != "fqdn" {
		return oddLogic
	}
	return ""
}

// whyOddName checks the characters of a name and the lengths of its labels.
func whyOddName(name []byte, suffix bool) string {
	if suffix && len(name) > 1 && name[0] == '.' {
		name = name[1:]
	}
	if string(name) == "." {
		return ""
	}
	label := 0
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '*':
			return oddStar
		case c == '\\':
			_, n := unescape(name[i+1:])
			i += n
			label++
		case c == '.':
			if label == 0 {
				return oddForm
			}
			label = 0
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_':
			label++
		case c >= 0x80:
			return oddIDN
		default:
			return oddBytes
		}
		if label > 63 {
			return oddForm
		}
	}
	if len(name) > longestText {
		return oddForm
	}
	return ""
}
