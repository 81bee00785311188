package packet

import "testing"

func TestProtoWords(t *testing.T) {
	f := func(p, number Proto, want, short string, transport Proto, inIP uint8) {
		t.Helper()
		if p != number || p.String() != want || p.Short() != short {
			t.Errorf("%d is %q, in short %q, want %d, %q, %q", p, p, p.Short(), number, want, short)
		}
		if p.Transport() != transport || p.IPNumber() != inIP {
			t.Errorf("%s goes by %s, number %d, want %s, %d", p, p.Transport(), p.IPNumber(), transport, inIP)
		}
	}
	f(UDP, 1, "udp", "udp", UDP, 17)
	f(TCP, 2, "tcp", "tcp", TCP, 6)
	f(DoT, 3, "dot", "dot", TCP, 6)
	f(DoH, 4, "doh", "doh", TCP, 6)
	f(DoQ, 5, "doq", "doq", UDP, 17)
	f(DNSCryptUDP, 6, "dnscryptudp", "dcu", UDP, 17)
	f(DNSCryptTCP, 7, "dnscrypttcp", "dct", TCP, 6)
	f(0, 0, "", "", 0, 0)
	f(Proto(Protos+1), 8, "unknown", "unk", 0, 0)
	f(NumberedProto(8), 128+8, "8", "8", 0, 0)
	f(NumberedProto(126), 254, "126", "126", 0, 0)
	f(NumberedProto(127), 255, "unknown", "unk", 0, 0)
	f(NumberedProto(1<<32-1), 255, "unknown", "unk", 0, 0)
	for p := range 256 {
		number, ok := Proto(p).Number()
		if ok != (p >= 128 && p < 255) || ok && NumberedProto(number) != Proto(p) || !ok && number != 0 {
			t.Errorf("%d has the number %d, %v", p, number, ok)
		}
	}
}
