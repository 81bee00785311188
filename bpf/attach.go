//go:build linux

package bpf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Mode says by which hooks of the kernel packets are captured.
type Mode string

// The modes.
const (
	ModeTCX    Mode = "tcx"    // ingress and egress, ahead of other TCX programs and of qdiscs
	ModeClsact Mode = "clsact" // ingress and egress, as the first filters of a clsact qdisc
	ModeXDP    Mode = "xdp"    // ingress by XDP, egress as TCX or clsact
	ModeTap    Mode = "tap"    // ingress by XDP, which drops every frame; needs Options.Tap
)

// Attachment holds the programs on one interface. They stay attached while the
// interface goes down and up. Except in clsact mode, they are gone with the process.
type Attachment struct {
	mode  Mode
	hooks []attachedProgram
}

// attachedProgram is one program on its hook.
type attachedProgram struct {
	id    hookID
	how   string
	close func() error
	alive func() bool
}

// device is what Attach must know about an interface to choose the programs.
type device struct {
	index    int
	name     string
	l3       bool // no link header
	loopback bool
}

// Attach attaches the programs to an interface; on loopback, where each packet
// passes egress and then ingress, only to ingress. It first removes filters that
// a killed process has left there.
func (k *Kernel) Attach(ifindex int, mode Mode) (*Attachment, error) {
	dev, err := findDevice(ifindex)
	if err != nil {
		return nil, fmt.Errorf("attach to interface %d: %w", ifindex, err)
	}
	a := &Attachment{mode: mode}
	if err := k.attach(a, dev); err != nil {
		return nil, fmt.Errorf("attach to %s: %w", dev.name, errors.Join(err, a.Close()))
	}
	return a, nil
}

func (k *Kernel) attach(a *Attachment, dev device) error {
	tcHooks := []hookID{hookIngress, hookEgress}
	if dev.loopback {
		tcHooks = tcHooks[:1]
	}
	if (a.mode == ModeTap) != k.tap {
		return fmt.Errorf("the programs that are loaded are not for mode %q", a.mode)
	}
	if a.mode != ModeClsact {
		if err := removeStaleOn(dev); err != nil {
			return err
		}
	}
	switch a.mode {
	case ModeTCX:
		return k.attachTCX(a, dev, tcHooks)
	case ModeClsact:
		return k.attachClsact(a, dev, tcHooks)
	case ModeXDP:
		if err := k.attachXDP(a, dev); err != nil {
			return err
		}
		if k.tcx {
			return k.attachTCX(a, dev, tcHooks[1:])
		}
		return k.attachClsact(a, dev, tcHooks[1:])
	case ModeTap:
		return k.attachXDP(a, dev)
	}
	return fmt.Errorf("no mode %q", a.mode)
}

func (k *Kernel) program(id hookID, dev device, suffix string) *ebpf.Program {
	name := [...]string{hookXDP: sensorProgXdpEth, hookIngress: sensorProgTcIngressEth, hookEgress: sensorProgTcEgressEth}[id]
	if dev.l3 {
		name = [...]string{hookXDP: sensorProgXdpL3, hookIngress: sensorProgTcIngressL3, hookEgress: sensorProgTcEgressL3}[id]
	}
	return k.coll.Programs[name+suffix]
}

func (k *Kernel) attachTCX(a *Attachment, dev device, hooks []hookID) error {
	for _, id := range hooks {
		// At the head: after a program that ends the chain we would see nothing.
		l, err := link.AttachTCX(link.TCXOptions{
			Interface: dev.index,
			Program:   k.program(id, dev, ""),
			Attach:    tcxAttachType(id),
			Anchor:    link.Head(),
		})
		if err != nil {
			return fmt.Errorf("attach %s: %w", id, err)
		}
		a.addLink(id, "tcx", l, dev.index)
	}
	return nil
}

func tcxAttachType(id hookID) ebpf.AttachType {
	if id == hookEgress {
		return ebpf.AttachTCXEgress
	}
	return ebpf.AttachTCXIngress
}

func (a *Attachment) addLink(id hookID, how string, l link.Link, ifindex int) {
	a.hooks = append(a.hooks, attachedProgram{id: id, how: how, close: l.Close, alive: func() bool { return linkAlive(l, ifindex) }})
}

// linkAlive returns false once the interface is gone or somebody has detached the
// program; the link itself remains. It also returns false if the interface has
// moved to another namespace under another index, since that index may belong to a
// different interface here.
func linkAlive(l link.Link, ifindex int) bool {
	info, err := l.Info()
	if err != nil {
		return false
	}
	if t := info.TCX(); t != nil {
		return int(t.Ifindex) == ifindex
	}
	if x := info.XDP(); x != nil {
		return int(x.Ifindex) == ifindex
	}
	return false
}

// Alive returns false once the interface has been deleted, or somebody else has
// detached one of the programs.
func (a *Attachment) Alive() bool {
	for _, h := range a.hooks {
		if !h.alive() {
			return false
		}
	}
	return true
}

// Hooks returns the hooks in use, with the names of HookCounters.
func (a *Attachment) Hooks() []string {
	var names []string
	for _, h := range a.hooks {
		names = append(names, h.id.String())
	}
	return names
}

// Describe says where the programs are attached, for one line in a log.
func (a *Attachment) Describe() string {
	var parts []string
	for _, h := range a.hooks {
		name := h.id.String()
		if a.mode == ModeTap {
			name += " drop"
		}
		parts = append(parts, name+" ("+h.how+")")
	}
	return strings.Join(parts, ", ")
}

// Close detaches the programs and leaves nothing behind. An interface that is gone
// in the meantime is no error.
func (a *Attachment) Close() error {
	var errs []error
	for _, h := range a.hooks {
		if err := h.close(); err != nil {
			errs = append(errs, fmt.Errorf("detach %s: %w", h.id, err))
		}
	}
	a.hooks = nil
	return errors.Join(errs...)
}

// CheckInterface returns an error that says why the programs cannot read an
// interface's frames, nil if they can.
func CheckInterface(ifindex int) error {
	_, err := findDevice(ifindex)
	return err
}

func findDevice(ifindex int) (device, error) {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return device{}, err
	}
	typ, err := linkType(ifindex)
	if err != nil {
		return device{}, err
	}
	dev := device{index: ifindex, name: l.Attrs().Name}
	switch typ {
	case unix.ARPHRD_ETHER:
	case unix.ARPHRD_LOOPBACK:
		dev.loopback = true
	case unix.ARPHRD_NONE, unix.ARPHRD_PPP, unix.ARPHRD_RAWIP, unix.ARPHRD_TUNNEL, unix.ARPHRD_TUNNEL6,
		unix.ARPHRD_SIT, unix.ARPHRD_IPGRE, unix.ARPHRD_IP6GRE:
		dev.l3 = true
	default:
		return device{}, fmt.Errorf("%s: link type %d is neither Ethernet nor plain IP", dev.name, typ)
	}
	return dev, nil
}

// linkType returns the kernel's ARPHRD number. The netlink library has only a word
// for it, which differs between its versions.
func linkType(ifindex int) (uint16, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	info := nl.NewIfInfomsg(unix.AF_UNSPEC)
	info.Index = int32(ifindex)
	req.AddData(info)
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return 0, fmt.Errorf("read link type: %w", err)
	}
	if len(msgs) == 0 || len(msgs[0]) < unix.SizeofIfInfomsg {
		return 0, errors.New("read link type: no answer")
	}
	return nl.DeserializeIfInfomsg(msgs[0]).Type, nil
}
