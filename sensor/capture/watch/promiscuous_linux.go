package watch

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// promiscuous is the promiscuous mode of an interface. It belongs to a socket: the
// kernel ends it with the process, however that ends. Several programs can request
// it at the same time.
type promiscuous struct{ socket int }

func beginPromiscuous(index int) (*promiscuous, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // protocol 0: receives nothing
	if err != nil {
		return nil, fmt.Errorf("set promiscuous mode: open packet socket (needs CAP_NET_RAW): %w", err)
	}
	m := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set promiscuous mode: %w", err)
	}
	return &promiscuous{fd}, nil
}

// end may be called for nil.
func (p *promiscuous) end() {
	if p != nil {
		unix.Close(p.socket)
	}
}
