//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Counters are those of an interface since it was created.
type Counters struct {
	RxPackets, RxBytes, RxDropped uint64
	TxPackets, TxBytes, TxDropped uint64
}

// Sub returns the difference to an earlier reading.
func (c Counters) Sub(earlier Counters) Counters {
	return Counters{
		RxPackets: c.RxPackets - earlier.RxPackets,
		RxBytes:   c.RxBytes - earlier.RxBytes,
		RxDropped: c.RxDropped - earlier.RxDropped,
		TxPackets: c.TxPackets - earlier.TxPackets,
		TxBytes:   c.TxBytes - earlier.TxBytes,
		TxDropped: c.TxDropped - earlier.TxDropped,
	}
}

// Counters reads the counters of the host's Ethernet interface.
func (h *Host) Counters() (Counters, error) {
	b, err := h.proc("net/dev")
	if err != nil {
		return Counters{}, err
	}
	for line := range strings.Lines(string(b)) {
		name, rest, found := strings.Cut(line, ":")
		if !found || strings.TrimSpace(name) != h.Iface {
			continue
		}
		// receive: bytes packets errs drop fifo frame compressed multicast; then transmit likewise
		f := strings.Fields(rest)
		if len(f) < 12 {
			return Counters{}, fmt.Errorf("read counters of %s: unknown line %q", h.Iface, line)
		}
		var c Counters
		for i, to := range map[int]*uint64{
			0: &c.RxBytes, 1: &c.RxPackets, 3: &c.RxDropped,
			8: &c.TxBytes, 9: &c.TxPackets, 11: &c.TxDropped,
		} {
			if *to, err = strconv.ParseUint(f[i], 10, 64); err != nil {
				return Counters{}, fmt.Errorf("read counters of %s: %w", h.Iface, err)
			}
		}
		return c, nil
	}
	return Counters{}, fmt.Errorf("read counters of %s: no such interface", h.Iface)
}

// RcvbufErrors is the number of UDP datagrams, of both families, that the host
// dropped because a socket's receive buffer was full: packets that passed the
// wire, and that no server ever read.
func RcvbufErrors(h *Host) (uint64, error) {
	return h.snmp("Udp:", "RcvbufErrors", "Udp6RcvbufErrors")
}

// received is the number of packets, of both families, that have reached the host's IP
// layer, which comes after everything that captures.
func (h *Host) received() (uint64, error) {
	return h.snmp("Ip:", "InReceives", "Ip6InReceives")
}

// snmp adds up a counter of both families: a column of a protocol in IPv4, and a name in
// IPv6.
func (h *Host) snmp(protocol, column, name6 string) (uint64, error) {
	v4, err := h.proc("net/snmp")
	if err != nil {
		return 0, err
	}
	v6, err := h.proc("net/snmp6")
	if err != nil {
		return 0, err
	}
	n4, err := snmp4(v4, protocol, column)
	if err != nil {
		return 0, err
	}
	n6, err := snmp6(v6, name6)
	return n4 + n6, err
}

// proc reads a file below /proc/self as the host sees it.
func (h *Host) proc(path string) (b []byte, err error) {
	err = h.Do(func() error {
		b, err = os.ReadFile("/proc/thread-self/" + path)
		return err
	})
	return b, err
}

// snmp4 finds a protocol's column of /proc/net/snmp, which names the columns of
// each protocol on one line and gives the values on the next.
func snmp4(b []byte, protocol, column string) (uint64, error) {
	var names []string
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) == 0 || f[0] != protocol:
		case names == nil:
			names = f
		default:
			for i, name := range names {
				if name == column && i < len(f) {
					return strconv.ParseUint(f[i], 10, 64)
				}
			}
		}
	}
	return 0, fmt.Errorf("read counters of %s no column %s", protocol, column) // protocol ends in a colon
}

func snmp6(b []byte, name string) (uint64, error) {
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) == 2 && f[0] == name {
			return strconv.ParseUint(f[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("read IPv6 counters: no line %s", name)
}
