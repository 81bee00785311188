package libpcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// procs are the functions of Npcap's library.
var procs = struct {
	libVersion, findalldevs, freealldevs, create, setSnaplen, setPromisc, setTimeout, setBufferSize, activate, close,
	geterr, statustostr, nextEx, datalink, stats, setfilter, setnonblock, getevent uintptr
	setImmediate, setPrecision, getPrecision, setDirection, init uintptr // 0: the library does not have it
}{}

// load finds the library, once. A library that is installed later is found at the next
// start.
var load = sync.OnceValue(func() error {
	library, err := loadLibrary()
	if err != nil {
		return fmt.Errorf("Npcap is not installed, get it from https://npcap.com (wpcap.dll: %w)", err)
	}
	must := map[string]*uintptr{
		"pcap_lib_version": &procs.libVersion, "pcap_findalldevs": &procs.findalldevs, "pcap_freealldevs": &procs.freealldevs,
		"pcap_create": &procs.create, "pcap_set_snaplen": &procs.setSnaplen, "pcap_set_promisc": &procs.setPromisc,
		"pcap_set_timeout": &procs.setTimeout, "pcap_set_buffer_size": &procs.setBufferSize, "pcap_activate": &procs.activate,
		"pcap_close": &procs.close, "pcap_geterr": &procs.geterr, "pcap_statustostr": &procs.statustostr, "pcap_next_ex": &procs.nextEx,
		"pcap_datalink": &procs.datalink, "pcap_stats": &procs.stats, "pcap_setfilter": &procs.setfilter,
		"pcap_setnonblock": &procs.setnonblock, "pcap_getevent": &procs.getevent,
	}
	may := map[string]*uintptr{
		"pcap_set_immediate_mode": &procs.setImmediate, "pcap_set_tstamp_precision": &procs.setPrecision,
		"pcap_get_tstamp_precision": &procs.getPrecision, "pcap_setdirection": &procs.setDirection, "pcap_init": &procs.init,
	}
	for name, proc := range must {
		if *proc, err = windows.GetProcAddress(library, name); err != nil {
			return fmt.Errorf("wpcap.dll has no %s: it is too old, get Npcap from https://npcap.com", name)
		}
	}
	for name, proc := range may {
		*proc, _ = windows.GetProcAddress(library, name)
	}
	if procs.init != 0 {
		const utf8 = 1
		text := make([]byte, errorLen)
		call(procs.init, utf8, uintptr(unsafe.Pointer(&text[0])))
	}
	return nil
})

// loadLibrary looks where Npcap installs its library, and then where it does so in the
// mode that replaces WinPcap.
func loadLibrary() (windows.Handle, error) {
	folder, err := windows.GetSystemDirectory()
	if err != nil {
		return 0, err
	}
	library, err := windows.LoadLibraryEx(folder+`\Npcap\wpcap.dll`, 0, windows.LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR|windows.LOAD_LIBRARY_SEARCH_SYSTEM32)
	if err != nil {
		library, err = windows.LoadLibraryEx("wpcap.dll", 0, windows.LOAD_LIBRARY_SEARCH_SYSTEM32)
	}
	return library, err
}

const errorLen = 256 // PCAP_ERRBUF_SIZE

// call returns what a function of the library returns.
func call(proc uintptr, args ...uintptr) int32 {
	r, _, _ := syscall.SyscallN(proc, args...)
	return int32(r)
}

// callText returns the text that a function of the library returns.
func callText(proc uintptr, args ...uintptr) string {
	r, _, _ := syscall.SyscallN(proc, args...)
	return windows.BytePtrToString(*(**byte)(unsafe.Pointer(&r)))
}

// Structures of the library.
type (
	packetHeader struct {
		sec, fraction int32
		caplen, len   uint32
	}
	listedDevice struct {
		next              *listedDevice
		name, description *byte
		addresses         *listedAddress
		flags             uint32
	}
	listedAddress struct {
		next                     *listedAddress
		address, mask, cast, far *windows.RawSockaddrAny
	}
	bpfProgram struct {
		n    uint32
		list *instruction
	}
)

// handle is a pcap_t that has been activated. One goroutine at a time uses it.
type handle struct {
	pcap  uintptr
	event windows.Handle
	tick  int64 // nanoseconds of a header's fraction
	count uint32

	// The packet that was returned last, and has had no room: valid until the next one.
	header *packetHeader
	data   *byte
	held   bool
}

// Version is the library's text about itself.
func Version() string {
	if load() != nil {
		return ""
	}
	return callText(procs.libVersion)
}

// openHandle opens a device. The warning does not keep it from being captured.
func openHandle(device string, s settings) (h *handle, warning, err error) {
	if err := load(); err != nil {
		return nil, nil, err
	}
	name, err := windows.BytePtrFromString(device)
	if err != nil {
		return nil, nil, err
	}
	text := make([]byte, errorLen)
	pcap, _, _ := syscall.SyscallN(procs.create, uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&text[0])))
	if pcap == 0 {
		return nil, nil, errors.New(windows.ByteSliceToString(text))
	}
	call(procs.setSnaplen, pcap, uintptr(s.snapLen))
	call(procs.setTimeout, pcap, uintptr(blockTime/time.Millisecond))
	call(procs.setBufferSize, pcap, uintptr(s.bufferBytes))
	promiscuous := uintptr(0)
	if s.promiscuous {
		promiscuous = 1
	}
	call(procs.setPromisc, pcap, promiscuous)
	if procs.setImmediate != 0 {
		call(procs.setImmediate, pcap, 1)
	}
	h = &handle{pcap: pcap, tick: 1000}
	const nanoseconds = 1
	if procs.setPrecision != 0 && procs.getPrecision != 0 {
		call(procs.setPrecision, pcap, nanoseconds)
	}
	status := call(procs.activate, pcap)
	switch {
	case status < 0:
		err = h.activateError(status)
	case status > 0:
		warning = h.activateError(status)
	}
	if err == nil && call(procs.setnonblock, pcap, 1, uintptr(unsafe.Pointer(&text[0]))) != 0 {
		err = errors.New(windows.ByteSliceToString(text))
	}
	if err != nil {
		h.close()
		return nil, nil, err
	}
	if procs.getPrecision != 0 && call(procs.getPrecision, pcap) == nanoseconds {
		h.tick = 1
	}
	event, _, _ := syscall.SyscallN(procs.getevent, pcap)
	h.event = windows.Handle(event)
	return h, warning, nil
}

func (h *handle) activateError(status int32) error {
	const permissionDenied, notUp = -8, -9
	text := callText(procs.geterr, h.pcap)
	if text == "" {
		text = callText(procs.statustostr, uintptr(status))
	}
	switch status {
	case permissionDenied:
		return fmt.Errorf("%s (Npcap may have been installed for administrators only: run as administrator)", text)
	case notUp:
		return errDown
	}
	return errors.New(text)
}

// read fills buf with records of packets, without waiting.
func (h *handle) read(buf []byte) (n int, s state) {
	for {
		if !h.held {
			switch status := call(procs.nextEx, h.pcap, uintptr(unsafe.Pointer(&h.header)), uintptr(unsafe.Pointer(&h.data))); {
			case status == 0 && n == 0:
				return 0, stateEmpty
			case status == 0:
				return n, stateMore
			case status < 0:
				return n, stateFailed
			}
			h.held = true
			h.count++
		}
		need := h.next()
		if need > len(buf)-n {
			return n, stateFull
		}
		putRecord(buf[n:], int64(h.header.sec)*1e9+int64(h.header.fraction)*h.tick, h.header.len, unsafe.Slice(h.data, h.header.caplen))
		n += need
		h.held = false
	}
}

// next is the length of the record for which there was no room, 0 for none.
func (h *handle) next() int {
	if !h.held {
		return 0
	}
	return (recordHeader + int(h.header.caplen) + 7) &^ 7
}

// err is why the last read has failed.
func (h *handle) err() error { return errors.New(callText(procs.geterr, h.pcap)) }

// stats returns the system's counters since the handle was opened, modulo 1<<32.
func (h *handle) stats() (stats, error) {
	var c [16]uint32 // struct pcap_stat has six, or more in a later version
	if call(procs.stats, h.pcap, uintptr(unsafe.Pointer(&c[0]))) != 0 {
		return stats{}, h.err()
	}
	return stats{received: c[0], dropped: c[1], interfaceDropped: c[2], read: h.count}, nil
}

func (h *handle) setDirection(d direction) error {
	if procs.setDirection == 0 {
		return errors.ErrUnsupported
	}
	if status := call(procs.setDirection, h.pcap, uintptr(d)); status != 0 {
		return errors.New(callText(procs.statustostr, uintptr(status)))
	}
	return nil
}

// setFilter installs a program that sees what the handle returns.
func (h *handle) setFilter(program []instruction) error {
	p := bpfProgram{uint32(len(program)), &program[0]}
	if call(procs.setfilter, h.pcap, uintptr(unsafe.Pointer(&p))) != 0 {
		return h.err()
	}
	return nil
}

func (h *handle) linkType() int { return int(call(procs.datalink, h.pcap)) }

func (h *handle) close() { call(procs.close, h.pcap) }

// waker ends a wait, and all later ones.
type waker struct{ event windows.Handle }

func newWaker() (*waker, error) {
	event, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		return nil, fmt.Errorf("create an event: %w", err)
	}
	return &waker{event}, nil
}

func (k *waker) wake() { _ = windows.SetEvent(k.event) }

// close is called when nobody waits any more.
func (k *waker) close() { _ = windows.CloseHandle(k.event) }

// wait waits until one of up to two handles has packets or an error, until the waker
// wakes, or until the time is over.
func wait(handles []*handle, k *waker, d time.Duration) {
	list := [3]windows.Handle{k.event}
	n := 1
	for _, h := range handles {
		if h.event == 0 {
			d = min(d, blockTime)
			continue
		}
		list[n] = h.event
		n++
	}
	_, _ = windows.WaitForMultipleObjects(list[:n], false, uint32(d/time.Millisecond))
}

// Devices lists what can be captured.
func Devices() ([]Device, error) {
	if err := load(); err != nil {
		return nil, err
	}
	text := make([]byte, errorLen)
	var all *listedDevice
	if call(procs.findalldevs, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&text[0]))) != 0 {
		return nil, fmt.Errorf("list devices: %s", windows.ByteSliceToString(text))
	}
	defer func() { call(procs.freealldevs, uintptr(unsafe.Pointer(all))) }()
	var list []Device
	for d := all; d != nil; d = d.next {
		one := Device{Name: windows.BytePtrToString(d.name), Description: windows.BytePtrToString(d.description), Up: d.flags&2 != 0, Loopback: d.flags&1 != 0}
		for a := d.addresses; a != nil; a = a.next {
			if addr, ok := address(a.address); ok {
				one.Addresses = append(one.Addresses, addr)
			}
		}
		list = append(list, one)
	}
	return list, nil
}

func address(from *windows.RawSockaddrAny) (a netip.Addr, ok bool) {
	switch {
	case from == nil:
	case from.Addr.Family == windows.AF_INET:
		return netip.AddrFrom4((*windows.RawSockaddrInet4)(unsafe.Pointer(from)).Addr), true
	case from.Addr.Family == windows.AF_INET6:
		return netip.AddrFrom16((*windows.RawSockaddrInet6)(unsafe.Pointer(from)).Addr), true
	}
	return a, false
}

// putRecord writes a record: see recordHeader.
func putRecord(b []byte, time int64, length uint32, data []byte) {
	binary.NativeEndian.PutUint64(b, uint64(time))
	binary.NativeEndian.PutUint32(b[8:], uint32(len(data)))
	binary.NativeEndian.PutUint32(b[12:], length)
	copy(b[recordHeader:], data)
}
