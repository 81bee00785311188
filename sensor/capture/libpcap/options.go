// Package libpcap is the live input for systems without eBPF and AF_PACKET: macOS, the
// BSDs, and Windows with Npcap. Linux has it, too. A handle of libpcap on an interface
// brings packets, which are copied once into buffers of the lanes.
//
// It is part of builds with cgo and the tag libpcap, and of all builds for Windows, where
// Npcap's library is loaded when it is needed. In other builds Supported says how to make
// one.
//
// Package watch says on which interfaces the handles are. We call the library ourselves:
// package gopacket/pcap makes errors of the library's warnings (an interface that cannot
// be promiscuous could not be captured), takes a call into C for each packet, and loads
// Npcap, or panics, before main begins. It must not import another input. Its tests send
// frames over veth pairs, in network namespaces of their own.
package libpcap

import (
	"net/netip"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/userspace/packet"
)

// Options says what to capture, and how.
type Options struct {
	Watch       watch.Options
	Select      capture.Selection
	Lanes       int
	Choose      func(*packet.Packet) packet.Hash // chooses a packet's lane; several goroutines call it. nil: all are on the first lane
	BufferBytes int                              // half for what the lanes have not read, half for the system's buffers; 0 is DefaultBufferBytes
}

// DefaultBufferBytes is the usual Options.BufferBytes.
const DefaultBufferBytes = 64 << 20

// Device is an interface, or another device that libpcap can capture.
type Device struct {
	Name        string // that Options.Watch takes
	Description string // "" if the system has none
	Addresses   []netip.Addr
	Up          bool
	Loopback    bool
}
