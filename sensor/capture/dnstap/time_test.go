package dnstap

import (
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/framestream"
	"dnsmonster-sensor/userspace/packet"
)

// TestFramesHaveATime: that of their receipt, for frames that have none of their own.
func TestFramesHaveATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s, err := Open(Options{Addresses: []string{"unix://" + path}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sender, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	before := time.Now()
	stream := framestream.AppendControl(nil, framestream.Start, "protobuf:dnstap.Dnstap")
	if _, err := sender.Write(append(framestream.AppendHead(stream, 3), "one"...)); err != nil {
		t.Fatal(err)
	}
	var b packet.Batch
	for deadline := before.Add(20 * time.Second); len(b.Packets) == 0; {
		if err := s.Lanes()[0].Read(&b); err != nil || time.Now().After(deadline) {
			t.Fatal("no frame came: ", err)
		}
	}
	if at := time.Unix(0, b.Packets[0].Time); at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("the frame %q came at %s, it was sent at %s", b.Packets[0].Data, at, before)
	}
}
