package packet

// Origin is where a packet was seen: what records show beside the addresses, and what
// tells datagrams and streams apart that share their addresses.
type Origin struct {
	Path      uint64 // tells tunnels apart by their kinds, numbers and end points; 0: no tunnel
	Sample    Ratio
	Interface uint32
	VLAN      uint16 // the outermost tag's TCI, if HasVLAN
	HasVLAN   bool
	Direction Direction
	Tunnel    Tunnel
}

// Scope is the part of an Origin that all packets of a datagram or stream have in
// common. Addresses and ports identify one only within a scope.
type Scope struct {
	Path      uint64
	Interface uint32
	VLAN      uint16 // the VLAN's number, with bit 12 set if there is a tag; without the priority, which can differ within a stream
}

// Scope returns the scope of o.
func (o *Origin) Scope() Scope {
	p := Scope{Path: o.Path, Interface: o.Interface}
	if o.HasVLAN {
		p.VLAN = o.VLAN&0x0fff | 0x1000
	}
	return p
}
