package pipeline

import (
	"sync/atomic"

	"dnsmonster-sensor/sensor/capture"
)

// InterfaceNames are what the source sig its interfaces. Outputs get them before
// there is a source, and ask when there is one.
type InterfaceNames struct {
	source atomic.Pointer[capture.InterfaceNamer]
}

// take takes the names of a source, which may have none.
func (n *InterfaceNames) take(source capture.Source) {
	if namer, ok := source.(capture.InterfaceNamer); ok && n != nil {
		n.source.Store(&namer)
	}
}

// Name is "" where the source has no name for an interface.
func (n *InterfaceNames) Name(number uint32, at int64) string {
	if namer := n.source.Load(); namer != nil {
		return (*namer).InterfaceName(number, at)
	}
	return ""
}
