package bpf

import "strings"

// Capturable reports whether the programs understand an interface's frames, and
// if not, why.
func Capturable(ifindex int) error {
	_, err := findDevice(ifindex)
	return err
}

// IsOurs tells by its name whether a program is one of this package's, of this
// process or another.
func IsOurs(program string) bool { return strings.HasPrefix(program, "dnsmonster_") }
