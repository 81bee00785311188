/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* The maps, the settings and the books. */
#ifndef DNSMONSTER_SENSOR_H
#define DNSMONSTER_SENSOR_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

enum hook_id {
	HOOK_XDP,
	HOOK_TC_INGRESS,
	HOOK_TC_EGRESS,
	HOOKS,
};

/* Every packet has exactly one. */
enum outcome {
	NOT_DNS, /* not UDP or TCP of a watched port */
	SAMPLED_OUT,
	FRAG_QUOTA, /* of unknown kind, beyond what may pass each second */
	RING_FULL,
	COPY_FAILED, /* the kernel would not give us the bytes */
	DELIVERED,   /* is in a ring */
	OUTCOMES,
	WANTED = OUTCOMES, /* not an outcome: to be captured */
};

/* One hook on one CPU. What is kept of every so many is counted here too, and so
 * for each hook: one count for both directions would, at 1:2, keep all queries
 * and no response.
 */
struct hook {
	__u64 seen;
	__u64 outcome[OUTCOMES];
	__u64 bytes;	/* of delivered frames, on the wire */
	__u64 cut;	/* delivered frames that the snap length cut */
	__u64 overlong; /* delivered frames that were cut because no record holds them
			 */
	__u64 opaque; /* tunnels let through because only user space can look inside */
	__u64 sample_credit;
	__u64 quota_credit; /* a packet costs NSEC_PER_SEC */
	__u64 quota_time;
};

/* As packet.Tunnel in user space. */
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

/* Constant to the verifier, which removes what a setting switches off. */
const volatile struct settings config;
const volatile __u8 port_bits[65536 / 8];

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOKS);
	__type(key, __u32);
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
