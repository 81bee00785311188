package watch

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// netInterface is what netlink reports about an interface.
type netInterface struct {
	index int
	name  string
	alts  string // other names, each between two NULs
	up    bool
}

// hasName reports whether a name is one of its names. No two interfaces share one.
func (i netInterface) hasName(name string) bool {
	return i.name == name || strings.Contains(i.alts, "\x00"+name+"\x00")
}

// links is the current list of the interfaces of this network namespace. It
// subscribes to changes before it reads the list, and does both again when it may
// have missed a change.
type links struct {
	log     *slog.Logger
	names   *Names
	changed chan struct{} // holds a token after a change

	done   chan struct{} // closed at the end
	warned time.Time     // when the last warning was logged
	pause  time.Duration // between two attempts, and between two lists without a subscription

	mu     sync.Mutex
	now    map[int]netInterface
	socket *nl.NetlinkSocket // nil: no subscription
}

// linksBuffer holds the kernel's messages, about 1.5 KB each, while this process
// gets no CPU time.
const linksBuffer = 8 << 20

// openLinks lists the interfaces. If it cannot subscribe to changes it logs a warning,
// and lists them each second.
func openLinks(names *Names, log *slog.Logger) (*links, error) {
	l := &links{log: log, names: names, changed: make(chan struct{}, 1), done: make(chan struct{}), pause: time.Second}
	l.warn("interfaces are listed once a second: the kernel does not report their changes", l.subscribe())
	if err := l.list(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// subscribe opens a subscription and closes the old one.
func (l *links) subscribe() error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		s, err = nil, fmt.Errorf("subscribe to changes of interfaces: %w", err)
	} else if s.SetReceiveBufferSize(linksBuffer, true) != nil { // needs CAP_NET_ADMIN
		_ = s.SetReceiveBufferSize(linksBuffer, false)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.socket != nil {
		l.socket.Close()
	}
	l.socket = s
	select {
	case <-l.done:
		l.closeSocket()
	default:
	}
	return err
}

// list reads all interfaces from the kernel.
func (l *links) list() error {
	all, err := listInterfaces()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for index := range l.now {
		if _, ok := all[index]; !ok {
			l.names.forget(index)
		}
	}
	same := maps.Equal(l.now, all)
	l.now = all
	for _, i := range all {
		l.names.learn(i.index, i.name, clockNanos(unix.CLOCK_BOOTTIME))
	}
	if !same {
		l.notify()
	}
	return nil
}

// exists asks the kernel: messages that would change the list may not have been read.
func exists(index int) bool {
	_, err := netlink.LinkByIndex(index)
	return !errors.As(err, new(netlink.LinkNotFoundError))
}

func listInterfaces() (map[int]netInterface, error) {
	for try := 1; ; try++ {
		req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		const skipStatistics = 1 << 3 // RTEXT_FILTER_SKIP_STATS
		req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStatistics)))
		messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
		// A dump that a change interrupted lacks only what the next message reports.
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			if try < 5 {
				continue
			}
			err = nil
		}
		if err != nil {
			return nil, err
		}
		all := make(map[int]netInterface)
		for _, m := range messages {
			if i, ok := parseInterface(m); ok {
				all[i.index] = i
			}
		}
		return all, nil
	}
}

// parseInterface skips messages about the port of a bridge.
func parseInterface(data []byte) (i netInterface, ok bool) {
	if len(data) < unix.SizeofIfInfomsg || data[0] != unix.AF_UNSPEC {
		return i, false
	}
	info := nl.DeserializeIfInfomsg(data)
	attrs, err := nl.ParseRouteAttr(data[unix.SizeofIfInfomsg:])
	if err != nil {
		return i, false
	}
	i.index, i.up = int(info.Index), info.Flags&unix.IFF_UP != 0
	for _, a := range attrs {
		switch a.Attr.Type &^ unix.NLA_F_NESTED {
		case unix.IFLA_IFNAME:
			i.name = unix.ByteSliceToString(a.Value)
		case unix.IFLA_PROP_LIST:
			list, _ := nl.ParseRouteAttr(a.Value)
			for _, a := range list {
				if a.Attr.Type == unix.IFLA_ALT_IFNAME {
					i.alts += "\x00" + unix.ByteSliceToString(a.Value) + "\x00"
				}
			}
		}
	}
	return i, i.name != ""
}

// notify leaves a token in changed.
func (l *links) notify() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// follow keeps the list current until close.
func (l *links) follow() {
	for {
		err := l.receive()
		// After an overflow the messages left in the old socket are older than those
		// that were lost: only a new socket helps.
		if !errors.Is(err, unix.ENOBUFS) {
			select {
			case <-l.done:
				return
			case <-time.After(l.pause):
			}
			l.warn("changes of interfaces were missed: listing all of them again", err)
		}
		l.warn("interfaces are listed once a second: the kernel does not report their changes", l.subscribe())
		l.warn("interfaces cannot be listed; trying again each second", l.list())
	}
}

// warn logs an error, at most once a minute.
func (l *links) warn(message string, err error) {
	if err != nil && time.Since(l.warned) > time.Minute {
		l.warned = time.Now()
		l.log.Warn(message, "error", err)
	}
}

// receive applies changes until the socket fails or is closed. Without a socket it
// returns at once.
func (l *links) receive() error {
	l.mu.Lock()
	s := l.socket
	l.mu.Unlock()
	if s == nil {
		return nil
	}
	for {
		messages, from, err := s.Receive()
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return err
		}
		if from.Pid != nl.PidKernel {
			continue
		}
		l.mu.Lock()
		for _, m := range messages {
			l.apply(m.Header.Type, m.Data)
		}
		l.mu.Unlock()
		l.notify()
	}
}

func (l *links) apply(kind uint16, data []byte) {
	i, ok := parseInterface(data)
	switch {
	case !ok:
	case kind == unix.RTM_NEWLINK:
		l.now[i.index] = i
		l.names.learn(i.index, i.name, clockNanos(unix.CLOCK_BOOTTIME))
	case kind == unix.RTM_DELLINK:
		if _, known := l.now[i.index]; known {
			delete(l.now, i.index)
			l.names.forget(i.index)
		}
	}
}

// all returns a copy of the list, sorted by index.
func (l *links) all() []netInterface {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Collect(maps.Values(l.now))
	slices.SortFunc(list, func(a, b netInterface) int { return a.index - b.index })
	return list
}

// close ends follow.
func (l *links) close() {
	close(l.done)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeSocket()
}

func (l *links) closeSocket() {
	if l.socket != nil {
		l.socket.Close()
		l.socket = nil
	}
}
