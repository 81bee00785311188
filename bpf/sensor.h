/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* The maps, the settings and the counters. */
#ifndef DNSMONSTER_SENSOR_H
#define DNSMONSTER_SENSOR_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

#include "record.h"

enum hook_id {
	HOOK_XDP,
	HOOK_TC_INGRESS,
	HOOK_TC_EGRESS,
	HOOKS,
};

/* The outcomes: every packet has exactly one. A new outcome is one line, which makes
 * the constant, the counter, and the member of the Go type that gives the ledger its
 * name (counters.go). Which list it is in says what it means to the ledger.
 */
#define OUTCOMES_SKIPPED(X)                                                            \
	X(NOT_DNS, not_dns)	    /* not UDP or TCP of a watched port */             \
	X(SAMPLED_OUT, sampled_out) /* by the user's ratio */                          \
	X(FRAG_QUOTA, frag_quota)   /* of unknown kind, beyond the quota per second */

#define OUTCOMES_LOST(X)                                                               \
	X(RING_FULL, ring_full)                                                        \
	X(COPY_FAILED, copy_failed) /* the kernel would not give us the bytes */

#define OUTCOMES_DELIVERED(X) X(DELIVERED, delivered) /* put into a ring */

#define OUTCOME_CONSTANT(constant, member) constant,
#define OUTCOME_MEMBER(constant, member)   __u64 member;

enum outcome {
	OUTCOMES_SKIPPED(OUTCOME_CONSTANT)
	OUTCOMES_LOST(OUTCOME_CONSTANT) OUTCOMES_DELIVERED(OUTCOME_CONSTANT) OUTCOMES,
	WANTED = OUTCOMES, /* not an outcome: to be captured */
};

/* The counters of one hook on one CPU. The group of a counter says what it means to
 * the ledger (counters.go); a new meter is one line in its group. Sampling counts
 * here too, for each hook by itself: one count for both directions would, at 1:2,
 * keep all queries and no response.
 */
struct hook {
	struct {
		__u64 seen;
	} in;
	struct {
		OUTCOMES_SKIPPED(OUTCOME_MEMBER)
	} skipped;
	struct {
		OUTCOMES_LOST(OUTCOME_MEMBER)
	} lost;
	struct {
		OUTCOMES_DELIVERED(OUTCOME_MEMBER)
	} delivered;
	struct {
		__u64 bytes;  /* wire length of delivered frames */
		__u64 cut;    /* delivered frames that the snap length truncated */
		__u64 opaque; /* tunnels that only user space can look into */
	} meters;
	struct {
		__u64 overlong; /* delivered frames that are longer than any record */
	} incomplete;
	__u64 sample_credit;
	__u64 quota_credit; /* a packet costs NSEC_PER_SEC */
	__u64 quota_time;
};

_Static_assert(__builtin_offsetof(struct hook, meters) -
			       __builtin_offsetof(struct hook, skipped) ==
		       OUTCOMES * sizeof(__u64),
	       "the members of the outcomes are in the order of their constants");

/* The numbers are those of packet.Tunnel in user space; a test compares them. */
enum tunnel {
	TUNNEL_NONE,
	TUNNEL_VXLAN,
	TUNNEL_VXLAN_GPE,
	TUNNEL_GENEVE,
	TUNNEL_GRE,
	TUNNEL_ERSPAN,
	TUNNEL_IPIP,
	TUNNEL_6IN4,
	TUNNEL_4IN6,
	TUNNEL_6IN6,
	TUNNEL_TEREDO,
	TUNNEL_GTP,
	TUNNEL_MPLS,
	TUNNEL_GRE_UDP,
	TUNNEL_MPLS_UDP,
	TUNNEL_TZSP,
	TUNNEL_L2TP,
	TUNNEL_NSH,
	TUNNEL_LISP,
	TUNNEL_ETHERIP,
	TUNNEL_PBB,
	TUNNEL_TRILL,
	TUNNEL_FABRICPATH,
	TUNNEL_PPPOE = 31, /* not a tunnel to user space */
};

#define TUNNEL_PORTS 32

struct tunnel_port {
	__u16 number;
	__u16 tunnel; /* enum tunnel; TUNNEL_NONE ends the list */
};

struct settings {
	__u32 sample_keep;
	__u32 sample_of; /* 0: no sampling */
	__u32 sample_flow;
	__u32 snap_len;
	__u32 rings;
	__u32 watermark;
	__u32 quota; /* per second and CPU */
	__u32 decap; /* one bit per enum tunnel to look into; 0: none */
	__u32 tap;   /* XDP drops each frame, instead of passing it */
	struct tunnel_port ports[TUNNEL_PORTS];
};

/* Never read. Go's types and constants are generated from the object's BTF, which
 * describes only types that a map or a variable uses.
 */
const volatile struct {
	enum hook_id hook;
	enum tunnel tunnel;
	enum record_flag flag;
	enum direction direction;
	enum record_size size;
	enum outcome outcome;
	struct record_header record;
} only_types;

/* Constant to the verifier, which removes code that a setting switches off. */
const volatile struct settings config;
const volatile __u8 port_bits[65536 / 8];

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOKS);
	__type(key, __u32); /* enum hook_id: old kernels take no other type */
	__type(value, struct hook);
} hooks SEC(".maps");

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 17);
};

/* Both sizes are set before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct ring);
} rings SEC(".maps");

struct fragment_key {
	__u64 src[2];
	__u64 dst[2];
	__u64 frag;
	__u32 tunnel_id;
	__u32 version;
};

/* The outcome of a datagram's first fragment, for the later ones. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, __u8);
} verdicts SEC(".maps");

#endif
