package live

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture/ring"
	"dnsmonster-sensor/sensor/capture/watch"
)

// features probes what the back ends need.
func features() []Feature {
	var list []Feature
	add := func(name string, err error, unknown bool) {
		f := Feature{Name: name, Have: err == nil, Unknown: err != nil && unknown}
		if err != nil {
			f.Reason = shortReason(err)
			if errors.Is(err, ebpf.ErrNotSupported) {
				f.Reason = "this kernel does not have it"
			}
		}
		list = append(list, f)
	}
	rights := bpf.Rights()
	unknown := rights != nil // only those who have the rights can ask
	add("rights for eBPF: CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON", rights, false)
	add("BPF ring buffers (Linux 5.8): modes tcx, clsact, xdp", bpf.HaveRingbuf(), unknown)
	add("TCX (Linux 6.6): mode tcx", bpf.HaveTCX(), unknown)
	add("XDP with bpf_xdp_load_bytes (Linux 5.18): mode xdp, --tap", bpf.HaveXDP(), unknown)
	for _, b := range backEnds() {
		if b.feature != "" {
			add(b.feature+": mode "+string(b.mode), b.have(), false)
		}
	}
	return list
}

// advice says what would make a better mode possible, or any.
func advice(mode Mode) (list []string) {
	missing := bpf.MissingCapabilities()
	switch {
	case mode == ModeTCX:
	case len(missing) > 0:
		text := "run as root, or give the program the rights for eBPF: " + setcapCommand() + " (systemd: AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_PERFMON)"
		if mode != "" {
			text = "eBPF costs less: " + text
		}
		list = append(list, text)
	case bpf.Rights() != nil:
		list = append(list, "eBPF costs less: run as root outside of rootless containers, where no seccomp filter or security module refuses bpf()")
	case errors.Is(bpf.HaveRingbuf(), ebpf.ErrNotSupported):
		list = append(list, "Linux 5.8 or newer captures by eBPF, which costs less")
	case errors.Is(bpf.HaveTCX(), ebpf.ErrNotSupported):
		list = append(list, "Linux 6.6 or newer attaches without a qdisc, and a killed process leaves nothing behind")
	}
	if mode == "" {
		list = append(list, "if nothing helps, write a file with tcpdump and `replay` it")
	}
	return list
}

// setcapCommand gives this program the rights for eBPF, and for promiscuous mode.
func setcapCommand() string {
	self, err := os.Executable()
	if err != nil {
		self = "/usr/local/bin/dnsmonster-sensor"
	}
	return "setcap cap_bpf,cap_net_admin,cap_perfmon,cap_net_raw+ep " + self
}

func checkInterfaces(names []string, mode Mode) (list []InterfaceReport, err error) {
	links, err := findLinks(names)
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		list = append(list, checkInterface(l, mode))
	}
	return list, nil
}

func findLinks(names []string) ([]netlink.Link, error) {
	all, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	if len(names) == 0 {
		return all, nil
	}
	if err := watch.Check(watch.Options{Interfaces: names}); err != nil {
		return nil, err
	}
	var links []netlink.Link
	for _, name := range names {
		for _, l := range all {
			own := append(l.Attrs().AltNames, l.Attrs().Name)
			if !slices.Contains(links, l) && slices.ContainsFunc(own, func(n string) bool { return watch.Matches(name, n) }) {
				links = append(links, l)
			}
		}
	}
	return links, nil
}

func checkInterface(l netlink.Link, mode Mode) InterfaceReport {
	a := l.Attrs()
	r := InterfaceReport{Name: a.Name, Up: a.Flags&unix.IFF_UP != 0, Type: l.Type(), MTU: a.MTU, Mode: mode}
	if !r.Up {
		r.Advice = append(r.Advice, "it is down: ip link set "+a.Name+" up; a capture can be attached before that")
	}
	if tunnelDevices[r.Type] {
		r.Advice = append(r.Advice, "it carries the contents of a tunnel: capture it without --decap; packets are recorded twice if the interface below is captured with --decap")
	}
	if err := bpf.CheckInterface(a.Index); err != nil {
		r.Mode, r.Impossible = "", err.Error()
		return r
	}
	n, err := bpf.FindNeighbours(a.Index)
	if err != nil {
		r.Advice = append(r.Advice, "cannot tell what else is attached: "+err.Error())
		return r
	}
	r.Attached = n.Lines()
	r.Hidden = ring.HiddenBy(n)
	return r
}

// tunnelDevices are the kernel's names for types of interfaces that send their packets
// inside others.
var tunnelDevices = map[string]bool{
	"vxlan": true, "geneve": true, "bareudp": true, "gre": true, "gretap": true, "erspan": true, "ip6gre": true, "ip6gretap": true,
	"ip6erspan": true, "ipip": true, "sit": true, "ip6tnl": true, "gtp": true,
}

func systemName() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
}
