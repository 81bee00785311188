package sensor

import (
	"sync/atomic"

	"dnsmonster-sensor/sensor/capture"
)

// interfaceNames are what the source calls its interfaces. Outputs are told of
// them before there is a source; they ask when there is one.
type interfaceNames struct {
	source atomic.Pointer[capture.InterfaceNamer]
}

// of takes the names of a source, which may have none.
func (n *interfaceNames) of(source capture.Source) {
	if namer, ok := source.(capture.InterfaceNamer); ok {
		n.source.Store(&namer)
	}
}

// name is "" where the source has no name for an interface.
func (n *interfaceNames) name(number uint32, at int64) string {
	if namer := n.source.Load(); namer != nil {
		return (*namer).InterfaceName(number, at)
	}
	return ""
}
