package watch

import (
	"math"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNamesOfThisBoot: a spool may hold packets of an earlier boot, or of files,
// whose numbers mean other interfaces.
func TestNamesOfThisBoot(t *testing.T) {
	n := NewNames()
	n.learn(1, "lo", clockNanos(unix.CLOCK_BOOTTIME))
	now, boot := time.Now().UnixNano(), n.clock.offset.Load()
	f := func(number uint32, at int64, want string) {
		t.Helper()
		if got := n.Name(number, at); got != want {
			t.Errorf("interface %d at %d: %q, want %q", number, at, got, want)
		}
	}
	f(1, now, "lo")
	f(1, now-1, "lo")
	f(1, boot+int64(time.Second), "lo") // before this process started
	f(1, boot-int64(time.Minute), "")
	f(1, 0, "")
	f(1, now, "lo")
	f(0, now, "")
	f(2, now, "")
	f(65, now, "") // in the same part
	f(math.MaxInt32, now, "")
	f(1<<31+1, now, "")
	f(3<<30+1, now, "")
	n.clock.offset.Store(now + int64(time.Hour)) // measured while the clock was wrong
	f(1, now, "lo")
}

// TestNameAtATime: a record has the name that the interface had when the packet came,
// whenever the record is written.
func TestNameAtATime(t *testing.T) {
	n := NewNames()
	boot := n.clock.offset.Load()
	f := func(number uint32, at int64, want string) {
		t.Helper()
		if got := n.Name(number, boot+at); got != want {
			t.Errorf("interface %d at %d: %q, want %q", number, at, got, want)
		}
	}
	n.learn(7, "eth0", 1000)
	n.learn(7, "eth0", 1500)
	n.learn(7, "lan0", 2000)
	n.forget(7)
	n.learn(7, "wg0", 3000) // the kernel uses the number again
	n.learn(7, "eth0", 4000)
	f(7, 10, "eth0")
	f(7, 1999, "eth0")
	f(7, 2000, "lan0")
	f(7, 2999, "lan0")
	f(7, 3500, "wg0")
	f(7, 1<<40, "eth0")
	for i := range 2 * maxRenaming {
		n.learn(8, string(rune('a'+i%26)), int64(5000+i))
	}
	f(8, 1<<40, string(rune('a'+(2*maxRenaming-1)%26)))
	f(8, 0, string(rune('a'+maxRenaming%26))) // the oldest that is still known
}

// TestNamesAreBounded: however many interfaces come and go, memory is bounded, and
// existing interfaces keep their names.
func TestNamesAreBounded(t *testing.T) {
	n := NewNames()
	n.learn(1, "lo", 0)
	n.learn(2, "eth0", 0)
	n.forget(2)
	n.learn(2, "eth1", 1)
	const many = maxGone + 1000
	for i := 10; i < 10+many; i++ {
		n.learn(i, "veth", int64(i))
		n.forget(i)
	}
	total := 0
	for i := range n.parts {
		total += len(*n.parts[i].Load())
	}
	if total > maxGone+2 {
		t.Errorf("%d interfaces are remembered, want at most %d", total, maxGone+2)
	}
	at := time.Now().UnixNano()
	if n.Name(1, at) != "lo" || n.Name(2, at) != "eth1" || n.Name(10+many-1, at) != "veth" || n.Name(10, at) != "" {
		t.Errorf("names %q, %q, %q, %q", n.Name(1, at), n.Name(2, at), n.Name(10+many-1, at), n.Name(10, at))
	}
}

// TestNameAllocatesNothing, also while names change.
func TestNameAllocatesNothing(t *testing.T) {
	n := NewNames()
	n.learn(1000, "eth0", 0)
	n.learn(1000, "eth1", 10)
	at := time.Now().UnixNano()
	if allocs := testing.AllocsPerRun(1000, func() { n.Name(1000, at) }); allocs != 0 {
		t.Errorf("Name allocates %v times", allocs)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for i := range 1000 {
			n.learn(1000+i%8, string(rune('a'+i%26)), int64(i))
		}
	})
	for range 1000 {
		if n.Name(1000, at) == "" {
			t.Error("no name")
		}
	}
	all.Wait()
}
