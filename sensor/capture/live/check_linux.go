package live

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture/ring"
	"dnsmonster-sensor/sensor/capture/watch"
)

// Check examines the host and the named interfaces, or all of them. It attaches
// nothing.
func Check(names []string) (*Report, error) {
	r := &Report{
		Kernel: kernelRelease(), Features: features(),
		Tunnels: "capture on the tunnel's own interface, or below it with --decap, such as --decap=vxlan,gre",
	}
	switch err := bpf.Supported(); {
	case err == nil:
		r.Mode = Mode(bpf.AutoMode())
		r.Why = "TCX sees both directions, runs before other programs, and is removed with the process"
		if r.Mode == ModeClsact {
			r.Why = "this kernel has no TCX (Linux 6.6); a clsact qdisc sees both directions"
			r.Advice = append(r.Advice, "Linux 6.6 or newer attaches without a qdisc, and a killed process leaves nothing behind")
		}
	case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || len(bpf.MissingCapabilities()) > 0:
		r.Why = err.Error()
		r.Advice = append(r.Advice, "run as root, or give the process "+strings.Join(bpf.MissingCapabilities(), ", ")+
			" (systemd: AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_PERFMON)")
	default:
		r.Why = err.Error()
		r.Advice = append(r.Advice, "live capture needs Linux 5.8 or newer; here, write a file with tcpdump and `replay` it")
	}
	links, err := findLinks(names)
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		r.Interfaces = append(r.Interfaces, checkInterface(l, r.Mode))
	}
	return r, nil
}

func features() []Feature {
	var list []Feature
	add := func(name string, err error) {
		f := Feature{Name: name, Have: err == nil}
		if err != nil {
			f.Reason = err.Error()
			if errors.Is(err, ebpf.ErrNotSupported) {
				f.Reason = "this kernel does not have it"
			}
		}
		list = append(list, f)
	}
	var rights error
	if missing := bpf.MissingCapabilities(); len(missing) > 0 {
		rights = fmt.Errorf("missing %s", strings.Join(missing, ", "))
	}
	add("rights: CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON", rights)
	add("BPF ring buffers (Linux 5.8): all live modes", bpf.HaveRingbuf())
	add("TCX (Linux 6.6): mode tcx", bpf.HaveTCX())
	add("XDP with bpf_xdp_load_bytes (Linux 5.18): mode xdp", bpf.HaveXDP())
	return list
}

func findLinks(names []string) ([]netlink.Link, error) {
	all, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	if len(names) == 0 || len(names) == 1 && names[0] == watch.Any {
		return all, nil
	}
	var existing []string
	found := make(map[string]netlink.Link)
	for _, l := range all {
		existing = append(existing, l.Attrs().Name)
		for _, name := range append(l.Attrs().AltNames, l.Attrs().Name) {
			found[name] = l
		}
	}
	var links []netlink.Link
	for _, name := range names {
		if found[name] == nil {
			return nil, watch.NoInterface(name, existing)
		}
		links = append(links, found[name])
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

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
}
