"""wrap.py: wraps the packets of udp.pcap and tcp.pcap, which real servers sent, in other encapsulations."""
import logging
import struct

from scapy.all import (GRE, IP, TCP, UDP, Dot1AD, Dot1Q, Ether, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                       IPv6ExtHdrHopByHop, PadN, PPP, PPPoE, Raw, conf, fragment, rdpcap, wrpcap)
from scapy.contrib.erspan import ERSPAN_II, ERSPAN_III
from scapy.contrib.geneve import GENEVE
from scapy.contrib.gtp import GTP_U_Header
from scapy.contrib.mpls import MPLS
from scapy.layers.vxlan import VXLAN

conf.verb = 0
logging.getLogger("scapy").setLevel(logging.ERROR)
MAC = dict(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def chosen():
    """Two exchanges over UDP and one over TCP, for each IP version."""
    udp, tcp = rdpcap("udp.pcap"), rdpcap("tcp.pcap")
    for version in (IP, IPv6):
        yield from [p for p in udp if version in p][:4]
        stream = next(p for p in tcp if version in p and p[TCP].flags == "S")
        ends = {stream[TCP].sport, stream[TCP].dport}
        yield from [p for p in tcp if version in p and {p[TCP].sport, p[TCP].dport} == ends][:14]


PACKETS = list(chosen())


def outer(number, payload, **fields):
    """An IPv4 packet between the ends of a tunnel."""
    return Ether(**MAC) / IP(src="198.51.100.1", dst="198.51.100.2", id=number, **fields) / payload


def save(name, wrap, linktype=1, only=None):
    """Writes the frames that wrap makes of each packet: one, or a list. wrap gets the number of the packet and the IP packet."""
    frames = []
    for number, packet in enumerate(PACKETS):
        if only and only not in packet:
            continue
        made = wrap(number, packet[Ether].payload.copy())
        for one in made if isinstance(made, list) else [made]:
            frame = Raw(bytes(one))
            frame.time = packet.time
            frames.append(frame)
    wrpcap(name, frames, linktype=linktype)


def ethertype(ip):
    return 0x0800 if ip.version == 4 else 0x86DD


def ppp_proto(ip):
    return 0x0021 if ip.version == 4 else 0x0057


def broken4(number, frame, size):
    """The fragments of the IPv4 packet in a frame, the last one first."""
    return [Ether(**MAC) / f for f in fragment(IP(bytes(frame[Ether].payload)), size)][::-1]


def broken6(number, ip, size=64):
    """The fragments of an IPv6 packet, behind a header with options."""
    body, proto = bytes(ip.payload), ip.nh
    if len(body) <= size:  # an atomic fragment
        header = IPv6ExtHdrFragment(nh=proto, id=number)
        return [Ether(**MAC) / IPv6(src=ip.src, dst=ip.dst) / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"1234")]) / header / Raw(body)]
    parts = []
    for at in range(0, len(body), size):
        header = IPv6ExtHdrFragment(nh=proto, id=number, offset=at // 8, m=int(at + size < len(body)))
        parts.append(Ether(**MAC) / IPv6(src=ip.src, dst=ip.dst) / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"1234")]) / header / Raw(body[at:at + size]))
    return parts


def tagged(ip):
    """The bytes behind a tag."""
    return struct.pack(">H", ethertype(ip)) + bytes(ip)


def wlan(ip, qos=False):
    """An IEEE 802.11 data frame to the distribution system."""
    return struct.pack("<HH", 0x0188 if qos else 0x0108, 0) + bytes(range(18)) + b"\x10\0" + (b"\0\0" if qos else b"") + b"\xaa\xaa\3\0\0\0" + tagged(ip)


# Links.
save("raw.pcap", lambda n, ip: ip, linktype=101)
save("raw-ipv4.pcap", lambda n, ip: ip, linktype=228, only=IP)
save("raw-ipv6.pcap", lambda n, ip: ip, linktype=229, only=IPv6)
save("null.pcap", lambda n, ip: Raw(struct.pack("<I", 2 if ip.version == 4 else 30) + bytes(ip)), linktype=0)
save("loop.pcap", lambda n, ip: Raw(struct.pack(">I", 2 if ip.version == 4 else 24) + bytes(ip)), linktype=108)
save("ppp.pcap", lambda n, ip: Raw(b"\xff\x03" + struct.pack(">H", ppp_proto(ip)) + bytes(ip)), linktype=9)
save("fddi.pcap", lambda n, ip: Raw(b"\x50" + bytes(range(12)) + b"\xaa\xaa\x03\0\0\0" + struct.pack(">H", ethertype(ip)) + bytes(ip)), linktype=10)
save("snap.pcap", lambda n, ip: Raw(bytes(Ether(**MAC))[:12] + struct.pack(">H", 8 + len(bytes(ip))) + b"\xaa\xaa\x03\0\0\0" + struct.pack(">H", ethertype(ip)) + bytes(ip)))

# Tags, labels and sessions.
save("vlan.pcap", lambda n, ip: Ether(**MAC) / Dot1Q(vlan=7, prio=n % 8) / ip)
save("qinq.pcap", lambda n, ip: Ether(**MAC) / Dot1AD(vlan=100) / Dot1Q(vlan=7) / Dot1Q(vlan=8) / Dot1Q(vlan=9) / ip)
save("mpls.pcap", lambda n, ip: Ether(type=0x8847, **MAC) / MPLS(label=16, s=0, ttl=9) / MPLS(label=17, s=1, ttl=9) / ip)
save("pppoe.pcap", lambda n, ip: Ether(**MAC) / PPPoE(sessionid=5) / PPP(proto=ppp_proto(ip)) / ip)

# Tunnels.
inner = lambda ip: Ether(type=ethertype(ip), **MAC) / ip
save("geneve.pcap", lambda n, ip: outer(n, UDP(sport=4000, dport=6081, chksum=0) / GENEVE(proto=0x6558, vni=7) / inner(ip)))
save("vxlan-gpe.pcap", lambda n, ip: outer(n, UDP(sport=4000, dport=4790, chksum=0) / VXLAN(flags=0x0C, NextProtocol=1 if ip.version == 4 else 2, vni=7) / ip))
save("gre.pcap", lambda n, ip: outer(n, GRE(proto=ethertype(ip)) / ip))
save("gre-key.pcap", lambda n, ip: outer(n, GRE(proto=ethertype(ip), chksum_present=1, key_present=1, seqnum_present=1, key=9, seqence_number=n) / ip))
save("gretap.pcap", lambda n, ip: outer(n, GRE(proto=0x6558) / inner(ip)))
save("gre-ppp.pcap", lambda n, ip: outer(n, GRE(proto=0x880B, key_present=1, seqnum_present=1, version=1, key=(len(ip) + 4) << 16 | 9, seqence_number=n) / Raw(b"\xff\x03" + struct.pack(">H", ppp_proto(ip)) + bytes(ip))))
save("erspan1.pcap", lambda n, ip: outer(n, GRE(proto=0x88BE) / inner(ip)))
save("erspan2.pcap", lambda n, ip: outer(n, GRE(proto=0x88BE, seqnum_present=1, seqence_number=n) / ERSPAN_II(ver=1, session_id=3) / inner(ip)))
save("erspan3.pcap", lambda n, ip: outer(n, GRE(proto=0x22EB, seqnum_present=1, seqence_number=n) / ERSPAN_III(ver=2, session_id=3) / inner(ip)))
save("ipip.pcap", lambda n, ip: outer(n, ip, proto=4), only=IP)
save("6in4.pcap", lambda n, ip: outer(n, ip, proto=41), only=IPv6)
save("4in6.pcap", lambda n, ip: Ether(**MAC) / IPv6(src="2001:db8:1::1", dst="2001:db8:1::2", nh=4) / ip, only=IP)
save("6in6.pcap", lambda n, ip: Ether(**MAC) / IPv6(src="2001:db8:1::1", dst="2001:db8:1::2", nh=41) / ip, only=IPv6)
save("teredo.pcap", lambda n, ip: outer(n, UDP(sport=4000, dport=3544, chksum=0) / ip), only=IPv6)
save("gtp.pcap", lambda n, ip: outer(n, UDP(sport=2152, dport=2152, chksum=0) / GTP_U_Header(teid=9, gtp_type=255, length=len(ip)) / ip))

# More tunnels, with headers made by hand.
udp = lambda n, port, header, data: outer(n, UDP(sport=4000, dport=port, chksum=0) / Raw(header + bytes(data)))
ether = lambda kind, header, data: Ether(type=kind, **MAC) / Raw(header + bytes(data))
nsh = lambda following: bytes.fromhex("0fc202") + bytes([following]) + bytes.fromhex("000007ff")
save("gre-udp.pcap", lambda n, ip: udp(n, 4754, struct.pack(">HHI", 0x2000, ethertype(ip), 9), ip))
save("mpls-udp.pcap", lambda n, ip: udp(n, 6635, bytes(MPLS(label=16, s=0, ttl=9) / MPLS(label=17, s=1, ttl=9)), ip))
save("tzsp.pcap", lambda n, ip: udp(n, 37008, b"\1\0\0\1" + b"\x0d\4\0\0\0\7" + b"\1", inner(ip)))
save("tzsp-wlan.pcap", lambda n, ip: udp(n, 37008, b"\1\0\0\x12\1", wlan(ip)))
save("l2tp.pcap", lambda n, ip: udp(n, 1701, b"\x40\2" + struct.pack(">HHH", 12 + len(ip), 7, 9) + b"\xff\3" + struct.pack(">H", ppp_proto(ip)), ip))
save("l2tp3-udp.pcap", lambda n, ip: udp(n, 1701, b"\0\3\0\0" + struct.pack(">I", 42), inner(ip)))
save("l2tp3-ip.pcap", lambda n, ip: outer(n, Raw(struct.pack(">I", 42) + bytes(inner(ip))), proto=115))
save("nsh.pcap", lambda n, ip: ether(0x894F, nsh(3), inner(ip)))
save("nsh-gpe.pcap", lambda n, ip: udp(n, 4790, b"\x0c\0\0\4\0\0\7\0" + nsh(1 if ip.version == 4 else 2), ip))
save("lisp.pcap", lambda n, ip: udp(n, 4341, b"\xc8\0\0\1\0\0\7\1", ip))
save("etherip.pcap", lambda n, ip: outer(n, Raw(b"\x30\0" + bytes(inner(ip))), proto=97))
save("pbb.pcap", lambda n, ip: ether(0x88A8, struct.pack(">HHI", 7, 0x88E7, 42), inner(ip)))
save("trill.pcap", lambda n, ip: ether(0x22F3, struct.pack(">HHH", 0x3F, 1, 2), inner(ip)))
save("fabricpath.pcap", lambda n, ip: ether(0x8903, struct.pack(">H", 0x0060), bytes(inner(ip)) + bytes(4)))

# More tags: an Ethernet type and a packet follow them.
save("vntag.pcap", lambda n, ip: ether(0x8926, bytes.fromhex("80050007"), tagged(ip)))
save("etag.pcap", lambda n, ip: ether(0x893F, bytes.fromhex("000710050000"), tagged(ip)))
save("metadata.pcap", lambda n, ip: ether(0x8909, bytes.fromhex("010100010007"), tagged(ip)))
save("hsr.pcap", lambda n, ip: ether(0x892F, struct.pack(">HH", 0x1000 | 6 + len(ip), n), tagged(ip)))
save("macsec.pcap", lambda n, ip: ether(0x88E5, struct.pack(">BBI", 0x40, 0, n + 1), tagged(ip) + bytes(16)))

# Logs and the air.
tlv = lambda kind, value: struct.pack("<HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
save("nflog.pcap", lambda n, ip: Raw(bytes([2 if ip.version == 4 else 10, 0, 0, 5]) + tlv(1, struct.pack(">HH", ethertype(ip), 0x0100)) + tlv(10, b"DNS\0") + tlv(9, bytes(ip))), linktype=239)
save("pflog.pcap", lambda n, ip: Raw(bytes([61, 2 if ip.version == 4 else 24]) + bytes(62) + bytes(ip)), linktype=117)
save("enc.pcap", lambda n, ip: Raw(struct.pack("<III", 2 if ip.version == 4 else 24, 7, 0) + bytes(ip)), linktype=109)
save("hdlc.pcap", lambda n, ip: Raw(b"\x0f\0" + struct.pack(">H", ethertype(ip)) + bytes(ip)), linktype=104)
save("wlan.pcap", lambda n, ip: Raw(wlan(ip)), linktype=105)
save("radiotap.pcap", lambda n, ip: Raw(struct.pack("<BBHIQB", 0, 0, 17, 3, n, 0) + wlan(ip, qos=True)), linktype=127)
save("prism.pcap", lambda n, ip: Raw(struct.pack("<II", 0x44, 144) + bytes(136) + wlan(ip)), linktype=119)
save("avs.pcap", lambda n, ip: Raw(struct.pack(">II", 0x80211001, 64) + bytes(56) + wlan(ip)), linktype=163)
save("erf.pcap", lambda n, ip: Raw(struct.pack("<Q", int(PACKETS[n].time * 2**32) + 1) + struct.pack(">BBHHH", 2, 4, 18 + len(inner(ip)), 0, len(inner(ip))) + bytes(2) + bytes(inner(ip))), linktype=197)
save("pktap.pcap", lambda n, ip: Raw(struct.pack("<III", 108, 1, 1) + b"en0".ljust(24, b"\0") + bytes(72) + bytes(inner(ip))), linktype=258)
save("ppi.pcap", lambda n, ip: Raw(struct.pack("<BBHI", 0, 0, 8, 105) + wlan(ip)), linktype=192)
save("juniper.pcap", lambda n, ip: Raw(b"MGC\x80" + struct.pack(">H", 6) + bytes.fromhex("010105020107") + bytes(inner(ip))), linktype=178)

# Several at once, and fragments within and around.
save("nested.pcap", lambda n, ip: Ether(**MAC) / Dot1Q(vlan=7) / IP(src="198.51.100.3", dst="198.51.100.4", id=n) / GRE(proto=0x6558) / Ether(**MAC) / IP(src="198.51.100.1", dst="198.51.100.2", id=n) / UDP(sport=4000, dport=4789, chksum=0) / VXLAN(flags=8, vni=7) / inner(ip))
save("fragments-around.pcap", lambda n, ip: broken4(n, outer(n, UDP(sport=4000, dport=4789, chksum=0) / VXLAN(flags=8, vni=7) / inner(ip)), 56))
save("fragments-within.pcap", lambda n, ip: [outer(n, GRE(proto=0x0800) / f) for f in fragment(IP(bytes(ip)), 40)][::-1], only=IP)
save("fragments-ipv6.pcap", broken6, only=IPv6)
