//go:build !windows

package printable

// Escapes makes a terminal obey escape sequences. It returns false if the terminal cannot.
func Escapes(int) bool { return true }
