package printable

import "golang.org/x/sys/windows"

// Escapes makes a terminal obey escape sequences. It returns false if the terminal cannot.
func Escapes(fd int) bool {
	var mode uint32
	h := windows.Handle(fd)
	return windows.GetConsoleMode(h, &mode) == nil && windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
