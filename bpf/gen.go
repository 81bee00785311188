//go:build linux

package bpf

// Two include paths, so that one command works on both architectures; the object is
// the same. TestGeneratedIsFresh sets BPF_OUTPUT_DIR; otherwise it is empty, which
// means this folder.
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -output-dir "$BPF_OUTPUT_DIR" -target bpfel -tags linux -cc clang -type hook_id -type hook -type record_header -type record_flag -type direction -type record_size -type tunnel sensor sensor.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu
