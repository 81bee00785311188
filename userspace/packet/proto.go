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

// String is the word in records.
func (p Proto) String() string {
	if int(p) < len(protoWords) && p != 0 {
		return protoWords[p]
	}
	return "unknown"
}
