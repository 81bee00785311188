package outputs

import (
	"fmt"

	"dnsmonster-sensor/userspace/domains"
	"dnsmonster-sensor/userspace/event"
)

// Matcher is a domain list. Lanes call Match concurrently, even while the list is
// replaced; it does not block.
type Matcher interface {
	// Match reports whether name is on the list. name is in presentation format with
	// its final dot, in lower case; Match must not keep it.
	Match(name []byte) bool
}

// Filter says which events an output accepts. A list that its type does not use may
// be nil.
type Filter struct {
	Type        Type
	Skip, Allow Matcher
}

func (t Type) skips() bool  { return t == Skip || t == SkipAndAllow }
func (t Type) allows() bool { return t == Allow || t == SkipAndAllow }

// Check reports what is wrong with f.
func (f Filter) Check() error {
	switch {
	case f.Type < All || f.Type > SkipAndAllow:
		return fmt.Errorf("output type %d: not one of 1 to 4", f.Type)
	case f.Type.skips() && f.Skip == nil:
		return fmt.Errorf("output type %d needs a skip list: give --skipdomainsfile, or use type 1", f.Type)
	case f.Type.allows() && f.Allow == nil:
		return fmt.Errorf("output type %d needs an allow list: give --allowdomainsfile, or use type 1", f.Type)
	}
	return nil
}

// accepts reports whether the output accepts a question of this name, in lower case.
func (f *Filter) accepts(name []byte) bool {
	if f.Type.skips() && f.Skip.Match(name) {
		return false
	}
	return !f.Type.allows() || f.Allow.Match(name)
}

// accepts reports whether the output accepts an event: at least one of its questions.
// An event without a name is on no list.
func (in *Intake) accepts(e *event.Event) bool {
	f := in.r.filter.Load()
	switch {
	case f.Type == All:
		return true
	case !e.DNS.HasQuestion:
		return !f.Type.allows()
	case e.DNS.QDCount > 1:
		return in.acceptsSome(f, e)
	}
	in.name = domains.Lower(e.AppendQName(in.name[:0]))
	return f.accepts(in.name)
}

// acceptsSome decides for each question of e and reports whether any is accepted. If only
// some are, it sets e.Selected.
func (in *Intake) acceptsSome(f *Filter, e *event.Event) bool {
	in.selected = in.selected[:0]
	questions, taken := 0, 0
	var row event.Row
	for rows := e.Rows(); rows.Next(&row); questions++ {
		if questions%8 == 0 {
			in.selected = append(in.selected, 0)
		}
		in.name = domains.Lower(rows.AppendName(in.name[:0], &row))
		if f.accepts(in.name) {
			in.selected[questions/8] |= 1 << (questions % 8)
			taken++
		}
	}
	if 0 < taken && taken < questions {
		e.Selected = in.selected
	}
	return taken > 0
}

// SetFilter changes the filter for the next events of all lanes. Queued events stay.
func (r *Runner) SetFilter(f Filter) error {
	if err := f.Check(); err != nil {
		return err
	}
	r.filter.Store(&f)
	return nil
}
