//go:build linux

package watch

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink/nl"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab/namespace"
)

func (l *links) sorted() []string {
	names := interfaceNames(l.all())
	slices.Sort(names)
	return names
}

func (l *links) subscribedAnew(first *nl.NetlinkSocket) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.socket != nil && l.socket != first
}

// TestLinksMissNothing: whatever happens to the subscription, the list of interfaces
// becomes right.
func TestLinksMissNothing(t *testing.T) {
	f := func(name string, replaced bool, damage func(t *testing.T, l *links, ip func(string)), want ...string) {
		t.Run(name, func(t *testing.T) {
			ip := namespace.Enter(t)
			var log bytes.Buffer
			l, err := openLinks(NewNames(), slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			l.pause = 10 * time.Millisecond
			first := l.socket
			damage(t, l, ip)
			var waiting sync.WaitGroup
			waiting.Go(func() {
				defer l.close()
				if !await.Within(await.Limit, func() bool { return slices.Equal(l.sorted(), want) && l.subscribedAnew(first) == replaced }) {
					t.Errorf("interfaces %q, want %q", l.sorted(), want)
				}
			})
			l.follow() // in this thread's namespace
			waiting.Wait()
			if n := strings.Count(log.String(), "\n"); n > 1 {
				t.Errorf("%d lines in the log:\n%s", n, log.String())
			}
		})
	}
	f("events", false, func(t *testing.T, l *links, ip func(string)) {
		ip("link add a0 type veth peer b0\nlink add c0 type veth peer d0\nlink set c0 name e0\nlink del a0")
	}, "d0", "e0", "lo")
	f("overflow", true, func(t *testing.T, l *links, ip func(string)) {
		if err := l.socket.SetReceiveBufferSize(8<<10, true); err != nil {
			t.Fatal(err)
		}
		ip("link add a0 type veth peer b0\nlink del a0\nlink add a0 type veth peer b0\nlink add c0 type veth peer d0\nlink add f0 type veth peer g0\nlink del c0\nlink set f0 name h0\nlink del a0")
	}, "g0", "h0", "lo")
	f("dead socket", true, func(t *testing.T, l *links, ip func(string)) {
		l.socket.Close()
		ip("link add a0 type veth peer b0")
	}, "a0", "b0", "lo")
	f("no subscription", true, func(t *testing.T, l *links, ip func(string)) {
		l.closeSocket()
		ip("link add a0 type veth peer b0")
	}, "a0", "b0", "lo")
}
