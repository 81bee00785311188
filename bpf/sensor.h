/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* The maps, the settings and the books. */
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

/* The outcomes: every packet has exactly one. A line is all that a new one takes:
 * it makes the constant, the counter, and the member of the Go type, after which
 * the books name it (counters.go). Its list says what it means there.
 */
#define OUTCOMES_LEFT_OUT(X)                                                           \
	X(NOT_DNS, not_dns)	    /* not UDP or TCP of a watched port */             \
	X(SAMPLED_OUT, sampled_out) /* by the user's ratio */                          \
	X(FRAG_QUOTA, frag_quota)   /* of unknown kind, beyond what may pass a second */

#define OUTCOMES_LOST(X)                                                               \
	X(RING_FULL, ring_full)                                                        \
	X(COPY_FAILED, copy_failed) /* the kernel would not give us the bytes */

#define OUTCOMES_GIVEN(X) X(DELIVERED, delivered) /* is in a ring */

#define OUTCOME_CONSTANT(constant, member) constant,
#define OUTCOME_MEMBER(constant, member)   __u64 member;

enum outcome {
	OUTCOMES_LEFT_OUT(OUTCOME_CONSTANT)
	OUTCOMES_LOST(OUTCOME_CONSTANT) OUTCOMES_GIVEN(OUTCOME_CONSTANT) OUTCOMES,
	WANTED = OUTCOMES, /* not an outcome: to be captured */
};

/* One hook on one CPU. The groups say what a counter means to the books, as Go
 * reads them (counters.go); a new meter is a line in its group. What is kept of
 * every so many is counted here too, and so for each hook: one count for both
 * directions would, at 1:2, keep all queries and no response.
 */
struct hook {
	struct {
		__u64 seen;
	} in;
	struct {
		OUTCOMES_LEFT_OUT(OUTCOME_MEMBER)
	} left_out;
	struct {
		OUTCOMES_LOST(OUTCOME_MEMBER)
	} lost;
	struct {
		OUTCOMES_GIVEN(OUTCOME_MEMBER)
	} given;
	struct {
		__u64 bytes;  /* of delivered frames, on the wire */
		__u64 cut;    /* delivered frames that the snap length cut */
		__u64 opaque; /* tunnels that only user space can look into */
	} meters;
	struct {
		__u64 overlong; /* no record holds the frame */
	} incomplete;
	__u64 sample_credit;
	__u64 quota_credit; /* a packet costs NSEC_PER_SEC */
	__u64 quota_time;
};

_Static_assert(__builtin_offsetof(struct hook, meters) -
			       __builtin_offsetof(struct hook, left_out) ==
		       OUTCOMES * sizeof(__u64),
	       "the members of the outcomes stand in the order of their constants");

/* A test compares them with packet.Tunnel in user space. */
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
	TUNNEL_PPPOE = 31, /* not one to user space */
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
	__u32 quota; /* a second and CPU */
	__u32 decap; /* a bit for each enum tunnel to look into; 0: none */
	struct tunnel_port ports[TUNNEL_PORTS];
};

/* Never read. Go's types and constants are made from the object's type information,
 * which has only what a map or a variable is made of.
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

/* Constant to the verifier, which removes what a setting switches off. */
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

/* Both sizes are set when loading. */
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
	__u32 around;
	__u32 version;
};

/* What was decided about a datagram's first fragment, for the later ones. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, __u8);
} verdicts SEC(".maps");

#endif
