//go:build linux

package afpacket

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture/watch"
)

// group is the sockets on one interface, or on all of them: one for each lane.
type group struct {
	source  *Source
	index   int // 0: all interfaces
	sockets []*socket
	joined  bool // the sockets share the packets; otherwise the first one has them all
	warned  bool
}

// newGroup opens sockets and binds them to an interface, which may be down.
func (s *Source) newGroup(index int) (_ *group, err error) {
	g := &group{source: s, index: index}
	defer func() {
		if err != nil {
			for _, k := range g.sockets {
				_ = k.close()
			}
		}
	}()
	next := s.nextGeometry()
	for range s.lanes {
		k, err := openSocket(next, true, s.onlyIncoming)
		if err != nil {
			return nil, err
		}
		g.sockets = append(g.sockets, k)
	}
	if err := g.begin(); err != nil {
		return nil, err
	}
	return g, nil
}

// begin binds the sockets, lets them share the packets, and only then lets packets in:
// between the first two steps each of them would receive all packets.
func (g *group) begin() error {
	first := g.sockets[0]
	if err := first.bind(g.index); err != nil {
		return err
	}
	if err := g.share(); err != nil && !g.down() {
		g.warn(err) // the kernel may refuse while the interface is down: Alive tries again
	}
	return first.setFilter(g.source.filter)
}

// share spreads the packets over the sockets. The first one is bound, and may have
// received all packets so far.
func (g *group) share() error {
	if len(g.sockets) > 1 {
		if err := g.gather(); err != nil {
			return err
		}
		if err := g.spread(); err != nil {
			return err
		}
	}
	g.joined = true
	return nil
}

// gather makes the sockets a fanout group. Without a program the kernel gives all packets
// to the first member.
func (g *group) gather() error {
	id := 0
	for i, k := range g.sockets {
		var err error
		if i > 0 {
			if err = k.bind(g.index); err != nil {
				return err
			}
		}
		if id, err = k.join(id, i == 0, g.source.onlyIncoming); err != nil {
			if i > 0 {
				_ = k.bindNothing()
			}
			return err
		}
	}
	return nil
}

// spread lets packets into all members, and only then has them chosen by the program.
func (g *group) spread() error {
	for _, k := range g.sockets[1:] {
		if err := k.setFilter(g.source.filter); err != nil {
			return err
		}
	}
	return g.sockets[0].setSpread(g.source.spread)
}

func (g *group) down() bool {
	if g.index == 0 {
		return false
	}
	flags, err := interfaceFlags(g.sockets[0].fd, g.index)
	return err != nil || flags&unix.IFF_UP == 0
}

// warn says once that one lane has all packets.
func (g *group) warn(err error) {
	if !g.warned {
		g.warned = true
		g.source.log.Warn("all packets go to one worker: this kernel cannot spread them among sockets", "error", err)
	}
}

// Alive implements watch.Attachment.
func (g *group) Alive() bool {
	if g.sockets[0].boundTo() != g.index {
		return false
	}
	for _, k := range g.sockets {
		k.current() // the kernel's counters are of 32 bits
	}
	if !g.joined && !g.warned && !g.down() { // it was down at first
		if err := g.share(); err != nil {
			g.warn(err)
		}
	}
	return true
}

// Describe implements watch.Attachment.
func (g *group) Describe() string {
	if g.joined && len(g.sockets) > 1 {
		return fmt.Sprintf("af_packet (%d rings)", len(g.sockets))
	}
	return "af_packet"
}

// Close implements watch.Attachment. The lanes read what the rings hold, and then let
// them be closed.
func (g *group) Close() error {
	var errs []error
	for _, k := range g.sockets {
		errs = append(errs, k.end())
	}
	for _, l := range g.source.lanes {
		l.wake()
	}
	return errors.Join(errs...)
}

// attach captures one interface for package watch.
func (s *Source) attach(index int) (watch.Attachment, error) {
	if err := s.check(index); err != nil {
		return nil, err
	}
	if s.all != nil {
		return &reported{source: s, index: index}, nil
	}
	g, err := s.newGroup(index)
	if err != nil {
		return nil, err
	}
	if err := s.adopt(g); err != nil {
		return nil, err
	}
	return g, nil
}

// check says whether the frames of an interface can be read.
func (s *Source) check(index int) error {
	hatype, err := interfaceType(s.control, index)
	if err != nil {
		return err
	}
	if !canCapture(hatype) {
		return fmt.Errorf("link type %d is neither Ethernet nor plain IP", hatype)
	}
	return nil
}

// reported is an interface of any: the sockets that receive from all interfaces capture
// it.
type reported struct {
	source *Source
	index  int
}

func (r *reported) Alive() bool {
	r.source.all.Alive()
	_, err := interfaceName(r.source.control, r.index)
	return err == nil
}

func (r *reported) Describe() string { return r.source.all.Describe() + " of all interfaces" }
func (r *reported) Close() error     { return nil }

// attacher is the Source as package watch sees it.
type attacher struct{ source *Source }

func (a attacher) Attach(index int) (watch.Attachment, error) { return a.source.attach(index) }

// The kernel answers these in the network namespace of the socket, whatever the thread's
// is. They need no rights.

func interfaceName(fd, index int) (string, error) {
	req, err := unix.NewIfreq("")
	if err != nil {
		return "", err
	}
	req.SetUint32(uint32(index))
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFNAME, req); err != nil {
		return "", fmt.Errorf("find interface %d: %w", index, err)
	}
	return req.Name(), nil
}

func askInterface(fd, index int, what uint) (uint16, error) {
	name, err := interfaceName(fd, index)
	if err != nil {
		return 0, err
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, what, req); err != nil {
		return 0, fmt.Errorf("ask for interface %s: %w", name, err)
	}
	return req.Uint16(), nil
}

// interfaceType returns the kernel's ARPHRD number.
func interfaceType(fd, index int) (uint16, error) { return askInterface(fd, index, unix.SIOCGIFHWADDR) }

func interfaceFlags(fd, index int) (uint16, error) {
	return askInterface(fd, index, unix.SIOCGIFFLAGS)
}
