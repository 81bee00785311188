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

// netInterface is what netlink says of an interface.
type netInterface struct {
	index int
	name  string
	alts  string // other names, each between two NULs
	up    bool
}

// is tells whether it is called that. The kernel gives no name twice.
func (i netInterface) is(name string) bool {
	return i.name == name || strings.Contains(i.alts, "\x00"+name+"\x00")
}

// links are the interfaces of this network namespace, as they are now. It
// subscribes to their changes before it reads them, and does both again when it
// may have missed one, so that nothing is overlooked.
type links struct {
	log     *slog.Logger
	names   *Names
	changed chan struct{} // holds one when there was a change

	done   chan struct{} // closed at the end
	warned time.Time     // last
	pause  time.Duration // before what failed is tried again, or looked at without word of changes

	mu     sync.Mutex
	now    map[int]netInterface
	socket *nl.NetlinkSocket // nil: no subscription
}

// linksBuffer is room for the kernel's messages, about 1.5 KB each, while this
// process gets no processor.
const linksBuffer = 8 << 20

// openLinks reads the interfaces. Without a subscription, which is warned of, it
// reads them each second.
func openLinks(names *Names, log *slog.Logger) (*links, error) {
	l := &links{log: log, names: names, changed: make(chan struct{}, 1), done: make(chan struct{}), pause: time.Second}
	l.warn("interfaces are looked at once a second: there is no word of their changes", l.subscribe())
	if err := l.list(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// subscribe replaces the subscription, if there is one.
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

// list reads all interfaces anew.
func (l *links) list() error {
	all, err := listInterfaces()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for index := range l.now {
		if _, ok := all[index]; !ok {
			l.names.left(index)
		}
	}
	same := maps.Equal(l.now, all)
	l.now = all
	for _, i := range all {
		l.names.learn(i.index, i.name, clockNanos(unix.CLOCK_BOOTTIME))
	}
	if !same {
		l.tell()
	}
	return nil
}

// exists asks the kernel: what the list says may wait for this process.
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
		// One that was interrupted by a change lacks only what is told next.
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

// parseInterface is not ok for what speaks of an interface's place in a bridge.
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

// tell wakes who waits for changes.
func (l *links) tell() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// follow keeps the list as it is until close.
func (l *links) follow() {
	for {
		err := l.receive()
		// After an overflow what still waits in the old socket is older than what
		// was lost: only a new one is of use.
		if !errors.Is(err, unix.ENOBUFS) {
			select {
			case <-l.done:
				return
			case <-time.After(l.pause):
			}
			l.warn("watch interfaces: all of them are read again", err)
		}
		l.warn("interfaces are looked at once a second: there is no word of their changes", l.subscribe())
		l.warn("interfaces are not known", l.list())
	}
}

// warn says at most once a minute what goes wrong.
func (l *links) warn(what string, err error) {
	if err != nil && time.Since(l.warned) > time.Minute {
		l.warned = time.Now()
		l.log.Warn(what, "error", err)
	}
}

// receive takes changes until the socket, if there is one, fails or is closed.
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
		l.tell()
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
			l.names.left(i.index)
		}
	}
}

// all are the interfaces by their numbers, as a copy and in order.
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
