/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* The second walk: from the first byte of a frame to the two ports, as in parse.h,
 * but also through rare headers and tunnels. It copies each header instead of reading
 * it in place: that costs more, but works however the frame lies in memory, and asks
 * little of the verifier.
 */
#ifndef DNSMONSTER_WALK_H
#define DNSMONSTER_WALK_H

#include "capture.h"
#include "parse.h"
#include "sensor.h"

#define MAX_LINK_HEADERS 6 /* Ethernet, VLAN tags, MPLS labels, ... */

#define ETH_P_GRE_PPP	 0x880b
#define ETH_P_TRILL	 0x22f3
#define ETH_P_FABRICPATH 0x8903
#define ETH_LAST_LEN	 1500 /* up to this value, the EtherType is a length */

#define KIND_OPAQUE 0xffff /* reserved by RFC 1701 */

#ifndef IPPROTO_ETHERIP
#define IPPROTO_ETHERIP 97
#endif

#define MACSEC_VERSION 0x80
#define MACSEC_SCI     0x20
#define MACSEC_SECRET  0x0c

#define PPP_FRAME   0xff03
#define PPP_IPV4    0x0021
#define PPP_IPV6    0x0057
#define PPP_MPLS    0x0281
#define PPP_MPLS_MC 0x0283

/* A copied IP header, and what it says. This and struct cursor are in a map, not on
 * the stack, because the verifier does not track the contents of maps: it takes them
 * for unknown, and does not follow each possible value by itself. Old verifiers would
 * otherwise exceed their limit.
 */
struct walked {
	__u64 ip[5];
	struct packet p; /* without l3, which would have to point to ip */
	__u32 payload;	 /* offset of IP's payload in the frame */
	__u32 found;	 /* enum parsed */
};

/* Where the walk goes on. */
struct cursor {
	__u32 off;
	__u32 key;	 /* VNI, GRE key, TEID or session: distinguishes tunnels */
	__u16 kind;	 /* EtherType of what is at off; ETH_P_IP also means IPv6 */
	__u16 in_tunnel; /* follow link headers that decap does not name, too */
};

/* What enter_tunnel() finds. */
enum entered {
	ENTERED,
	NOT_ENTERED,	/* not a tunnel, or it carries no IP */
	ENTERED_OPAQUE, /* user space must look into it */
};

static __always_inline bool wants_decap(enum tunnel t)
{
	return config.decap >> t & 1;
}

static __always_inline bool copy(void *ctx, const enum hook_id id, __u32 off, void *to,
				 __u32 n)
{
	return load_bytes(ctx, id, off, to, n) == 0;
}

static __always_inline enum parsed walk_ports(void *ctx, const enum hook_id id,
					      struct walked *w)
{
	struct l4_ports l4;

	if (!copy(ctx, id, w->payload, &l4, sizeof(l4)))
		return PARSED_SHORT;
	w->p.sport = bpf_ntohs(l4.source);
	w->p.dport = bpf_ntohs(l4.dest);
	return PARSED_PORTS;
}

static __always_inline bool is_transport(__u8 proto)
{
	return proto == IPPROTO_UDP || proto == IPPROTO_TCP;
}

static __always_inline bool is_tunnel(__u8 proto)
{
	return proto == IPPROTO_GRE || proto == IPPROTO_IPIP || proto == IPPROTO_IPV6 ||
	       proto == IPPROTO_MPLS || proto == IPPROTO_L2TP ||
	       proto == IPPROTO_ETHERIP || proto == IPPROTO_ETHERNET;
}

/* A fragment that cannot carry DNS is not treated as a fragment. */
static __always_inline enum parsed walk_other(struct walked *w)
{
	if (!is_tunnel(w->p.proto))
		w->p.part = PART_WHOLE;
	return PARSED_OTHER;
}

static __always_inline enum parsed walk_ipv4(void *ctx, const enum hook_id id,
					     struct walked *w)
{
	const struct iphdr *ip = (const void *)w->ip;
	__u32 ihl = ip->ihl * 4;
	struct ext_header ext;

	w->p.proto = ip->protocol;
	if (ihl < sizeof(*ip))
		return PARSED_SHORT;
	w->payload += ihl;
	if (ip->frag_off & bpf_htons(IP_MF | IP_OFFSET)) {
		w->p.frag = datagram_id(ip->protocol, ip->id);
		w->p.part =
			ip->frag_off & bpf_htons(IP_OFFSET) ? PART_LATER : PART_FIRST;
	}
	if (w->p.proto == IPPROTO_AH && w->p.part != PART_LATER) {
		if (!copy(ctx, id, w->payload, &ext, sizeof(ext)))
			return PARSED_SHORT;
		w->payload += (ext.len + 2) * 4;
		w->p.proto = ext.next;
	}
	if (!is_transport(w->p.proto) && w->p.proto != IPPROTO_AH)
		return walk_other(w);
	if (w->p.part == PART_LATER)
		return PARSED_PORTS;
	return w->p.proto == IPPROTO_AH ? PARSED_DEEP : walk_ports(ctx, id, w);
}

static __always_inline enum parsed walk_ipv6(void *ctx, const enum hook_id id,
					     struct walked *w)
{
	const struct ipv6hdr *ip = (const void *)w->ip;
	struct ext_header ext;

	if (!copy(ctx, id, w->payload, w->ip, sizeof(*ip)))
		return PARSED_SHORT;
	w->p.proto = ip->nexthdr;
	w->payload += sizeof(*ip);
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_EXT_HEADERS; i++) {
		if (w->p.proto != IPPROTO_FRAGMENT && !is_extension(w->p.proto))
			break;
		if (!copy(ctx, id, w->payload, &ext, sizeof(ext)))
			return PARSED_SHORT;
		if (w->p.proto == IPPROTO_FRAGMENT) {
			w->payload += sizeof(ext);
			w->p.proto = ext.next;
			if (!(ext.frag_off & bpf_htons(IP6_MF | IP6_OFFSET)))
				continue;
			w->p.frag = datagram_id(ext.next, ext.frag_id);
			w->p.part = PART_FIRST;
			if (!(ext.frag_off & bpf_htons(IP6_OFFSET)))
				continue;
			w->p.part = PART_LATER;
			if (is_extension(ext.next) || is_transport(ext.next))
				return PARSED_PORTS;
			return walk_other(w);
		}
		w->payload += w->p.proto == IPPROTO_AH ? (ext.len + 2) * 4
						       : (ext.len + 1) * 8;
		w->p.proto = ext.next;
	}
	if (w->p.proto == IPPROTO_FRAGMENT || is_extension(w->p.proto))
		return PARSED_DEEP;
	if (!is_transport(w->p.proto))
		return walk_other(w);
	return walk_ports(ctx, id, w);
}

/* Reads the IP header at off and, except for a later fragment, the ports. */
static __always_inline enum parsed walk_ip(void *ctx, const enum hook_id id, __u32 off,
					   struct walked *w)
{
	w->payload = off;
	if (!copy(ctx, id, off, w->ip, sizeof(struct iphdr)))
		return PARSED_SHORT;
	w->p.version = *(const __u8 *)w->ip >> 4;
	switch (w->p.version) {
	case 4:
		return walk_ipv4(ctx, id, w);
	case 6:
		return walk_ipv6(ctx, id, w);
	}
	w->p.version = 0;
	return PARSED_OTHER;
}

static __always_inline bool walk_ppp(struct cursor *c, __u16 proto)
{
	switch (proto) {
	case PPP_IPV4:
	case PPP_IPV6:
		c->kind = ETH_P_IP;
		return true;
	case PPP_MPLS:
	case PPP_MPLS_MC:
		c->kind = ETH_P_MPLS_UC;
		return true;
	}
	if (!(proto & 0x0100)) /* if set, the field is compressed to one byte */
		c->kind = 0;
	return false;
}

/* Skips a tag that is not a VLAN tag. */
static __always_inline bool walk_tag(void *ctx, const enum hook_id id, struct cursor *c)
{
	__be16 kind;
	__u8 h[2];
	__u32 n;

	switch (c->kind) {
	case ETH_P_VNTAG:
	case ETH_P_HSR:
	case ETH_P_RTAG:
		n = 4;
		break;
	case ETH_P_ETAG:
		n = 6;
		break;
	case ETH_P_CMD:
		if (!copy(ctx, id, c->off, h, 2))
			return false;
		n = 2 + h[1] * 4;
		break;
	case ETH_P_MACSEC: /* not encrypted */
		if (!copy(ctx, id, c->off, h, 1) ||
		    h[0] & (MACSEC_VERSION | MACSEC_SECRET))
			return false;
		n = h[0] & MACSEC_SCI ? 14 : 6;
		break;
	default:
		return false;
	}
	if (!copy(ctx, id, c->off + n, &kind, sizeof(kind)))
		return false;
	c->off += n + sizeof(kind);
	c->kind = bpf_ntohs(kind);
	return true;
}

static __always_inline bool walk_nsh(void *ctx, const enum hook_id id, struct cursor *c)
{
	__be16 h[2];
	__u32 n;

	if (!copy(ctx, id, c->off, h, sizeof(h)) || h[0] & bpf_htons(0xc000))
		return false;
	n = (bpf_ntohs(h[0]) & 0x3f) * 4;
	if (n < 8)
		return false;
	switch (bpf_ntohs(h[1]) & 0xff) {
	case 1:
	case 2:
		c->kind = ETH_P_IP;
		break;
	case 3:
		c->kind = ETH_P_TEB;
		break;
	case 4: /* another NSH */
		break;
	case 5:
		c->kind = ETH_P_MPLS_UC;
		break;
	default:
		return false;
	}
	c->off += n;
	return true;
}

/* Skips a header that carries whole frames or packets without IP around them. */
static __always_inline bool walk_overlay(void *ctx, const enum hook_id id,
					 struct cursor *c)
{
	__be16 h;

	switch (c->kind) {
	case ETH_P_NSH:
		if (!(c->in_tunnel || wants_decap(TUNNEL_NSH)) || !walk_nsh(ctx, id, c))
			return false;
		break;
	case ETH_P_8021AH:
		if (!(c->in_tunnel || wants_decap(TUNNEL_PBB)))
			return false;
		c->off += 4;
		c->kind = ETH_P_TEB;
		break;
	case ETH_P_TRILL:
		if (!(c->in_tunnel || wants_decap(TUNNEL_TRILL)) ||
		    !copy(ctx, id, c->off, &h, sizeof(h)) || h & bpf_htons(0xc000))
			return false;
		c->off += 6 + (bpf_ntohs(h) >> 6 & 0x1f) * 4;
		c->kind = ETH_P_TEB;
		break;
	case ETH_P_FABRICPATH:
		if (!(c->in_tunnel || wants_decap(TUNNEL_FABRICPATH)))
			return false;
		c->off += 2;
		c->kind = ETH_P_TEB;
		break;
	default:
		return false;
	}
	c->in_tunnel = 1;
	return true;
}

/* Skips one link header. Returns false if it is none that we follow; c->kind is then
 * 0 if no IP can follow it.
 */
static __always_inline bool walk_header(void *ctx, const enum hook_id id,
					struct cursor *c)
{
	__be16 h[4];

	switch (c->kind) {
	case KIND_OPAQUE:
		return false;
	case ETH_P_TEB:
		if (!copy(ctx, id, c->off + offsetof(struct ethhdr, h_proto), h, 2))
			break;
		c->off += sizeof(struct ethhdr);
		c->kind = bpf_ntohs(h[0]);
		return true;
	case ETH_P_8021Q:
	case ETH_P_8021AD:
	case ETH_P_QINQ1:
		if (!copy(ctx, id, c->off, h, 4))
			break;
		c->off += 4;
		c->kind = bpf_ntohs(h[1]);
		return true;
	case ETH_P_MPLS_UC:
	case ETH_P_MPLS_MC:
		if (!c->in_tunnel && !wants_decap(TUNNEL_MPLS))
			break;
		if (!copy(ctx, id, c->off, h, 6))
			break;
		c->off += 4;
		c->in_tunnel = 1;
		if (!(h[1] & bpf_htons(0x0100))) /* not the bottom of the stack */
			return true;
		/* No field says what follows; user space looks into pseudowires. */
		switch (bpf_ntohs(h[2]) >> 12) {
		case 4:
		case 6:
			c->kind = ETH_P_IP;
			return true;
		}
		return false;
	case ETH_P_PPP_SES:
		if (!c->in_tunnel && !wants_decap(TUNNEL_PPPOE))
			break;
		if (!copy(ctx, id, c->off, h, 8))
			break;
		if (h[0] != bpf_htons(0x1100))
			break;
		c->off += 8;
		c->in_tunnel = 1;
		return walk_ppp(c, bpf_ntohs(h[3]));
	case ETH_P_GRE_PPP:
		if (!copy(ctx, id, c->off, h, 4))
			break;
		if (h[0] == bpf_htons(PPP_FRAME)) {
			h[0] = h[1];
			c->off += 2;
		}
		c->off += 2;
		return walk_ppp(c, bpf_ntohs(h[0]));
	default:
		if (walk_tag(ctx, id, c) || walk_overlay(ctx, id, c))
			return true;
		if (c->kind > ETH_LAST_LEN || !copy(ctx, id, c->off, h, 8) ||
		    h[0] != bpf_htons(0xaaaa) || h[1] != bpf_htons(0x0300))
			break;
		c->off += 8; /* SNAP */
		c->kind = bpf_ntohs(h[3]);
		return true;
	}
	c->kind = 0;
	return false;
}

/* Walks from a link header to the ports. PARSED_DEEP: user space must look. */
static __always_inline enum parsed walk_link(void *ctx, const enum hook_id id,
					     struct cursor *c, struct walked *w)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_LINK_HEADERS; i++) {
		if (c->kind == ETH_P_IP || c->kind == ETH_P_IPV6)
			return walk_ip(ctx, id, c->off, w);
		if (!walk_header(ctx, id, c))
			return c->kind ? PARSED_DEEP : PARSED_OTHER;
	}
	return PARSED_DEEP;
}

/* Called twice, so not inlined: the object has each only once. HOOK_TC_INGRESS stands
 * for both TC hooks, as in handle_walked_skb().
 */
static __noinline void walk_skb(struct __sk_buff *skb, struct cursor *c,
				struct walked *w)
{
	w->found = walk_link(skb, HOOK_TC_INGRESS, c, w);
}

static __noinline void walk_xdp(struct xdp_md *xdp, struct cursor *c, struct walked *w)
{
	w->found = walk_link(xdp, HOOK_XDP, c, w);
}

/* Walks from c to the ports. The result's IP header is in w. */
static __always_inline struct packet walk(void *ctx, const enum hook_id id,
					  struct cursor *c, struct walked *w)
{
	struct packet p;

	__builtin_memset(w, 0, sizeof(*w));
	if (id == HOOK_XDP)
		walk_xdp(ctx, c, w);
	else
		walk_skb(ctx, c, w);
	p = w->p;
	p.l3 = w->ip;
	return p;
}

#endif
