//go:build linux

package scenes

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// recordsIn returns the lines of all files in a folder, sorted.
func recordsIn(t *testing.T, dir string) (lines []string) {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' })...)
	}
	slices.Sort(lines)
	return lines
}

// storedSpool copies a folder of testdata as the spool of the output file.
func storedSpool(t *testing.T, name string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "file"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "file"), os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSpoolOfVersion1: a spool that the last build with layout version 1 left after a
// capture file of 60 queries is delivered: each record of the file once.
func TestSpoolOfVersion1(t *testing.T) {
	direct, out := t.TempDir(), t.TempDir()
	program.Start(t, nil, "replay", packets.TempFile(t, packets.Queries(60)), "--fileoutputtype=1", "--fileoutputpath="+direct).Wait(20*time.Second).Expect(t, program.ExitOK)
	want := recordsIn(t, direct)

	dir := storedSpool(t, "spool-v1")
	at := "--spooldir=" + dir
	if out := program.Output(t, program.ExitOK, "", "spool", "ls", at); !strings.Contains(out, "file    1         9       60       8042") || !strings.Contains(out, "  none") {
		t.Errorf("ls says\n%s", out)
	}
	exported := strings.Split(strings.TrimSpace(program.Output(t, program.ExitOK, "exported 60 records", "spool", "export", "file", at)), "\n")
	slices.Sort(exported)
	if !slices.Equal(exported, want) {
		t.Errorf("%d records are exported, and are not the %d of the capture file", len(exported), len(want))
	}
	r := program.Start(t, nil, "replay", packets.TempFile(t, packets.QueriesFrom(60, 1)), at, "--spoolfreemb=0", "--fileoutputtype=1", "--fileoutputpath="+out).Wait(20 * time.Second)
	r.Expect(t, program.ExitOK)
	if b := r.Ledgers["delivery file"]; b["in"] != 61 || b["delivered"] != 61 || b["unaccounted"] != 0 {
		t.Errorf("ledger %v; want 61 in and delivered", b)
	}
	got := recordsIn(t, out)
	got = slices.DeleteFunc(got, func(line string) bool { return strings.Contains(line, `"h60.example.org."`) })
	if !slices.Equal(got, want) {
		t.Errorf("%d records are delivered, and are not the %d of the capture file", len(got), len(want))
	}
}

// TestSpoolOfANewerBuild: blocks that this build cannot read do not delay others. They
// show in the log, the ledgers and the exit status, once, and in ls and export, and
// stay.
func TestSpoolOfANewerBuild(t *testing.T) {
	dir := storedSpool(t, "spool-v1")
	segment := filepath.Join(dir, "file", "0000000100000000.blocks")
	data, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	second := data[48+le.Uint32(data[36:]):] // of 7 events
	le.PutUint16(second[4:], 777)
	le.PutUint32(second[44:], crc32.Checksum(second[:44], crc32.MakeTable(crc32.Castagnoli)))
	if err := os.WriteFile(segment, data, 0o600); err != nil {
		t.Fatal(err)
	}
	at, out := "--spooldir="+dir, t.TempDir()
	program.Output(t, program.ExitOK, "7 records unreadable in 1 block of layout 777", "spool", "ls", at)
	program.Output(t, program.ExitUndelivered, "exported 53 records, but not all: 7 records unreadable in 1 block of layout 777: export with the build that wrote them", "spool", "export", "file", at)
	again := func(code int, in, delivered, unreadable uint64, text string) {
		t.Helper()
		r := program.Start(t, nil, "replay", packets.TempFile(t, packets.Queries(1)), at, "--spoolfreemb=0", "--fileoutputtype=1", "--fileoutputpath="+out).Wait(20 * time.Second)
		if b := r.Ledgers["delivery file"]; r.Code != code || b["in"] != in || b["delivered"] != delivered || b["spool_unreadable"] != unreadable || b["spool_damaged"] != 0 || b["unaccounted"] != 0 {
			t.Errorf("exit status %d, ledger %v; want %d, in %d, delivered %d, unreadable %d:\n%s", r.Code, b, code, in, delivered, unreadable, r.Log)
		}
		if !strings.Contains(r.Log, text) {
			t.Errorf("the log lacks %q:\n%s", text, r.Log)
		}
	}
	again(program.ExitUndelivered, 61, 54, 7, "segment=0000000100000000.blocks")
	again(program.ExitOK, 1, 1, 0, "blocks that this build cannot read are set aside")
	program.Output(t, program.ExitOK, "7 records unreadable in 1 block of layout 777", "spool", "ls", at)
	aside, err := filepath.Glob(filepath.Join(dir, "file", "unreadable", "*"))
	if err != nil || len(aside) != 1 {
		t.Fatalf("set aside: %v, %v", aside, err)
	}
	link := filepath.Join(filepath.Dir(aside[0]), "0000000000000001-0-"+strings.Repeat("0", 32))
	if err := os.Symlink(aside[0], link); err != nil {
		t.Fatal(err)
	}
	again(program.ExitOK, 1, 1, 0, link+" is a symbolic link")
	closed := "1 file set aside cannot be opened, the first because: " + link + " is a symbolic link"
	program.Output(t, program.ExitOK, closed, "spool", "ls", at)
	program.Output(t, program.ExitUndelivered, closed, "spool", "export", "file", at)
	program.Output(t, program.ExitUsage, "nothing is deleted; --yes deletes 0 records and 7 that this build cannot read", "spool", "drop", "file", at)
	program.Output(t, program.ExitOK, "deleted ", "spool", "drop", "file", at, "--yes")
	program.Output(t, program.ExitOK, "  none", "spool", "ls", at)
}
