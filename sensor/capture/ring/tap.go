//go:build linux

package ring

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture/watch"
)

// CheckTap returns an error for the first of the named interfaces that a tap would cut
// off. It is for an early answer: each attaching checks the interface again, also one
// that a pattern means, or that does not exist yet.
func CheckTap(names []string) error {
	for _, name := range names {
		l, err := netlink.LinkByName(name)
		if err != nil {
			continue
		}
		what, err := cutOff(l.Attrs().Index)
		if err != nil {
			return fmt.Errorf("tap: %w", err)
		}
		if what != "" {
			return refuseTap(name, what)
		}
	}
	return nil
}

var errTapAny = errors.New("--tap needs interfaces by name or pattern: with any it would cut off this host")

func refuseTap(name, what string) error {
	return fmt.Errorf("--tap drops every frame that arrives at %s, and would cut off %s: "+
		"on a mirror port, remove that first; elsewhere, capture without --tap; or cut it off with --force", name, what)
}

// maxCutOff is how many things an error lists.
const maxCutOff = 3

// cutOff describes what this host would lose if the frames that arrive at an interface
// were dropped: addresses of the interface and of the devices above it, and what a
// bridge forwards. It returns "" for nothing. IPv6 link-local addresses do not count:
// every interface has one.
func cutOff(index int) (string, error) {
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return "", fmt.Errorf("list interfaces: %w", err)
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return "", fmt.Errorf("list addresses: %w", err)
	}
	var list []string
	for n, l := range withUppers(links, index) {
		a := l.Attrs()
		switch {
		case a.Flags&net.FlagLoopback != 0:
			list = append(list, "all that this host sends to itself")
		case n > 0 && (l.Type() == "bridge" || l.Type() == "openvswitch"):
			list = append(list, "the bridge "+a.Name+", which it belongs to")
		}
		for _, address := range addresses {
			if address.LinkIndex != a.Index || address.IPNet == nil || address.IP.To4() == nil && address.IP.IsLinkLocalUnicast() {
				continue
			}
			what := "the address " + address.IPNet.String()
			if n > 0 {
				what += " of " + a.Name + ", which is above it"
			}
			list = append(list, what)
		}
	}
	if more := len(list) - maxCutOff; more > 0 {
		list = append(list[:maxCutOff], fmt.Sprintf("%d more", more))
	}
	if len(list) < 2 {
		return strings.Join(list, ""), nil
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1], nil
}

// withUppers returns an interface and all devices that get its frames, each once: VLAN,
// macvlan and tunnel devices on top of it, and the bridge, bond, team or VRF that it
// belongs to.
func withUppers(links []netlink.Link, index int) (found []netlink.Link) {
	seen := make(map[int]bool)
	add := func(index int) {
		for _, l := range links {
			if l.Attrs().Index == index && !seen[index] {
				seen[index] = true
				found = append(found, l)
			}
		}
	}
	add(index)
	for n := 0; n < len(found); n++ {
		below := found[n].Attrs()
		add(below.MasterIndex)
		for _, l := range links {
			a := l.Attrs()
			// The other end of a veth or netkit pair is no device above it, nor is
			// the number of an interface in another namespace.
			if a.ParentIndex == below.Index && a.NetNsID < 0 && l.Type() != "veth" && l.Type() != "netkit" {
				add(a.Index)
			}
		}
	}
	return found
}

// tapped is an interface whose frames are dropped.
type tapped struct {
	*bpf.Attachment
	name    string
	index   int
	changes *changes // nil: the user does not want to be told
	log     *slog.Logger
	warned  bool
}

// Alive implements watch.Attachment. It also warns once of an address that has been
// added meanwhile.
func (t *tapped) Alive() bool {
	if !t.Attachment.Alive() {
		return false
	}
	if t.changes == nil || t.warned || !t.changes.any() {
		return true
	}
	what, err := cutOff(t.index)
	switch {
	case err != nil:
		t.changes.again = true
	case what != "":
		t.warned = true
		t.log.Warn("--tap cuts off what was added to its interface", "interface", t.name, "cuts_off", what)
	}
	return true
}

// changes says whether interfaces or addresses have changed: reading them all each
// second would cost more than what a quiet tap needs.
type changes struct {
	socket int  // of netlink; negative: the kernel does not report changes
	again  bool // what has changed could not be read
	buffer []byte
}

// watchChanges begins before the first look, so that no change is missed.
func watchChanges() *changes {
	c := &changes{socket: -1, buffer: make([]byte, 1<<16)}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return c
	}
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return c
	}
	c.socket = fd
	return c
}

// any reports whether something may have changed since the last call.
func (c *changes) any() bool {
	changed := c.again || c.socket < 0
	for c.again = false; c.socket >= 0; changed = true {
		// ENOBUFS: more has changed than the socket holds.
		if _, _, err := unix.Recvfrom(c.socket, c.buffer, 0); err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return changed
}

func (c *changes) close() {
	if c != nil && c.socket >= 0 {
		_ = unix.Close(c.socket)
		c.socket = -1
	}
}

// attachTap attaches to an interface, unless that would cut something off.
func (p programs) attachTap(index int) (watch.Attachment, error) {
	t := &tapped{index: index, log: p.log}
	if !p.force {
		t.changes = watchChanges()
		if err := t.check(); err != nil {
			t.changes.close()
			return nil, err
		}
	}
	a, err := p.kernel.Attach(index, bpf.ModeTap)
	if err != nil {
		t.changes.close()
		return nil, err
	}
	t.Attachment = a
	return t, nil
}

// check refuses the interface if a tap would cut something off.
func (t *tapped) check() error {
	l, err := netlink.LinkByIndex(t.index)
	if err != nil {
		return fmt.Errorf("tap: %w", err)
	}
	t.name = l.Attrs().Name
	what, err := cutOff(t.index)
	if err == nil && what != "" {
		err = refuseTap(t.name, what)
	}
	return err
}

// Close implements watch.Attachment.
func (t *tapped) Close() error {
	t.changes.close()
	return t.Attachment.Close()
}
