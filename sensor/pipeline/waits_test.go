package pipeline

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/signals"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/worker"
)

// TestSpoolToRead: the line about a spool that is read at the start says how much that is.
func TestSpoolToRead(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, nowhere{}.Name())
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1.blocks", "2.blocks"} {
		if err := os.WriteFile(filepath.Join(folder, name), make([]byte, 700_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := Output{nowhere{}, outputs.Settings{}}
	o.Settings.Spool.Dir = dir
	if got, want := spoolToRead(o), "the spool "+folder+" to be read: 2 MB"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// taken is an output that takes nothing until goOn is closed.
type taken struct {
	collector
	goOn chan struct{}
}

func (k *taken) Open(context.Context) (outputs.Writer, error) { return k, nil }

func (k *taken) Write(ctx context.Context, block *event.Block) (int, error) {
	<-k.goOn
	return k.collector.Write(ctx, block)
}

// TestWaitForDelivery: at the end of a file, a person is told how much the outputs have
// still to take.
func TestWaitForDelivery(t *testing.T) {
	t.Parallel()
	var log testlog.Log
	out := &taken{goOn: make(chan struct{})}
	p := join(t, manyLanes(1), worker.Config{}, nil, []Output{{out, oneWriter}}, slog.New(slog.NewTextHandler(&log, nil)))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.runUntilEnd(time.Minute, signals.New())
	}()
	await.True(t, "the log names the wait", func() bool {
		return strings.Contains(log.String(), `msg="waiting for the outputs to take 100 records"`)
	})
	close(out.goOn)
	<-ended
	if !strings.Contains(log.String(), " s for the outputs to take 100 records") || out.count() != 100 {
		t.Errorf("%d records; %s", out.count(), log.String())
	}
}
