package columns

// ID names a column. It is an index into the table, and is never stored.
type ID uint8

// Columns, in the order of the docs.
const (
	PacketTime ID = iota
	QueryTime
	ResponseTime
	IndexTime
	Server
	Identity
	Version
	Interface
	Direction
	IPVersion
	SrcIP
	SrcPort
	DstIP
	DstPort
	Protocol
	ProtocolShort
	IPProtocol
	VLAN
	Tunnel
	SampleRate
	Length
	CaptureCut
	MessageID
	Response
	Opcode
	Authoritative
	Truncated
	RecursionDesired
	RecursionAvailable
	AuthenticData
	CheckingDisabled
	Rcode
	Questions
	Answers
	Authorities
	Additionals
	QName
	QType
	QClass
	EDNS
	EDNSVersion
	EDNSUDPSize
	ClientSubnet
	ExtendedErrors
	DO
	AnswerName
	AnswerType
	AnswerTTL
	AnswerData
	Malformed
	Message
	FullRecord

	// Count is the number of columns.
	Count int = iota
)

// Column returns the column's line in the table.
func (id ID) Column() *Column { return &table[id] }

var table = [Count]Column{
	PacketTime: {Name: "timestamp", Kind: Time, Time: (*Row).PacketTime,
		Doc: "when the packet that completed the message was captured"},
	QueryTime: {Name: "query_time", Kind: Time, Time: (*Row).QueryTime, Present: (*Row).hasQueryTime,
		Doc: "when the server saw the query (dnstap)", Absent: "not given by the source"},
	ResponseTime: {Name: "response_time", Kind: Time, Time: (*Row).ResponseTime, Present: (*Row).hasResponseTime,
		Doc: "when the server saw the response (dnstap)", Absent: "not given by the source"},
	IndexTime: {Name: "index_time", Kind: Time, Time: (*Row).IndexTime,
		Doc: "when the row was written"},
	Server: {Name: "server", Kind: Text, Append: (*Row).Server,
		Doc: "`--servername`"},
	Identity: {Name: "identity", Kind: Bytes, Append: (*Row).Identity, Present: (*Row).hasIdentity,
		Doc: "name of the server that reported the message (dnstap)", Absent: "not given by the source"},
	Version: {Name: "version", Kind: Bytes, Append: (*Row).Version, Present: (*Row).hasVersion,
		Doc: "version of that server (dnstap)", Absent: "not given by the source"},
	Interface: {Name: "interface", Kind: Text, Append: (*Row).Interface, Present: (*Row).hasInterface,
		Doc: "name of the interface at the time of the packet", Absent: "unknown"},
	Direction: {Name: "direction", Kind: Text, Chars: 3, Append: (*Row).Direction, Present: (*Row).hasDirection,
		Doc: "in or out, as seen from the capturing host", Absent: "unknown"},
	IPVersion: {Name: "ip_version", Kind: Uint, Bits: 3, Uint: (*Row).IPVersion, Present: (*Row).hasIPVersion,
		Doc: "4 or 6; an IPv4-mapped address counts as 6", Absent: "both addresses are unknown"},
	SrcIP: {Name: "src_ip", Kind: Addr, Addr: (*Row).SrcIP, Present: (*Row).hasSrcIP,
		Doc: "source address", Absent: "unknown"},
	SrcPort: {Name: "src_port", Kind: Uint, Bits: 16, Uint: (*Row).SrcPort, Present: (*Row).hasSrcPort,
		Doc: "source port", Absent: "unknown"},
	DstIP: {Name: "dst_ip", Kind: Addr, Addr: (*Row).DstIP, Present: (*Row).hasDstIP,
		Doc: "destination address", Absent: "unknown"},
	DstPort: {Name: "dst_port", Kind: Uint, Bits: 16, Uint: (*Row).DstPort, Present: (*Row).hasDstPort,
		Doc: "destination port", Absent: "unknown"},
	Protocol: {Name: "protocol", Kind: Text, Chars: 11, Append: (*Row).Protocol, Present: (*Row).hasProtocol,
		Doc: "udp, tcp, dot, doh, doq, dnscryptudp, dnscrypttcp, or dnstap's number for another one", Absent: "not given by the source"},
	ProtocolShort: {Name: "protocol_short", Kind: Text, Chars: 3, Append: (*Row).ProtocolShort, Present: (*Row).hasProtocol,
		Doc: "protocol in three characters: dcu for dnscryptudp, dct for dnscrypttcp", Absent: "not given by the source"},
	IPProtocol: {Name: "ip_protocol", Kind: Uint, Bits: 8, Uint: (*Row).IPProtocol, Present: (*Row).hasIPProtocol,
		Doc: "protocol number in the IP header: 17 for udp, doq and dnscryptudp, 6 for the others", Absent: "not given by the source, or only as a number of dnstap's"},
	VLAN: {Name: "vlan", Kind: Uint, Bits: 12, Uint: (*Row).VLAN, Present: (*Row).hasVLAN,
		Doc: "id of the outermost VLAN", Absent: "no tag"},
	Tunnel: {Name: "tunnel", Kind: Text, Chars: 10, Append: (*Row).Tunnel, Present: (*Row).hasTunnel,
		Doc: "encapsulation of the packet", Absent: "no tunnel"},
	SampleRate: {Name: "sample_rate", Kind: Float, Float: (*Row).SampleRate,
		Doc: "how many messages this one stands for; 1 without sampling"},
	Length: {Name: "length", Kind: Uint, Bits: 32, Uint: (*Row).Length,
		Doc: "bytes of the message on the wire"},
	CaptureCut: {Name: "capture_cut", Kind: Uint, Bits: 32, Uint: (*Row).CaptureCut,
		Doc: "bytes at the end of the message that were not captured"},
	MessageID: {Name: "id", Kind: Uint, Bits: 16, Uint: (*Row).MessageID,
		Doc: "message id"},
	Response: {Name: "response", Kind: Bool, Uint: (*Row).Response,
		Doc: "QR: 1 for a response"},
	Opcode: {Name: "opcode", Kind: Uint, Bits: 4, Uint: (*Row).Opcode,
		Doc: "opcode"},
	Authoritative: {Name: "aa", Kind: Bool, Uint: (*Row).Authoritative,
		Doc: "AA: authoritative answer"},
	Truncated: {Name: "tc", Kind: Bool, Uint: (*Row).Truncated,
		Doc: "TC: truncated"},
	RecursionDesired: {Name: "rd", Kind: Bool, Uint: (*Row).RecursionDesired,
		Doc: "RD: recursion desired"},
	RecursionAvailable: {Name: "ra", Kind: Bool, Uint: (*Row).RecursionAvailable,
		Doc: "RA: recursion available"},
	AuthenticData: {Name: "ad", Kind: Bool, Uint: (*Row).AuthenticData,
		Doc: "AD: authentic data"},
	CheckingDisabled: {Name: "cd", Kind: Bool, Uint: (*Row).CheckingDisabled,
		Doc: "CD: checking disabled"},
	Rcode: {Name: "rcode", Kind: Uint, Bits: 12, Uint: (*Row).Rcode,
		Doc: "response code, with the upper bits from the OPT record"},
	Questions: {Name: "question_count", Kind: Uint, Bits: 16, Uint: (*Row).Questions,
		Doc: "QDCOUNT"},
	Answers: {Name: "answer_count", Kind: Uint, Bits: 16, Uint: (*Row).Answers,
		Doc: "ANCOUNT"},
	Authorities: {Name: "authority_count", Kind: Uint, Bits: 16, Uint: (*Row).Authorities,
		Doc: "NSCOUNT"},
	Additionals: {Name: "additional_count", Kind: Uint, Bits: 16, Uint: (*Row).Additionals,
		Doc: "ARCOUNT"},
	QName: {Name: "qname", Kind: Text, Append: (*Row).QName, Present: (*Row).hasQuestion,
		Doc: "name of the row's question, in presentation format with the final dot", Absent: "no question"},
	QType: {Name: "qtype", Kind: Uint, Bits: 16, Uint: (*Row).QType, Present: (*Row).hasQuestion,
		Doc: "type of the row's question", Absent: "no question"},
	QClass: {Name: "qclass", Kind: Uint, Bits: 16, Uint: (*Row).QClass, Present: (*Row).hasQuestion,
		Doc: "class of the row's question", Absent: "no question"},
	EDNS: {Name: "edns", Kind: Bool, Uint: (*Row).EDNS,
		Doc: "1 if there is an OPT record"},
	EDNSVersion: {Name: "edns_version", Kind: Uint, Bits: 8, Uint: (*Row).EDNSVersion, Present: (*Row).hasEDNS,
		Doc: "EDNS version", Absent: "no OPT record"},
	EDNSUDPSize: {Name: "edns_udp_size", Kind: Uint, Bits: 16, Uint: (*Row).EDNSUDPSize, Present: (*Row).hasEDNS,
		Doc: "largest UDP message that the sender accepts", Absent: "no OPT record"},
	ClientSubnet: {Name: "client_subnet", Kind: Text, Chars: 43, Append: (*Row).ClientSubnet, Present: (*Row).hasClientSubnet,
		Doc: "EDNS client subnet: address and length of the prefix", Absent: "none, or one that cannot be read"},
	ExtendedErrors: {Name: "extended_errors", Kind: Uints, Bits: 16, Uints: (*Row).ExtendedErrors, Present: (*Row).hasExtendedErrors,
		Doc: "codes of the extended DNS errors", Absent: "none"},
	DO: {Name: "do", Kind: Bool, Uint: (*Row).DO,
		Doc: "DO: DNSSEC OK"},
	AnswerName: {Name: "answer_name", Kind: Texts, Texts: (*Row).AnswerName, Present: (*Row).hasAnswers,
		Doc: "owner of each answer, in presentation format with the final dot", Absent: "no answer, or not the message's first row"},
	AnswerType: {Name: "answer_type", Kind: Uints, Bits: 16, Uints: (*Row).AnswerType, Present: (*Row).hasAnswers,
		Doc: "type of each answer", Absent: "no answer, or not the message's first row"},
	AnswerTTL: {Name: "answer_ttl", Kind: Uints, Bits: 32, Uints: (*Row).AnswerTTL, Present: (*Row).hasAnswers,
		Doc: "time to live of each answer", Absent: "no answer, or not the message's first row"},
	AnswerData: {Name: "answer_data", Kind: Texts, Texts: (*Row).AnswerData, Present: (*Row).hasAnswers,
		Doc: "data of each answer, in presentation format", Absent: "no answer, or not the message's first row"},
	Malformed: {Name: "malformed", Kind: Text, Append: (*Row).Malformed, Present: (*Row).isMalformed,
		Doc: "where and why the message is malformed", Absent: "the message is whole"},
	Message: {Name: "message", Kind: Bytes, Append: (*Row).Message,
		Doc: "the captured part of the message, in wire format"},
	FullRecord: {Name: "record", Kind: JSON, Append: (*Row).FullRecord, Present: (*Row).hasRecord,
		Doc: "the whole record in format json", Absent: "not requested, or not the message's first row"},
}
