// What the Go side needs of libpcap, in few calls. Only glue.c and handle_cgo.go use
// it.
#pragma once
#include <pcap.h>
#include <stdint.h>

// A record in the buffer that sensor_read fills: this header, the packet's bytes, and
// padding to a multiple of 8.
struct sensor_record {
	int64_t time; // nanoseconds since the epoch
	uint32_t caplen, len;
};

enum sensor_state {
	SENSOR_MORE,
	SENSOR_EMPTY,
	SENSOR_FULL,
	SENSOR_FAILED
};

struct sensor_handle {
	pcap_t *pcap;
	int fd;	  // for poll; -1: there is none
	int nano; // the library's times have nanoseconds
	enum sensor_state state;
	uint32_t read;	    // packets
	uint32_t no_memory; // packets that were lost for want of memory
	// Packets that did not fit into the caller's buffer.
	uint8_t *spill;
	size_t spill_begin, spill_end, spill_size;
};

struct sensor_settings {
	int snaplen, promiscuous, immediate, timeout, buffer;
};

// sensor_open returns NULL and the library's error in *status, or a handle with the
// library's warning there, 0 for none. text explains the error or warning.
struct sensor_handle *sensor_open(const char *device, const struct sensor_settings *s,
				  int *status, char text[PCAP_ERRBUF_SIZE]);
void sensor_close(struct sensor_handle *h);

// sensor_read fills the buffer with records of packets that are there, without waiting,
// and returns how many bytes it has used. The handle's state says what comes next: FULL
// is an early end, because the next record, of sensor_next bytes, has no room.
size_t sensor_read(struct sensor_handle *h, uint8_t *buffer, size_t room);
size_t sensor_next(const struct sensor_handle *h);

// sensor_wait waits until a handle has packets or an error, wake can be read, or the
// time is over. b may be NULL.
void sensor_wait(struct sensor_handle *a, struct sensor_handle *b, int wake,
		 int milliseconds);

// sensor_linktype is the number of the link type in files, which is the same on all
// systems.
int sensor_linktype(struct sensor_handle *h);

// sensor_setfilter installs a program of n instructions.
struct sensor_instruction {
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
};
int sensor_setfilter(struct sensor_handle *h, const struct sensor_instruction *program,
		     int n);

// sensor_address copies an IP address, and returns its length, 0 for other addresses.
int sensor_address(const struct sockaddr *from, uint8_t to[16]);
