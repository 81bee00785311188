//go:build linux

package scenes

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// mixed is a capture of n messages, in turn over UDP, over UDP in two fragments, and
// over TCP in two segments. Each has its number as id and in its name.
func mixed(n int) []byte {
	b, be := packets.Queries(0), binary.BigEndian
	packet := func(i int, proto byte, frag uint16, payload []byte) {
		src := 0xc0000200 | uint32(i/3%200) // 192.0.2.0 and so on
		b = packets.AppendToFile(b, i, packets.AppendIPv4(nil, src, 53, uint16(i), frag, proto, payload))
	}
	segment := func(i int, seq uint32, data []byte) {
		packet(i, 6, 0, packets.AppendTCP(nil, uint16(2000+i%60000), seq, 0x18, data))
	}
	for i := range n {
		q := append(be.AppendUint16(nil, uint16(i)), "\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"...)
		name := "h" + strconv.Itoa(i)
		q = append(append(append(q, byte(len(name))), name...), "\x07example\x03org\x00\x00\x01\x00\x01"...)
		udp := packets.AppendUDP(nil, 5353, 53, q)
		switch i % 3 {
		case 0:
			packet(i, 17, 0, udp)
		case 1:
			packet(i, 17, 0x2000, udp[:16])
			packet(i, 17, 2, udp[16:])
		case 2:
			q = append(be.AppendUint16(nil, uint16(len(q))), q...)
			segment(i, 1000, q[:20])
			segment(i, 1020, q[20:])
		}
	}
	return b
}

// inOrder checks that the lines name h0 to h<n-1> in order.
func inOrder(t *testing.T, what string, lines []string, n int) {
	t.Helper()
	if len(lines) != n {
		t.Errorf("%s: %d records, want %d", what, len(lines), n)
	}
	for i, line := range lines {
		if !strings.Contains(line, fmt.Sprintf("h%d.example.org.", i)) {
			t.Errorf("%s: record %d is %.200s", what, i, line)
			return
		}
	}
}

// TestOrdered: the records of several files come in the order of the files, for each
// transport, in each output and format, even with several workers.
func TestOrdered(t *testing.T) {
	t.Parallel()
	const n = 12000
	whole := mixed(n)
	file := packets.TempFile(t, whole)
	read := func(path string) []string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Collect(strings.Lines(string(b)))
	}
	stdout := func(p *program.Process) []string { return read(p.RecordsFile) }
	f := func(lines func(*program.Process) []string, warning string, args ...string) {
		t.Helper()
		p := program.Run(t, append([]string{"replay", file}, args...)...)
		inOrder(t, strings.Join(args, " "), lines(p), n)
		if strings.Contains(p.Log(), "has no effect") != (warning != "") || !strings.Contains(p.Log(), warning) {
			t.Errorf("%q: the log says something else than %q:\n%s", args, warning, p.Log())
		}
	}
	dir := func() string { return t.TempDir() }
	f(stdout, "") // the file is small
	f(stdout, "", "--ordered")
	f(stdout, "workers has no effect: ordered means one worker", "--ordered", "--workers=3")
	f(stdout, "stdoutoutputworkercount has no effect", "--ordered", "--stdoutoutputworkercount=4")
	f(stdout, "", "--ordered", "--stdoutoutputformat=csv_no_header")
	f(stdout, "", "--ordered", "--dedup", "--stdoutoutputformat=gotemplate")
	d := dir()
	f(func(*program.Process) []string { return read(filepath.Join(d, "dnsmonster.log")) }, "fileoutputworkers has no effect",
		"--ordered", "--fileoutputtype=1", "--fileoutputpath="+d, "--fileoutputworkers=3")
	f(stdout, "", "--ordered", "--spooldir="+dir(), "--spoolmode=always")

	p, in := program.Feed(t, whole, "--ordered") // a pipe
	in.Close()
	p.Wait(time.Minute).Expect(t, program.ExitOK)
	inOrder(t, "pipe", stdout(p), n)
}

// orderedRows is TestOrdered for the rows of a table.
func orderedRows(t *testing.T, server *lab.Postgres) {
	t.Helper()
	const n = 4000
	program.Run(t, "replay", packets.TempFile(t, mixed(n)), "--ordered", "--psqloutputtype=1", "--psqltable=ordered", "--psqlendpoint="+server.URL(server.Addr, "postgres"), "--psqlworkers=3")
	if wrong := server.Int(t, "SELECT count(*) FROM (SELECT question, row_number() OVER (ORDER BY ctid) - 1 AS i FROM ordered) x WHERE question <> 'h' || i || '.example.org.'"); wrong != 0 {
		t.Errorf("%d rows are out of order", wrong)
	}
	if rows := server.Int(t, "SELECT count(*) FROM ordered"); rows != n {
		t.Errorf("%d rows, want %d", rows, n)
	}
}
