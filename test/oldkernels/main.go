//go:build linux

// Oldkernels runs tests of packages on kernels older than this machine's, in an emulator.
// It needs neither root nor hardware virtualization. Packages come in; a line per kernel
// and an exit status go out. Nothing may import it.
//
//	go run ./test/oldkernels [options] [PACKAGE...] [-- TEST-OPTION...]
//
// It fetches Debian's kernels 5.10, 6.1 and 6.12 with apt into a cache. qemu boots each
// with a root file system in memory, which has the test binaries, and this program as
// init. Each line of a kernel's console is printed with its version, and at the end one
// line for each kernel. The exit status is 0 if all tests passed, 1 otherwise. A kernel
// that cannot be fetched is skipped with the reason; with CI=true that is a failure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// defaultPackages have tests that depend on the kernel. The probe shows that the emulator
// works.
var defaultPackages = []string{"./test/oldkernels/probe", "./bpf", "./sensor/capture/afpacket"}

func main() {
	if os.Getpid() == 1 && os.Args[0] == initPath {
		runInit()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "oldkernels:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (ok bool, err error) {
	root, err := moduleRoot()
	if err != nil {
		return false, err
	}
	flags := flag.NewFlagSet("oldkernels", flag.ExitOnError)
	cache := flags.String("cache", filepath.Join(root, "build", "kernels"), "`folder` for the kernels; existing ones are not fetched again")
	only := flags.String("kernels", "", "`versions` to run, such as 5.10,6.12 (default: all)")
	parallel := flags.Int("parallel", runtime.NumCPU(), "`number` of kernels to run at a time")
	timeout := flags.Duration("timeout", 15*time.Minute, "`time` for each kernel")
	e := emulator{}
	flags.StringVar(&e.accel, "accel", "tcg", "qemu's accelerator; kvm is faster where it exists")
	flags.IntVar(&e.cpus, "cpus", 1, "processors of the emulated machine")
	flags.IntVar(&e.megabytes, "memory", 1024, "memory of the emulated machine in `MiB`")
	var testArgs []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, testArgs = args[:i], args[i+1:]
	}
	_ = flags.Parse(args) // exits on errors
	packages := flags.Args()
	if len(packages) == 0 {
		packages = defaultPackages
	}
	selected, err := selectKernels(*only)
	if err != nil {
		return false, err
	}

	scratch, err := os.MkdirTemp("", "oldkernels")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(scratch)
	jobs, files, err := compile(ctx, root, scratch, packages, testArgs)
	if err != nil {
		return false, err
	}

	lines := make([]string, len(selected))
	verdicts := make([]verdict, len(selected))
	var wait sync.WaitGroup
	free := make(chan struct{}, max(*parallel, 1))
	for i, k := range selected {
		wait.Go(func() {
			free <- struct{}{}
			begin := time.Now()
			line, v := runKernel(ctx, k, *cache, *timeout, e, scratch, jobs, files)
			lines[i] = fmt.Sprintf("%s %-5s %s (%.0f s)", v, k.version, line, time.Since(begin).Seconds())
			verdicts[i] = v
			<-free
		})
	}
	wait.Wait()
	fmt.Printf("\n%s\n", strings.Join(lines, "\n"))
	return !slices.Contains(verdicts, failed), ctx.Err()
}

type verdict int

const (
	passed verdict = iota
	failed
	skipped
)

func (v verdict) String() string { return [...]string{"PASS", "FAIL", "SKIP"}[v] }

// runKernel fetches and boots one kernel, and returns its summary and verdict.
func runKernel(ctx context.Context, k kernel, cache string, timeout time.Duration, e emulator, scratch string, jobs []job, files []file) (string, verdict) {
	root, err := k.obtain(ctx, filepath.Join(cache, k.version))
	if errors.Is(err, errUnavailable) {
		if k.unavailable == "" && os.Getenv("CI") == "true" {
			return err.Error(), failed
		}
		return err.Error(), skipped
	}
	if err != nil {
		return err.Error(), failed
	}
	image, err := findImage(root)
	if err != nil {
		return err.Error(), failed
	}
	initrd := filepath.Join(scratch, k.version+".cpio")
	if err := writeInitrd(ctx, initrd, image, jobs, files); err != nil {
		return err.Error(), failed
	}
	defer os.Remove(initrd)

	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var r report
	err = e.boot(ctx, image.vmlinuz, initrd, func(line string) {
		fmt.Printf("%-4s | %s\n", k.version, line)
		r.line(line)
	})
	if err != nil {
		return fmt.Sprintf("%s: %v; %s", image.release, err, r.summary(jobs)), failed
	}
	if !r.ok(jobs) {
		return image.release + ": " + r.summary(jobs), failed
	}
	return image.release + ": " + r.summary(jobs), passed
}

// compile builds this program and a static test binary for each package. It adds the
// files of each package's folder at the same relative path, where tests read them.
func compile(ctx context.Context, root, scratch string, packages, testArgs []string) ([]job, []file, error) {
	env := append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=-buildvcs=false")
	goTool := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir, cmd.Env = root, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out)), nil
	}

	self := filepath.Join(scratch, "init")
	if _, err := goTool("build", "-o", self, "./test/oldkernels"); err != nil {
		return nil, nil, err
	}
	files, err := commandFiles()
	if err != nil {
		return nil, nil, err
	}
	files = append(files, file{path: initPath, from: self, mode: 0o755})
	var jobs []job
	for i, pkg := range packages {
		dir, err := goTool("list", "-f", "{{.Dir}}", pkg)
		if err != nil {
			return nil, nil, err
		}
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			return nil, nil, fmt.Errorf("find package %s: %w", pkg, err)
		}
		binary := filepath.Join(scratch, fmt.Sprintf("%d.test", i))
		if _, err := goTool("test", "-c", "-o", binary, pkg); err != nil {
			return nil, nil, err
		}
		if _, err := os.Stat(binary); err != nil {
			return nil, nil, fmt.Errorf("compile %s: it has no tests", pkg)
		}
		j := job{
			Name: pkg,
			Dir:  filepath.Join("/src", rel),
			Path: fmt.Sprintf("/tests/%d.test", i),
			Args: append([]string{"-test.v", "-test.timeout=14m"}, testArgs...),
		}
		jobs = append(jobs, j)
		files = append(files, file{path: j.Path, from: binary, mode: 0o755})
		err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			in, err := filepath.Rel(root, path)
			files = append(files, file{path: filepath.Join("/src", in), from: path, mode: 0o644})
			return err
		})
		if err != nil {
			return nil, nil, fmt.Errorf("collect the files of %s: %w", pkg, err)
		}
	}
	return jobs, files, nil
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
