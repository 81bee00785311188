package server

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

var wsaPoll = windows.NewLazySystemDLL("ws2_32.dll").NewProc("WSAPoll")

// pollRead is POLLRDNORM: there is something to read, or the end.
const pollRead = 0x0100

// isSilent reports whether a connection is open and nothing has come. It does not wait.
func isSilent(fd uintptr) bool {
	poll := struct {
		fd             uintptr
		events, result int16
	}{fd: fd, events: pollRead}
	n, _, _ := wsaPoll.Call(uintptr(unsafe.Pointer(&poll)), 1, 0)
	return int32(n) == 0
}
