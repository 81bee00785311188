// Package dnstap receives dnstap frames over unix, TCP and TLS sockets.
package dnstap

import (
	"errors"
	"io"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

// Source receives frames.
type Source struct {
	options Options
	closed  chan struct{}
}

// Senders is where senders connect to, and how many there are.
type Senders struct {
	Addresses []string // that listen, with the ports that the kernel has chosen; with Dial: those that are dialed
	Connected int      // senders that have begun a stream
}

// Check returns why Open would fail, as far as that can be seen without opening anything.
func Check(o Options) (list []error) {
	if len(o.Addresses) == 0 {
		list = append(list, errors.New("no address: "+forms))
	}
	for _, text := range o.Addresses {
		if _, err := ParseAddress(text); err != nil {
			list = append(list, err)
		}
	}
	return list
}

// Open begins to receive.
func Open(o Options) (*Source, error) {
	if err := errors.Join(Check(o)...); err != nil {
		return nil, err
	}
	return &Source{options: o}, errors.New("receiving dnstap is not possible yet")
}

// Senders says who is connected.
func (s *Source) Senders() Senders { return Senders{} }

// Reload reads the files of certificates again.
func (s *Source) Reload() error { return nil }

// Lanes implements capture.Source.
func (s *Source) Lanes() []capture.Lane { return []capture.Lane{s} }

// Live implements capture.Source.
func (s *Source) Live() bool { return !s.options.Dial }

// Given implements capture.Source.
func (s *Source) Given() uint64 { return 0 }

// Err implements capture.Source.
func (s *Source) Err() error { return nil }

// Close implements capture.Source.
func (s *Source) Close() error { return nil }

// Kernel implements capture.KernelCounter.
func (s *Source) Kernel() (capture.KernelStats, error) { return capture.KernelStats{}, nil }

// Read implements capture.Lane.
func (s *Source) Read(*packet.Batch) error { return io.EOF }
