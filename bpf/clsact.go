package bpf

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// FilterName is the name of our filters in `tc filter show`.
const FilterName = "dnsmonster-sensor"

// A filter outlives the process that made it. Its handle tells the next process
// whether the qdisc was made along with it and should go with it.
const (
	handleFilter = 1 // the qdisc was there before
	handleQdisc  = 2 // the qdisc is ours too
)

// clsact is one interface's qdisc, and our filters in it. The lock and the
// netlink socket stay in the namespace where they were opened.
type clsact struct {
	dev   device
	nl    *netlink.Handle
	lock  net.Listener
	owned bool // the qdisc is ours
	refs  int
}

func openClsact(dev device) (*clsact, error) {
	// An abstract socket is bound to the namespace and goes with the process: so
	// a filter with no socket is stale, and one with a socket is in use.
	lock, err := net.Listen("unix", fmt.Sprintf("@%s/clsact/%d", FilterName, dev.index))
	if err != nil {
		return nil, fmt.Errorf("lock clsact filters: %w", err)
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return &clsact{dev: dev, nl: h, lock: lock}, nil
}

func (c *clsact) close() {
	c.nl.Close()
	c.lock.Close()
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

// listFilters asks again where somebody else changed the list meanwhile.
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

// ours returns our filters at a hook, and how many others there are.
func (c *clsact) ours(id hookID) (mine []*netlink.BpfFilter, others int, err error) {
	list, err := listFilters(c.nl.FilterList, c.dev.index, parent(id))
	if err != nil {
		return nil, 0, err
	}
	for _, f := range list {
		if b, ok := f.(*netlink.BpfFilter); ok && b.Name == FilterName {
			mine = append(mine, b)
		} else {
			others++
		}
	}
	return mine, others, nil
}

// clean removes our filters, and the qdisc if it is ours and now empty.
func (c *clsact) clean() error {
	left := 0
	for _, id := range []hookID{hookIngress, hookEgress} {
		mine, others, err := c.ours(id)
		if gone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		left += others
		for _, f := range mine {
			c.owned = c.owned || f.Handle == handleQdisc
			if err := c.nl.FilterDel(f); err != nil && !gone(err) {
				return fmt.Errorf("remove filter: %w", err)
			}
		}
	}
	if !c.owned || left > 0 {
		return nil
	}
	c.owned = false
	if err := c.nl.QdiscDel(c.qdisc()); err != nil && !gone(err) {
		return fmt.Errorf("remove clsact qdisc: %w", err)
	}
	return nil
}

func gone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT)
}

// removeStale removes what a killed process left. What a living one uses stays.
func removeStale(dev device) error {
	c, err := openClsact(dev)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.close()
	return c.clean()
}

func (c *clsact) add(id hookID, fd int) error {
	handle := uint32(handleFilter)
	if c.owned {
		handle = handleQdisc
	}
	err := c.nl.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: c.dev.index,
			Parent:    parent(id),
			Handle:    handle,
			Protocol:  unix.ETH_P_ALL,
			Priority:  1,
		},
		Fd:           fd,
		Name:         FilterName,
		DirectAction: true,
	})
	if err != nil {
		return fmt.Errorf("add filter of priority 1: %w", err)
	}
	return nil
}

func (k *Kernel) attachClsact(a *Attachment, dev device, hooks []hookID) error {
	if len(hooks) == 0 {
		return nil
	}
	c, err := openClsact(dev)
	if errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("another %s has its filters there: %w", FilterName, err)
	}
	if err != nil {
		return err
	}
	if err := k.addFilters(c, dev, hooks); err != nil {
		err = errors.Join(err, c.clean())
		c.close()
		return err
	}
	c.refs = len(hooks)
	for _, id := range hooks {
		a.hooks = append(a.hooks, attached{id: id, how: "clsact", close: c.release, alive: func() bool {
			mine, _, err := c.ours(id)
			return err == nil && len(mine) > 0
		}})
	}
	return nil
}

func (k *Kernel) addFilters(c *clsact, dev device, hooks []hookID) error {
	if err := c.clean(); err != nil {
		return err
	}
	err := c.nl.QdiscAdd(c.qdisc())
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add clsact qdisc: %w", err)
	}
	c.owned = err == nil
	for _, id := range hooks {
		if err := c.add(id, k.program(id, dev, "").FD()); err != nil {
			return fmt.Errorf("attach %s: %w", id, err)
		}
	}
	return nil
}

// release removes all of our filters with the last hook that is closed.
func (c *clsact) release() error {
	if c.refs--; c.refs > 0 {
		return nil
	}
	err := c.clean()
	c.close()
	return err
}
