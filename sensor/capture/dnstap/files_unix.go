//go:build unix

package dnstap

import "golang.org/x/sys/unix"

// allowFiles raises the limit of open files as far as this process may, if fewer than need
// are allowed. It returns the limit, and whether that is less than need.
func allowFiles(need uint64) (files uint64, limited bool) {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 0, false
	}
	files, most := uint64(r.Cur), uint64(r.Max)
	if files < need && files < most {
		files = min(need, most)
		set(&r.Cur, files)
		unix.Setrlimit(unix.RLIMIT_NOFILE, &r)
	}
	return files, files < need
}

// set stores a number whose type differs from system to system.
func set[T int64 | uint64](to *T, value uint64) { *to = T(value) }
