"""list.py CAPTURE: the DNS messages on port 53 that tshark finds in a capture, one per line: protocol, source, its port,
destination, its port, id, QR, opcode, rcode (4 bits), name, type, time, bytes, and the counts of answer, authority and
additional records. "*" is a name that cannot be told (several questions or none), "?" one that two programs escape
differently, -1 a number that is not known."""
import ipaddress
import re
import subprocess
import sys

FIELDS = ("frame.protocols frame.time_epoch ip.src ip.dst ipv6.src ipv6.dst udp.srcport udp.dstport udp.length tcp.srcport "
          "tcp.dstport dns.length dns.id dns.flags dns.qry.name dns.qry.type dns.count.answers dns.count.auth_rr "
          "dns.count.add_rr").split()


def frames(capture):
    # What a session of L2TPv3 carries only its control messages tell.
    command = ["tshark", "-n", "-r", capture, "-d", "l2tp.pw_type==0,eth", "-Y",
               "dns and (udp.port == 53 or tcp.port == 53) and not icmp and not icmpv6",
               "-T", "fields", "-E", "aggregator=|"]
    for field in FIELDS:
        command += ["-e", field]
    for line in subprocess.run(command, check=True, capture_output=True, text=True, errors="replace").stdout.splitlines():
        columns = line.split("\t")
        yield {f: c.split("|") if c else [] for f, c in zip(FIELDS, columns)}


def canonical(name):
    name = "" if name == "<Root>" else name.lower().rstrip(".")
    return name if re.fullmatch(r"[a-z0-9_.-]*", name) else "?"


def innermost(protocols, *names):
    return max(names, key=lambda n: max((i for i, p in enumerate(protocols) if p == n), default=-1))


def messages(frame):
    protocols = frame["frame.protocols"][0].split(":")
    ip, transport = innermost(protocols, "ip", "ipv6"), innermost(protocols, "udp", "tcp")
    ends = []
    for end in ("src", "dst"):
        ends += [str(ipaddress.ip_address(frame[f"{ip}.{end}"][-1])), frame[f"{transport}.{end}port"][-1]]
    ids, names, types = frame["dns.id"], frame["dns.qry.name"], frame["dns.qry.type"]
    for i, flags in enumerate(int(f, 16) for f in frame["dns.flags"]):
        name, kind = "*", -1
        if len(names) == len(ids):
            name, kind = canonical(names[i]), int(types[i], 0)
        elif len(ids) == 1 and names:
            name, kind = canonical(names[0]), int(types[0], 0)
        lengths = frame["dns.length"] if transport == "tcp" else [int(frame["udp.length"][-1]) - 8]
        counts = [dict(enumerate(frame[f"dns.count.{s}"])).get(i, -1) for s in ("answers", "auth_rr", "add_rr")]
        yield [transport, *ends, int(ids[i], 16), flags >> 15, flags >> 11 & 15, flags & 15, name, kind,
               frame["frame.time_epoch"][0], lengths[i] if i < len(lengths) else -1, *counts]


for f in frames(sys.argv[1]):
    for m in messages(f):
        print(*m, sep="\t")
