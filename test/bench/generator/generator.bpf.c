//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Makes frames arrive at an interface. The kernel runs the program on its own frames
 * (BPF_F_TEST_XDP_LIVE_FRAMES). Each is overwritten with the next frame of the store
 * and passed to the network stack as if it had arrived at the interface, or sent by
 * another one. All of it runs on one processor, in one thread, so plain variables are
 * enough.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define STORE_BYTES (64 << 20)
#define FRAME_MAX   2048

struct slot {
	__u64 len;
	__u8 data[FRAME_MAX]; /* of which len are used; then the next slot follows */
};

struct load {
	__u64 count;
	__u64 gap; /* ns between the starts of two bursts; 0: do not wait */
	__u32 burst;
	__u32 used;    /* bytes of the store */
	__u32 verdict; /* XDP_PASS: to the network stack; XDP_REDIRECT; XDP_DROP:
			  discard */
	__u32 target;  /* interface that sends, for XDP_REDIRECT */
};

struct progress {
	__u64 begin, end; /* ns, of CLOCK_MONOTONIC */
	__u64 waited;	  /* ns between these spent waiting */
	__u64 sent;
	__u64 next;  /* when the next burst is due */
	__u32 left;  /* frames left of this burst */
	__u32 at;    /* offset of the next slot */
	__u64 ready; /* when the wait for this burst was over */
};

struct load asked;
struct progress done;
__u8 store[STORE_BYTES];

/* How many bursts took how long, from the end of the wait before them to the beginning
 * of the next wait. The last one has all that took longer.
 */
#define TOOK_NS	   128
#define TOOK_COUNT 8192
__u32 took[TOOK_COUNT];

/* A delay longer than this is not made up for: that would be a longer burst than was
 * asked for.
 */
#define LATE_NS 5000000

#define WAIT_MAX (1 << 23) /* iterations of some 20 ns */

static long wait_turn(__u32 turn, __u64 *now)
{
	*now = bpf_ktime_get_ns();
	return *now >= done.next;
}

/* Waits until a burst may begin. */
static __always_inline void pace(void)
{
	__u64 now = bpf_ktime_get_ns(), before = now;

	if (!done.begin) {
		done.begin = done.next = now;
	} else {
		__u64 n = (now - done.ready) / TOOK_NS;

		if (n >= TOOK_COUNT)
			n = TOOK_COUNT - 1;
		took[n & (TOOK_COUNT - 1)]++;
	}
	bpf_loop(WAIT_MAX, wait_turn, &now, 0);
	done.waited += now - before;
	done.ready = now;
	if (now > done.next + LATE_NS)
		done.next = now;
	done.next += asked.gap;
	done.left = asked.burst;
}

/* Returns the next slot and advances, or returns NULL if the store is malformed. */
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
		return XDP_DROP; /* an interrupted system call starts again */
	if (!done.left)
		pace();
	s = next_slot();
	if (!s)
		return XDP_ABORTED;
	n = s->len - 1;
	barrier_var(n);
	if (n >= FRAME_MAX)
		return XDP_ABORTED;
	/* Each frame comes with FRAME_MAX bytes. */
	if (bpf_xdp_adjust_tail(xdp, (int)n + 1 - FRAME_MAX) ||
	    bpf_xdp_store_bytes(xdp, 0, (void *)s->data, n + 1))
		return XDP_ABORTED;
	done.left--;
	done.sent++;
	if (done.sent == asked.count)
		done.end = bpf_ktime_get_ns();
	if (asked.verdict == XDP_REDIRECT)
		return bpf_redirect(asked.target, 0);
	return asked.verdict;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
