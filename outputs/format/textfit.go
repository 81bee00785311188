package format

// How a line is fitted into a terminal's width. If the name and one answer do not fit into
// it, transport and id are left out, then ports, then flags. What still does not fit is cut:
// answers first, then the middle of the name. On a very narrow terminal, and with long
// addresses, the time and notes are left out too. Addresses, type, response code and the
// start of the name always stay; if these alone take more than one row, the line takes as
// many rows as they need, and uses them.

// Widths of terminals from which times have microseconds, and have milliseconds.
const (
	microsecondWidth = 120
	millisecondWidth = 80
)

// How much of a name should be seen before other parts are left out, and how much is always
// seen.
const (
	shortName   = 20
	leastName   = 10
	beginOfName = 4
)

// Parts that are left out together, the least important first. Flags stay longer than
// transport, id and ports: a line without flags looks as if none were set.
var (
	forShortName = [...][]int{{}, {textProto, textID}, {textEnds}, {textFlags}, {textInterface, textQuestions}}
	forLeastName = [...]int{textTime, textNotes}
)

// fit chooses the forms of all parts, cuts the name, and returns the room for answers.
func (t *text) fit(width int) (room int) {
	limit := max(width, (t.mandatory()+width-1)/width*width)
	first, words, count := limit-t.items.reserveFirst(), limit-t.items.reserveWords(), limit-t.items.reserveCount()
	t.parts[textNotes].dropped = t.length() > limit
	if !t.leaveOutFor(t.parts[textName].whole.len(), first) && !t.leaveOutFor(shortName, words) &&
		!t.leaveOutFor(shortName, count) && t.needs(leastName) > count {
		t.leaveOut(forLeastName[:], limit)
		t.remove(limit)
		count = limit
	}
	t.cutName(count)
	return limit - t.length()
}

// leaveOutFor leaves out as few parts as allow so much of the name in a line of that length.
// It returns false if that is not possible: then all are left out.
func (t *text) leaveOutFor(name, limit int) bool {
	for i := range t.parts {
		if i != textTime && i != textNotes {
			t.parts[i].dropped = false
		}
	}
	for _, list := range forShortName {
		for _, p := range list {
			t.parts[p].dropped = true
		}
		if t.needs(name) <= limit {
			return true
		}
	}
	return false
}

// mandatory is the length of a line of addresses, type, response code and the start of the
// name alone.
func (t *text) mandatory() int {
	n := t.parts[textEnds].least.len()
	for _, p := range [...]int{textOpcode, textRcode, textType} {
		if l := t.parts[p].whole.len(); l > 0 {
			n += 1 + l
		}
	}
	if l := t.parts[textName].whole.len(); l > 0 {
		n += 1 + min(l, beginOfName)
	}
	return n
}

// length is the length of the line with all of the name, without answers.
func (t *text) length() (n int) {
	for i := range t.parts {
		if l := t.parts[i].shown().len(); l > 0 {
			n += 1 + l
		}
	}
	return max(n-1, 0)
}

// needs is length with no more than so much of the name.
func (t *text) needs(name int) int {
	return t.length() - max(t.parts[textName].whole.len()-name, 0)
}

// leaveOut leaves out as many parts as the limit requires, or all of the list.
func (t *text) leaveOut(list []int, limit int) {
	for _, p := range list {
		if t.needs(leastName) > limit {
			t.parts[p].dropped = true
		}
	}
}

// remove leaves out what otherwise is always shown beside addresses, type and response code.
func (t *text) remove(limit int) {
	for _, p := range [...]int{textProto, textFlags, textNotes} {
		if t.needs(leastName) > limit {
			t.parts[p].least = span{}
		}
	}
}

func (p *textPart) shown() span {
	if p.dropped {
		return p.least
	}
	return p.whole
}

const cutMark = "..."

// cutName cuts the middle of the name so that the line fits.
func (t *text) cutName(limit int) {
	name := &t.parts[textName].whole
	room := name.len() - (t.length() - limit)
	if room >= name.len() {
		return
	}
	at := len(t.buf)
	t.buf = appendCut(t.buf, t.buf[name.from:name.to], room)
	*name = span{at, len(t.buf)}
}

// appendCut appends a name in at most room bytes, without its middle. No escape is split.
func appendCut(dst, name []byte, room int) []byte {
	head := room - len(cutMark)
	tail := 0
	if room >= 10 {
		tail = (head + 1) / 2
		head -= tail
	}
	from, to := 0, len(name)
	for i := 0; i < len(name); {
		n := unitLength(name[i:])
		if i+n <= head {
			from = i + n
		}
		if i >= len(name)-tail && i < to {
			to = i
		}
		i += n
	}
	if from > 1 && name[from-1] == '.' && name[from-2] != '\\' { // the mark has dots enough
		from--
	}
	dst = append(append(dst, name[:from]...), cutMark...)
	if tail == 0 {
		return dst
	}
	if name[to] == '.' {
		to++
	}
	return append(dst, name[to:]...)
}

// unitLength is the length of the first character of s, with its escape.
func unitLength(s []byte) int {
	switch {
	case s[0] != '\\' || len(s) == 1:
		return 1
	case s[1] >= '0' && s[1] <= '9':
		return min(4, len(s))
	}
	return 2
}

// style is how a part looks on a terminal.
type style uint8

const (
	stylePlain style = iota
	styleDim         // what is seldom looked at
	styleOdd         // worth a look
	styleError
)

var styleStarts = [...]string{"", "\x1b[2m", "\x1b[33m", "\x1b[31m"}

const styleEnd = "\x1b[0m"

// rcodeStyle marks errors. That a name does not exist is often an ordinary answer.
func rcodeStyle(rcode uint16) style {
	switch rcode {
	case 0:
		return stylePlain
	case 3:
		return styleOdd
	}
	return styleError
}

// join appends the line.
func (t *text) join(dst []byte) []byte {
	start := len(dst)
	for i := range t.parts {
		p := &t.parts[i]
		s := p.shown()
		if s.len() == 0 {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		if t.o.Colour && p.style != stylePlain {
			dst = append(dst, styleStarts[p.style]...)
			dst = append(append(dst, t.buf[s.from:s.to]...), styleEnd...)
			continue
		}
		dst = append(dst, t.buf[s.from:s.to]...)
	}
	return append(dst, '\n')
}
