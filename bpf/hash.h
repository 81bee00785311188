/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* The lane hash, bit for bit the same as userspace/packet/hash.go; a test compares
 * them. It is symmetric: a query and its response hash alike. The upper half chooses
 * the lane, the lower half decides on sampling.
 *
 * Addresses are read as little-endian words, so there is no big-endian build.
 */
#ifndef DNSMONSTER_HASH_H
#define DNSMONSTER_HASH_H

#include "parse.h"

#define HASH_K1 0x9e3779b97f4a7c15ULL
#define HASH_K2 0xc2b2ae3d27d4eb4fULL
#define HASH_K3 0x165667b19e3779f9ULL
#define HASH_K4 0x27d4eb2f165667c5ULL
#define HASH_K5 0xd6e8feb86659fd93ULL

static __always_inline __u64 fold6(const __u64 *addr)
{
	return addr[0] * HASH_K5 ^ addr[1];
}

static __always_inline __u64 sum_pair(const struct packet *p)
{
	__u64 s, d;

	if (p->version == 4) {
		const struct iphdr *ip = p->l3;

		s = ip->saddr;
		d = ip->daddr;
	} else {
		const struct ipv6hdr *ip = p->l3;

		s = fold6((const __u64 *)&ip->saddr);
		d = fold6((const __u64 *)&ip->daddr);
	}
	return (s ^ d) * HASH_K1 + (s + d) * HASH_K2;
}

static __always_inline __u64 finish(__u64 h)
{
	h ^= h >> 32;
	h *= HASH_K5;
	h ^= h >> 29;
	return h;
}

static __always_inline __u64 hash_pair(const struct packet *p)
{
	return finish(sum_pair(p));
}

static __always_inline __u64 hash_flow(const struct packet *p)
{
	__u64 s = p->sport, d = p->dport;

	return finish(sum_pair(p) + (s ^ d) * HASH_K3 + (s + d) * HASH_K4);
}

static __always_inline bool is_datagram(const struct packet *p)
{
	return p->proto == IPPROTO_UDP && p->part == PART_WHOLE;
}

/* Keeps every message on one lane: a whole datagram goes by its flow, a stream and
 * all fragments by their addresses.
 */
static __always_inline __u64 hash_lane(const struct packet *p)
{
	return is_datagram(p) ? hash_flow(p) : hash_pair(p);
}

#endif
