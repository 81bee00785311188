package packet

// Tunnel is what a packet was wrapped in, the innermost wrapping where there
// were several.
type Tunnel uint8

// Tunnels. The zero value is none.
const (
	TunnelNone Tunnel = iota
	TunnelVXLAN
	TunnelVXLANGPE
	TunnelGENEVE
	TunnelGRE
	TunnelERSPAN
	TunnelIPIP // IPv4 in IPv4
	Tunnel6in4
	Tunnel4in6
	Tunnel6in6
	TunnelTeredo
	TunnelGTP
	TunnelMPLS // a pseudowire or MPLS over IP; labels alone are no tunnel
	TunnelGREUDP
	TunnelMPLSUDP
	TunnelTZSP
	TunnelL2TP
	TunnelNSH
	TunnelLISP
	TunnelEtherIP
	TunnelPBB // MAC in MAC
	TunnelTRILL
	TunnelFabricPath
	tunnels

	// TunnelLast is the last one. The numbers are stored in spools and known to
	// the kernel's program: a new one goes to the end.
	TunnelLast = tunnels - 1
)

var tunnelNames = [tunnels]string{
	"", "vxlan", "vxlan-gpe", "geneve", "gre", "erspan", "ipip", "6in4", "4in6", "6in6", "teredo", "gtp", "mpls",
	"gre-udp", "mpls-udp", "tzsp", "l2tp", "nsh", "lisp", "etherip", "pbb", "trill", "fabricpath",
}

// String gives the word that records and options use, "" for none.
func (t Tunnel) String() string {
	if t < tunnels {
		return tunnelNames[t]
	}
	return "unknown"
}

// ParseTunnel is the reverse of String. It knows no word for TunnelNone.
func ParseTunnel(name string) (Tunnel, bool) {
	for t := TunnelVXLAN; t < tunnels; t++ {
		if tunnelNames[t] == name {
			return t, true
		}
	}
	return TunnelNone, false
}

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
