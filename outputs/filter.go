package outputs

import (
	"dnsmonster-sensor/userspace/event"
)

// Matcher is a domain list. Lanes call Match at the same time, whatever else
// happens to the list; it does not wait.
type Matcher interface {
	// Match tells whether name is on the list. It is in presentation format
	// with its final dot, in lower case, and borrowed.
	Match(name []byte) bool
}

func (t Type) skips() bool  { return t == Skip || t == SkipAndAllow }
func (t Type) allows() bool { return t == Allow || t == SkipAndAllow }

// passes tells whether an output of these settings takes e. What has no name is
// on no list. name is memory to use, and comes back to be used again.
func (s *Settings) passes(e *event.Event, name []byte) (bool, []byte) {
	if s.Type == All {
		return true, name
	}
	if !e.DNS.HasQuestion {
		return !s.Type.allows(), name
	}
	name = lower(e.AppendQName(name[:0]))
	if s.Type.skips() && s.Skip.Match(name) {
		return false, name
	}
	return !s.Type.allows() || s.Allow.Match(name), name
}

// lower folds ASCII in place: beyond it, names have no case.
func lower(name []byte) []byte {
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			name[i] = c + 'a' - 'A'
		}
	}
	return name
}
