/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* One level into a tunnel, for what parse.h leaves at its outside. The headers
 * are copied out and not looked at in place: that costs more, but asks nothing
 * of how the frame lies in memory, and little of the verifier. Only tunnels pay.
 */
#ifndef DNSMONSTER_TUNNEL_H
#define DNSMONSTER_TUNNEL_H

#include "capture.h"
#include "choose.h"
#include "hash.h"
#include "parse.h"
#include "sensor.h"

#define MAX_LINK_HEADERS 6 /* VLAN tags, MPLS labels, ... of the inner frame */
#define MAX_GTP_HEADERS	 3

#define ETH_P_GRE_PPP 0x880b
#define ETH_LAST_LEN  1500 /* up to here the field is a length */

#define GRE_CHECKSUM 0x8000
#define GRE_ROUTING  0x4000
#define GRE_KEY	     0x2000
#define GRE_SEQUENCE 0x1000
#define GRE_ACK	     0x0080 /* version 1 */
#define GRE_VERSION  0x0007

#define PPP_FRAME 0xff03
#define PPP_IPV4  0x0021
#define PPP_IPV6  0x0057
#define PPP_MPLS  0x0281
#define PPP_MPLM  0x0283

/* An IP header that was copied out, and what it says. */
struct walked {
	__u64 ip[5];
	struct packet p; /* p.l3 is for the caller of walk() to set */
	__u32 payload;	 /* offset in the frame of what IP carries */
};

/* Where to go on inside. */
struct entry {
	__u32 off;
	__u32 number; /* tells tunnels between the same ends apart */
	__u16 kind;   /* what stands at off, as an EtherType; IPv4's stands for both */
	__u16 within; /* a tunnel: link headers that decap does not name are followed,
			 too */
};

/* What enter() finds. */
enum entered {
	ENTERED,
	ENTERED_NOT,	/* not a tunnel, or it carries no IP */
	ENTERED_OPAQUE, /* to be looked into by user space */
};

static __always_inline bool decaps(enum tunnel t)
{
	return config.decap >> t & 1;
}

/* Whether we look into what an IP header of this version carries. */
static __always_inline bool decaps_proto(__u8 version, __u8 proto)
{
	switch (proto) {
	case IPPROTO_GRE:
		return decaps(TUNNEL_GRE) || decaps(TUNNEL_ERSPAN);
	case IPPROTO_IPIP:
		return decaps(version == 4 ? TUNNEL_IPIP : TUNNEL_4IN6);
	case IPPROTO_IPV6:
		return decaps(version == 4 ? TUNNEL_6IN4 : TUNNEL_6IN6);
	case IPPROTO_MPLS:
		return decaps(TUNNEL_MPLS);
	}
	return false;
}

/* What a datagram may be, by the first entry that fits, as in user space. */
static __always_inline enum tunnel tunnel_of_ports(const struct packet *p)
{
	for (int i = 0; i < TUNNEL_PORTS; i++) {
		const volatile struct tunnel_port *port = &config.ports[i];

		if (!port->tunnel)
			break;
		if (port->number == p->dport || port->number == p->sport)
			return port->tunnel;
	}
	return TUNNEL_NONE;
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
	       proto == IPPROTO_MPLS;
}

/* A fragment of what carries no DNS is no fragment to us. */
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

	w->p.proto = ip->protocol;
	if (ihl < sizeof(*ip))
		return PARSED_SHORT;
	w->payload += ihl;
	if (ip->frag_off & bpf_htons(IP_MF | IP_OFFSET)) {
		w->p.frag = frag_name(ip->protocol, ip->id);
		w->p.part =
			ip->frag_off & bpf_htons(IP_OFFSET) ? PART_LATER : PART_FIRST;
	}
	if (ip->protocol == IPPROTO_AH)
		return PARSED_DEEP;
	if (!is_transport(ip->protocol))
		return walk_other(w);
	return w->p.part == PART_LATER ? PARSED_PORTS : walk_ports(ctx, id, w);
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
			w->p.frag = frag_name(ext.next, ext.frag_id);
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

/* Reads the IP header at off. Of a later fragment there are no ports. */
static __always_inline enum parsed walk_ip(void *ctx, const enum hook_id id, __u32 off,
					   struct walked *w)
{
	__builtin_memset(w, 0, sizeof(*w));
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

static __always_inline bool walk_ppp(struct entry *e, __u16 proto)
{
	switch (proto) {
	case PPP_IPV4:
	case PPP_IPV6:
		e->kind = ETH_P_IP;
		return true;
	case PPP_MPLS:
	case PPP_MPLM:
		e->kind = ETH_P_MPLS_UC;
		return true;
	}
	if (!(proto & 0x0100)) /* set, it is one that is compressed to a byte */
		e->kind = 0;
	return false;
}

/* One link header. False: there is none that we follow, and e->kind is 0 if
 * nothing behind it can be IP.
 */
static __always_inline bool walk_header(void *ctx, const enum hook_id id,
					struct entry *e)
{
	__be16 h[4];

	switch (e->kind) {
	case ETH_P_TEB:
		if (!copy(ctx, id, e->off + offsetof(struct ethhdr, h_proto), h, 2))
			break;
		e->off += sizeof(struct ethhdr);
		e->kind = bpf_ntohs(h[0]);
		return true;
	case ETH_P_8021Q:
	case ETH_P_8021AD:
	case ETH_P_QINQ1:
		if (!copy(ctx, id, e->off, h, 4))
			break;
		e->off += 4;
		e->kind = bpf_ntohs(h[1]);
		return true;
	case ETH_P_MPLS_UC:
	case ETH_P_MPLS_MC:
		if (!e->within && !decaps(TUNNEL_MPLS))
			break;
		if (!copy(ctx, id, e->off, h, 6))
			break;
		e->off += 4;
		if (!(h[1] & bpf_htons(0x0100))) /* not the bottom of the stack */
			return true;
		/* Nothing says what follows; an Ethernet pseudowire is user space's. */
		switch (bpf_ntohs(h[2]) >> 12) {
		case 4:
		case 6:
			e->kind = ETH_P_IP;
			return true;
		}
		return false;
	case ETH_P_PPP_SES:
		if (!e->within && !decaps(TUNNEL_PPPOE))
			break;
		if (!copy(ctx, id, e->off, h, 8))
			break;
		if (h[0] != bpf_htons(0x1100))
			break;
		e->off += 8;
		return walk_ppp(e, bpf_ntohs(h[3]));
	case ETH_P_GRE_PPP:
		if (!copy(ctx, id, e->off, h, 4))
			break;
		if (h[0] == bpf_htons(PPP_FRAME)) {
			h[0] = h[1];
			e->off += 2;
		}
		e->off += 2;
		return walk_ppp(e, bpf_ntohs(h[0]));
	default:
		if (e->kind > ETH_LAST_LEN || !copy(ctx, id, e->off, h, 8) ||
		    h[0] != bpf_htons(0xaaaa) || h[1] != bpf_htons(0x0300))
			break;
		e->off += 8; /* SNAP */
		e->kind = bpf_ntohs(h[3]);
		return true;
	}
	e->kind = 0;
	return false;
}

/* From a link header to the ports. PARSED_DEEP: user space must look. */
static __always_inline enum parsed walk_link(void *ctx, const enum hook_id id,
					     struct entry *e, struct walked *w)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_LINK_HEADERS; i++) {
		if (e->kind == ETH_P_IP || e->kind == ETH_P_IPV6)
			return walk_ip(ctx, id, e->off, w);
		if (!walk_header(ctx, id, e))
			return e->kind ? PARSED_DEEP : PARSED_OTHER;
	}
	return PARSED_DEEP;
}

/* Called twice: as functions of their own they stand there once. */
static __noinline int walk_link_skb(struct __sk_buff *skb, struct entry *e,
				    struct walked *w)
{
	return walk_link(skb, HOOK_TC_INGRESS, e, w);
}

static __noinline int walk_link_xdp(struct xdp_md *xdp, struct entry *e,
				    struct walked *w)
{
	return walk_link(xdp, HOOK_XDP, e, w);
}

static __always_inline enum parsed walk(void *ctx, const enum hook_id id,
					struct entry *e, struct walked *w)
{
	if (id == HOOK_XDP)
		return walk_link_xdp(ctx, e, w);
	return walk_link_skb(ctx, e, w);
}

static __always_inline enum entered enter_vxlan(void *ctx, const enum hook_id id,
						struct entry *e, const bool gpe)
{
	__be32 h[2];
	__u32 flags;

	if (!copy(ctx, id, e->off, h, sizeof(h)))
		return ENTERED_NOT;
	flags = bpf_ntohl(h[0]);
	if (!(flags & 0x08000000)) /* no number: it is something else */
		return ENTERED_NOT;
	e->off += sizeof(h);
	e->number = h[1];
	e->kind = ETH_P_TEB;
	if (!gpe || !(flags & 0x04000000))
		return ENTERED;
	switch (flags & 0xff) {
	case 1:
	case 2:
		e->kind = ETH_P_IP;
		return ENTERED;
	case 3:
		return ENTERED;
	case 5:
		e->kind = ETH_P_MPLS_UC;
		return ENTERED;
	}
	return ENTERED_NOT;
}

static __always_inline enum entered enter_geneve(void *ctx, const enum hook_id id,
						 struct entry *e)
{
	__be16 h[4];

	if (!copy(ctx, id, e->off, h, sizeof(h)) || h[0] & bpf_htons(0xc000))
		return ENTERED_NOT;
	e->off += sizeof(h) + (bpf_ntohs(h[0]) >> 8 & 0x3f) * 4;
	e->number = (__u32)h[2] << 16 | h[3];
	e->kind = bpf_ntohs(h[1]);
	return ENTERED;
}

/* The headers of RFC 4380 section 5.1.1 can stand before the IPv6 packet. */
static __always_inline enum entered enter_teredo(void *ctx, const enum hook_id id,
						 struct entry *e)
{
	__u8 h[4];

	if (!copy(ctx, id, e->off, h, sizeof(h)))
		return ENTERED_NOT;
	if (h[0] == 0 && h[1] == 1) { /* authentication */
		e->off += 13 + h[2] + h[3];
		if (!copy(ctx, id, e->off, h, sizeof(h)))
			return ENTERED_NOT;
	}
	if (h[0] == 0 && h[1] == 0) /* origin */
		e->off += 8;
	e->kind = ETH_P_IPV6;
	return ENTERED;
}

static __always_inline enum entered enter_gtp(void *ctx, const enum hook_id id,
					      struct entry *e)
{
	__be32 h[3] = {};
	__u32 first;
	__u8 next, len;

	if (!copy(ctx, id, e->off, h, 8))
		return ENTERED_NOT;
	first = bpf_ntohl(h[0]);
	if (first >> 28 != 3 || (first >> 16 & 0xff) != 0xff)
		return ENTERED_NOT;
	e->number = h[1];
	e->kind = ETH_P_IP;
	e->off += 8;
	if (!(first & 0x07000000))
		return ENTERED;
	/* Sequence number, N-PDU number and extension: all three or none. */
	if (!copy(ctx, id, e->off, &h[2], 4))
		return ENTERED_NOT;
	e->off += 4;
	next = first & 0x04000000 ? bpf_ntohl(h[2]) & 0xff : 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_GTP_HEADERS; i++) {
		if (!next)
			return ENTERED;
		if (!copy(ctx, id, e->off, &len, 1) || !len)
			return ENTERED_NOT;
		e->off += len * 4;
		if (!copy(ctx, id, e->off - 1, &next, 1))
			return ENTERED_NOT;
	}
	return next ? ENTERED_OPAQUE : ENTERED;
}

static __always_inline enum entered enter_udp(void *ctx, const enum hook_id id,
					      enum tunnel t, struct entry *e)
{
	e->off += 8; /* the UDP header */
	switch (t) {
	case TUNNEL_VXLAN:
		return enter_vxlan(ctx, id, e, false);
	case TUNNEL_VXLAN_GPE:
		return enter_vxlan(ctx, id, e, true);
	case TUNNEL_GENEVE:
		return enter_geneve(ctx, id, e);
	case TUNNEL_TEREDO:
		return enter_teredo(ctx, id, e);
	case TUNNEL_GTP:
		return enter_gtp(ctx, id, e);
	default:
		return ENTERED_NOT;
	}
}

static __always_inline enum entered enter_erspan(void *ctx, const enum hook_id id,
						 __u16 flags, struct entry *e)
{
	__u8 last;

	if (e->kind == ETH_P_ERSPAN2) { /* which is type III */
		if (!copy(ctx, id, e->off + 11, &last, 1))
			return ENTERED_NOT;
		e->off += last & 1 ? 20 : 12;
	} else if (flags & GRE_SEQUENCE) { /* type II; type I has no header */
		e->off += 8;
	}
	e->kind = ETH_P_TEB;
	return ENTERED;
}

static __always_inline enum entered enter_gre(void *ctx, const enum hook_id id,
					      struct entry *e)
{
	__be16 h[2];
	__u16 flags, version;
	bool erspan;

	if (!copy(ctx, id, e->off, h, sizeof(h)))
		return ENTERED_NOT;
	flags = bpf_ntohs(h[0]);
	version = flags & GRE_VERSION;
	e->kind = bpf_ntohs(h[1]);
	e->off += sizeof(h);
	erspan = e->kind == ETH_P_ERSPAN || e->kind == ETH_P_ERSPAN2;
	if (version > 1 || !decaps(erspan ? TUNNEL_ERSPAN : TUNNEL_GRE))
		return ENTERED_NOT;
	if (version == 0 && flags & GRE_ROUTING)
		return ENTERED_OPAQUE;
	if (version == 0 && flags & GRE_CHECKSUM)
		e->off += 4;
	if (flags & GRE_KEY) {
		if (!copy(ctx, id, e->off, &e->number, 4))
			return ENTERED_NOT;
		e->off += 4;
	}
	if (flags & GRE_SEQUENCE)
		e->off += 4;
	if (version == 1) {
		e->number &= bpf_htonl(0xffff); /* the rest is a length */
		if (flags & GRE_ACK)
			e->off += 4;
	}
	return erspan ? enter_erspan(ctx, id, flags, e) : ENTERED;
}

/* Goes from the payload of an IP header into the tunnel there. */
static __always_inline enum entered
enter_tunnel(void *ctx, const enum hook_id id, const struct packet *p, struct entry *e)
{
	switch (p->proto) {
	case IPPROTO_UDP:
		return enter_udp(ctx, id, tunnel_of_ports(p), e);
	case IPPROTO_GRE:
		return enter_gre(ctx, id, e);
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		e->kind = ETH_P_IP;
		return ENTERED;
	case IPPROTO_MPLS:
		e->kind = ETH_P_MPLS_UC;
		return ENTERED;
	}
	return ENTERED_NOT;
}

/* Whether what was found inside is one more tunnel, which is user space's. */
static __always_inline bool is_nested(enum parsed found, const struct packet *p)
{
	if (found == PARSED_OTHER)
		return is_tunnel(p->proto);
	return found == PARSED_PORTS && p->proto == IPPROTO_UDP &&
	       p->part != PART_LATER && tunnel_of_ports(p) != TUNNEL_NONE;
}

/* Whether a tunnel is wanted for what is inside, or because only user space can
 * look there. pair is the hash of its ends.
 */
static __always_inline enum outcome choose_found(struct hook *h, enum parsed found,
						 const struct packet *inner,
						 const bool opaque, __u64 pair)
{
	if (!opaque)
		return choose(h, found, inner);
	if (config.sample_of && !sampled_by_hash(pair))
		return SAMPLED_OUT;
	h->opaque++;
	return WANTED;
}

/* Chooses by what is inside, from the frame's first byte. lane is set where the
 * outcome is WANTED: a datagram that is whole within and without goes by its
 * flow, anything else by the tunnel's ends, as fragments of the tunnel do.
 */
static __always_inline enum outcome choose_inside(void *ctx, const enum hook_id id,
						  struct hook *h, bool ethernet,
						  __u64 *lane)
{
	struct entry e = { .kind = ethernet ? ETH_P_TEB : ETH_P_IP };
	struct walked outer, inner;
	enum entered entered;
	enum parsed found;
	enum outcome o;
	bool opaque;
	__u64 pair;

	__builtin_memset(&outer, 0, sizeof(outer));
	__builtin_memset(&inner, 0, sizeof(inner));
	found = walk(ctx, id, &e, &outer);
	outer.p.l3 = outer.ip;
	pair = hash_pair(&outer.p);
	*lane = pair;
	if (found == PARSED_DEEP) /* a pseudowire, or a header of ours that is long */
		return choose_found(h, found, &outer.p, true, pair);
	if (!outer.p.version)
		return NOT_DNS;
	if (outer.p.part == PART_LATER)
		return choose_later(h, &outer.p);
	if (found == PARSED_PORTS &&
	    is_watched(&outer.p)) { /* behind labels or PPPoE */
		*lane = hash_lane(&outer.p);
		return choose(h, found, &outer.p);
	}

	e.off = outer.payload;
	e.within = 1;
	entered = enter_tunnel(ctx, id, &outer.p, &e);
	if (entered == ENTERED_NOT)
		return NOT_DNS;
	found = entered == ENTERED ? walk(ctx, id, &e, &inner) : PARSED_DEEP;
	inner.p.l3 = inner.ip;
	inner.p.around = (pair >> 32 ^ e.number) | 1;
	opaque = found == PARSED_DEEP || is_nested(found, &inner.p);
	o = choose_found(h, found, &inner.p, opaque, pair);
	if (!opaque && outer.p.part == PART_WHOLE && is_datagram(&inner.p))
		*lane = hash_flow(&inner.p);
	if (outer.p.part == PART_FIRST)
		remember(&outer.p, o);
	return o;
}

static __noinline int look_inside_skb(struct __sk_buff *skb, struct hook *h,
				      enum hook_id id, bool ethernet)
{
	__u64 lane;
	enum outcome o = choose_inside(skb, HOOK_TC_INGRESS, h, ethernet, &lane);

	return o == WANTED ? capture(skb, h, id, ethernet, lane) : o;
}

static __noinline int look_inside_xdp(struct xdp_md *xdp, struct hook *h, bool ethernet)
{
	__u64 lane;
	enum outcome o = choose_inside(xdp, HOOK_XDP, h, ethernet, &lane);

	return o == WANTED ? capture(xdp, h, HOOK_XDP, ethernet, lane) : o;
}

/* Starts again at the front of the frame: what parse() knows of it would have to
 * be kept for that, which makes the way of all other packets longer.
 */
static __always_inline enum outcome
look_inside(void *ctx, struct hook *h, const enum hook_id id, const bool ethernet)
{
	if (id == HOOK_XDP)
		return look_inside_xdp(ctx, h, ethernet);
	return look_inside_skb(ctx, h, id, ethernet);
}

/* Whether a packet that is not DNS by its outside may be of a tunnel that we look
 * into.
 */
static __always_inline bool is_wrapped(const struct packet *p)
{
	if (!p->version)
		return decaps(TUNNEL_MPLS) || decaps(TUNNEL_PPPOE);
	if (p->proto == IPPROTO_UDP)
		return decaps(tunnel_of_ports(p));
	return decaps_proto(p->version, p->proto);
}

#endif
