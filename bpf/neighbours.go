//go:build linux

package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Program names a BPF program.
type Program struct {
	ID   uint32
	Name string // "" without the right to read it, CAP_SYS_ADMIN
}

func (p Program) String() string {
	if p.Name == "" {
		return fmt.Sprintf("id %d", p.ID)
	}
	return fmt.Sprintf("%s (id %d)", p.Name, p.ID)
}

func programByID(id uint32) Program {
	p := Program{ID: id}
	prog, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return p
	}
	defer prog.Close()
	if info, err := prog.Info(); err == nil {
		p.Name = info.Name
	}
	return p
}

// Filter is a filter of a clsact qdisc.
type Filter struct {
	Priority uint16
	Kind     string
	Name     string // of a BPF filter
}

func (f Filter) String() string {
	if f.Name == "" {
		return fmt.Sprintf("%s, priority %d", f.Kind, f.Priority)
	}
	return fmt.Sprintf("%s, %s, priority %d", f.Name, f.Kind, f.Priority)
}

// Neighbours are all programs, filters and AF_XDP sockets on an interface, ours
// included, in the order in which packets meet them.
type Neighbours struct {
	XDP        *XDPProgram // nil: none
	XSKs       int         // AF_XDP sockets; -1 if the kernel cannot tell (no xsk_diag)
	TCXIngress []Program
	TCXEgress  []Program
	Ingress    []Filter // clsact
	Egress     []Filter // clsact
}

// FindNeighbours examines one interface. Features that this kernel lacks count as
// empty.
func FindNeighbours(ifindex int) (*Neighbours, error) {
	n := &Neighbours{}
	var err error
	if n.XDP, err = xdpProgram(ifindex); err != nil {
		return nil, err
	}
	if n.XSKs, err = countXSKs(ifindex); err != nil {
		return nil, err
	}
	if n.TCXIngress, err = tcxPrograms(ifindex, hookIngress); err != nil {
		return nil, err
	}
	if n.TCXEgress, err = tcxPrograms(ifindex, hookEgress); err != nil {
		return nil, err
	}
	if n.Ingress, err = filters(ifindex, netlink.HANDLE_MIN_INGRESS); err != nil {
		return nil, err
	}
	n.Egress, err = filters(ifindex, netlink.HANDLE_MIN_EGRESS)
	return n, err
}

// Lines describes the neighbours, one per line.
func (n *Neighbours) Lines() []string {
	var lines []string
	if n.XDP != nil {
		lines = append(lines, fmt.Sprintf("xdp (%s): %s", n.XDP.Mode, n.XDP.Program))
	}
	if n.XSKs > 0 {
		lines = append(lines, fmt.Sprintf("AF_XDP sockets: %d; nobody else sees the packets that they take", n.XSKs))
	}
	for i, p := range n.TCXIngress {
		lines = append(lines, fmt.Sprintf("tcx ingress, %d of %d: %s", i+1, len(n.TCXIngress), p))
	}
	for i, p := range n.TCXEgress {
		lines = append(lines, fmt.Sprintf("tcx egress, %d of %d: %s", i+1, len(n.TCXEgress), p))
	}
	for _, f := range n.Ingress {
		lines = append(lines, fmt.Sprintf("clsact ingress: %s", f))
	}
	for _, f := range n.Egress {
		lines = append(lines, fmt.Sprintf("clsact egress: %s", f))
	}
	return lines
}

func tcxPrograms(ifindex int, id hookID) ([]Program, error) {
	r, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: tcxAttachType(id)})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, ebpf.ErrNotSupported) {
		return nil, nil // before Linux 6.6
	}
	if err != nil {
		return nil, fmt.Errorf("read programs at %s: %w", id, err)
	}
	var progs []Program
	for _, p := range r.Programs {
		progs = append(progs, programByID(uint32(p.ID)))
	}
	return progs, nil
}

func filters(ifindex int, parent uint32) ([]Filter, error) {
	list, err := listFilters(netlink.FilterList, ifindex, parent)
	if err != nil {
		return nil, err
	}
	var fs []Filter
	for _, f := range list {
		one := Filter{Priority: f.Attrs().Priority, Kind: f.Type()}
		if b, ok := f.(*netlink.BpfFilter); ok {
			one.Name = b.Name
		}
		fs = append(fs, one)
	}
	return fs, nil
}

func countXSKs(ifindex int) (int, error) {
	socks, err := netlink.SocketDiagXDP()
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return -1, nil
	}
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return 0, fmt.Errorf("read AF_XDP sockets: %w", err)
	}
	n := 0
	for _, s := range socks {
		if s.XDPInfo != nil && int(s.XDPInfo.Ifindex) == ifindex {
			n++
		}
	}
	return n, nil
}
