//go:build linux

package watch

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/test/lab/namespace"
)

// programs attaches the sensor's own programs, as package ring does.
type programs struct{ kernel *bpf.Kernel }

func (p programs) Attach(index int) (Attachment, error) {
	return p.kernel.Attach(index, bpf.AutoMode())
}

// inNamespace makes a Watcher in a namespace that has a veth pair, which is up.
// Nothing is attached yet.
func inNamespace(t *testing.T, stop <-chan struct{}, interfaces ...string) (w *Watcher, log *bytes.Buffer) {
	t.Helper()
	ip := namespace.Enter(t)
	ip("link set lo up\nlink add a0 type veth peer b0\nlink set a0 up\nlink set b0 up")
	k, err := bpf.Load(bpf.Options{Ports: []uint16{53}, Rings: 1, RingBytes: bpf.MinRingBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	log = new(bytes.Buffer)
	logger := slog.New(slog.NewTextHandler(log, nil))
	w = newWatcher(programs{k}, Options{Interfaces: interfaces, Log: logger, Stop: stop})
	if w.links, err = openLinks(NewNames(), logger); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.links.close)
	t.Cleanup(func() { w.detachAll() })
	return w, log
}

// TestNothingAttachedOnceStopped: a stop does not wait until hundreds of interfaces
// have been attached.
func TestNothingAttachedOnceStopped(t *testing.T) {
	for _, interfaces := range [][]string{{Any}, {"a0", "b0"}} {
		stop := make(chan struct{})
		w, log := inNamespace(t, stop, interfaces...)
		close(stop)
		err := w.begin()
		w.update(true)
		if got := w.Attached(); err != nil || len(got) > 0 || log.Len() > 0 {
			t.Errorf("%q: attached %q, error %v, log:\n%s", interfaces, got, err, log)
		}
	}
}

// TestGoneBeforeItIsAttached: an interface that is listed and then deleted causes no
// warning.
func TestGoneBeforeItIsAttached(t *testing.T) {
	w, log := inNamespace(t, nil, Any)
	const index = 1000
	w.links.now = map[int]netInterface{index: {index: index, name: "gone0", up: true}}
	if err := w.begin(); err != nil {
		t.Errorf("begin: %v", err)
	}
	if strings.Contains(log.String(), "cannot be captured") {
		t.Errorf("log:\n%s", log)
	}
}
