package pipeline

import (
	"sync/atomic"

	"dnsmonster-sensor/sensor/capture"
)

// InterfaceNames are the source's names of its interfaces. Outputs get them before the
// source is open, and ask once it is.
type InterfaceNames struct {
	source atomic.Pointer[capture.InterfaceNamer]
}

// take makes Name answer from a source, which may have no names. n may be nil.
func (n *InterfaceNames) take(source capture.Source) {
	if namer, ok := source.(capture.InterfaceNamer); ok && n != nil {
		n.source.Store(&namer)
	}
}

// Name returns the name that an interface had at a time, "" if the source has none.
func (n *InterfaceNames) Name(number uint32, at int64) string {
	if namer := n.source.Load(); namer != nil {
		return (*namer).InterfaceName(number, at)
	}
	return ""
}
