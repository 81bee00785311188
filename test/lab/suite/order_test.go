//go:build linux

package main

import (
	"slices"
	"testing"
)

// TestOrder: all packages are there once, the longest first; and those named in the code
// exist.
func TestOrder(t *testing.T) {
	t.Chdir("../../..")
	all, err := inOrder([]string{"./...", "./bpf"})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 || len(slices.Compact(slices.Sorted(slices.Values(all)))) != len(all) {
		t.Errorf("%d packages: %q", len(all), all)
	}
	for i, name := range longest {
		if all[i] != module+name {
			t.Errorf("package %d is %s, want %s", i, all[i], name)
		}
	}
	some, err := inOrder([]string{"./userspace/...", "./bpf"})
	if err != nil || some[0] != module+"bpf" || len(some) < 5 {
		t.Errorf("%q (%v), want bpf first", some, err)
	}
	if _, err := inOrder([]string{"./nosuch"}); err == nil {
		t.Error("no error for a package that does not exist")
	}
}
