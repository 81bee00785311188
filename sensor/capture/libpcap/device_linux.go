//go:build libpcap && cgo

package libpcap

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/userspace/packet"
)

const (
	// rightsHint is for errors of permission.
	rightsHint = "this needs CAP_NET_RAW: run as root, or: setcap cap_net_raw+ep PROGRAM"
	// watchIsPromiscuous says that package watch sets promiscuous mode.
	watchIsPromiscuous = true
	// knowsInterfaceDrops says that the library reports what interfaces drop.
	knowsInterfaceDrops = true
)

// Supported says what keeps this process from capturing, nil for nothing.
func Supported() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("libpcap may not open a packet socket (%s)", rightsHint)
	case err != nil:
		return fmt.Errorf("libpcap needs packet sockets: %w", err)
	}
	return unix.Close(fd)
}

// device is an interface.
type device struct {
	name     string
	index    int
	loopback bool
}

func findDevice(index int) (device, error) {
	i, err := net.InterfaceByIndex(index)
	if err != nil {
		return device{}, err
	}
	return device{i.Name, index, i.Flags&net.FlagLoopback != 0}, nil
}

// way is a direction that a handle shall have.
type way struct {
	of direction
	is packet.Direction
}

// directions of the handles. Loopback shows each packet twice, when it leaves and when it
// comes; libpcap hides the first.
func (d device) directions() []way {
	ways := []way{{directionIn, packet.DirectionIn}, {directionOut, packet.DirectionOut}}
	if d.loopback {
		return ways[:1]
	}
	return ways
}

// verify checks that a port captures the interface. The kernel takes the socket off an
// interface that is deleted or leaves the network namespace, and libpcap does not notice
// if another interface has the name by then.
func (d device) verify(p *port) error {
	to, err := unix.Getsockname(p.descriptor())
	if err != nil {
		return err
	}
	if ll, ok := to.(*unix.SockaddrLinklayer); !ok || ll.Ifindex != d.index {
		return errors.New("the interface is gone")
	}
	return nil
}

// survives reports that a port goes on capturing although the library has failed to read
// it. The library asks whether an interface that went down is up again by the name that
// the interface had at first, and before version 1.10 it fails at each interface that goes
// down. The kernel's socket stays on the interface, and what comes can be read.
func (d device) survives(p *port) bool {
	if d.verify(p) != nil {
		return false
	}
	r, err := unix.NewIfreq("")
	if err != nil {
		return false
	}
	r.SetUint32(uint32(d.index))
	if unix.IoctlIfreq(p.descriptor(), unix.SIOCGIFNAME, r) != nil {
		return false
	}
	renamed := r.Name() != d.name
	return renamed || unix.IoctlIfreq(p.descriptor(), unix.SIOCGIFFLAGS, r) == nil && r.Uint16()&unix.IFF_UP == 0
}

// filter installs a program into the kernel's socket. It looks at the direction first,
// which the library's own filters cannot do: those also run in user space, on the packets
// that came before them.
func (s *Source) filter(p *port, _ device) error {
	const packetType = 0xfffff000 + 4 // SKF_AD_OFF + SKF_AD_PKTTYPE
	wanted := instruction{code: ifEqual, k: unix.PACKET_OUTGOING, jf: 1}
	if p.packet.Direction == packet.DirectionOut {
		wanted.jt, wanted.jf = 1, 0
	}
	first := []instruction{{code: loadWord, k: packetType}, wanted, {code: ret}}
	var list []unix.SockFilter
	for _, i := range slices.Concat(first, filterOf(s.selection, p.packet.Link, s.settings.snapLen).code) {
		list = append(list, unix.SockFilter{Code: i.code, Jt: i.jt, Jf: i.jf, K: i.k})
	}
	return unix.SetsockoptSockFprog(p.descriptor(), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(list)), Filter: &list[0]})
}
