//go:build libpcap && cgo && !windows

package libpcap

/*
#cgo LDFLAGS: -lpcap
#cgo noescape sensor_read
#cgo nocallback sensor_read
#cgo noescape sensor_wait
#cgo nocallback sensor_wait
#include "glue.h"
#include <stdlib.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"
	"unsafe"
)

// handle is a pcap_t that has been activated. One goroutine at a time uses it.
type handle struct{ c *C.struct_sensor_handle }

// Version is the library's text about itself.
func Version() string { return C.GoString(C.pcap_lib_version()) }

// openHandle opens a device. The warning does not keep it from being captured.
func openHandle(device string, s settings) (h *handle, warning, err error) {
	name, text := C.CString(device), (*C.char)(C.calloc(1, C.PCAP_ERRBUF_SIZE))
	defer C.free(unsafe.Pointer(name))
	defer C.free(unsafe.Pointer(text))
	c := C.struct_sensor_settings{
		snaplen: C.int(s.snapLen), timeout: C.int(blockTime / time.Millisecond), buffer: C.int(s.bufferBytes),
		immediate: 1, promiscuous: C.int(btoi(s.promiscuous)),
	}
	if runtime.GOOS == "linux" {
		c.immediate = 0 // see blockTime
	}
	var status C.int
	p := C.sensor_open(name, &c, &status, text)
	if p == nil {
		return nil, nil, activateError(int(status), C.GoString(text))
	}
	if status > 0 {
		warning = errors.New(C.GoString(text))
	}
	return &handle{p}, warning, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func activateError(status int, text string) error {
	switch status {
	case C.PCAP_ERROR_PERM_DENIED, C.PCAP_ERROR_PROMISC_PERM_DENIED:
		return fmt.Errorf("%s (%s)", text, rightsHint)
	case C.PCAP_ERROR_IFACE_NOT_UP:
		return errDown
	}
	return errors.New(text)
}

// read fills buf with records of packets, without waiting.
func (h *handle) read(buf []byte) (n int, s state) {
	n = int(C.sensor_read(h.c, (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(buf))), C.size_t(len(buf))))
	return n, state(h.c.state)
}

// next is the length of the record for which there was no room, 0 for none.
func (h *handle) next() int { return int(C.sensor_next(h.c)) }

// err is why the last read has failed.
func (h *handle) err() error { return errors.New(C.GoString(C.pcap_geterr(h.c.pcap))) }

// stats returns the system's counters since the handle was opened, modulo 1<<32.
func (h *handle) stats() (stats, error) {
	var c C.struct_pcap_stat
	if C.pcap_stats(h.c.pcap, &c) != 0 {
		return stats{}, h.err()
	}
	return stats{received: uint32(c.ps_recv), dropped: uint32(c.ps_drop) + uint32(h.c.no_memory), interfaceDropped: uint32(c.ps_ifdrop), read: uint32(h.c.read)}, nil
}

func (h *handle) setDirection(d direction) error {
	if status := C.pcap_setdirection(h.c.pcap, C.pcap_direction_t(d)); status != 0 {
		return errors.New(C.GoString(C.pcap_statustostr(status)))
	}
	return nil
}

// setFilter installs a program that sees what the handle returns.
func (h *handle) setFilter(program []instruction) error {
	if C.sensor_setfilter(h.c, (*C.struct_sensor_instruction)(unsafe.Pointer(unsafe.SliceData(program))), C.int(len(program))) != 0 {
		return h.err()
	}
	return nil
}

func (h *handle) linkType() int { return int(C.sensor_linktype(h.c)) }

func (h *handle) descriptor() int { return int(C.pcap_fileno(h.c.pcap)) }

func (h *handle) close() { C.sensor_close(h.c) }

// waker ends a wait, and all later ones.
type waker struct {
	r, w *os.File
	fd   C.int // of r
}

func newWaker() (*waker, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &waker{r, w, C.int(r.Fd())}, nil
}

func (k *waker) wake() { k.w.Close() }

// close is called when nobody waits any more.
func (k *waker) close() {
	k.r.Close()
	k.w.Close()
}

// wait waits until one of up to two handles has packets or an error, until the waker
// wakes, or until the time is over.
func wait(handles []*handle, k *waker, d time.Duration) {
	var second *C.struct_sensor_handle
	if len(handles) > 1 {
		second = handles[1].c
	}
	C.sensor_wait(handles[0].c, second, k.fd, C.int(d/time.Millisecond))
}

// Devices lists what can be captured.
func Devices() ([]Device, error) {
	text := (*C.char)(C.calloc(1, C.PCAP_ERRBUF_SIZE))
	defer C.free(unsafe.Pointer(text))
	var all *C.pcap_if_t
	if C.pcap_findalldevs(&all, text) != 0 {
		return nil, fmt.Errorf("list devices: %s", C.GoString(text))
	}
	defer C.pcap_freealldevs(all)
	var list []Device
	for d := all; d != nil; d = d.next {
		one := Device{Name: C.GoString(d.name), Description: C.GoString(d.description), Up: d.flags&2 != 0, Loopback: d.flags&1 != 0}
		for a := d.addresses; a != nil; a = a.next {
			var b [16]byte
			n := C.sensor_address(a.addr, (*C.uint8_t)(&b[0]))
			if addr, ok := netip.AddrFromSlice(b[:n]); ok {
				one.Addresses = append(one.Addresses, addr)
			}
		}
		list = append(list, one)
	}
	return list, nil
}
