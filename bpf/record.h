/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* What stands in a ring: one record a packet, this header and then the bytes.
 * Native byte order, which is little-endian. record.go reads it; see there before
 * changing anything.
 */
#ifndef DNSMONSTER_RECORD_H
#define DNSMONSTER_RECORD_H

#include <linux/types.h>

#define RECORD_VLAN 0x01 /* vlan_tci and vlan_proto are set */
#define RECORD_L3   0x02 /* the data starts with an IP header, not with Ethernet */
#define RECORD_XDP  0x04 /* seen by XDP, otherwise by TC */

#define DIRECTION_IN  1
#define DIRECTION_OUT 2

struct record {
	__u64 boot_ns;	   /*  0: CLOCK_BOOTTIME */
	__u32 ifindex;	   /*  8 */
	__u32 wire_len;	   /* 12: of the frame, more than cap_len where it was cut */
	__u32 cap_len;	   /* 16: bytes of data */
	__u32 sample_keep; /* 20: keep of every sample_of; 0 of 0: no sampling */
	__u32 sample_of;   /* 24 */
	__u16 vlan_tci;	   /* 28: the tag that is not in the bytes */
	__u16 vlan_proto;  /* 30: 0x8100 or 0x88a8 */
	__u8 flags;	   /* 32: RECORD_* */
	__u8 direction;	   /* 33: DIRECTION_* */
	__u16 gso_size;	   /* 34: payload bytes per wire packet, 0 if this is one */
	__u8 data_off;	   /* 36: where the data starts; a longer header moves it */
	__u8 reserved[3];  /* 37: zero */
	__u8 data[];	   /* 40 */
};

_Static_assert(sizeof(struct record) == 40, "record.go says so too");
_Static_assert(__builtin_offsetof(struct record, vlan_tci) == 28, "no padding");

/* A reservation has a constant size, header included, and costs what it holds
 * in ring space. A query of up to 88 bytes fits the smallest. CLASS_6 holds an IP
 * packet of 64 KiB with any link header. What the kernel puts together can be
 * longer (BIG TCP, Linux 5.19): often 192 KiB, and 512 KiB at most.
 */
#define CLASS_0 128
#define CLASS_1 256
#define CLASS_2 512
#define CLASS_3 1536
#define CLASS_4 4096
#define CLASS_5 16384
#define CLASS_6 (65536 + 128)
#define CLASS_7 (3 * 65536 + 128)
#define CLASS_8 (8 * 65536 + 128)

#endif
