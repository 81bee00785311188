/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* What the second walk is for: one level into a tunnel, and headers that parse.h
 * leaves to it.
 */
#ifndef DNSMONSTER_TUNNEL_H
#define DNSMONSTER_TUNNEL_H

#include "capture.h"
#include "choose.h"
#include "hash.h"
#include "l2tp.h"
#include "sensor.h"
#include "tzsp.h"
#include "walk.h"

#define MAX_GTP_HEADERS 3

#define GRE_CHECKSUM 0x8000
#define GRE_ROUTING  0x4000
#define GRE_KEY	     0x2000
#define GRE_SEQUENCE 0x1000
#define GRE_ACK	     0x0080 /* version 1 */
#define GRE_VERSION  0x0007
#define GRE_EOIP     0x6400 /* an EtherType of MikroTik's */

/* One for each hook and CPU is enough, for the reason that holds for struct hook. */
struct inside {
	struct walked outer;
	struct walked inner;
	struct entry e;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOKS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct inside)); /* no __type: it is nobody else's */
} insides SEC(".maps");

/* Kinds that no IP header need stand around. */
#define LINK_KINDS                                                                     \
	(1U << TUNNEL_MPLS | 1U << TUNNEL_PPPOE | 1U << TUNNEL_NSH |                   \
	 1U << TUNNEL_PBB | 1U << TUNNEL_TRILL | 1U << TUNNEL_FABRICPATH)

/* Whether we look into what an IP header of this version carries. */
static __always_inline bool decaps_proto(__u8 version, __u8 proto)
{
	switch (proto) {
	case IPPROTO_GRE:
		return decaps(TUNNEL_GRE) || decaps(TUNNEL_ERSPAN) ||
		       decaps(TUNNEL_NSH);
	case IPPROTO_IPIP:
		return decaps(version == 4 ? TUNNEL_IPIP : TUNNEL_4IN6);
	case IPPROTO_IPV6:
		return decaps(version == 4 ? TUNNEL_6IN4 : TUNNEL_6IN6);
	case IPPROTO_MPLS:
		return decaps(TUNNEL_MPLS);
	case IPPROTO_L2TP:
		return decaps(TUNNEL_L2TP);
	case IPPROTO_ETHERIP:
	case IPPROTO_ETHERNET:
		return decaps(TUNNEL_ETHERIP);
	}
	return false;
}

/* Whether we look into this tunnel in UDP, or into NSH that it may carry. */
static __always_inline bool decaps_udp(enum tunnel t)
{
	return decaps(t) ||
	       (decaps(TUNNEL_NSH) &&
		(t == TUNNEL_VXLAN_GPE || t == TUNNEL_GENEVE || t == TUNNEL_GRE_UDP));
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
	case 4:
		e->kind = ETH_P_NSH;
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

/* Whether we look into GRE with what is in it. In UDP, GRE_UDP stands for all. */
static __always_inline bool decaps_gre(void *ctx, const enum hook_id id,
				       const struct entry *e)
{
	__be16 kind;

	if (!copy(ctx, id, e->off + 2, &kind, sizeof(kind)))
		return false;
	kind = bpf_ntohs(kind);
	if (kind == ETH_P_NSH && decaps(TUNNEL_NSH))
		return true;
	return decaps(kind == ETH_P_ERSPAN || kind == ETH_P_ERSPAN2 ? TUNNEL_ERSPAN
								    : TUNNEL_GRE);
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
	if (version > 1)
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
	if (e->kind == GRE_EOIP)
		e->kind = ETH_P_TEB;
	return erspan ? enter_erspan(ctx, id, flags, e) : ENTERED;
}

static __always_inline enum entered enter_lisp(void *ctx, const enum hook_id id,
					       struct entry *e)
{
	__be32 h[2];
	__u32 flags;

	if (!copy(ctx, id, e->off, h, sizeof(h)))
		return ENTERED_NOT;
	flags = bpf_ntohl(h[0]);
	if (flags & 0x03000000) /* encrypted */
		return ENTERED_NOT;
	e->off += sizeof(h);
	if (flags & 0x08000000)
		e->number = h[1];
	e->kind = (flags & 0x040000ff) == 0x04000003 ? ETH_P_TEB : ETH_P_IP;
	return ENTERED;
}

static __always_inline enum entered enter_etherip(void *ctx, const enum hook_id id,
						  struct entry *e)
{
	__u8 version;

	if (!copy(ctx, id, e->off, &version, 1) || version >> 4 != 3)
		return ENTERED_NOT;
	e->off += 2;
	e->kind = ETH_P_TEB;
	return ENTERED;
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
	case TUNNEL_GRE_UDP:
		return enter_gre(ctx, id, e);
	case TUNNEL_MPLS_UDP:
		e->kind = ETH_P_MPLS_UC;
		return ENTERED;
	case TUNNEL_TZSP:
		return enter_tzsp(ctx, id, e);
	case TUNNEL_L2TP:
		return enter_l2tp(ctx, id, e);
	case TUNNEL_LISP:
		return enter_lisp(ctx, id, e);
	default:
		return ENTERED_NOT;
	}
}

/* Goes from the payload of an IP header into the tunnel there. */
static __always_inline enum entered
enter_tunnel(void *ctx, const enum hook_id id, const struct packet *p, struct entry *e)
{
	enum entered entered;
	enum tunnel t;

	switch (p->proto) {
	case IPPROTO_UDP:
		t = tunnel_of_ports(p);
		entered = enter_udp(ctx, id, t, e);
		return decaps(t) || e->kind == ETH_P_NSH ? entered : ENTERED_NOT;
	case IPPROTO_GRE:
		return decaps_gre(ctx, id, e) ? enter_gre(ctx, id, e) : ENTERED_NOT;
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		e->kind = ETH_P_IP;
		return ENTERED;
	case IPPROTO_MPLS:
		e->kind = ETH_P_MPLS_UC;
		return ENTERED;
	case IPPROTO_L2TP:
		return enter_l2tp3(ctx, id, e);
	case IPPROTO_ETHERIP:
		return enter_etherip(ctx, id, e);
	case IPPROTO_ETHERNET:
		e->kind = ETH_P_TEB;
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
	h->meters.opaque++;
	return WANTED;
}

/* Whether a packet that is not DNS by its outside may be of a tunnel that we look
 * into.
 */
static __always_inline bool is_wrapped(const struct packet *p)
{
	if (!p->version)
		return config.decap & LINK_KINDS;
	if (p->proto == IPPROTO_UDP)
		return decaps_udp(tunnel_of_ports(p));
	return decaps_proto(p->version, p->proto);
}

static __always_inline bool is_dns(enum parsed found, const struct packet *p)
{
	return found == PARSED_PORTS && is_watched(p);
}

/* Chooses by what the tunnel carries that outer may be of. lane is set where a
 * datagram is whole within and without.
 */
static __always_inline enum outcome choose_inner(void *ctx, const enum hook_id id,
						 struct hook *h, struct inside *in,
						 const struct packet *outer, __u64 pair,
						 __u64 *lane)
{
	enum entered entered;
	struct packet inner;
	bool opaque;

	if (!is_wrapped(outer))
		return NOT_DNS;
	in->e.off = in->outer.payload;
	in->e.within = 1;
	entered = enter_tunnel(ctx, id, outer, &in->e);
	if (entered == ENTERED_NOT)
		return NOT_DNS;
	if (entered == ENTERED_OPAQUE)
		in->e.kind = KIND_OPAQUE;
	inner = walk(ctx, id, &in->e, &in->inner);
	inner.around = (pair >> 32 ^ in->e.number) | 1;
	opaque = in->inner.found == PARSED_DEEP || is_nested(in->inner.found, &inner);
	if (!opaque && outer->part == PART_WHOLE && is_datagram(&inner))
		*lane = hash_flow(&inner);
	return choose_found(h, in->inner.found, &inner, opaque, pair);
}

/* Chooses by what is inside, from the frame's first byte. lane is set where the
 * outcome is WANTED: a datagram that is whole within and without goes by its
 * flow, anything else by the tunnel's ends, as fragments of the tunnel do.
 */
static __always_inline enum outcome choose_inside(void *ctx, const enum hook_id id,
						  struct hook *h, __u32 key,
						  bool ethernet, __u64 *lane)
{
	struct inside *in = bpf_map_lookup_elem(&insides, &key);
	struct packet outer;
	enum outcome o;
	__u64 pair;

	if (!in)
		return COPY_FAILED;
	in->e = (struct entry){ .kind = ethernet ? ETH_P_TEB : ETH_P_IP };
	outer = walk(ctx, id, &in->e, &in->outer);
	pair = hash_pair(&outer);
	*lane = pair;
	if (!outer.version)
		return in->outer.found == PARSED_DEEP && in->e.within
			       ? choose_found(h, PARSED_DEEP, &outer, true, pair)
			       : NOT_DNS;
	if (outer.part == PART_LATER)
		return choose_later(h, &outer);
	if (in->outer.found == PARSED_DEEP || is_dns(in->outer.found, &outer)) {
		*lane = hash_lane(&outer);
		return choose(h, in->outer.found, &outer);
	}
	o = choose_inner(ctx, id, h, in, &outer, pair, lane);
	if (outer.part == PART_FIRST)
		remember(&outer, o);
	return o;
}

static __noinline int look_inside_skb(struct __sk_buff *skb, struct hook *h,
				      enum hook_id id, bool ethernet)
{
	__u64 lane;
	enum outcome o = choose_inside(skb, HOOK_TC_INGRESS, h, id, ethernet, &lane);

	return o == WANTED ? capture(skb, h, id, ethernet, lane) : o;
}

static __noinline int look_inside_xdp(struct xdp_md *xdp, struct hook *h, bool ethernet)
{
	__u64 lane;
	enum outcome o = choose_inside(xdp, HOOK_XDP, h, HOOK_XDP, ethernet, &lane);

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

#endif
