/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* Decapsulates L2TP: version 2 (RFC 2661) and 3 (RFC 3931), over UDP and over IP. */
#ifndef DNSMONSTER_L2TP_H
#define DNSMONSTER_L2TP_H

#include "walk.h"

#define L2TP_CONTROL  0x8000
#define L2TP_LENGTH   0x4000
#define L2TP_SEQUENCE 0x0800
#define L2TP_OFFSET   0x0200
#define L2TP_VERSION  0x000f
#define L2TP3_OFFSETS 4

/* Reports whether off holds an EtherType of IP and an IP header follows it. */
static __always_inline bool is_ip_frame(void *ctx, const enum hook_id id, __u32 off)
{
	__be16 h[2];

	if (!copy(ctx, id, off, h, sizeof(h)))
		return false;
	if (h[0] == bpf_htons(ETH_P_IP))
		return (h[1] & bpf_htons(0xf000)) == bpf_htons(0x4000);
	return h[0] == bpf_htons(ETH_P_IPV6) &&
	       (h[1] & bpf_htons(0xf000)) == bpf_htons(0x6000);
}

/* The session id is followed by a cookie of 0, 4 or 8 bytes, a sublayer of 0 or 4
 * bytes, and a frame. No packet says which lengths these are. If an Ethernet frame
 * seems to start at several offsets, or at none, user space must look.
 */
static __always_inline enum entered enter_l2tp3(void *ctx, const enum hook_id id,
						struct cursor *c)
{
	__u32 found = 0, at = 0;

	if (!copy(ctx, id, c->off, &c->key, 4) || !c->key)
		return NOT_ENTERED;
	c->off += 4;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < L2TP3_OFFSETS; i++) {
		if (!is_ip_frame(ctx, id,
				 c->off + i * 4 + offsetof(struct ethhdr, h_proto)))
			continue;
		found++;
		at = i * 4;
	}
	if (found != 1)
		return ENTERED_OPAQUE;
	c->off += at;
	c->kind = ETH_P_TEB;
	return ENTERED;
}

static __always_inline enum entered enter_l2tp(void *ctx, const enum hook_id id,
					       struct cursor *c)
{
	__be16 h;
	__u16 flags;

	if (!copy(ctx, id, c->off, &h, sizeof(h)))
		return NOT_ENTERED;
	flags = bpf_ntohs(h);
	if (flags & L2TP_CONTROL)
		return NOT_ENTERED;
	if ((flags & L2TP_VERSION) == 3) {
		c->off += 4;
		return enter_l2tp3(ctx, id, c);
	}
	if ((flags & L2TP_VERSION) != 2)
		return NOT_ENTERED;
	c->off += flags & L2TP_LENGTH ? 4 : 2;
	if (!copy(ctx, id, c->off, &c->key, 4))
		return NOT_ENTERED;
	c->off += flags & L2TP_SEQUENCE ? 8 : 4;
	if (flags & L2TP_OFFSET) {
		if (!copy(ctx, id, c->off, &h, sizeof(h)))
			return NOT_ENTERED;
		c->off += 2 + bpf_ntohs(h);
	}
	c->kind = ETH_P_GRE_PPP;
	return ENTERED;
}

#endif
