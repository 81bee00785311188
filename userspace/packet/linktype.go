package packet

import (
	"fmt"
	"slices"
	"strings"
)

// LinkType says what Packet.Data starts with, in the numbers of
// https://www.tcpdump.org/linktypes.html, whatever the source.
type LinkType uint16

// The link types that the decoder knows.
const (
	LinkNull      LinkType = 0   // BSD loopback: a 4-byte address family in the writer's byte order
	LinkEthernet  LinkType = 1   // Ethernet II and 802.3
	LinkPPP       LinkType = 9   // PPP, with or without HDLC framing
	LinkFDDI      LinkType = 10  // FDDI, LLC inside
	LinkPPPHDLC   LinkType = 50  // PPP with HDLC framing, or Cisco's HDLC
	LinkPPPoE     LinkType = 51  // a PPPoE session packet
	LinkRaw       LinkType = 101 // an IPv4 or IPv6 header, told apart by its version
	LinkHDLC      LinkType = 104 // Cisco's HDLC
	LinkWLAN      LinkType = 105 // IEEE 802.11
	LinkLoop      LinkType = 108 // OpenBSD loopback: as LinkNull, in network byte order
	LinkEnc       LinkType = 109 // OpenBSD's IPsec interface
	LinkSLL       LinkType = 113 // Linux cooked capture v1
	LinkPFLog     LinkType = 117 // pf's log
	LinkPrism     LinkType = 119 // IEEE 802.11 after a Prism header
	LinkRadiotap  LinkType = 127 // IEEE 802.11 after a radiotap header
	LinkAVS       LinkType = 163 // IEEE 802.11 after an AVS header
	LinkJuniper   LinkType = 178 // a Juniper router's Ethernet
	LinkPPI       LinkType = 192 // per-packet information, in front of a header of another type
	LinkERF       LinkType = 197 // Endace's record of an Ethernet frame
	LinkPPPDir    LinkType = 204 // PPP after a direction
	LinkMPLS      LinkType = 219 // a label stack
	LinkIPv4      LinkType = 228 // an IPv4 header
	LinkIPv6      LinkType = 229 // an IPv6 header
	LinkNFLog     LinkType = 239 // Linux' netfilter log
	LinkPacketTap LinkType = 258 // Apple's, in front of a header of another type
	LinkSLL2      LinkType = 276 // Linux cooked capture v2
)

// LinkDnstap is no link type: Data is the payload of a dnstap frame. No capture file can
// name it.
const LinkDnstap LinkType = 1<<16 - 1

// linkFamilies has all of them, by the names that people know.
var linkFamilies = []struct {
	name  string
	types []LinkType
}{
	{"Ethernet", []LinkType{LinkEthernet}},
	{"Linux cooked", []LinkType{LinkSLL, LinkSLL2}},
	{"raw IP", []LinkType{LinkRaw, LinkIPv4, LinkIPv6}},
	{"IEEE 802.11", []LinkType{LinkWLAN, LinkRadiotap, LinkPrism, LinkAVS}},
	{"BSD loopback", []LinkType{LinkNull, LinkLoop}},
	{"PPP", []LinkType{LinkPPP, LinkPPPHDLC, LinkPPPoE, LinkPPPDir}},
	{"HDLC", []LinkType{LinkHDLC}},
	{"MPLS", []LinkType{LinkMPLS}},
	{"FDDI", []LinkType{LinkFDDI}},
	{"NFLOG", []LinkType{LinkNFLog}},
	{"PFLOG", []LinkType{LinkPFLog}},
	{"ENC", []LinkType{LinkEnc}},
	{"PKTAP", []LinkType{LinkPacketTap}},
	{"PPI", []LinkType{LinkPPI}},
	{"ERF", []LinkType{LinkERF}},
	{"Juniper Ethernet", []LinkType{LinkJuniper}},
}

// KnownLink reports whether the decoder knows a link type.
func KnownLink(l LinkType) bool {
	for i := range linkFamilies {
		if slices.Contains(linkFamilies[i].types, l) {
			return true
		}
	}
	return false
}

// LinkTypeOf returns the link type for a number in a file. Raw IP has other numbers
// on some systems.
func LinkTypeOf(number uint16) LinkType {
	const rawOnMost, rawOnOpenBSD = 12, 14 // DLT_RAW, which some programs write to files
	if number == rawOnMost || number == rawOnOpenBSD {
		return LinkRaw
	}
	if LinkType(number) == LinkDnstap { // in a file it is as unknown as its neighbour
		return LinkDnstap - 1
	}
	return LinkType(number)
}

// ParseLinkType is LinkTypeOf, with an error where the decoder does not know the type.
func ParseLinkType(number uint16) (LinkType, error) {
	l := LinkTypeOf(number)
	if KnownLink(l) {
		return l, nil
	}
	var names []string
	for _, f := range linkFamilies {
		names = append(names, f.name)
	}
	return l, fmt.Errorf("link type %d is not supported (see tcpdump.org/linktypes.html); supported: %s", number, strings.Join(names, ", "))
}
