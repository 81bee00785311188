package watch

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// socket receives the kernel's messages about interfaces.
type socket = nl.NetlinkSocket

// errOverflow is the error of a subscription that has lost messages.
const errOverflow = unix.ENOBUFS

// linksBuffer holds the kernel's messages, about 1.5 KB each, while this process
// gets no CPU time.
const linksBuffer = 8 << 20

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
		i.born = l.gone
		if old, known := l.now[i.index]; known {
			i.born = old.born
		}
		l.now[i.index] = i
		l.names.learn(i.index, i.name, bootNanos())
	case kind == unix.RTM_DELLINK:
		if _, known := l.now[i.index]; known {
			l.gone++
			delete(l.now, i.index)
			l.names.forget(i.index)
		}
	}
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
	elsewhere := false // what it is above of is in another namespace
	for _, a := range attrs {
		switch a.Attr.Type &^ unix.NLA_F_NESTED {
		case unix.IFLA_IFNAME:
			i.name = unix.ByteSliceToString(a.Value)
		case unix.IFLA_PROP_LIST:
			i.alts = alternativeNames(a.Value)
		case unix.IFLA_LINKINFO:
			i.kind = linkKind(a.Value)
		case unix.IFLA_MASTER:
			i.master = number(a.Value)
		case unix.IFLA_LINK:
			i.parent = number(a.Value)
		case unix.IFLA_LINK_NETNSID:
			elsewhere = true
		}
	}
	if elsewhere {
		i.parent = 0
	}
	return i, i.name != ""
}

func alternativeNames(value []byte) (alts string) {
	list, _ := nl.ParseRouteAttr(value)
	for _, a := range list {
		if a.Attr.Type == unix.IFLA_ALT_IFNAME {
			alts += "\x00" + unix.ByteSliceToString(a.Value) + "\x00"
		}
	}
	return alts
}

func linkKind(value []byte) string {
	list, _ := nl.ParseRouteAttr(value)
	for _, a := range list {
		if a.Attr.Type == unix.IFLA_INFO_KIND {
			return unix.ByteSliceToString(a.Value)
		}
	}
	return ""
}

func number(value []byte) int {
	if len(value) != 4 {
		return 0
	}
	return int(nl.NativeEndian().Uint32(value))
}
