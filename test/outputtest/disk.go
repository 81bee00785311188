package outputtest

import (
	"os"
	"sync"
	"syscall"
)

// Disk stands between an output and its file: it fails, or hangs, as a test asks.
type Disk struct {
	mu       sync.Mutex
	failures int
	hang     chan struct{} // nil or closed: it does not
}

// Write writes p to f. If a failure was asked for, the disk is full in the middle of p.
func (d *Disk) Write(f *os.File, p []byte) (int, error) {
	d.mu.Lock()
	hang := d.hang
	d.mu.Unlock()
	if hang != nil {
		<-hang
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failures > 0 {
		d.failures--
		n, _ := f.Write(p[:len(p)/2])
		return n, syscall.ENOSPC
	}
	return f.Write(p)
}

// Fail makes the next n writes fail.
func (d *Disk) Fail(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failures = n
}

// Hang makes writes wait until release is called.
func (d *Disk) Hang() (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	hang := make(chan struct{})
	d.hang = hang
	return sync.OnceFunc(func() { close(hang) })
}
