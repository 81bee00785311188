package oserror

import "golang.org/x/sys/windows"

var (
	reset          = []error{windows.WSAECONNRESET, windows.WSAECONNABORTED, windows.ERROR_NETNAME_DELETED}
	brokenPipe     = []error{windows.ERROR_BROKEN_PIPE, windows.ERROR_NO_DATA, windows.WSAESHUTDOWN}
	unreachable    = []error{windows.WSAETIMEDOUT, windows.WSAEHOSTUNREACH, windows.WSAENETUNREACH, windows.ERROR_SEM_TIMEOUT}
	inUse          = []error{windows.WSAEADDRINUSE}
	foreignAddress = []error{windows.WSAEADDRNOTAVAIL}
	denied         = []error{windows.ERROR_ACCESS_DENIED, windows.WSAEACCES}
	notOwner       = []error{windows.ERROR_PRIVILEGE_NOT_HELD}
	diskFull       = []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED}
	readOnly       = []error{windows.ERROR_WRITE_PROTECT}
	notFolder      = []error{windows.ERROR_DIRECTORY}
	busy           = []error{windows.ERROR_SHARING_VIOLATION, windows.ERROR_BUSY}
	unwritable     = []error{windows.ERROR_INVALID_HANDLE, windows.ERROR_ACCESS_DENIED, windows.ERROR_FILE_TOO_LARGE}
	terminalGone   = []error{windows.ERROR_INVALID_HANDLE}
)
