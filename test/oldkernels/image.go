//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// modules are loaded if they are not built into the kernel: tests of capturing need them
// for their networks. The output names those that a kernel does not have.
var modules = []string{
	"veth", "dummy", "tun", "bridge", "8021q", "ipip", "ip_gre", "ip6_gre", "vxlan", "wireguard", "macvlan",
	"sch_ingress", "cls_bpf", "act_bpf", "xsk_diag",
}

// image is the unpacked package of a kernel.
type image struct {
	release string // 6.1.0-9-cloud-amd64
	vmlinuz string
	tree    string // of modules
}

func findImage(root string) (image, error) {
	found, _ := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*")) // the pattern is valid
	if len(found) != 1 {
		return image{}, fmt.Errorf("find kernel: %d in %s", len(found), root)
	}
	release := strings.TrimPrefix(filepath.Base(found[0]), "vmlinuz-")
	for _, lib := range []string{"lib", "usr/lib"} {
		tree := filepath.Join(root, lib, "modules", release)
		if _, err := os.Stat(tree); err == nil {
			return image{release, found[0], tree}, nil
		}
	}
	return image{}, fmt.Errorf("find kernel: no modules of %s in %s", release, root)
}

// file is a file of the initial root file system, with the content of the file from or
// with data.
type file struct {
	path string
	from string
	data []byte
	mode uint32
}

// writeInitrd writes the root file system to path: files, kernel modules, and the
// instructions for init.
func writeInitrd(ctx context.Context, path string, im image, jobs []job, files []file) error {
	order, err := im.modules(ctx, modules)
	if err != nil {
		return err
	}
	var in instructions
	in.Jobs = jobs
	all := slices.Clone(files)
	for _, m := range order {
		if m.data == nil {
			in.Missing = append(in.Missing, m.name)
			continue
		}
		f := file{path: "/modules/" + m.name + ".ko", data: m.data, mode: 0o644}
		in.Modules = append(in.Modules, f.path)
		all = append(all, f)
	}
	text, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("write instructions: %w", err)
	}
	all = append(all, file{path: instructionsPath, data: text, mode: 0o644})

	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write root file system: %w", err)
	}
	defer out.Close()
	w := bufio.NewWriterSize(out, 1<<20)
	if err := writeCPIO(w, all); err != nil {
		return fmt.Errorf("write root file system: %w", err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write root file system: %w", err)
	}
	return out.Close()
}

// writeCPIO writes an archive in the kernel's newc format, with the folders of the files.
func writeCPIO(w *bufio.Writer, files []file) error {
	inode := 0
	entry := func(name string, mode uint32, data []byte) {
		inode++
		name = strings.TrimPrefix(name, "/")
		// magic, inode, mode, uid, gid, links, mtime, size, 2 x device, 2 x device of a node, length of the name, checksum
		header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
		w.WriteString(header + name + "\x00" + strings.Repeat("\x00", pad(len(header)+len(name)+1)))
		w.Write(data)
		w.WriteString(strings.Repeat("\x00", pad(len(data))))
	}
	made := map[string]bool{"/": true}
	var folder func(name string)
	folder = func(name string) {
		if made[name] {
			return
		}
		made[name] = true
		folder(path.Dir(name))
		entry(name, 0o040755, nil)
	}
	for _, f := range files {
		data := f.data
		if f.from != "" {
			var err error
			if data, err = os.ReadFile(f.from); err != nil {
				return err
			}
		}
		folder(path.Dir(f.path))
		entry(f.path, 0o100000|f.mode, data)
	}
	entry("TRAILER!!!", 0, nil)
	return nil // a bufio.Writer keeps its error until Flush
}

// pad returns how many bytes n lacks to a multiple of 4.
func pad(n int) int { return -n & 3 }

type module struct {
	name string
	data []byte // nil: the kernel has no such module
}

// modules returns the wanted modules and their dependencies, in loading order, without
// those that are built into the kernel.
func (im image) modules(ctx context.Context, wanted []string) ([]module, error) {
	paths := make(map[string]string)
	err := filepath.WalkDir(filepath.Join(im.tree, "kernel"), func(path string, d fs.DirEntry, err error) error {
		if name, _, is := strings.Cut(filepath.Base(path), ".ko"); is {
			paths[moduleName(name)] = path
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list modules: %w", err)
	}
	list, err := os.ReadFile(filepath.Join(im.tree, "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("list modules: %w", err)
	}
	builtin := make(map[string]bool)
	for line := range strings.Lines(string(list)) {
		builtin[moduleName(strings.TrimSuffix(filepath.Base(strings.TrimSpace(line)), ".ko"))] = true
	}

	var order []module
	done := make(map[string]bool)
	var add func(name string) error
	add = func(name string) error {
		name = moduleName(name)
		if done[name] || builtin[name] {
			return nil
		}
		done[name] = true
		path, found := paths[name]
		if !found {
			order = append(order, module{name: name})
			return nil
		}
		data, err := readModule(ctx, path)
		if err != nil {
			return err
		}
		depends, err := dependencies(data)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		for _, d := range depends {
			if err := add(d); err != nil {
				return err
			}
		}
		order = append(order, module{name, data})
		return nil
	}
	for _, name := range wanted {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// moduleName normalizes a name: to the kernel, - and _ are the same.
func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// readModule returns the decompressed module: the kernel may be unable to decompress it.
func readModule(ctx context.Context, path string) ([]byte, error) {
	var tool string
	switch filepath.Ext(path) {
	case ".ko":
		return os.ReadFile(path)
	case ".xz":
		tool = "xz"
	case ".zst":
		tool = "zstd"
	default:
		return nil, fmt.Errorf("read module: unknown compression of %s", path)
	}
	out, err := exec.CommandContext(ctx, tool, "-dc", path).Output()
	if err != nil {
		return nil, fmt.Errorf("unpack module %s: %w", path, err)
	}
	return out, nil
}

// dependencies returns the modules that a module lists as its dependencies.
func dependencies(data []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for entry := range strings.SplitSeq(string(info), "\x00") {
		if list, found := strings.CutPrefix(entry, "depends="); found && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}
