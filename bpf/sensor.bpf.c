//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Chooses DNS packets, counts all packets, and copies the chosen ones out. It only
 * watches: every path lets the packet go on as if the program were not there. On a
 * mirror port, where nobody waits for the packets, XDP drops all instead.
 *
 * Each entry point counts a packet once as seen, and once under exactly one outcome,
 * which is what the inner functions return.
 */
#include <linux/pkt_cls.h>

#include "parse.h"
#include "hash.h"
#include "record.h"
#include "sensor.h"
#include "capture.h"
#include "choose.h"
#include "walk.h"
#include "tunnel.h"

/* Headers in front of the ports that reach beyond this are not followed. */
#define HEADERS_MAX 256

static __always_inline enum outcome handle(void *ctx, struct hook *h,
					   const enum hook_id id, const bool ethernet,
					   enum parsed found, const struct packet *p)
{
	enum outcome o;

	if (found == PARSED_RARE)
		return handle_walked(ctx, h, id, ethernet);
	o = choose(h, found, p);
	if (o == WANTED)
		return capture(ctx, h, id, ethernet, hash_lane(p));
	if (config.decap && o == NOT_DNS && may_be_tunnel(p))
		return handle_walked(ctx, h, id, ethernet);
	return o;
}

/* One per-CPU entry per hook, and plain additions: a program runs to its end on its
 * CPU with bottom halves off, and no other context runs the same hook there. Atomics
 * would cost more than everything else that is done for a packet that is not DNS.
 */
static __always_inline struct hook *count_in(const enum hook_id id)
{
	__u32 key = id;
	struct hook *h = bpf_map_lookup_elem(&hooks, &key);

	if (h)
		h->in.seen++;
	return h;
}

static __always_inline void count_outcome(struct hook *h, enum outcome o)
{
	__u64 *outcomes = (void *)h + offsetof(struct hook, skipped);

	if (o < OUTCOMES)
		outcomes[o]++;
}

/* Makes more bytes linear only if the parser ran out of them: that copies a cloned
 * head, and bulk TCP never needs it. Returns false if there is no memory.
 */
static __always_inline bool parse_skb(struct __sk_buff *skb, const bool ethernet,
				      enum parsed *found, struct packet *p)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < 2; i++) {
		const void *data = (void *)(long)skb->data;
		const void *end = (void *)(long)skb->data_end;
		__u32 len = skb->len;

		*found = parse(data, end, ethernet, p);
		if (*found != PARSED_SHORT || end - data >= len)
			return true;
		if (i > 0 || end - data >= HEADERS_MAX)
			break;
		if (bpf_skb_pull_data(skb, len < HEADERS_MAX ? len : HEADERS_MAX))
			return false;
	}
	*found = PARSED_DEEP;
	return true;
}

static __always_inline int watch_skb(struct __sk_buff *skb, const enum hook_id id,
				     const bool ethernet)
{
	struct hook *h = count_in(id);
	enum parsed found;
	struct packet p;

	if (!h)
		return TC_ACT_UNSPEC;
	if (parse_skb(skb, ethernet, &found, &p))
		count_outcome(h, handle(skb, h, id, ethernet, found, &p));
	else
		count_outcome(h, COPY_FAILED);
	return TC_ACT_UNSPEC;
}

/* Whatever became of the frame: this does not depend on it. */
static __always_inline int xdp_verdict(void)
{
	return config.tap ? XDP_DROP : XDP_PASS;
}

static __always_inline int watch_xdp(struct xdp_md *xdp, const bool ethernet)
{
	const void *data = (void *)(long)xdp->data;
	const void *end = (void *)(long)xdp->data_end;
	struct hook *h = count_in(HOOK_XDP);
	enum parsed found;
	struct packet p;

	if (!h)
		return xdp_verdict();
	found = parse(data, end, ethernet, &p);
	/* The first buffer of several is long enough for any header we follow. */
	if (found == PARSED_SHORT && end - data < bpf_xdp_get_buff_len(xdp))
		found = PARSED_DEEP;
	count_outcome(h, handle(xdp, h, HOOK_XDP, ethernet, found, &p));
	return xdp_verdict();
}

/* Whether a device has a link header never changes, so the program is chosen when
 * attaching, and no packet is tested for it.
 */
SEC("tc")
int tc_ingress_eth(struct __sk_buff *skb)
{
	return watch_skb(skb, HOOK_TC_INGRESS, true);
}

SEC("tc")
int tc_egress_eth(struct __sk_buff *skb)
{
	return watch_skb(skb, HOOK_TC_EGRESS, true);
}

SEC("tc")
int tc_ingress_l3(struct __sk_buff *skb)
{
	return watch_skb(skb, HOOK_TC_INGRESS, false);
}

SEC("tc")
int tc_egress_l3(struct __sk_buff *skb)
{
	return watch_skb(skb, HOOK_TC_EGRESS, false);
}

SEC("xdp.frags")
int xdp_eth(struct xdp_md *xdp)
{
	return watch_xdp(xdp, true);
}

SEC("xdp.frags")
int xdp_l3(struct xdp_md *xdp)
{
	return watch_xdp(xdp, false);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
