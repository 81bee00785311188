//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"dnsmonster-sensor/sensor/capture/file"
	"dnsmonster-sensor/userspace/packet"
)

// capturesEnv lists captures to measure with instead of ours, separated like PATH.
const capturesEnv = "SENSOR_BENCH_CAPTURES"

const (
	pcapHeader = 24
	pcapRecord = 16
)

// traffic is a capture file to measure with.
type traffic struct {
	name string
	path string
	size int64
}

// captures returns two captures of real servers, large answers with DNSSEC and small
// ones. It records those that are missing.
func captures(ctx context.Context, cache string) ([]traffic, error) {
	if list := os.Getenv(capturesEnv); list != "" {
		var all []traffic
		for _, path := range filepath.SplitList(list) {
			t, err := trafficOf(filepath.Base(path), path)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", capturesEnv, err)
			}
			all = append(all, t)
		}
		return all, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	small, err := smallCapture(ctx, cache)
	if err != nil {
		return nil, err
	}
	large, err := cached("large", filepath.Join(cache, "large.pcap"), func(to string) error { return makeLarge(ctx, to) })
	return []traffic{large, small}, err
}

// smallCapture returns the capture of small messages alone.
func smallCapture(ctx context.Context, cache string) (traffic, error) {
	return cached("small", filepath.Join(cache, "small.pcap"), func(to string) error { return recordOnce(ctx, "small", to) })
}

// sharedLarge is a capture of a busy authoritative server with DNSSEC that a developer's
// machine may have beside the project.
const sharedLarge = "../shared/captures/compactor--test-scripts_knot-live.raw.pcap"

// makeLarge repeats a short capture up to some 800,000 messages.
func makeLarge(ctx context.Context, to string) error {
	if _, err := os.Stat(sharedLarge); err == nil {
		return repeat(sharedLarge, to, 50)
	}
	short := to + ".once"
	defer os.Remove(short)
	if err := recordOnce(ctx, "large", short); err != nil {
		return err
	}
	return repeat(short, to, 20)
}

// recordOnce records small or large traffic.
func recordOnce(ctx context.Context, kind, to string) error {
	fmt.Fprintf(os.Stderr, "recording %s traffic of a real server, once: %s\n", kind, to)
	cmd := exec.CommandContext(ctx, "packaging/dev/make-captures.sh", kind, to)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("record %s traffic: %w (or name captures in %s)", kind, err, capturesEnv)
	}
	return nil
}

// cached makes a file if it is missing. An incomplete file never has its name.
func cached(name, path string, create func(to string) error) (traffic, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		partial := path + ".partial"
		defer os.Remove(partial)
		if err := create(partial); err != nil {
			return traffic{}, err
		}
		if err := os.Rename(partial, path); err != nil {
			return traffic{}, err
		}
	}
	return trafficOf(name, path)
}

func trafficOf(name, path string) (traffic, error) {
	st, err := os.Stat(path)
	if err != nil {
		return traffic{}, err
	}
	return traffic{name, path, st.Size()}, nil
}

// repeat writes a capture repeatedly into a nanosecond pcap file of Ethernet frames. Each
// repetition is later than the one before.
func repeat(from, to string, times int) error {
	src, err := file.Open(file.Options{Paths: []string{from}, Lanes: 1})
	if err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	le := binary.LittleEndian
	header := le.AppendUint32(nil, 0xa1b23c4d)
	header = le.AppendUint16(header, 2)
	header = le.AppendUint16(header, 4)
	header = append(header, make([]byte, 8)...)
	header = le.AppendUint32(header, 256<<10)
	header = le.AppendUint32(header, uint32(packet.LinkEthernet))
	w.Write(header)

	var once []packet.Packet // the file is mapped, so the packets stay valid
	var b packet.Batch
	for {
		if err := src.Lanes()[0].Read(&b); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		once = append(once, b.Packets...)
	}
	if err := src.Err(); err != nil {
		return err
	}
	if len(once) == 0 {
		return fmt.Errorf("repeat %s: no packets", from)
	}
	span := once[len(once)-1].Time - once[0].Time + 1e9
	var head [pcapRecord]byte
	for i := range times {
		for _, p := range once {
			if p.Link != packet.LinkEthernet {
				return fmt.Errorf("repeat %s: link type %d is not Ethernet", from, p.Link)
			}
			at := p.Time + int64(i)*span
			le.PutUint32(head[:], uint32(at/1e9))
			le.PutUint32(head[4:], uint32(at%1e9))
			le.PutUint32(head[8:], uint32(len(p.Data)))
			le.PutUint32(head[12:], p.WireLen)
			w.Write(head[:])
			w.Write(p.Data)
		}
	}
	if err := w.Flush(); err != nil { // and of every Write before
		return err
	}
	return f.Close()
}
