package format

// How a line is fitted into a terminal's width. The width alone decides which parts all
// lines have, so that they look alike. In a line, answers are cut first, then the middle of
// the name. Where that is not enough, as with long addresses, further parts are left out.
// Addresses, type and response code always stay; if these alone take more than one row, the
// line takes as many rows as they need, and uses them.

// Widths from which lines have more: times in microseconds; transport, id, flags and ports;
// times in milliseconds; times at all.
const (
	wideLine   = 120
	usualLine  = 100
	narrowLine = 80
	timedLine  = 70
)

// How much of a name should be seen before other parts are left out.
const (
	shortName = 20
	leastName = 10
)

// Parts that are left out for the name, the least important first: most for shortName, the
// last ones only for leastName.
var (
	forShortName = [...]int{textFlags, textProto, textID, textInterface, textEnds, textQuestions}
	forLeastName = [...]int{textTime, textNotes}
)

// fit chooses the forms of all parts, cuts the name, and returns the room for answers.
func (t *text) fit(width int) (room int) {
	limit := max(width, (t.mandatory()+width-1)/width*width)
	if width < usualLine && limit == width {
		for _, p := range [...]int{textFlags, textID, textEnds, textProto} {
			t.parts[p].dropped = true
		}
	}
	t.parts[textTime].dropped = width < timedLine && limit == width
	first, count := limit-t.items.reserveFirst(), limit-t.items.reserveCount()
	if t.length() > first { // short notes, or no flags, if that makes room for an answer
		t.parts[textNotes].dropped = t.length() > limit
		t.parts[textFlags].dropped = true
		if t.length() > first && width >= usualLine {
			t.parts[textFlags].dropped = t.needs(shortName) > count
		}
	}
	t.leaveOut(forShortName[:], shortName, count)
	if t.needs(leastName) > count {
		t.leaveOut(forLeastName[:], leastName, limit)
		t.remove(limit)
		count = limit
	}
	t.cutName(count)
	return limit - t.length()
}

// mandatory is the length of a line of addresses, type and response code alone.
func (t *text) mandatory() int {
	n := t.parts[textEnds].least.len()
	for _, p := range [...]int{textOpcode, textRcode, textType} {
		if l := t.parts[p].whole.len(); l > 0 {
			n += 1 + l
		}
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
func (t *text) leaveOut(list []int, name, limit int) {
	for _, p := range list {
		if t.needs(name) <= limit {
			return
		}
		t.parts[p].dropped = true
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
	if room < len(cutMark)+1 {
		*name = span{}
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
	dst = append(append(dst, name[:from]...), cutMark...)
	if tail == 0 {
		return dst
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
