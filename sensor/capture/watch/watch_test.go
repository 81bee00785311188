package capture

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"dnsmonster-sensor/bpf"
)

// inWatch calls f with the attachments of a namespace that has a veth pair, which
// is up. Nothing is attached yet.
func inWatch(t *testing.T, stop <-chan struct{}, f func(w *Watch, log *bytes.Buffer), interfaces ...string) {
	inNamespace(t, func(ip func(args string)) {
		ip("link set lo up\nlink add a0 type veth peer b0\nlink set a0 up\nlink set b0 up")
		k, err := bpf.Load(bpf.Options{Ports: []uint16{53}, Rings: 1, RingBytes: bpf.MinRingBytes})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		w := newWatch(newPrograms(k, ModeAuto), WatchOptions{Interfaces: interfaces, Log: logger, Stop: stop})
		if w.links, err = openLinks(NewInterfaceNames(), logger); err != nil {
			t.Fatal(err)
		}
		defer w.links.close()
		defer w.detachAll()
		f(w, &log)
	})
}

// TestNothingAttachedOnceStopped: a stop need not wait until hundreds of
// interfaces are attached, only to be detached.
func TestNothingAttachedOnceStopped(t *testing.T) {
	for _, interfaces := range [][]string{{Any}, {"a0", "b0"}} {
		stop := make(chan struct{})
		inWatch(t, stop, func(w *Watch, log *bytes.Buffer) {
			close(stop)
			err := w.begin()
			w.update(true)
			if got := w.Attached(); err != nil || len(got) > 0 || log.Len() > 0 {
				t.Errorf("%q: attached %q, error %v, log:\n%s", interfaces, got, err, log)
			}
		}, interfaces...)
	}
}

// TestGoneBeforeItIsAttached: one that is listed and then deleted is nothing to
// warn of.
func TestGoneBeforeItIsAttached(t *testing.T) {
	inWatch(t, nil, func(w *Watch, log *bytes.Buffer) {
		const index = 1000
		w.links.now = map[int]netInterface{index: {index: index, name: "gone0", up: true}}
		if err := w.begin(); err != nil {
			t.Errorf("begin: %v", err)
		}
		if strings.Contains(log.String(), "cannot be captured") {
			t.Errorf("log:\n%s", log)
		}
	}, Any)
}
