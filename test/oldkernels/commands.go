//go:build linux

package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// commands are those that tests call. The emulated machine gets those that this machine
// has, in /bin.
var commands = []string{"ip", "tc", "ethtool"}

// commandFiles returns the commands and the libraries that they need. It returns none on
// other machines than amd64, because the emulated machine is one.
func commandFiles() ([]file, error) {
	if runtime.GOARCH != "amd64" {
		return nil, nil
	}
	var files []file
	libraries := make(map[string]bool)
	for _, name := range commands {
		path, err := exec.LookPath(name)
		for _, dir := range []string{"/usr/sbin", "/sbin"} {
			if err != nil {
				path, err = exec.LookPath(filepath.Join(dir, name))
			}
		}
		if err != nil {
			continue
		}
		files = append(files, file{path: "/bin/" + name, from: path, mode: 0o755})
		if err := addLibraries(libraries, path); err != nil {
			return nil, fmt.Errorf("find the libraries of %s: %w", name, err)
		}
	}
	for path := range libraries {
		files = append(files, file{path: path, from: path, mode: 0o755})
	}
	return files, nil
}

// libraryDirs are the default folders of amd64's dynamic linker.
var libraryDirs = []string{
	"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib",
}

// addLibraries adds the dynamic linker and the libraries of a binary, recursively.
func addLibraries(to map[string]bool, path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if s := f.Section(".interp"); s != nil {
		b, err := s.Data()
		if err != nil {
			return err
		}
		to[strings.TrimRight(string(b), "\x00")] = true
	}
	names, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	for _, name := range names {
		lib, err := findLibrary(name)
		if err != nil {
			return err
		}
		if to[lib] {
			continue
		}
		to[lib] = true
		if err := addLibraries(to, lib); err != nil {
			return err
		}
	}
	return nil
}

func findLibrary(name string) (string, error) {
	for _, dir := range libraryDirs {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, err
		}
	}
	return "", fmt.Errorf("no library %s", name)
}
