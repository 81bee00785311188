package decode

// tagLen returns how many bytes of a tag other than a VLAN's stand before the
// Ethernet type of what follows: 0 where kind is none, or nothing readable
// follows.
func tagLen(kind uint16, b []byte) int {
	const version, secret, hasChannel = 0x80, 0x0c, 0x20 // of MACsec's first byte
	switch kind {
	case etherVNTag, etherHSR, etherRTag:
		return 4
	case etherETag:
		return 6
	case etherCMD:
		if len(b) < 2 {
			return 2
		}
		return 2 + int(b[1])*4
	case etherMACsec: // IEEE 802.1AE, where the data are only authenticated
		switch {
		case len(b) == 0 || b[0]&(version|secret) == 0 && b[0]&hasChannel == 0:
			return 6
		case b[0]&(version|secret) == 0:
			return 14
		}
	}
	return 0
}
