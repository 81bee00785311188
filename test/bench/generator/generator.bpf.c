//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Makes frames arrive at an interface. The kernel runs the program on frames of
 * its own (BPF_F_TEST_XDP_LIVE_FRAMES); each becomes the next one of the store and
 * goes to the network stack, as if it had come in at the interface. All of it
 * happens on one processor, in one thread, so plain variables are enough.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define STORE_BYTES (64 << 20)
#define FRAME_MAX   2048

struct slot {
	__u64 len;
	__u8 data[FRAME_MAX]; /* len of them count; the next slot is behind these */
};

struct load {
	__u64 count;
	__u64 gap; /* ns from one burst to the next; 0: do not wait */
	__u32 burst;
	__u32 used;    /* bytes of the store */
	__u32 verdict; /* XDP_PASS: to the stack; XDP_DROP: to nobody */
	__u32 reserved;
};

struct progress {
	__u64 begin, end; /* ns, of CLOCK_MONOTONIC */
	__u64 waited;	  /* ns of these */
	__u64 sent;
	__u64 next; /* when the next burst is due */
	__u32 left; /* frames of this burst */
	__u32 at;   /* the next slot's place */
};

struct load asked;
struct progress done;
__u8 store[STORE_BYTES];

/* Who falls behind by more is not made to catch up: that would be a burst of
 * another kind than what was asked for.
 */
#define LATE_NS 5000000

#define WAIT_MAX (1 << 23) /* turns, at some 20 ns */

static long wait_turn(__u32 turn, __u64 *now)
{
	*now = bpf_ktime_get_ns();
	return *now >= done.next;
}

/* Waits until a burst may begin. */
static __always_inline void pace(void)
{
	__u64 now = bpf_ktime_get_ns(), before = now;

	if (!done.begin)
		done.begin = done.next = now;
	bpf_loop(WAIT_MAX, wait_turn, &now, 0);
	done.waited += now - before;
	if (now > done.next + LATE_NS)
		done.next = now;
	done.next += asked.gap;
	done.left = asked.burst;
}

/* The next slot, and the place behind it; or NULL, if the store is not what it
 * should be.
 */
static __always_inline const struct slot *next_slot(void)
{
	__u64 at = done.at;
	const struct slot *s;

	if (at >= asked.used)
		at = 0;
	barrier_var(at);
	if (at > STORE_BYTES - sizeof(*s))
		return 0;
	s = (const void *)(store + at);
	done.at = at + ((sizeof(s->len) + s->len + 7) & ~7ULL);
	return s;
}

SEC("xdp")
int generate(struct xdp_md *xdp)
{
	const struct slot *s;
	__u64 n;

	if (done.sent >= asked.count)
		return XDP_DROP; /* an interrupted system call begins anew */
	if (!done.left)
		pace();
	s = next_slot();
	if (!s)
		return XDP_ABORTED;
	n = s->len - 1;
	barrier_var(n);
	if (n >= FRAME_MAX)
		return XDP_ABORTED;
	/* Each frame is given to us with FRAME_MAX bytes. */
	if (bpf_xdp_adjust_tail(xdp, (int)n + 1 - FRAME_MAX) ||
	    bpf_xdp_store_bytes(xdp, 0, (void *)s->data, n + 1))
		return XDP_ABORTED;
	done.left--;
	done.sent++;
	if (done.sent == asked.count)
		done.end = bpf_ktime_get_ns();
	return asked.verdict;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
