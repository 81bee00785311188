/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
#ifndef DNSMONSTER_ENTERED_H
#define DNSMONSTER_ENTERED_H

/* What enter_tunnel() finds. */
enum entered {
	ENTERED,
	ENTERED_NOT,	/* not a tunnel, or it carries no IP */
	ENTERED_OPAQUE, /* to be looked into by user space */
};

#endif
