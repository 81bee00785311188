//go:build linux

package generator

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Far is the other end of the veth pair of MakeNamespace.
const Far = "far0"

// MakeNamespace makes a network namespace with one end of a veth pair, at which no frames
// arrive but those of a Generator. It returns the namespace's path. The caller removes
// the namespace.
func MakeNamespace(ctx context.Context, name, iface string) (path string, err error) {
	for _, line := range []string{
		"netns add " + name,
		"-n " + name + " link add name " + iface + " type veth peer name " + Far,
		"-n " + name + " link set " + iface + " addrgenmode none",
		"-n " + name + " link set " + Far + " addrgenmode none",
		"-n " + name + " link set " + Far + " up",
		"-n " + name + " link set " + iface + " up",
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			RemoveNamespace(name)
			return "", fmt.Errorf("ip %s: %w: %s", line, err, bytes.TrimSpace(out))
		}
	}
	return "/run/netns/" + name, nil
}

// RemoveNamespace removes a namespace. It need not exist.
func RemoveNamespace(name string) { _ = exec.Command("ip", "netns", "del", name).Run() }
