package packet

// Tunnel is what a packet was encapsulated in, the innermost one of several.
type Tunnel uint8

// Tunnels. The zero value is none. The numbers are stored in spools and known to the
// kernel program, whose list a test compares with this one: a new one goes to the end.
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

	// TunnelLast is the highest number.
	TunnelLast = tunnels - 1
)

// tunnelKinds has the word for each tunnel in records and options, and the UDP ports
// that usually carry it.
var tunnelKinds = [tunnels]struct {
	word  string
	ports []uint16
}{
	TunnelVXLAN:      {"vxlan", []uint16{4789, 8472}}, // the second one is Linux's
	TunnelVXLANGPE:   {"vxlan-gpe", []uint16{4790}},
	TunnelGENEVE:     {"geneve", []uint16{6081}},
	TunnelGRE:        {"gre", nil},
	TunnelERSPAN:     {"erspan", nil},
	TunnelIPIP:       {"ipip", nil},
	Tunnel6in4:       {"6in4", nil},
	Tunnel4in6:       {"4in6", nil},
	Tunnel6in6:       {"6in6", nil},
	TunnelTeredo:     {"teredo", []uint16{3544}},
	TunnelGTP:        {"gtp", []uint16{2152}},
	TunnelMPLS:       {"mpls", nil},
	TunnelGREUDP:     {"gre-udp", []uint16{4754, 4755}}, // 4755: also encrypted, which does not look like GRE
	TunnelMPLSUDP:    {"mpls-udp", []uint16{6635}},
	TunnelTZSP:       {"tzsp", []uint16{37008}}, // not registered
	TunnelL2TP:       {"l2tp", []uint16{1701}},
	TunnelNSH:        {"nsh", nil},
	TunnelLISP:       {"lisp", []uint16{4341}},
	TunnelEtherIP:    {"etherip", nil},
	TunnelPBB:        {"pbb", nil},
	TunnelTRILL:      {"trill", nil},
	TunnelFabricPath: {"fabricpath", nil},
}

// Tunnels lists all tunnels.
func Tunnels() []Tunnel {
	list := make([]Tunnel, TunnelLast)
	for i := range list {
		list[i] = Tunnel(i + 1)
	}
	return list
}

// String returns the word for t in records and options, "" for none.
func (t Tunnel) String() string {
	if t < tunnels {
		return tunnelKinds[t].word
	}
	return "unknown"
}

// ParseTunnel is the reverse of String. It knows no word for TunnelNone.
func ParseTunnel(word string) (Tunnel, bool) {
	for t := TunnelVXLAN; t < tunnels; t++ {
		if tunnelKinds[t].word == word {
			return t, true
		}
	}
	return TunnelNone, false
}

// TunnelPort is a UDP port that carries a tunnel.
type TunnelPort struct {
	Number uint16
	Tunnel Tunnel
}

// UsualTunnelPorts lists the usual ports of all tunnels that have some, tunnel by
// tunnel.
func UsualTunnelPorts() (list []TunnelPort) {
	for t, k := range tunnelKinds {
		for _, port := range k.ports {
			list = append(list, TunnelPort{port, Tunnel(t)})
		}
	}
	return list
}

// UsualPorts returns the UDP ports that usually carry t, none if it does not run over
// UDP. The caller must not change them.
func (t Tunnel) UsualPorts() []uint16 { return tunnelKinds[t].ports }
