package dns

// Verdict is the first thing that is wrong with the message: Malformed, or a
// record before that whose data do not fit its type. Such a record and what stands
// behind it can be read all the same: its length holds. answers are those of
// AnswersOf.
func (s *Summary) Verdict(answers Records) Malformed {
	if s.ANCount|s.NSCount|s.ARCount == 0 {
		return s.Malformed
	}
	if section, i := s.misfit(&answers); section != SectionNone {
		return Malformed{section, FaultRData, i}
	}
	return s.Malformed
}

// misfit finds the first record whose data do not fit its type, before the first
// that is not whole. records are those of AnswersOf, and are at the last one that
// was read then.
func (h *Header) misfit(records *Records) (section Section, index uint16) {
	var rec Record
	counts := [...]uint16{h.ANCount, h.NSCount, h.ARCount}
	for i, n := range counts {
		records.left = n
		for index = 0; records.Next(&rec); index++ {
			if !rec.Fits(records.r.msg) {
				return SectionAnswer + Section(i), index
			}
		}
		if records.broken {
			break
		}
	}
	return SectionNone, 0
}

// Accepted tells whether miekg/dns, dnsmonster's library, reads the message. That
// is another question than whether it is whole: counts of records may lie there, a
// last question may lack its type or class, and bytes may follow the last record.
func (h *Header) Accepted(msg []byte) bool {
	if len(msg) == HeaderLen {
		return true
	}
	r := reader{msg: msg, off: HeaderLen}
	for range h.QDCount {
		if r.skipName() != FaultNone {
			return false
		}
		rest := len(msg) - r.off
		if rest == 1 || rest == 3 {
			return false
		}
		r.off += min(rest, 4)
	}
	records := Records{r: r}
	section, _ := h.misfit(&records)
	return section == SectionNone && !records.broken
}
