package dns

// Verdict returns the first thing wrong with the message: Malformed, or a record
// before that whose data do not fit its type. Such a record does not stop reading,
// since its length holds. answers comes from AnswersOf.
func (s *Summary) Verdict(answers Records) Malformed {
	if s.ANCount|s.NSCount|s.ARCount == 0 {
		return s.Malformed
	}
	if section, i := s.misfit(&answers); section != SectionNone {
		return Malformed{section, FaultRData, i}
	}
	return s.Malformed
}

// VerdictOf is Verdict for the summary's message.
func (s *Summary) VerdictOf(msg []byte) Malformed {
	if s.ANCount|s.NSCount == 0 && s.ARCount == 1 && s.EDNS.Present && s.EDNS.DataLen == 0 {
		return s.Malformed // most queries: an OPT without options fits
	}
	return s.Verdict(s.AnswersOf(msg))
}

// ReadAnswers is AnswersOf and VerdictOf in one pass: it appends the whole records of the
// answer section to dst.
func (s *Summary) ReadAnswers(msg []byte, dst []Record) (answers []Record, verdict Malformed) {
	if s.ANCount == 0 {
		return dst, s.VerdictOf(msg)
	}
	records, at := s.AnswersOf(msg), len(dst)
	var rec Record
	for records.Next(&rec) {
		dst = append(dst, rec)
	}
	for i := at; i < len(dst); i++ {
		if !dst[i].Fits(msg) {
			return dst, Malformed{SectionAnswer, FaultRData, uint16(i - at)}
		}
	}
	plainOPT := s.ARCount == 1 && s.EDNS.Present && s.EDNS.DataLen == 0 // fits
	if !records.broken && (s.NSCount != 0 || s.ARCount != 0 && !plainOPT) {
		if section, i := s.misfitAfter(SectionAnswer, &records); section != SectionNone {
			return dst, Malformed{section, FaultRData, i}
		}
	}
	return dst, s.Malformed
}

// misfit finds the first record whose data do not fit its type. It stops at the
// first record that is not whole. records comes from AnswersOf and is consumed.
func (h *Header) misfit(records *Records) (section Section, index uint16) {
	return h.misfitAfter(SectionQuestion, records)
}

// misfitAfter is misfit for the sections after one.
func (h *Header) misfitAfter(section Section, records *Records) (_ Section, index uint16) {
	var rec Record
	counts := [...]uint16{SectionAnswer: h.ANCount, SectionAuthority: h.NSCount, SectionAdditional: h.ARCount}
	for section++; int(section) < len(counts); section++ {
		records.left = counts[section]
		for index = 0; records.Next(&rec); index++ {
			if !rec.Fits(records.r.msg) {
				return section, index
			}
		}
		if records.broken {
			break
		}
	}
	return SectionNone, 0
}

// Accepted reports whether miekg/dns, dnsmonster's library, reads the message. That
// is not the same as being whole: the library accepts wrong counts of records, a
// last question without type or class, and bytes after the last record.
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
