package cpus

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestQuota: the lowest limit of the group and of those above it counts, in both versions
// of control groups, and in containers.
func TestQuota(t *testing.T) {
	const v2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	const v1 = "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	f := func(name string, want float64, cgroup, mounts string, files ...string) {
		t.Helper()
		root := t.TempDir()
		for i, all := 0, append(files, "/proc/self/cgroup", cgroup, "/proc/self/mountinfo", mounts); i < len(all); i += 2 {
			path := filepath.Join(root, all[i])
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(all[i+1]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := quota(root); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	none := math.Inf(1)
	f("nothing mounted", none, "", "")
	f("no limit", none, "0::/a/b\n", v2, "/sys/fs/cgroup/a/b/cpu.max", "max 100000\n")
	f("half a processor", 0.5, "0::/a/b\n", v2, "/sys/fs/cgroup/a/b/cpu.max", "50000 100000\n")
	f("a group above", 1.5, "0::/a/b\n", v2, "/sys/fs/cgroup/a/b/cpu.max", "max 100000\n", "/sys/fs/cgroup/a/cpu.max", "150000 100000\n")
	f("the lower of two", 2, "0::/a/b\n", v2, "/sys/fs/cgroup/a/b/cpu.max", "200000 100000\n", "/sys/fs/cgroup/a/cpu.max", "300000 100000\n")
	f("the container's own root", 3, "0::/\n", v2, "/sys/fs/cgroup/cpu.max", "300000 100000\n")
	f("a part of the tree", 4, "0::/docker/x/y\n", "30 23 0:26 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/y/cpu.max", "400000 100000\n")
	f("the host's path, not in the mount", 5, "0::/docker/x\n", "30 23 0:26 /dock /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/cpu.max", "500000 100000\n")
	f("version 1", 2.5, "4:cpu,cpuacct:/a\n3:memory:/m\n", v1, "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n", "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n")
	f("version 1, no limit", none, "4:cpu,cpuacct:/a\n", v1, "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n", "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n")
	f("both versions", 1, "4:cpu:/a\n0::/\n", v1+"33 23 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
		"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "100000\n", "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n")
	f("nonsense", none, "0::/a\n:::\nx\n", v2+"\n - \nx - cgroup2\n", "/sys/fs/cgroup/a/cpu.max", "0 0\n", "/sys/fs/cgroup/cpu.max", "many 100000\n")
}

// TestPin: a thread runs on the processor that it is bound to.
func TestPin(t *testing.T) {
	allowed, err := Allowed()
	if err != nil || len(allowed) == 0 {
		t.Fatalf("allowed %v, %v", allowed, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		last := allowed[len(allowed)-1]
		if err := Pin(last); err != nil {
			t.Error(err)
		}
		if now, err := Allowed(); err != nil || !slices.Equal(now, []int{last}) {
			t.Errorf("allowed %v, %v after binding to %d", now, err, last)
		}
		if err := Check([]int{last}); err != nil {
			t.Error(err)
		}
		if err := Check([]int{last, maxCPU}); err == nil || !strings.Contains(err.Error(), "processor 8191 ") || !strings.Contains(err.Error(), Format([]int{last})) {
			t.Errorf("a processor that does not exist: %v", err)
		}
		if Pin(maxCPU) == nil {
			t.Error("bound to a processor that does not exist")
		}
	}()
	<-done
}
