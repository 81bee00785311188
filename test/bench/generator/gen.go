//go:build linux

package generator

// See bpf/gen.go for the include paths.
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -output-dir "$BPF_OUTPUT_DIR" -target bpfel -cc clang generator generator.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu
