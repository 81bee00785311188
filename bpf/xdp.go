//go:build linux

package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attachXDP tries the cheapest way first. Whether a driver can run a program itself,
// and give it frames in several buffers, shows only when attaching.
func (k *Kernel) attachXDP(a *Attachment, dev device) error {
	if k.program(hookXDP, dev, "") == nil {
		return errors.New("the XDP programs are not loaded")
	}
	if err := checkNoXDP(dev.index); err != nil {
		return err
	}
	var errs []error
	for _, try := range []struct {
		how    string
		suffix string
		flags  link.XDPAttachFlags
	}{
		{"native", "", link.XDPDriverMode},
		{"native, one buffer", noFrags, link.XDPDriverMode},
		{"generic", "", link.XDPGenericMode},
		{"generic, one buffer", noFrags, link.XDPGenericMode},
	} {
		l, err := link.AttachXDP(link.XDPOptions{
			Program:   k.program(hookXDP, dev, try.suffix),
			Interface: dev.index,
			Flags:     try.flags,
		})
		if err == nil {
			a.addLink(hookXDP, try.how, l, dev.index)
			return nil
		}
		errs = append(errs, fmt.Errorf("attach xdp (%s): %w", try.how, err))
	}
	return errors.Join(errs...)
}

// checkNoXDP returns an error that names the XDP program that is attached already: an
// interface can have only one.
func checkNoXDP(ifindex int) error {
	p, err := xdpProgram(ifindex)
	if err != nil {
		return err
	}
	if p == nil {
		return nil
	}
	return fmt.Errorf("XDP program %s is attached already (%s), and an interface has room for one: end what attached it, or capture without --tap and --mode=xdp: %w",
		p.Program, p.Mode, unix.EBUSY)
}

// XDPProgram is an XDP program on an interface.
type XDPProgram struct {
	Program
	Mode string // "native", "generic", "offloaded", "multiple"
}

var xdpModes = map[uint32]string{
	nl.XDP_ATTACHED_DRV: "native", nl.XDP_ATTACHED_SKB: "generic", nl.XDP_ATTACHED_HW: "offloaded",
	nl.XDP_ATTACHED_HW + 1: "multiple", // XDP_ATTACHED_MULTI, which the library lacks
}

func xdpProgram(ifindex int) (*XDPProgram, error) {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return nil, fmt.Errorf("read XDP program: %w", err)
	}
	x := l.Attrs().Xdp
	if x == nil || !x.Attached {
		return nil, nil
	}
	return &XDPProgram{Program: programByID(x.ProgId), Mode: xdpModes[x.AttachMode]}, nil
}
