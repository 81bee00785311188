/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* Uses the second walk: for tunnels, which it enters one level deep, and for headers
 * that parse.h leaves to it.
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
#define GRE_EOIP     0x6400 /* MikroTik's EtherType */

/* One per hook and CPU is enough, for the same reason as struct hook. */
struct scratch {
	struct walked outer;
	struct walked inner;
	struct cursor c;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOKS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct scratch)); /* no __type: Go does not use it */
} scratch SEC(".maps");

/* Tunnels that need no IP header around them. */
#define LINK_KINDS                                                                     \
	(1U << TUNNEL_MPLS | 1U << TUNNEL_PPPOE | 1U << TUNNEL_NSH |                   \
	 1U << TUNNEL_PBB | 1U << TUNNEL_TRILL | 1U << TUNNEL_FABRICPATH)

/* Reports whether to look into this protocol in IP of this version. */
static __always_inline bool wants_decap_proto(__u8 version, __u8 proto)
{
	switch (proto) {
	case IPPROTO_GRE:
		return wants_decap(TUNNEL_GRE) || wants_decap(TUNNEL_ERSPAN) ||
		       wants_decap(TUNNEL_NSH);
	case IPPROTO_IPIP:
		return wants_decap(version == 4 ? TUNNEL_IPIP : TUNNEL_4IN6);
	case IPPROTO_IPV6:
		return wants_decap(version == 4 ? TUNNEL_6IN4 : TUNNEL_6IN6);
	case IPPROTO_MPLS:
		return wants_decap(TUNNEL_MPLS);
	case IPPROTO_L2TP:
		return wants_decap(TUNNEL_L2TP);
	case IPPROTO_ETHERIP:
	case IPPROTO_ETHERNET:
		return wants_decap(TUNNEL_ETHERIP);
	}
	return false;
}

/* Reports whether to look into this tunnel in UDP, or into NSH that it may carry. */
static __always_inline bool wants_decap_udp(enum tunnel t)
{
	return wants_decap(t) ||
	       (wants_decap(TUNNEL_NSH) &&
		(t == TUNNEL_VXLAN_GPE || t == TUNNEL_GENEVE || t == TUNNEL_GRE_UDP));
}

/* Which tunnel a datagram may be: the first entry with one of its ports, as in user
 * space.
 */
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
						struct cursor *c, const bool gpe)
{
	__be32 h[2];
	__u32 flags;

	if (!copy(ctx, id, c->off, h, sizeof(h)))
		return NOT_ENTERED;
	flags = bpf_ntohl(h[0]);
	if (!(flags & 0x08000000)) /* no VNI: it is something else */
		return NOT_ENTERED;
	c->off += sizeof(h);
	c->key = h[1];
	c->kind = ETH_P_TEB;
	if (!gpe || !(flags & 0x04000000))
		return ENTERED;
	switch (flags & 0xff) {
	case 1:
	case 2:
		c->kind = ETH_P_IP;
		return ENTERED;
	case 3:
		return ENTERED;
	case 4:
		c->kind = ETH_P_NSH;
		return ENTERED;
	case 5:
		c->kind = ETH_P_MPLS_UC;
		return ENTERED;
	}
	return NOT_ENTERED;
}

static __always_inline enum entered enter_geneve(void *ctx, const enum hook_id id,
						 struct cursor *c)
{
	__be16 h[4];

	if (!copy(ctx, id, c->off, h, sizeof(h)) || h[0] & bpf_htons(0xc000))
		return NOT_ENTERED;
	c->off += sizeof(h) + (bpf_ntohs(h[0]) >> 8 & 0x3f) * 4;
	c->key = (__u32)h[2] << 16 | h[3];
	c->kind = bpf_ntohs(h[1]);
	return ENTERED;
}

/* The headers of RFC 4380 section 5.1.1 may precede the IPv6 packet. */
static __always_inline enum entered enter_teredo(void *ctx, const enum hook_id id,
						 struct cursor *c)
{
	__u8 h[4];

	if (!copy(ctx, id, c->off, h, sizeof(h)))
		return NOT_ENTERED;
	if (h[0] == 0 && h[1] == 1) { /* authentication */
		c->off += 13 + h[2] + h[3];
		if (!copy(ctx, id, c->off, h, sizeof(h)))
			return NOT_ENTERED;
	}
	if (h[0] == 0 && h[1] == 0) /* origin */
		c->off += 8;
	c->kind = ETH_P_IPV6;
	return ENTERED;
}

static __always_inline enum entered enter_gtp(void *ctx, const enum hook_id id,
					      struct cursor *c)
{
	__be32 h[3] = {};
	__u32 first;
	__u8 next, len;

	if (!copy(ctx, id, c->off, h, 8))
		return NOT_ENTERED;
	first = bpf_ntohl(h[0]);
	if (first >> 28 != 3 || (first >> 16 & 0xff) != 0xff)
		return NOT_ENTERED;
	c->key = h[1];
	c->kind = ETH_P_IP;
	c->off += 8;
	if (!(first & 0x07000000))
		return ENTERED;
	/* Sequence number, N-PDU number and extension: all three or none. */
	if (!copy(ctx, id, c->off, &h[2], 4))
		return NOT_ENTERED;
	c->off += 4;
	next = first & 0x04000000 ? bpf_ntohl(h[2]) & 0xff : 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_GTP_HEADERS; i++) {
		if (!next)
			return ENTERED;
		if (!copy(ctx, id, c->off, &len, 1) || !len)
			return NOT_ENTERED;
		c->off += len * 4;
		if (!copy(ctx, id, c->off - 1, &next, 1))
			return NOT_ENTERED;
	}
	return next ? ENTERED_OPAQUE : ENTERED;
}

static __always_inline enum entered enter_erspan(void *ctx, const enum hook_id id,
						 __u16 flags, struct cursor *c)
{
	__u8 last;

	if (c->kind == ETH_P_ERSPAN2) { /* in fact type III */
		if (!copy(ctx, id, c->off + 11, &last, 1))
			return NOT_ENTERED;
		c->off += last & 1 ? 20 : 12;
	} else if (flags & GRE_SEQUENCE) { /* type II; type I has no header */
		c->off += 8;
	}
	c->kind = ETH_P_TEB;
	return ENTERED;
}

/* Reports whether to look into GRE with this payload. In UDP, TUNNEL_GRE_UDP decides
 * for all payloads.
 */
static __always_inline bool wants_decap_gre(void *ctx, const enum hook_id id,
					    const struct cursor *c)
{
	__be16 kind;

	if (!copy(ctx, id, c->off + 2, &kind, sizeof(kind)))
		return false;
	kind = bpf_ntohs(kind);
	if (kind == ETH_P_NSH && wants_decap(TUNNEL_NSH))
		return true;
	return wants_decap(kind == ETH_P_ERSPAN || kind == ETH_P_ERSPAN2 ? TUNNEL_ERSPAN
									 : TUNNEL_GRE);
}

static __always_inline enum entered enter_gre(void *ctx, const enum hook_id id,
					      struct cursor *c)
{
	__be16 h[2];
	__u16 flags, version;
	bool erspan;

	if (!copy(ctx, id, c->off, h, sizeof(h)))
		return NOT_ENTERED;
	flags = bpf_ntohs(h[0]);
	version = flags & GRE_VERSION;
	c->kind = bpf_ntohs(h[1]);
	c->off += sizeof(h);
	erspan = c->kind == ETH_P_ERSPAN || c->kind == ETH_P_ERSPAN2;
	if (version > 1)
		return NOT_ENTERED;
	if (version == 0 && flags & GRE_ROUTING)
		return ENTERED_OPAQUE;
	if (version == 0 && flags & GRE_CHECKSUM)
		c->off += 4;
	if (flags & GRE_KEY) {
		if (!copy(ctx, id, c->off, &c->key, 4))
			return NOT_ENTERED;
		c->off += 4;
	}
	if (flags & GRE_SEQUENCE)
		c->off += 4;
	if (version == 1) {
		c->key &= bpf_htonl(0xffff); /* the rest is a length */
		if (flags & GRE_ACK)
			c->off += 4;
	}
	if (c->kind == GRE_EOIP)
		c->kind = ETH_P_TEB;
	return erspan ? enter_erspan(ctx, id, flags, c) : ENTERED;
}

static __always_inline enum entered enter_lisp(void *ctx, const enum hook_id id,
					       struct cursor *c)
{
	__be32 h[2];
	__u32 flags;

	if (!copy(ctx, id, c->off, h, sizeof(h)))
		return NOT_ENTERED;
	flags = bpf_ntohl(h[0]);
	if (flags & 0x03000000) /* encrypted */
		return NOT_ENTERED;
	c->off += sizeof(h);
	if (flags & 0x08000000)
		c->key = h[1];
	c->kind = (flags & 0x040000ff) == 0x04000003 ? ETH_P_TEB : ETH_P_IP;
	return ENTERED;
}

static __always_inline enum entered enter_etherip(void *ctx, const enum hook_id id,
						  struct cursor *c)
{
	__u8 version;

	if (!copy(ctx, id, c->off, &version, 1) || version >> 4 != 3)
		return NOT_ENTERED;
	c->off += 2;
	c->kind = ETH_P_TEB;
	return ENTERED;
}

static __always_inline enum entered enter_udp(void *ctx, const enum hook_id id,
					      enum tunnel t, struct cursor *c)
{
	c->off += 8; /* the UDP header */
	switch (t) {
	case TUNNEL_VXLAN:
		return enter_vxlan(ctx, id, c, false);
	case TUNNEL_VXLAN_GPE:
		return enter_vxlan(ctx, id, c, true);
	case TUNNEL_GENEVE:
		return enter_geneve(ctx, id, c);
	case TUNNEL_TEREDO:
		return enter_teredo(ctx, id, c);
	case TUNNEL_GTP:
		return enter_gtp(ctx, id, c);
	case TUNNEL_GRE_UDP:
		return enter_gre(ctx, id, c);
	case TUNNEL_MPLS_UDP:
		c->kind = ETH_P_MPLS_UC;
		return ENTERED;
	case TUNNEL_TZSP:
		return enter_tzsp(ctx, id, c);
	case TUNNEL_L2TP:
		return enter_l2tp(ctx, id, c);
	case TUNNEL_LISP:
		return enter_lisp(ctx, id, c);
	default:
		return NOT_ENTERED;
	}
}

/* Moves c from the payload of an IP header into the tunnel there. */
static __always_inline enum entered
enter_tunnel(void *ctx, const enum hook_id id, const struct packet *p, struct cursor *c)
{
	enum entered entered;
	enum tunnel t;

	switch (p->proto) {
	case IPPROTO_UDP:
		t = tunnel_of_ports(p);
		entered = enter_udp(ctx, id, t, c);
		return wants_decap(t) || c->kind == ETH_P_NSH ? entered : NOT_ENTERED;
	case IPPROTO_GRE:
		return wants_decap_gre(ctx, id, c) ? enter_gre(ctx, id, c)
						   : NOT_ENTERED;
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		c->kind = ETH_P_IP;
		return ENTERED;
	case IPPROTO_MPLS:
		c->kind = ETH_P_MPLS_UC;
		return ENTERED;
	case IPPROTO_L2TP:
		return enter_l2tp3(ctx, id, c);
	case IPPROTO_ETHERIP:
		return enter_etherip(ctx, id, c);
	case IPPROTO_ETHERNET:
		c->kind = ETH_P_TEB;
		return ENTERED;
	}
	return NOT_ENTERED;
}

/* Reports whether a tunnel carries another tunnel, which user space must look into. */
static __always_inline bool is_nested(enum parsed found, const struct packet *p)
{
	if (found == PARSED_OTHER)
		return is_tunnel(p->proto);
	return found == PARSED_PORTS && p->proto == IPPROTO_UDP &&
	       p->part != PART_LATER && tunnel_of_ports(p) != TUNNEL_NONE;
}

/* Decides whether a tunnel is wanted for its content, or because only user space can
 * look into it. pair is the hash of its endpoints.
 */
static __always_inline enum outcome choose_content(struct hook *h, enum parsed found,
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

/* Reports whether a packet whose outer headers are not DNS may be of a tunnel that
 * --decap chose.
 */
static __always_inline bool may_be_tunnel(const struct packet *p)
{
	if (!p->version)
		return config.decap & LINK_KINDS;
	if (p->proto == IPPROTO_UDP)
		return wants_decap_udp(tunnel_of_ports(p));
	return wants_decap_proto(p->version, p->proto);
}

static __always_inline bool is_dns(enum parsed found, const struct packet *p)
{
	return found == PARSED_PORTS && has_dns_port(p);
}

/* Decides by the content of the tunnel that outer may be of. Sets lane if both the
 * tunnel's packet and the datagram inside are whole.
 */
static __always_inline enum outcome choose_inner(void *ctx, const enum hook_id id,
						 struct hook *h, struct scratch *s,
						 const struct packet *outer, __u64 pair,
						 __u64 *lane)
{
	enum entered entered;
	struct packet inner;
	bool opaque;

	if (!may_be_tunnel(outer))
		return NOT_DNS;
	s->c.off = s->outer.payload;
	s->c.in_tunnel = 1;
	entered = enter_tunnel(ctx, id, outer, &s->c);
	if (entered == NOT_ENTERED)
		return NOT_DNS;
	if (entered == ENTERED_OPAQUE)
		s->c.kind = KIND_OPAQUE;
	inner = walk(ctx, id, &s->c, &s->inner);
	inner.tunnel_id = (pair >> 32 ^ s->c.key) | 1;
	opaque = s->inner.found == PARSED_DEEP || is_nested(s->inner.found, &inner);
	if (!opaque && outer->part == PART_WHOLE && is_datagram(&inner))
		*lane = hash_flow(&inner);
	return choose_content(h, s->inner.found, &inner, opaque, pair);
}

/* Walks the frame from its first byte, and decides. Sets lane if the outcome is
 * WANTED. A whole datagram in a whole packet of the tunnel goes by its own flow.
 * Anything else goes by the tunnel's endpoints, as fragments of the tunnel do.
 */
static __always_inline enum outcome choose_walked(void *ctx, const enum hook_id id,
						  struct hook *h, __u32 key,
						  bool ethernet, __u64 *lane)
{
	struct scratch *s = bpf_map_lookup_elem(&scratch, &key);
	struct packet outer;
	enum outcome o;
	__u64 pair;

	if (!s)
		return COPY_FAILED;
	s->c = (struct cursor){ .kind = ethernet ? ETH_P_TEB : ETH_P_IP };
	outer = walk(ctx, id, &s->c, &s->outer);
	pair = hash_pair(&outer);
	*lane = pair;
	if (!outer.version)
		return s->outer.found == PARSED_DEEP && s->c.in_tunnel
			       ? choose_content(h, PARSED_DEEP, &outer, true, pair)
			       : NOT_DNS;
	if (outer.part == PART_LATER)
		return choose_later(h, &outer);
	if (s->outer.found == PARSED_DEEP || is_dns(s->outer.found, &outer)) {
		*lane = hash_lane(&outer);
		return choose(h, s->outer.found, &outer);
	}
	o = choose_inner(ctx, id, h, s, &outer, pair, lane);
	if (outer.part == PART_FIRST)
		remember(&outer, o);
	return o;
}

/* HOOK_TC_INGRESS stands for both TC hooks: copying asks only whether it is XDP. */
static __noinline int handle_walked_skb(struct __sk_buff *skb, struct hook *h,
					enum hook_id id, bool ethernet)
{
	__u64 lane;
	enum outcome o = choose_walked(skb, HOOK_TC_INGRESS, h, id, ethernet, &lane);

	return o == WANTED ? capture(skb, h, id, ethernet, lane) : o;
}

static __noinline int handle_walked_xdp(struct xdp_md *xdp, struct hook *h,
					bool ethernet)
{
	__u64 lane;
	enum outcome o = choose_walked(xdp, HOOK_XDP, h, HOOK_XDP, ethernet, &lane);

	return o == WANTED ? capture(xdp, h, HOOK_XDP, ethernet, lane) : o;
}

/* Starts again at the frame's first byte: keeping what parse() has found would make
 * the path of all other packets longer.
 */
static __always_inline enum outcome
handle_walked(void *ctx, struct hook *h, const enum hook_id id, const bool ethernet)
{
	if (id == HOOK_XDP)
		return handle_walked_xdp(ctx, h, ethernet);
	return handle_walked_skb(ctx, h, id, ethernet);
}

#endif
