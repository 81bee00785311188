//go:build !(libpcap && cgo) && !windows

package libpcap

import (
	"errors"

	"dnsmonster-sensor/sensor/capture"
)

// errAbsent says how to get a build with libpcap.
var errAbsent = errors.New("this build has no libpcap; build it with: CGO_ENABLED=1 go build -tags libpcap")

// Supported says why there is no libpcap.
func Supported() error { return errAbsent }

// Version is "": there is no libpcap.
func Version() string { return "" }

// Devices lists nothing.
func Devices() ([]Device, error) { return nil, errAbsent }

// Source is never open in this build.
type Source struct {
	capture.Source
	capture.KernelCounter
	capture.Freer
	capture.InterfaceNamer
}

// Open fails.
func Open(Options) (*Source, error) { return nil, errAbsent }

// Attached is for builds with libpcap.
func (*Source) Attached() []string { return nil }
