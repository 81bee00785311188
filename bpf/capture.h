/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* Copies one packet into one ring. */
#ifndef DNSMONSTER_CAPTURE_H
#define DNSMONSTER_CAPTURE_H

#include "record.h"
#include "sensor.h"

/* The facts about a frame that both kinds of context hold. */
struct frame {
	__u64 len;
	__u32 ifindex;
	__u16 vlan_tci;
	__u16 vlan_proto;
	__u16 gso_size;
	__u8 flags;
};

static __always_inline void frame_of_skb(struct __sk_buff *skb, struct frame *f)
{
	f->len = skb->len;
	f->ifindex = skb->ifindex;
	f->gso_size = skb->gso_size;
	if (skb->vlan_present) {
		f->flags |= RECORD_VLAN;
		f->vlan_tci = skb->vlan_tci;
		f->vlan_proto = bpf_ntohs(skb->vlan_proto);
	}
}

static __always_inline void frame_of_xdp(struct xdp_md *xdp, struct frame *f)
{
	f->len = bpf_xdp_get_buff_len(xdp);
	f->ifindex = xdp->ingress_ifindex;
	f->flags |= RECORD_XDP;
}

static __always_inline long load_bytes(void *ctx, const enum hook_id id, __u32 off,
				       void *to, __u32 n)
{
	if (id == HOOK_XDP)
		return bpf_xdp_load_bytes(ctx, off, to, n);
	return bpf_skb_load_bytes(ctx, off, to, n);
}

/* Waking the reader for each record costs the reader far more than reading it, and
 * costs this CPU an interrupt. A reader sleeps only when its ring is empty, so it is
 * woken when the watermark is crossed and not above it: a reader that has fallen
 * behind is awake. The slack covers what other CPUs reserve at the same time. If a
 * crossing is missed, the reader's timer wakes it some milliseconds later.
 */
#define WAKE_SLACK 4096

static __always_inline __u64 wakeup(void *ring, const __u64 size)
{
	__u64 above = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) - config.watermark;

	/* Below the watermark this is a very large number. */
	return above < size + WAKE_SLACK ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/* Copies n bytes of f into a record of at most size bytes; size is a constant. */
static __always_inline enum outcome put(void *ctx, void *ring, const enum hook_id id,
					const struct frame *f, __u64 n,
					const __u64 size)
{
	struct record *r = bpf_ringbuf_reserve(ring, size, 0);

	if (!r)
		return RING_FULL;
	r->header.boot_ns = bpf_ktime_get_boot_ns();
	r->header.ifindex = f->ifindex;
	r->header.wire_len = f->len;
	r->header.cap_len = n;
	r->header.sample_keep = config.sample_keep;
	r->header.sample_of = config.sample_of;
	r->header.vlan_tci = f->vlan_tci;
	r->header.vlan_proto = f->vlan_proto;
	r->header.flags = f->flags;
	r->header.direction = id == HOOK_TC_EGRESS ? DIRECTION_OUT : DIRECTION_IN;
	r->header.gso_size = f->gso_size;
	r->header.data_off = sizeof(*r);
	__builtin_memset(r->header.reserved, 0, sizeof(r->header.reserved));

	/* clang knows 0 < n <= size - sizeof(*r) here and would drop the tests. The
	 * verifier knows only what the code tests, so hide n from clang, and test
	 * n - 1: old verifiers do not learn n != 0 from a branch.
	 */
	n--;
	barrier_var(n);
	if (n >= size - sizeof(*r) || load_bytes(ctx, id, 0, r->data, n + 1) < 0) {
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
		return COPY_FAILED;
	}
	bpf_ringbuf_submit(r, wakeup(ring, size));
	return DELIVERED;
}

static __always_inline enum outcome put_by_class(void *ctx, void *ring,
						 const enum hook_id id,
						 const struct frame *f, __u64 n)
{
	__u64 need = sizeof(struct record) + n;

	if (need <= CLASS_0)
		return put(ctx, ring, id, f, n, CLASS_0);
	if (need <= CLASS_1)
		return put(ctx, ring, id, f, n, CLASS_1);
	if (need <= CLASS_2)
		return put(ctx, ring, id, f, n, CLASS_2);
	if (need <= CLASS_3)
		return put(ctx, ring, id, f, n, CLASS_3);
	if (need <= CLASS_4)
		return put(ctx, ring, id, f, n, CLASS_4);
	if (need <= CLASS_5)
		return put(ctx, ring, id, f, n, CLASS_5);
	if (need <= CLASS_6)
		return put(ctx, ring, id, f, n, CLASS_6);
	if (id == HOOK_XDP)
		return COPY_FAILED; /* unreachable: see capture() */
	if (need <= CLASS_7)
		return put(ctx, ring, id, f, n, CLASS_7);
	return put(ctx, ring, id, f, n, CLASS_8);
}

static __always_inline enum outcome capture(void *ctx, struct hook *h,
					    const enum hook_id id, const bool ethernet,
					    __u64 hash)
{
	/* bpf_xdp_load_bytes() copies at most 65535 bytes. */
	const __u64 max = id == HOOK_XDP ? 65535 : CLASS_8 - sizeof(struct record);
	__u32 lane = (hash >> 32) * config.rings >> 32;
	struct frame f = { .flags = ethernet ? 0 : RECORD_L3 };
	enum outcome o;
	void *ring;
	__u64 n, snapped = 0;

	ring = bpf_map_lookup_elem(&rings, &lane);
	if (!ring)
		return RING_FULL;
	if (id == HOOK_XDP)
		frame_of_xdp(ctx, &f);
	else
		frame_of_skb(ctx, &f);
	n = f.len;
	if (config.snap_len && n > config.snap_len)
		n = snapped = config.snap_len;
	if (n > max)
		n = max;
	o = put_by_class(ctx, ring, id, &f, n);
	if (o == DELIVERED) {
		h->meters.bytes += f.len;
		h->meters.cut += snapped > 0;
		h->incomplete.overlong += n < f.len && !snapped;
	}
	return o;
}

#endif
