//go:build libpcap && cgo && !linux && !windows

package libpcap

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/userspace/packet"
)

const (
	// rightsHint is for errors of permission.
	rightsHint = "this needs to read and write /dev/bpf*: run as root, or add the user to the group that owns /dev/bpf*"
	// watchIsPromiscuous says that package watch sets promiscuous mode.
	watchIsPromiscuous = false
	// knowsInterfaceDrops says that the library reports what interfaces drop.
	knowsInterfaceDrops = false
)

// Supported says what keeps this process from capturing, nil for nothing. The first
// device may be busy.
func Supported() error {
	for _, path := range []string{"/dev/bpf", "/dev/bpf0"} {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		switch {
		case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
			return fmt.Errorf("libpcap may not open %s (%s)", path, rightsHint)
		case err == nil:
			return unix.Close(fd)
		}
	}
	return nil
}

// device is an interface.
type device struct {
	name  string
	index int
}

func findDevice(index int) (device, error) {
	i, err := net.InterfaceByIndex(index)
	if err != nil {
		return device{}, err
	}
	return device{i.Name, index}, nil
}

// way is a direction that a handle shall have.
type way struct {
	of direction
	is packet.Direction
}

// directions of the handles.
func (d device) directions() []way {
	return []way{{directionIn, packet.DirectionIn}, {directionOut, packet.DirectionOut}}
}

// verify checks that the interface still exists. Reading finds out, too.
func (d device) verify(*port) error {
	i, err := net.InterfaceByIndex(d.index)
	if err == nil && i.Name != d.name {
		err = errors.New("the interface is gone")
	}
	return err
}

// survives is false: a handle that fails is replaced by a new one.
func (d device) survives(*port) bool { return false }

// filter installs a program. This also throws away packets that came before the handle
// had its direction.
func (s *Source) filter(p *port, _ device) error {
	return p.setFilter(filterOf(s.selection, p.packet.Link, s.settings.snapLen).code)
}
