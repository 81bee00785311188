/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* Decides whether a packet is wanted: by ports, fragments and sampling. */
#ifndef DNSMONSTER_CHOOSE_H
#define DNSMONSTER_CHOOSE_H

#include "hash.h"
#include "parse.h"
#include "sensor.h"

#define NSEC_PER_SEC 1000000000ULL

static __always_inline bool is_dns_port(__u16 port)
{
	__u32 i = port >> 3;

	/* Old verifiers lose the bound of a byte-swapped port, and clang drops a mask
	 * that it knows to be redundant.
	 */
	barrier_var(i);
	i &= sizeof(port_bits) - 1;
	return port_bits[i] >> (port & 7) & 1;
}

/* Keeps exactly sample_keep of any sample_of consecutive packets. */
static __always_inline bool sampled_by_count(struct hook *h)
{
	__u64 credit = h->sample_credit + config.sample_keep;
	bool keep = credit >= config.sample_of;

	h->sample_credit = keep ? credit - config.sample_of : credit;
	return keep;
}

static __always_inline bool sampled_by_hash(__u64 hash)
{
	return (__u32)hash % config.sample_of < config.sample_keep;
}

static __always_inline enum outcome sample(struct hook *h, const struct packet *p)
{
	bool keep;

	if (!config.sample_of)
		return WANTED;
	if (p->proto != IPPROTO_UDP)
		keep = sampled_by_hash(hash_pair(p));
	else if (config.sample_flow)
		keep = sampled_by_hash(hash_flow(p));
	else if (p->part == PART_WHOLE)
		keep = sampled_by_count(h);
	else
		keep = sampled_by_hash(hash_pair(p));
	return keep ? WANTED : SAMPLED_OUT;
}

static __always_inline bool has_dns_port(const struct packet *p)
{
	return is_dns_port(p->dport) || is_dns_port(p->sport);
}

static __always_inline enum outcome choose_by_ports(struct hook *h,
						    const struct packet *p)
{
	return has_dns_port(p) ? sample(h, p) : NOT_DNS;
}

/* For a later fragment whose first fragment we did not see, or a header chain that
 * we do not follow to its end. User space finds out what it is; the quota bounds how
 * much of a flood of foreign fragments gets into the ring.
 */
static __always_inline enum outcome choose_unknown(struct hook *h,
						   const struct packet *p)
{
	__u64 now, elapsed, credit;

	/* Sampling by flow needs ports, which are not known here. */
	if (config.sample_of && !config.sample_flow && !sampled_by_hash(hash_pair(p)))
		return SAMPLED_OUT;

	now = bpf_ktime_get_boot_ns();
	elapsed = now - h->quota_time;
	if (elapsed > NSEC_PER_SEC)
		elapsed = NSEC_PER_SEC;
	credit = h->quota_credit + elapsed * config.quota;
	if (credit > config.quota * NSEC_PER_SEC)
		credit = config.quota * NSEC_PER_SEC;
	h->quota_time = now;
	h->quota_credit = credit;
	if (credit < NSEC_PER_SEC)
		return FRAG_QUOTA;
	h->quota_credit = credit - NSEC_PER_SEC;
	return WANTED;
}

static __always_inline void fragment_key(struct fragment_key *k, const struct packet *p)
{
	__builtin_memset(k, 0, sizeof(*k));
	k->frag = p->frag;
	k->tunnel_id = p->tunnel_id;
	k->version = p->version;
	if (p->version == 4) {
		const struct iphdr *ip = p->l3;

		k->src[0] = ip->saddr;
		k->dst[0] = ip->daddr;
	} else {
		const __u64 *src =
			(const __u64 *)&((const struct ipv6hdr *)p->l3)->saddr;

		k->src[0] = src[0];
		k->src[1] = src[1];
		k->dst[0] = src[2];
		k->dst[1] = src[3];
	}
}

/* Returns the decision about the datagram's first fragment. */
static __always_inline enum outcome choose_later(struct hook *h, const struct packet *p)
{
	struct fragment_key key;
	__u8 *known;

	fragment_key(&key, p);
	known = bpf_map_lookup_elem(&verdicts, &key);
	return known ? *known : choose_unknown(h, p);
}

/* If the table is full or busy, the later fragments are merely unknown. */
static __always_inline void remember(const struct packet *p, enum outcome o)
{
	struct fragment_key key;
	__u8 verdict = o;

	fragment_key(&key, p);
	bpf_map_update_elem(&verdicts, &key, &verdict, BPF_ANY);
}

static __always_inline enum outcome choose_fragment(struct hook *h, enum parsed found,
						    const struct packet *p)
{
	enum outcome o;

	if (p->part == PART_LATER)
		return choose_later(h, p);
	o = found == PARSED_PORTS ? choose_by_ports(h, p) : NOT_DNS;
	remember(p, o);
	return o;
}

/* Returns WANTED, or the outcome of a packet that is not wanted. */
static __always_inline enum outcome choose(struct hook *h, enum parsed found,
					   const struct packet *p)
{
	if (found == PARSED_PORTS && p->part == PART_WHOLE)
		return choose_by_ports(h, p);
	if (!p->version)
		return NOT_DNS;
	if (found == PARSED_DEEP)
		return choose_unknown(h, p);
	if (p->part == PART_WHOLE)
		return NOT_DNS;
	return choose_fragment(h, found, p);
}

#endif
