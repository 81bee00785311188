/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* The first walk: reads the headers of a frame in place, from its first byte to the
 * two ports. It trusts no byte of them.
 */
#ifndef DNSMONSTER_PARSE_H
#define DNSMONSTER_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAX_VLAN_TAGS	2
#define MAX_EXT_HEADERS 4 /* six, unrolled, cost the verifier five times as much */

#define IP_MF	   0x2000
#define IP_OFFSET  0x1fff
#define IP6_MF	   0x0001
#define IP6_OFFSET 0xfff8

enum part {
	PART_WHOLE,
	PART_FIRST, /* the first fragment: has the ports */
	PART_LATER, /* has no ports */
};

/* What parse() found. */
enum parsed {
	PARSED_PORTS, /* UDP or TCP, and where it is not PART_LATER, its ports */
	PARSED_OTHER, /* something else, or malformed */
	PARSED_SHORT, /* the accessible bytes ended first */
	PARSED_DEEP,  /* more IPv6 extension headers than we follow */
	PARSED_RARE,  /* headers that the second walk follows, in walk.h */
};

struct ext_header {
	__u8 next;
	__u8 len;
	__be16 frag_off; /* fragment header only */
	__be32 frag_id;	 /* fragment header only */
};

struct packet {
	const void
		*l3; /* IP header; accessible without its options if version is set */
	__u64 frag;  /* of a fragment: its datagram_id() */
	__u16 sport;
	__u16 dport;
	__u8 version; /* 4, 6, or 0 until an IP header has been seen */
	__u8 proto;
	__u8 part;	 /* enum part */
	__u32 tunnel_id; /* distinguishes tunnels; 0 outside any */
};

struct vlan_tag {
	__be16 tci;
	__be16 proto;
};

struct l4_ports {
	__be16 source;
	__be16 dest;
};

static __always_inline bool is_vlan(__be16 proto)
{
	return proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD);
}

#define ETH_P_CMD   0x8909 /* Cisco's MetaData */
#define ETH_P_VNTAG 0x8926
#define ETH_P_ETAG  0x893f /* IEEE 802.1BR */
#define ETH_P_RTAG  0xf1c1 /* IEEE 802.1CB */

/* Tags other than VLAN tags, and the old EtherType of VLAN tags. */
static __always_inline bool is_rare_tag(__be16 proto)
{
	switch (proto) {
	case bpf_htons(ETH_P_QINQ1):
	case bpf_htons(ETH_P_CMD):
	case bpf_htons(ETH_P_VNTAG):
	case bpf_htons(ETH_P_ETAG):
	case bpf_htons(ETH_P_RTAG):
	case bpf_htons(ETH_P_HSR):
	case bpf_htons(ETH_P_MACSEC):
		return true;
	}
	return false;
}

/* A number, not a pointer to the header: pointers to many offsets multiply the
 * verifier's states, here by three.
 */
static __always_inline __u64 datagram_id(__u8 proto, __u32 id)
{
	return (__u64)proto << 32 | id;
}

static __always_inline enum parsed parse_ports(const void *pos, const void *end,
					       struct packet *p)
{
	const struct l4_ports *l4 = pos;

	if ((const void *)(l4 + 1) > end)
		return PARSED_SHORT;
	p->sport = bpf_ntohs(l4->source);
	p->dport = bpf_ntohs(l4->dest);
	return PARSED_PORTS;
}

static __always_inline enum parsed parse_ipv4(const void *pos, const void *end,
					      struct packet *p)
{
	const struct iphdr *ip = pos;
	__u32 ihl;

	if ((const void *)(ip + 1) > end)
		return PARSED_SHORT;
	p->l3 = ip;
	p->version = 4;
	p->proto = ip->protocol;
	if (p->proto != IPPROTO_UDP && p->proto != IPPROTO_TCP)
		return p->proto == IPPROTO_AH ? PARSED_RARE : PARSED_OTHER;
	if (ip->frag_off & bpf_htons(IP_MF | IP_OFFSET)) {
		p->frag = datagram_id(p->proto, ip->id);
		p->part = PART_FIRST;
		if (ip->frag_off & bpf_htons(IP_OFFSET)) {
			p->part = PART_LATER;
			return PARSED_PORTS;
		}
	}
	ihl = ip->ihl * 4;
	if (ihl < sizeof(*ip))
		return PARSED_OTHER;
	return parse_ports(pos + ihl, end, p);
}

static __always_inline bool is_extension(__u8 proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING ||
	       proto == IPPROTO_DSTOPTS || proto == IPPROTO_AH;
}

/* A fragment whose remaining header chain cannot hold UDP or TCP is not treated as a
 * fragment, so that ICMPv6 and the like cost no map access.
 */
static __always_inline bool parse_fragment(const struct ext_header *ext,
					   struct packet *p)
{
	__be16 off = ext->frag_off;

	p->proto = ext->next;
	/* An atomic fragment (RFC 6946) is a whole packet. */
	if (!(off & bpf_htons(IP6_MF | IP6_OFFSET)))
		return true;
	if (p->proto != IPPROTO_UDP && p->proto != IPPROTO_TCP &&
	    !is_extension(p->proto))
		return false;
	p->frag = datagram_id(ext->next, ext->frag_id);
	p->part = off & bpf_htons(IP6_OFFSET) ? PART_LATER : PART_FIRST;
	return true;
}

static __always_inline enum parsed parse_ipv6(const void *pos, const void *end,
					      struct packet *p)
{
	const struct ipv6hdr *ip = pos;

	if ((const void *)(ip + 1) > end)
		return PARSED_SHORT;
	p->l3 = ip;
	p->version = 6;
	p->proto = ip->nexthdr;
	pos += sizeof(*ip);

/* Each unrolled iteration would multiply the paths that the verifier walks. */
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_EXT_HEADERS; i++) {
		const struct ext_header *ext = pos;

		if (p->proto == IPPROTO_UDP || p->proto == IPPROTO_TCP)
			return parse_ports(pos, end, p);
		if (p->proto != IPPROTO_FRAGMENT && !is_extension(p->proto))
			return PARSED_OTHER;
		if ((const void *)(ext + 1) > end)
			return PARSED_SHORT;
		if (p->proto == IPPROTO_FRAGMENT) {
			if (!parse_fragment(ext, p))
				return PARSED_OTHER;
			if (p->part == PART_LATER)
				return PARSED_PORTS;
			pos += sizeof(*ext);
			continue;
		}
		pos += p->proto == IPPROTO_AH ? (ext->len + 2) * 4 : (ext->len + 1) * 8;
		p->proto = ext->next;
	}
	if (p->proto == IPPROTO_UDP || p->proto == IPPROTO_TCP)
		return parse_ports(pos, end, p);
	if (p->proto != IPPROTO_FRAGMENT && !is_extension(p->proto))
		return PARSED_OTHER;
	return PARSED_DEEP;
}

/* ethernet is a constant: each entry point has its own copy. */
static __always_inline enum parsed parse(const void *data, const void *end,
					 const bool ethernet, struct packet *p)
{
	const void *pos = data;
	__be16 proto;

	__builtin_memset(p, 0, sizeof(*p));
	if (!ethernet) {
		if (pos + 1 > end)
			return PARSED_SHORT;
		switch (*(const __u8 *)pos >> 4) {
		case 4:
			return parse_ipv4(pos, end, p);
		case 6:
			return parse_ipv6(pos, end, p);
		}
		return PARSED_OTHER;
	}

	if (pos + sizeof(struct ethhdr) > end)
		return PARSED_SHORT;
	/* struct ethhdr is packed: through it, clang would read single bytes. */
	proto = *(const __be16 *)(pos + offsetof(struct ethhdr, h_proto));
	pos += sizeof(struct ethhdr);
	for (int i = 0; i < MAX_VLAN_TAGS && is_vlan(proto); i++) {
		const struct vlan_tag *tag = pos;

		if ((const void *)(tag + 1) > end)
			return PARSED_SHORT;
		proto = tag->proto;
		pos += sizeof(*tag);
	}
	if (proto == bpf_htons(ETH_P_IP))
		return parse_ipv4(pos, end, p);
	if (proto == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(pos, end, p);
	return is_vlan(proto) || is_rare_tag(proto) ? PARSED_RARE : PARSED_OTHER;
}

#endif
