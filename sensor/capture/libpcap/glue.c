//go:build libpcap && cgo && !windows

#include "glue.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void explain(pcap_t *p, int status, char *text)
{
	const char *detail = pcap_geterr(p);

	if (detail == NULL || detail[0] == 0 || status == PCAP_ERROR_NO_SUCH_DEVICE ||
	    status == PCAP_ERROR_IFACE_NOT_UP)
		detail = pcap_statustostr(status);
	strncpy(text, detail, PCAP_ERRBUF_SIZE - 1);
	text[PCAP_ERRBUF_SIZE - 1] = 0;
}

static void set_immediate(pcap_t *p)
{
#ifdef __OpenBSD__
	(void)p; // its libpcap may lack the call: see set_immediate_device
#else
	pcap_set_immediate_mode(p, 1);
#endif
}

static void set_immediate_device(pcap_t *p)
{
#ifdef __OpenBSD__
	u_int on = 1;
	ioctl(pcap_fileno(p), BIOCIMMEDIATE, &on);
#else
	(void)p;
#endif
}

struct sensor_handle *sensor_open(const char *device, const struct sensor_settings *s,
				  int *status, char text[PCAP_ERRBUF_SIZE])
{
	struct sensor_handle *h = calloc(1, sizeof *h);
	pcap_t *p;

	*status = PCAP_ERROR;
	text[0] = 0;
	if (h == NULL) {
		strcpy(text, "there is no memory");
		return NULL;
	}
	p = pcap_create(device, text);
	if (p == NULL) {
		free(h);
		return NULL;
	}
	pcap_set_snaplen(p, s->snaplen);
	pcap_set_promisc(p, s->promiscuous);
	pcap_set_timeout(p, s->timeout);
	pcap_set_buffer_size(p, s->buffer);
	if (s->immediate)
		set_immediate(p);
#ifdef PCAP_TSTAMP_PRECISION_NANO
	pcap_set_tstamp_precision(p, PCAP_TSTAMP_PRECISION_NANO);
#endif
	*status = pcap_activate(p);
	if (*status != 0)
		explain(p, *status, text);
	if (*status >= 0 && pcap_setnonblock(p, 1, text) != 0)
		*status = PCAP_ERROR;
	if (*status < 0) {
		pcap_close(p);
		free(h);
		return NULL;
	}
	if (s->immediate)
		set_immediate_device(p);
#ifdef PCAP_TSTAMP_PRECISION_NANO
	h->nano = pcap_get_tstamp_precision(p) == PCAP_TSTAMP_PRECISION_NANO;
#endif
	h->pcap = p;
	h->fd = pcap_get_selectable_fd(p);
	return h;
}

void sensor_close(struct sensor_handle *h)
{
	pcap_close(h->pcap);
	free(h->spill);
	free(h);
}

static size_t record_size(uint32_t caplen)
{
	return (sizeof(struct sensor_record) + caplen + 7) & ~(size_t)7;
}

struct sink {
	struct sensor_handle *h;
	uint8_t *at, *end;
};

// room returns where the next record goes, NULL if there is no memory.
static uint8_t *make_room(struct sink *s, size_t need)
{
	struct sensor_handle *h = s->h;
	uint8_t *at = s->at;

	if (h->spill_end == 0 && need <= (size_t)(s->end - at)) {
		s->at += need;
		return at;
	}
	if (need > h->spill_size - h->spill_end) {
		size_t size = 2 * h->spill_size + need;
		uint8_t *more = realloc(h->spill, size);
		if (more == NULL)
			return NULL;
		h->spill = more;
		h->spill_size = size;
	}
	at = h->spill + h->spill_end;
	h->spill_end += need;
	pcap_breakloop(h->pcap);
	return at;
}

static void store(u_char *user, const struct pcap_pkthdr *header, const u_char *data)
{
	struct sink *s = (struct sink *)user;
	struct sensor_record r = {
		.time = (int64_t)header->ts.tv_sec * 1000000000 +
			(int64_t)header->ts.tv_usec * (s->h->nano ? 1 : 1000),
		.caplen = header->caplen,
		.len = header->len,
	};
	uint8_t *at = make_room(s, record_size(r.caplen));

	if (at == NULL) {
		s->h->no_memory++;
		return;
	}
	memcpy(at, &r, sizeof r);
	memcpy(at + sizeof r, data, r.caplen);
	s->h->read++;
}

size_t sensor_next(const struct sensor_handle *h)
{
	struct sensor_record r;

	if (h->spill_begin == h->spill_end)
		return 0;
	memcpy(&r, h->spill + h->spill_begin, sizeof r);
	return record_size(r.caplen);
}

size_t sensor_read(struct sensor_handle *h, uint8_t *buffer, size_t room)
{
	struct sink s = { h, buffer, buffer + room };
	size_t next;
	int n;

	while ((next = sensor_next(h)) > 0) {
		if (next > (size_t)(s.end - s.at)) {
			h->state = SENSOR_FULL;
			return s.at - buffer;
		}
		memcpy(s.at, h->spill + h->spill_begin, next);
		s.at += next;
		h->spill_begin += next;
	}
	h->spill_begin = h->spill_end = 0;
	n = pcap_dispatch(h->pcap, -1, store, (u_char *)&s);
	if (h->spill_end > 0)
		h->state = SENSOR_FULL;
	else if (n == PCAP_ERROR_BREAK || n > 0)
		h->state = SENSOR_MORE;
	else if (n < 0)
		h->state = SENSOR_FAILED;
	else
		h->state = s.at == buffer ? SENSOR_EMPTY : SENSOR_MORE;
	return s.at - buffer;
}

void sensor_wait(struct sensor_handle *a, struct sensor_handle *b, int wake,
		 int milliseconds)
{
	// Handles without a descriptor, and devices that poll does not take, are looked
	// at every few milliseconds.
	const int often = 10;
	struct pollfd fds[3] = { { .fd = wake, .events = POLLIN },
				 { .fd = a->fd, .events = POLLIN },
				 { .fd = b ? b->fd : -1, .events = POLLIN } };

	if ((a->fd < 0 || (b && b->fd < 0)) && milliseconds > often)
		milliseconds = often;
	if (poll(fds, 3, milliseconds) > 0 && !(fds[0].revents) &&
	    ((fds[1].revents | fds[2].revents) & POLLNVAL))
		poll(fds, 1, often);
}

int sensor_linktype(struct sensor_handle *h)
{
	int dlt = pcap_datalink(h->pcap);

	switch (dlt) {
	case DLT_RAW:
		return 101;
#ifdef DLT_LOOP
	case DLT_LOOP:
		return 108;
#endif
#ifdef DLT_ENC
	case DLT_ENC:
		return 109;
#endif
#if defined(__APPLE__) && defined(DLT_PKTAP)
	case DLT_PKTAP:
		return 258;
#endif
	}
	return dlt;
}

int sensor_setfilter(struct sensor_handle *h, const struct sensor_instruction *program,
		     int n)
{
	struct bpf_insn *list = calloc(n, sizeof *list);
	struct bpf_program whole = { .bf_len = n, .bf_insns = list };
	int i, status;

	if (list == NULL)
		return PCAP_ERROR;
	for (i = 0; i < n; i++) {
		list[i].code = program[i].code;
		list[i].jt = program[i].jt;
		list[i].jf = program[i].jf;
		list[i].k = program[i].k;
	}
	status = pcap_setfilter(h->pcap, &whole);
	free(list);
	return status;
}

int sensor_address(const struct sockaddr *from, uint8_t to[16])
{
	if (from == NULL)
		return 0;
	if (from->sa_family == AF_INET) {
		memcpy(to, &((const struct sockaddr_in *)from)->sin_addr, 4);
		return 4;
	}
	if (from->sa_family == AF_INET6) {
		memcpy(to, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
		return 16;
	}
	return 0;
}
