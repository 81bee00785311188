/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* Decapsulates the TaZmen Sniffer Protocol: a header and tags in front of a frame. */
#ifndef DNSMONSTER_TZSP_H
#define DNSMONSTER_TZSP_H

#include "walk.h"

#define MAX_TZSP_TAGS 8

static __always_inline enum entered enter_tzsp(void *ctx, const enum hook_id id,
					       struct cursor *c)
{
	__be16 h[2];
	__u8 tag[2];
	__u32 first;

	if (!copy(ctx, id, c->off, h, sizeof(h)))
		return NOT_ENTERED;
	first = bpf_ntohs(h[0]);
	if (first >> 8 != 1 || (first & 0xff) >= 4) /* types that carry no frame */
		return NOT_ENTERED;
	c->off += sizeof(h);
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_TZSP_TAGS; i++) {
		if (!copy(ctx, id, c->off, tag, sizeof(tag)))
			return NOT_ENTERED;
		if (tag[0] > 1) {
			c->off += 2 + tag[1];
			continue;
		}
		c->off++;
		if (tag[0] == 0) /* padding */
			continue;
		if (h[1] != bpf_htons(1)) /* not Ethernet */
			return ENTERED_OPAQUE;
		c->kind = ETH_P_TEB;
		return ENTERED;
	}
	return ENTERED_OPAQUE;
}

#endif
