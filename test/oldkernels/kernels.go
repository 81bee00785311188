//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// kernel is one of Debian's kernels.
type kernel struct {
	version     string
	suites      []string // of Debian; the first one that has the kernel is used
	unavailable string   // why Debian does not have it any more; then CI skips it
}

var kernels = []kernel{
	{version: "5.10", suites: []string{"bullseye-security", "bullseye"}},
	{version: "6.1", suites: []string{"bookworm-security", "bookworm"}},
	{version: "6.12", suites: []string{"bookworm-security", "bookworm-backports", "trixie-security", "trixie"}},
}

// errUnavailable means that this machine cannot fetch a kernel; the wrapping error says
// why.
var errUnavailable = errors.New("not available")

// selectKernels returns the kernels of a comma-separated list of versions, all if it is
// empty.
func selectKernels(list string) ([]kernel, error) {
	if list == "" {
		return kernels, nil
	}
	var chosen []kernel
	for version := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(kernels, func(k kernel) bool { return k.version == version })
		if i < 0 {
			return nil, fmt.Errorf("select kernels: unknown version %q", version)
		}
		chosen = append(chosen, kernels[i])
	}
	return chosen, nil
}

// obtain returns the folder of the unpacked package. It fetches and unpacks the package
// unless dir has it already.
func (k kernel) obtain(ctx context.Context, dir string) (string, error) {
	root := filepath.Join(dir, "root")
	if _, err := findImage(root); err == nil {
		return root, nil
	}
	debs, _ := filepath.Glob(filepath.Join(dir, "*.deb")) // the pattern is valid
	if len(debs) == 0 {
		if k.unavailable != "" {
			return "", fmt.Errorf("%w: %s", errUnavailable, k.unavailable)
		}
		deb, err := k.fetch(ctx, dir)
		if err != nil {
			return "", err
		}
		debs = []string{deb}
	}
	partial := root + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", fmt.Errorf("unpack kernel: %w", err)
	}
	if out, err := exec.CommandContext(ctx, "dpkg", "-x", debs[0], partial).CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpack %s: %w: %s", debs[0], err, out)
	}
	if err := os.RemoveAll(root); err != nil {
		return "", fmt.Errorf("unpack kernel: %w", err)
	}
	if err := os.Rename(partial, root); err != nil {
		return "", fmt.Errorf("unpack kernel: %w", err)
	}
	return root, nil
}

// fetch downloads the newest package into dir. It uses an apt configuration of its own,
// so that the machine's package lists do not change.
func (k kernel) fetch(ctx context.Context, dir string) (string, error) {
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%w: no %s on this machine; put a linux-image-%s*-cloud-amd64 package of Debian into %s", errUnavailable, tool, k.version, dir)
		}
	}
	// This prints what an update would fetch, and fetches nothing.
	uris, err := exec.CommandContext(ctx, "apt-get", "--print-uris", "update").Output()
	if err != nil {
		return "", fmt.Errorf("%w: read apt's sources: %w", errUnavailable, err)
	}
	reason := "apt on this machine has no source of Debian packages"
	for _, suite := range k.suites {
		sources := sourceLines(string(uris), suite, keyring())
		if len(sources) == 0 {
			continue
		}
		deb, err := k.fetchFrom(ctx, dir, sources)
		if err == nil || ctx.Err() != nil {
			return deb, err
		}
		reason = fmt.Sprintf("%s: %v", suite, err)
	}
	return "", fmt.Errorf("%w: %s", errUnavailable, reason)
}

// fetchFrom downloads the newest package that the sources have.
func (k kernel) fetchFrom(ctx context.Context, dir string, sources []string) (string, error) {
	apt := filepath.Join(dir, "apt")
	for _, d := range []string{"lists/partial", "cache/archives/partial", "parts"} {
		if err := os.MkdirAll(filepath.Join(apt, d), 0o755); err != nil {
			return "", fmt.Errorf("prepare apt: %w", err)
		}
	}
	defer os.RemoveAll(apt) // lists are large and become outdated
	list := filepath.Join(apt, "sources.list")
	if err := os.WriteFile(list, []byte(strings.Join(sources, "\n")+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("prepare apt: %w", err)
	}
	run := func(tool string, args ...string) (string, error) {
		args = append([]string{
			"-o", "Dir::Etc::sourcelist=" + list,
			"-o", "Dir::Etc::sourceparts=" + filepath.Join(apt, "parts"),
			"-o", "Dir::State::lists=" + filepath.Join(apt, "lists"),
			"-o", "Dir::Cache=" + filepath.Join(apt, "cache"),
			"-o", "APT::Architecture=amd64",
			"-o", "APT::Architectures=amd64",
			"-o", "APT::Sandbox::User=root", // apt's own user may have no access to the cache folder
		}, args...)
		cmd := exec.CommandContext(ctx, tool, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%s: %w: %s", tool, err, oneLine(string(out)))
		}
		return string(out), nil
	}

	_, updateErr := run("apt-get", "-qq", "update") // one mirror may fail while another has the package
	pattern := "^linux-image-" + strings.ReplaceAll(k.version, ".", `\.`) + `\.[0-9][^-]*(-[0-9]+)?-cloud-amd64$`
	names, err := run("apt-cache", "search", "--names-only", pattern)
	if err != nil {
		return "", err
	}
	name := newest(strings.Split(names, "\n"), func(name string) string {
		out, _ := run("apt-cache", "show", "--no-all-versions", name) // without a version, newest skips it
		return field(out, "Version")
	})
	if name == "" {
		return "", errors.Join(fmt.Errorf("no cloud package of Linux %s", k.version), updateErr)
	}
	if _, err := run("apt-get", "-qq", "download", name); err != nil {
		return "", err
	}
	debs, _ := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
	if len(debs) == 0 {
		return "", fmt.Errorf("download %s: apt-get wrote no file", name)
	}
	return debs[0], nil
}

var indexURI = regexp.MustCompile(`(?m)^'([^' ]+)/dists/([a-z]+)(-updates|-backports|-security|/updates)?/InRelease'`)

// sourceLines derives the sources of a suite from the machine's own: the same mirrors with
// another release. uris is apt's output, with a quoted URI at the start of each line. A
// mirror of something else that names its suites like Debian also gets a line; apt skips
// it, because it lacks Debian's signature.
func sourceLines(uris, suite, keyring string) []string {
	releases := []string{
		"bullseye", "bookworm", "trixie", "forky", "duke", "sid",
		"oldoldstable", "oldstable", "stable", "testing", "unstable",
	}
	var archives, securities []string
	for _, m := range indexURI.FindAllStringSubmatch(uris, -1) {
		uri, release, kind := m[1], m[2], m[3]
		to := &archives
		if kind == "-security" || kind == "/updates" {
			to = &securities
		}
		if slices.Contains(releases, release) && !slices.Contains(*to, uri) {
			*to = append(*to, uri)
		}
	}
	options := "arch=amd64 lang=none target=Packages"
	if keyring != "" {
		options += " signed-by=" + keyring
	}
	mirrors := archives
	if strings.HasSuffix(suite, "-security") {
		mirrors = securities
	}
	var lines []string
	for _, uri := range mirrors {
		lines = append(lines, fmt.Sprintf("deb [%s] %s %s main", options, uri, suite))
	}
	return lines
}

// keyring returns the file with the keys of all releases of Debian, "" if there is none:
// then apt uses the keys that it trusts.
func keyring() string {
	for _, path := range []string{"/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// newest returns the package with the highest version. The lines have the form
// "name - text".
func newest(lines []string, version func(name string) string) string {
	var best, bestVersion string
	for _, line := range lines {
		name, _, found := strings.Cut(line, " ")
		if !found {
			continue
		}
		v := version(name)
		if v == "" {
			continue
		}
		if best == "" || exec.Command("dpkg", "--compare-versions", v, "gt", bestVersion).Run() == nil {
			best, bestVersion = name, v
		}
	}
	return best
}

func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, name+": "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
