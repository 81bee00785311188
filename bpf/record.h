/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* The layout of a ring: one record per packet, a header and then the bytes. Native
 * byte order, which is little-endian. Go's types and constants are generated from
 * these.
 */
#ifndef DNSMONSTER_RECORD_H
#define DNSMONSTER_RECORD_H

#include <linux/types.h>

enum record_flag {
	RECORD_VLAN = 0x01, /* vlan_tci and vlan_proto are set */
	RECORD_L3 = 0x02,   /* the data starts with an IP header, not with Ethernet */
	RECORD_XDP = 0x04,  /* seen by XDP, otherwise by TC */
};

enum direction {
	DIRECTION_IN = 1,
	DIRECTION_OUT = 2,
};

struct record_header {
	__u64 boot_ns; /* CLOCK_BOOTTIME */
	__u32 ifindex;
	__u32 wire_len;	   /* of the frame; more than cap_len if it was truncated */
	__u32 cap_len;	   /* bytes of data */
	__u32 sample_keep; /* of every sample_of; 0 of 0: no sampling */
	__u32 sample_of;
	__u16 vlan_tci;	  /* the tag that the kernel keeps beside the bytes */
	__u16 vlan_proto; /* 0x8100 or 0x88a8 */
	__u8 flags;	  /* enum record_flag */
	__u8 direction;	  /* enum direction */
	__u16 gso_size;	  /* payload bytes per wire packet, 0 if this is one */
	__u8 data_off;	  /* where the data starts; a longer header would move it */
	__u8 reserved[3]; /* zero */
};

struct record {
	struct record_header header;
	__u8 data[];
};

_Static_assert(sizeof(struct record) == 40, "no padding");

/* The verifier wants reservations of constant size, header included; all of it is
 * ring space. A query of up to 88 bytes fits the smallest. CLASS_6 holds an IP packet
 * of 64 KiB with any link header. Frames that the kernel has merged can be longer
 * (BIG TCP, Linux 5.19): often 192 KiB, and 512 KiB at most.
 */
enum record_size {
	CLASS_0 = 128,
	CLASS_1 = 256,
	CLASS_2 = 512,
	CLASS_3 = 1536,
	CLASS_4 = 4096,
	CLASS_5 = 16384,
	CLASS_6 = 65536 + 128,
	CLASS_7 = 3 * 65536 + 128,
	CLASS_8 = 8 * 65536 + 128,
};

#endif
