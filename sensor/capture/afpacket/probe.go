//go:build linux

package afpacket

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture"
)

// Supported returns an error that says why this back end cannot be used here, nil if it
// can. It opens a socket with a small ring, which receives nothing, and closes it.
func Supported() error {
	s, err := openSocket(geometry{block: minBlock, blocks: 2, retire: retireAfter}, false, false)
	if err != nil {
		return err
	}
	defer s.close()
	code, err := filter(capture.Selection{Ports: []uint16{53}}, false, maxRanges)
	if err != nil {
		return err
	}
	if err := s.setFilter(code); err != nil {
		return err
	}
	if err := s.setFilter(dropAll); err != nil {
		return err
	}
	return s.bind(0)
}

// CanSpread returns an error that says why all packets go to one lane here, nil if they
// are spread among the lanes.
func CanSpread() error {
	s, err := openSocket(geometry{block: minBlock, blocks: 2, retire: retireAfter}, false, false)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.bind(0); err != nil {
		return err
	}
	code, err := spread(capture.Selection{})
	if err != nil {
		return err
	}
	if _, err := s.join(0, true, false); err != nil {
		return fmt.Errorf("all packets go to one worker: this kernel has no fanout groups with a program and unique numbers (Linux 4.11): %w", err)
	}
	return s.setSpread(code)
}

// explainSocket says how to get a packet socket.
func explainSocket(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		if hasNetRaw() {
			return fmt.Errorf("packet socket: %w, despite CAP_NET_RAW: a seccomp filter or security module must allow socket(AF_PACKET)", err)
		}
		return fmt.Errorf("packet socket: %w: missing CAP_NET_RAW (run as root, or once: sudo setcap cap_net_raw+ep %s; docker: --cap-add NET_RAW)", err, self())
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("packet socket: %w: sudo modprobe af_packet, or allow it in the seccomp filter (systemd: RestrictAddressFamilies=AF_PACKET)", err)
	}
	return fmt.Errorf("packet socket: %w", err)
}

// explainRing says what to do about a ring that cannot be had.
func explainRing(g geometry, err error) error {
	if errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.ENOBUFS) {
		return fmt.Errorf("packet socket: no memory for a ring of %d KiB: use a smaller --afpacketbuffersizemb, or fewer --workers or interfaces: %w", g.block*g.blocks>>10, err)
	}
	return fmt.Errorf("packet socket: make a ring of %d blocks of %d KiB: %w", g.blocks, g.block>>10, err)
}

func hasNetRaw() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_NET_RAW) != 0
}

func self() string {
	path, err := os.Executable()
	if err != nil {
		return "PROGRAM"
	}
	return path
}
