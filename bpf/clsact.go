//go:build linux

package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// FilterName is the name of our filters in `tc filter show`.
const FilterName = "dnsmonster-sensor"

// A filter outlives the process that added it. Its handle holds the mark of that
// process, and a flag that tells a later process whether to remove the qdisc as well.
const (
	handleFilter = 1 // the qdisc was there before
	handleQdisc  = 2 // the qdisc was added with the filter
	handleFlags  = 3
)

// clsact is the clsact qdisc of one interface, and our filters in it. The mark and
// the netlink socket stay in the namespace in which they were opened.
type clsact struct {
	dev   device
	nl    *netlink.Handle
	mark  *mark // nil: only for removing stale filters
	owned bool  // the qdisc was added by this process, or by the one whose filters it removes
	refs  int   // hooks that are not closed yet
}

func openClsact(dev device) (*clsact, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return &clsact{dev: dev, nl: h}, nil
}

func (c *clsact) close() {
	c.nl.Close()
	if c.mark != nil {
		c.mark.close()
	}
}

func (c *clsact) qdisc() netlink.Qdisc {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: c.dev.index,
		Handle:    netlink.MakeHandle(0xffff, 0),
		Parent:    netlink.HANDLE_CLSACT,
	}}
}

func parent(id hookID) uint32 {
	if id == hookEgress {
		return netlink.HANDLE_MIN_EGRESS
	}
	return netlink.HANDLE_MIN_INGRESS
}

// listFilters repeats the request if somebody else changes the list meanwhile.
func listFilters(list func(netlink.Link, uint32) ([]netlink.Filter, error), ifindex int, parent uint32) ([]netlink.Filter, error) {
	dev := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
	for try := 1; ; try++ {
		filters, err := list(dev, parent)
		if errors.Is(err, netlink.ErrDumpInterrupted) && try < 5 {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read filters: %w", err)
		}
		return filters, nil
	}
}

// ourFilters selects the filters of sensors, whichever process added them.
func ourFilters(list []netlink.Filter) (found []*netlink.BpfFilter) {
	for _, f := range list {
		if b, ok := f.(*netlink.BpfFilter); ok && b.Name == FilterName {
			found = append(found, b)
		}
	}
	return found
}

// removeFilters removes the filters of sensors for which remove, given the handle,
// returns true. It also removes the qdisc, if that was added with one of them and is now
// empty.
func (c *clsact) removeFilters(remove func(handle uint32) bool) error {
	left := 0
	for _, id := range []hookID{hookIngress, hookEgress} {
		list, err := listFilters(c.nl.FilterList, c.dev.index, parent(id))
		if isGone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		left += len(list)
		for _, f := range ourFilters(list) {
			if !remove(f.Handle) {
				continue
			}
			c.owned = c.owned || f.Handle&handleFlags == handleQdisc
			// EINVAL: the whole qdisc is gone meanwhile.
			if err := c.nl.FilterDel(f); err != nil && !isGone(err) && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("remove filter: %w", err)
			}
			left--
		}
	}
	if !c.owned || left > 0 {
		return nil
	}
	c.owned = false
	if err := c.nl.QdiscDel(c.qdisc()); err != nil && !isGone(err) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("remove clsact qdisc: %w", err)
	}
	return nil
}

func isGone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT)
}

func (c *clsact) isMine(handle uint32) bool { return c.mark.is(handle) }

// removeStale removes the filters of killed processes. It leaves those of living ones.
func (c *clsact) removeStale() (err error) {
	var living map[uint32]bool // read when the first filter is found
	removed := c.removeFilters(func(handle uint32) bool {
		if living == nil && err == nil {
			living, err = livingMarks()
		}
		return err == nil && !living[markOf(handle)] && !(markOf(handle) == 0 && usedByOldVersion(c.dev.index))
	})
	return errors.Join(err, removed)
}

// sharesQdisc reports whether another running sensor has added the qdisc: the last of
// them removes it.
func (c *clsact) sharesQdisc() bool {
	for _, id := range []hookID{hookIngress, hookEgress} {
		list, _ := listFilters(c.nl.FilterList, c.dev.index, parent(id))
		for _, f := range ourFilters(list) {
			if f.Handle&handleFlags == handleQdisc {
				return true
			}
		}
	}
	return false
}

func removeStaleOn(dev device) error {
	c, err := openClsact(dev)
	if err != nil {
		return err
	}
	defer c.close()
	return c.removeStale()
}

// firstFreePriority returns the lowest priority that our filters can have: all filters
// of one priority have the same kind and protocol, and the newest of them comes first.
func firstFreePriority(list []netlink.Filter) uint16 {
	foreign := make(map[uint16]bool) // priorities of another kind or protocol
	for _, f := range list {
		a := f.Attrs()
		foreign[a.Priority] = foreign[a.Priority] || f.Type() != "bpf" || a.Protocol != unix.ETH_P_ALL
	}
	priority := uint16(1)
	for foreign[priority] {
		priority++
	}
	return priority
}

func (c *clsact) add(id hookID, program *ebpf.Program) error {
	list, err := listFilters(c.nl.FilterList, c.dev.index, parent(id))
	if err != nil {
		return err
	}
	f := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: c.dev.index,
			Parent:    parent(id),
			Handle:    c.mark.handle(c.owned),
			Protocol:  unix.ETH_P_ALL,
			Priority:  firstFreePriority(list),
		},
		Fd:           program.FD(),
		Name:         FilterName,
		DirectAction: true,
	}
	if err := c.nl.FilterAdd(f); err != nil {
		return fmt.Errorf("add filter of priority %d: %w", f.Priority, err)
	}
	return nil
}

// has reports whether the filter that add has added is still there. If the kernel
// does not say, it returns true.
func (c *clsact) has(id hookID, program ebpf.ProgramID) bool {
	list, err := listFilters(c.nl.FilterList, c.dev.index, parent(id))
	if err != nil {
		return !isGone(err)
	}
	for _, f := range ourFilters(list) {
		if c.isMine(f.Handle) && f.Id == int(program) {
			return true
		}
	}
	return false
}

func (k *Kernel) attachClsact(a *Attachment, dev device, hooks []hookID) error {
	if len(hooks) == 0 {
		return nil
	}
	c, err := openClsact(dev)
	if err != nil {
		return err
	}
	if c.mark, err = setMark(); err != nil {
		c.close()
		return err
	}
	added, err := k.addFilters(c, hooks)
	if err != nil {
		err = errors.Join(err, c.removeFilters(c.isMine))
		c.close()
		return err
	}
	c.refs = len(hooks)
	a.hooks = append(a.hooks, added...)
	return nil
}

func (k *Kernel) addFilters(c *clsact, hooks []hookID) (added []attachedProgram, err error) {
	if err := c.removeStale(); err != nil {
		return nil, err
	}
	err = c.nl.QdiscAdd(c.qdisc())
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("add clsact qdisc: %w", err)
	}
	if c.owned = err == nil; !c.owned {
		c.owned = c.sharesQdisc()
	}
	for _, id := range hooks {
		p := k.program(id, c.dev, "")
		info, err := p.Info()
		if err != nil {
			return nil, fmt.Errorf("attach %s: %w", id, err)
		}
		number, _ := info.ID()
		if err := c.add(id, p); err != nil {
			return nil, fmt.Errorf("attach %s: %w", id, err)
		}
		added = append(added, attachedProgram{id: id, how: "clsact", close: c.release, alive: func() bool { return c.has(id, number) }})
	}
	return added, nil
}

// release closes one hook. The last one removes the filters of all.
func (c *clsact) release() error {
	if c.refs--; c.refs > 0 {
		return nil
	}
	err := c.removeFilters(c.isMine)
	c.close()
	return err
}
