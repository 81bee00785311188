package packet

import "strconv"

// Proto is what carried a DNS message.
type Proto uint8

// Carriers. The zero value is none: the source does not say it. The numbers are stored in spools: new ones go to
// the end.
const (
	UDP Proto = 1 + iota
	TCP
	DoT         // DNS over TLS, RFC 7858
	DoH         // DNS over HTTPS, RFC 8484
	DoQ         // DNS over QUIC, RFC 9250
	DNSCryptUDP // DNSCrypt over UDP
	DNSCryptTCP // DNSCrypt over TCP
)

// Protos is the number of carriers, and the highest one's number.
const Protos = int(DNSCryptTCP)

var protoWords = [...]string{UDP: "udp", TCP: "tcp", DoT: "dot", DoH: "doh", DoQ: "doq", DNSCryptUDP: "dnscryptudp", DNSCryptTCP: "dnscrypttcp"}

var protoShort = [...]string{UDP: "udp", TCP: "tcp", DoT: "dot", DoH: "doh", DoQ: "doq", DNSCryptUDP: "dcu", DNSCryptTCP: "dct"}

// Transport is UDP or TCP, whichever the carrier itself uses, and 0 for an unknown
// carrier. DoH counts as TCP: no source tells HTTP/3, which uses UDP, from it.
func (p Proto) Transport() Proto {
	switch p {
	case UDP, DoQ, DNSCryptUDP:
		return UDP
	case TCP, DoT, DoH, DNSCryptTCP:
		return TCP
	}
	return 0
}

// IPNumber is the transport's protocol number in IP: 17 for UDP, 6 for TCP, 0 for none.
func (p Proto) IPNumber() uint8 {
	switch p.Transport() {
	case UDP:
		return 17
	case TCP:
		return 6
	}
	return 0
}

const (
	firstNumbered = 128 // the first Proto that stands for a number of dnstap's
	beyondNumbers = 255 // stands for all numbers that have no Proto: those above 126
)

// NumberedProto is a carrier that dnstap names by a number for which there is no word here.
// Numbers above 126 are one carrier, without a number.
func NumberedProto(number uint32) Proto {
	return Proto(firstNumbered + min(number, beyondNumbers-firstNumbered))
}

// Number is the number of a NumberedProto.
func (p Proto) Number() (number uint32, ok bool) {
	if p < firstNumbered || p == beyondNumbers {
		return 0, false
	}
	return uint32(p) - firstNumbered, true
}

// numberTexts are the texts of NumberedProtos: not all texts of numbers are free.
var numberTexts = func() (texts [beyondNumbers - firstNumbered]string) {
	for i := range texts {
		texts[i] = strconv.Itoa(i)
	}
	return texts
}()

// Short is a word for the carrier, like String, of three characters at most.
func (p Proto) Short() string {
	switch {
	case int(p) < len(protoShort):
		return protoShort[p]
	case p >= firstNumbered && p < beyondNumbers:
		return numberTexts[p-firstNumbered]
	}
	return "unk"
}

// String is the word for the carrier in records: "" for none, the number of a
// NumberedProto, and "unknown" for numbers above 126 and for a carrier of a newer build's
// spool.
func (p Proto) String() string {
	switch {
	case int(p) < len(protoWords):
		return protoWords[p]
	case p >= firstNumbered && p < beyondNumbers:
		return numberTexts[p-firstNumbered]
	}
	return "unknown"
}
