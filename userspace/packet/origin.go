package packet

// Origin is where a packet was seen: what records show beside the addresses,
// and what keeps apart datagrams and streams that share their addresses.
type Origin struct {
	Path      uint64 // tells tunnels apart: their kinds, numbers and end points; 0 outside of one
	Sample    Ratio
	Interface uint32
	VLAN      uint16 // the outermost tag's TCI, if HasVLAN
	HasVLAN   bool
	Direction Direction
	Tunnel    Tunnel
}

// Scope is the part of an Origin that two packets of one datagram or stream
// have in common.
type Scope struct {
	Path      uint64
	Interface uint32
	VLAN      uint16 // the VLAN's number, with bit 12 set where there is a tag: priorities differ within a stream
}

// Scope returns what stays the same.
func (o *Origin) Scope() Scope {
	p := Scope{Path: o.Path, Interface: o.Interface}
	if o.HasVLAN {
		p.VLAN = o.VLAN&0x0fff | 0x1000
	}
	return p
}
