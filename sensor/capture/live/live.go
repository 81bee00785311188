// Package live opens the live input of this host: it probes the back ends, takes the
// best one that works or the one that was asked for, and says why not a better one.
// Options come in; an open source of package ring or another back end goes out. Check
// reports what a host allows without attaching anything. Its tests probe this kernel.
package live

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/userspace/packet"
)

// Mode says by which back end, and by which hooks, packets are captured.
type Mode string

// The modes, as on the command line.
const (
	ModeAuto     Mode = "auto"     // the best one that works here
	ModeTCX      Mode = "tcx"      // eBPF programs for TC at the head of the chain, both directions
	ModeClsact   Mode = "clsact"   // eBPF programs as first filters of a clsact qdisc, both directions
	ModeXDP      Mode = "xdp"      // eBPF: XDP for what comes in, TC for what goes out
	ModeAFPacket Mode = "afpacket" // packet sockets with a shared ring
	ModePcap     Mode = "pcap"     // libpcap

	// ModeTap is XDP that drops every frame after it was looked at, for mirror ports.
	// It has an option of its own, and is not one of Modes.
	ModeTap Mode = "tap"
)

// Modes returns all modes, the best first.
func Modes() []Mode { return []Mode{ModeAuto, ModeTCX, ModeClsact, ModeXDP, ModeAFPacket, ModePcap} }

// ParseMode checks the value of an option.
func ParseMode(s string) (Mode, error) {
	if slices.Contains(Modes(), Mode(s)) {
		return Mode(s), nil
	}
	var words []string
	for _, m := range Modes() {
		words = append(words, string(m))
	}
	last := len(words) - 1
	return "", fmt.Errorf("unknown mode %q: use %s or %s", s, strings.Join(words[:last], ", "), words[last])
}

// Options says what to capture, and how.
type Options struct {
	Watch       watch.Options
	Select      capture.Selection
	Mode        Mode
	Force       bool // ModeTap: cut off the addresses of this host, too
	Lanes       int
	RingBytes   int // eBPF: of each lane's ring, a power of two
	BufferBytes int // AF_PACKET and libpcap: of all buffers together

	Choose func(*packet.Packet) packet.Hash // libpcap: chooses a packet's lane; nil: all are on the first
}

// Source is an open live input.
type Source struct {
	opened
	mode Mode
	why  string
}

// opened is what every back end's source is.
type opened interface {
	capture.Source
	capture.KernelCounter
	capture.Freer
	capture.InterfaceNamer
	// Attached describes each attachment in a few words.
	Attached() []string
}

// Mode is the mode in use, never ModeAuto.
func (s *Source) Mode() Mode { return s.mode }

// Why says why the mode is not a better one, "" if there is none or if the mode was
// asked for.
func (s *Source) Why() string { return s.why }

// backEnd is a way to capture.
type backEnd struct {
	mode    Mode
	auto    bool         // auto may take it
	why     string       // one would take it, for people
	feature string       // that the host must have, for the report; "": others are listed for it
	have    func() error // why it cannot be used here; nil: probably it can
	open    func(Options) (opened, error)
}

// Open probes the back ends, and attaches to all interfaces, or to none.
func Open(o Options) (*Source, error) {
	if o.Mode != ModeAuto {
		return openForced(o)
	}
	if err := watch.Check(o.Watch); err != nil {
		return nil, err
	}
	var not refusals
	for _, b := range automatic() {
		err := b.have()
		if err == nil {
			var s opened
			if s, err = b.open(o); err == nil {
				return &Source{s, b.mode, not.String()}, nil
			}
			if errors.Is(err, watch.ErrNoInterface) { // for all back ends
				return nil, err
			}
		}
		not.add(b.mode, err)
	}
	return nil, not.err()
}

// automatic returns what auto may take.
func automatic() (list []backEnd) {
	for _, b := range backEnds() {
		if b.auto {
			list = append(list, b)
		}
	}
	return list
}

func openForced(o Options) (*Source, error) {
	b, err := find(o.Mode)
	if err != nil {
		return nil, err
	}
	if err := b.have(); err != nil {
		return nil, fmt.Errorf("mode %s: %w", o.Mode, err)
	}
	s, err := b.open(o)
	if err != nil {
		return nil, err
	}
	return &Source{opened: s, mode: o.Mode}, nil
}

func find(m Mode) (backEnd, error) {
	for _, b := range backEnds() {
		if b.mode == m {
			return b, nil
		}
	}
	return backEnd{}, fmt.Errorf("mode %s: this build does not have it", m)
}

// Supported returns why a mode cannot be used here, nil if it probably can. It attaches
// nothing.
func Supported(m Mode) error {
	if m != ModeAuto {
		b, err := find(m)
		if err != nil {
			return err
		}
		if err := b.have(); err != nil {
			return fmt.Errorf("mode %s: %w", m, err)
		}
		return nil
	}
	if b, not := best(); b.open == nil {
		return not.err()
	}
	return nil
}

// best returns the first back end of mode auto that works, and why those before it do
// not. If there is none, all have refused.
func best() (backEnd, refusals) {
	var not refusals
	for _, b := range automatic() {
		err := b.have()
		if err == nil {
			return b, not
		}
		not.add(b.mode, err)
	}
	return backEnd{}, not
}
