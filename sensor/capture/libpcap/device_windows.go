package libpcap

import (
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/userspace/packet"
)

const (
	// watchIsPromiscuous says that package watch sets promiscuous mode.
	watchIsPromiscuous = false
	// knowsInterfaceDrops says that the library reports what interfaces drop.
	knowsInterfaceDrops = false
)

// Supported says what keeps this process from capturing, nil for nothing.
func Supported() error { return load() }

// device is an interface.
type device struct {
	name  string
	index int
}

func findDevice(index int) (device, error) {
	name, err := watch.DeviceName(index)
	return device{name, index}, err
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
	_, err := watch.DeviceName(d.index)
	return err
}

// survives is false: a handle that fails is replaced by a new one.
func (d device) survives(*port) bool { return false }

// filter installs a program. This also throws away packets that came before the handle
// had its direction.
func (s *Source) filter(p *port, _ device) error {
	return p.setFilter(filterOf(s.selection, p.packet.Link, s.settings.snapLen).code)
}
