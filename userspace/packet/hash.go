package packet

import "encoding/binary"

// Constants of the lane hash. The kernel program (bpf/hash.h) computes the same hash, and
// a test compares the two. It is symmetric: a query and its response have one hash.
const (
	hashK1 = 0x9e3779b97f4a7c15
	hashK2 = 0xc2b2ae3d27d4eb4f
	hashK3 = 0x165667b19e3779f9
	hashK4 = 0x27d4eb2f165667c5
	hashK5 = 0xd6e8feb86659fd93
)

// Hash is a lane hash. Its upper half chooses the lane, and its lower half decides
// sampling, so that neither skews the other.
type Hash uint64

// HashPair hashes a pair of addresses, for TCP and for fragments. Both are 4 bytes or
// both are 16.
func HashPair(src, dst []byte) Hash {
	return finish(sumPair(fold(src), fold(dst)))
}

// HashFlow hashes addresses and ports, for whole UDP datagrams.
func HashFlow(src, dst []byte, sport, dport uint16) Hash {
	return hashFlow(fold(src), fold(dst), sport, dport)
}

// HashFlow4 is HashFlow for callers that know that the addresses are of IPv4.
func HashFlow4(src, dst *[4]byte, sport, dport uint16) Hash {
	return hashFlow(fold4(src), fold4(dst), sport, dport)
}

// HashFlow6 is the same for IPv6.
func HashFlow6(src, dst *[16]byte, sport, dport uint16) Hash {
	return hashFlow(fold6(src), fold6(dst), sport, dport)
}

func hashFlow(src, dst uint64, sport, dport uint16) Hash {
	return finish(sumPair(src, dst) + uint64(sport^dport)*hashK3 + (uint64(sport)+uint64(dport))*hashK4)
}

func fold(addr []byte) uint64 {
	if len(addr) == 4 {
		return fold4((*[4]byte)(addr))
	}
	return fold6((*[16]byte)(addr))
}

func fold4(addr *[4]byte) uint64 { return uint64(binary.LittleEndian.Uint32(addr[:])) }

func fold6(addr *[16]byte) uint64 {
	return binary.LittleEndian.Uint64(addr[:8])*hashK5 ^ binary.LittleEndian.Uint64(addr[8:])
}

func sumPair(s, d uint64) uint64 { return (s^d)*hashK1 + (s+d)*hashK2 }

func finish(h uint64) Hash {
	h ^= h >> 32
	h *= hashK5
	h ^= h >> 29
	return Hash(h)
}

// Lane chooses one of n lanes.
func (h Hash) Lane(n int) int { return int(uint64(h) >> 32 * uint64(n) >> 32) }

// Sampled reports whether sampling at a ratio keeps packets with this hash.
func (h Hash) Sampled(r Ratio) bool { return r.Of == 0 || uint32(h)%r.Of < r.Keep }
