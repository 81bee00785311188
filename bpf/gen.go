package bpf

// Two include paths, so that one command works on both architectures. The
// object is the same for both. BPF_OUTPUT_DIR is set by the test that compares,
// and otherwise empty: here.
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -output-dir "$BPF_OUTPUT_DIR" -target bpfel -cc clang -type hook_id -type hook -type record_header -type record_flag -type direction -type record_size -type tunnel sensor sensor.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu
