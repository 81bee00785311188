package packet

// Proto is what carried a DNS message.
type Proto uint8

// Carriers. The zero value is not used. The numbers are stored: new ones go
// behind.
const (
	UDP Proto = 1 + iota
	TCP
	DoT         // DNS over TLS, RFC 7858
	DoH         // DNS over HTTPS, RFC 8484
	DoQ         // DNS over QUIC, RFC 9250
	DNSCryptUDP // DNSCrypt over UDP
	DNSCryptTCP // DNSCrypt over TCP
)

// Protos is how many there are; the last one's number.
const Protos = int(DNSCryptTCP)

var protoWords = [...]string{UDP: "udp", TCP: "tcp", DoT: "dot", DoH: "doh", DoQ: "doq", DNSCryptUDP: "dnscryptudp", DNSCryptTCP: "dnscrypttcp"}

var protoShort = [...]string{UDP: "udp", TCP: "tcp", DoT: "dot", DoH: "doh", DoQ: "doq", DNSCryptUDP: "dcu", DNSCryptTCP: "dct"}

// Transport is UDP or TCP, by which the carrier goes itself, and 0 for a carrier that is
// not known. DoH counts as TCP: that one was HTTP/3, which goes by UDP, is nowhere told.
func (p Proto) Transport() Proto {
	switch p {
	case UDP, DoQ, DNSCryptUDP:
		return UDP
	case TCP, DoT, DoH, DNSCryptTCP:
		return TCP
	}
	return 0
}

// IPNumber is the transport's number in IP: 17 for UDP, 6 for TCP, 0 for none.
func (p Proto) IPNumber() uint8 {
	switch p.Transport() {
	case UDP:
		return 17
	case TCP:
		return 6
	}
	return 0
}

// Short is the word where there is room for three characters.
func (p Proto) Short() string {
	if int(p) < len(protoShort) && p != 0 {
		return protoShort[p]
	}
	return "unk"
}

// String is the word in records.
func (p Proto) String() string {
	if int(p) < len(protoWords) && p != 0 {
		return protoWords[p]
	}
	return "unknown"
}
