package capture

import "dnsmonster-sensor/userspace/packet"

// Selection says which packets a live input delivers. An input may deliver more, if its
// kernel cannot tell: the worker looks at every packet again.
type Selection struct {
	Ports []uint16 // UDP and TCP; a packet matches by either of its ports

	// Sample is the ratio; the zero value is all. An input that cannot sample leaves
	// the Sample of its packets zero, and the worker samples them.
	Sample       packet.Ratio
	FlowSampling bool // sample UDP by conversation, not by packet

	SnapLen       uint32 // bytes of a frame to deliver; 0 is all
	FragmentQuota uint32 // fragments of unknown datagrams to deliver, per second and CPU, if the input can tell them

	// Decap lists the tunnels to look into, by the numbers of packet.Tunnel, or PPPoE.
	// TunnelPorts says which UDP ports carry which tunnels, including those that are
	// not in Decap.
	Decap       []uint8
	TunnelPorts []packet.TunnelPort
}

// PPPoE is a tunnel for Selection.Decap that packet.Tunnel does not have.
const PPPoE uint8 = 31

// MaxTunnelPorts bounds Selection.TunnelPorts.
const MaxTunnelPorts = 32
