package dnstap

import (
	"fmt"
	"strings"

	"dnsmonster-sensor/userspace/packet"
)

// Type is the type of a Message: who saw it, and whether it is a query or a response.
// Queries are odd.
type Type uint32

// The types of dnstap.proto.
const (
	AuthQuery Type = 1 + iota
	AuthResponse
	ResolverQuery
	ResolverResponse
	ClientQuery
	ClientResponse
	ForwarderQuery
	ForwarderResponse
	StubQuery
	StubResponse
	ToolQuery
	ToolResponse
	UpdateQuery
	UpdateResponse
)

// roles are the words for types, two types each.
var roles = [...]string{"auth", "resolver", "client", "forwarder", "stub", "tool", "update"}

// Known reports whether the type is in dnstap.proto.
func (t Type) Known() bool { return t >= 1 && uint64(t) <= 2*uint64(len(roles)) }

// IsResponse reports whether a known type names the response.
func (t Type) IsResponse() bool { return t%2 == 0 }

// Other is the other type of the same role: for a response type, the query type.
func (t Type) Other() Type { return (t - 1) ^ 1 + 1 }

// Role is the word for who saw the message, "" for an unknown type.
func (t Type) Role() string {
	if !t.Known() {
		return ""
	}
	return roles[(t-1)/2]
}

// typeNames are the names in dnstap.proto.
var typeNames = func() (names [1 + 2*len(roles)]string) {
	for t := AuthQuery; t.Known(); t += 2 {
		role := strings.ToUpper(t.Role())
		names[t], names[t+1] = role+"_QUERY", role+"_RESPONSE"
	}
	return names
}()

// String is the type's name in dnstap.proto, or its number.
func (t Type) String() string { return nameOf(uint32(t), typeNames[:]) }

// Types is a set of types. Types that dnstap.proto does not name are one element.
type Types uint32

// AllTypes is the set of all types.
const AllTypes Types = 1<<32 - 1

// Has reports whether a type is in the set.
func (s Types) Has(t Type) bool {
	if !t.Known() {
		t = 0
	}
	return s>>t&1 != 0
}

// ParseTypes makes a set from words: client, resolver, auth, forwarder, stub, tool,
// update; all is every type, known or not.
func ParseTypes(words []string) (Types, error) {
	var s Types
next:
	for _, w := range words {
		if w == "all" {
			return AllTypes, nil
		}
		for i, role := range roles {
			if w == role {
				s |= 3 << (2*i + 1)
				continue next
			}
		}
		return 0, fmt.Errorf("%q is not one of all, client, resolver, auth, forwarder, stub, tool, update", w)
	}
	return s, nil
}

// Protocol is a socket protocol.
type Protocol uint32

// protos are our carriers by dnstap's numbers.
var protos = [...]packet.Proto{
	1: packet.UDP, 2: packet.TCP, 3: packet.DoT, 4: packet.DoH, 5: packet.DNSCryptUDP, 6: packet.DNSCryptTCP, 7: packet.DoQ,
}

// Proto is the carrier. A number that this build does not know is kept.
func (p Protocol) Proto() packet.Proto {
	if uint64(p) < uint64(len(protos)) { // int has 32 bits on some processors
		return protos[p]
	}
	return packet.NumberedProto(uint32(p))
}

// ProtocolOf is dnstap's number for a carrier, 0 for none.
func ProtocolOf(p packet.Proto) Protocol {
	for number, proto := range protos {
		if proto == p {
			return Protocol(number)
		}
	}
	number, _ := p.Number()
	return Protocol(number)
}
