//go:build linux

package scenes

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// TestDefect01ReplayLosesNothing replays a file of 10,000 queries; dnsmonster wrote 29
// records of it.
func TestDefect01ReplayLosesNothing(t *testing.T) {
	path := packets.TempFile(t, packets.Queries(10000))
	for _, workers := range []string{"1", "2", "5"} {
		p := program.Start(t, nil, "replay", path, "--workers", workers)
		r := p.Wait(time.Minute)
		r.Expect(t, program.ExitOK)
		if got := program.Count(t, p.RecordsFile).Queries4; got != 10000 || r.Ledgers["packet"]["in"] != 10000 {
			t.Errorf("%s workers: %d records of 10000:\n%s", workers, got, r.Log)
		}
	}
}

// TestReplayKeepsTheOrder, with one worker for packets and one for the output.
func TestReplayKeepsTheOrder(t *testing.T) {
	p := program.Start(t, nil, "replay", packets.TempFile(t, packets.Queries(5000)), "--workers", "1", "--stdoutoutputworkercount", "1")
	p.Wait(time.Minute).Expect(t, program.ExitOK)
	b, err := os.ReadFile(p.RecordsFile)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
		if !bytes.Contains(line, fmt.Appendf(nil, `"Id":%d,`, i)) {
			t.Fatalf("line %d is %s", i, line)
		}
	}
}

// TestReplayDamage: a damaged file is replayed up to the damage, and named.
func TestReplayDamage(t *testing.T) {
	whole := packets.Queries(100)
	p := program.Start(t, nil, "replay", packets.TempFile(t, whole[:len(whole)-3]), packets.TempFile(t, []byte("no capture at all, but long enough")), packets.TempFile(t, whole))
	r := p.Wait(time.Minute)
	r.Expect(t, program.ExitFailure)
	if got := program.Count(t, p.RecordsFile).Total(); got != 199 {
		t.Errorf("%d records, want 199", got)
	}
	for _, want := range []string{"the file ends in the middle of a packet", "test.pcap: offset ", "not a pcap, pcapng or dnstap file"} {
		if !strings.Contains(r.Log, want) {
			t.Errorf("stderr lacks %q:\n%s", want, r.Log)
		}
	}
}

// startStalled starts a replay and reads only the first of its records: most of the file
// is still unread.
func startStalled(t *testing.T, args ...string) (cmd *exec.Cmd, out io.ReadCloser) {
	t.Helper()
	cmd = program.Command(nil, append([]string{"replay"}, args...)...)
	cmd.Stderr = new(bytes.Buffer)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// TestMappedFileShrinks truncates a file while it is read. Access to the missing part
// kills a program that does not expect it.
func TestMappedFileShrinks(t *testing.T) {
	t.Parallel()
	content := packets.Queries(400_000)
	for _, cut := range []int{0, 4096, len(content) / 2} {
		path := packets.TempFile(t, content)
		cmd, out := startStalled(t, path)
		if err := os.Truncate(path, int64(cut)); err != nil {
			t.Fatal(err)
		}
		rest := new(bytes.Buffer)
		if _, err := rest.ReadFrom(out); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		log := fmt.Sprint(cmd.Stderr)
		if code := cmd.ProcessState.ExitCode(); code != program.ExitFailure || !strings.Contains(log, "became shorter while it was read") || !strings.Contains(log, "\nunaccounted 0\n") {
			t.Errorf("cut to %d: exit status %d, want %d and the reason:\n%s", cut, code, program.ExitFailure, log)
		}
	}
}

// TestReaderLeaves: the sensor ends quietly when the reader of stdout is gone. Its start
// line is all that it has said.
func TestReaderLeaves(t *testing.T) {
	t.Parallel()
	cmd, out := startStalled(t, packets.TempFile(t, packets.Queries(300_000)))
	out.Close()
	if err := cmd.Wait(); err != nil || !strings.Contains(fmt.Sprint(cmd.Stderr), " reading ") || strings.Count(fmt.Sprint(cmd.Stderr), "\n") != 1 {
		t.Errorf("ended with %v and said %q, want a quiet end", err, cmd.Stderr)
	}
}

// TestAgreement compares records with lists of the messages that tshark finds in real
// captures. The captures are not part of this project.
func TestAgreement(t *testing.T) {
	t.Parallel()
	if tier.Race {
		t.Skip(tier.LeftTo + "test-all: a process for each of many captures, which TestReplayByManyWorkers has for the race detector")
	}
	oracle, captures := os.Getenv("SENSOR_TEST_ORACLE"), os.Getenv("SENSOR_TEST_CAPTURES")
	if oracle == "" {
		_, file, _, _ := runtime.Caller(0)
		shared := filepath.Join(filepath.Dir(file), "../../../shared")
		oracle, captures = filepath.Join(shared, "oracle/agree.py"), filepath.Join(shared, "captures")
	}
	if _, err := os.Stat(oracle); err != nil {
		t.Skip("captures of others and their comparison are not here (SENSOR_TEST_ORACLE, SENSOR_TEST_CAPTURES)")
	}
	lists, err := filepath.Glob(filepath.Join(captures, "*.tsv"))
	if err != nil || len(lists) == 0 {
		t.Fatalf("no lists in %s: %v", captures, err)
	}
	agree := 0
	for _, list := range lists {
		p := program.Start(t, nil, "replay", strings.TrimSuffix(list, ".tsv"))
		r := p.Wait(time.Minute)
		r.Expect(t, program.ExitOK)
		out, err := exec.Command("python3", oracle, list, p.RecordsFile).CombinedOutput()
		if err == nil {
			agree++
			continue
		}
		t.Logf("%s", bytes.TrimSpace(out))
	}
	t.Logf("%d of %d captures agree", agree, len(lists))
	if agree < 105 {
		t.Errorf("%d captures agree, there were 105", agree)
	}
}

// TestFormats: each format of stdout with its options. Only csv has a header.
func TestFormats(t *testing.T) {
	path := packets.TempFile(t, packets.Queries(3))
	f := func(lines int, first string, args ...string) {
		t.Helper()
		out, err := program.Command(nil, append([]string{"replay", path, "--workers", "1", "--stdoutoutputworkercount", "1"}, args...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Split(strings.TrimSpace(string(out)), "\n"); len(got) != lines || !strings.HasPrefix(got[0], first) {
			t.Errorf("%q: %d lines, want %d and %q first:\n%s", args, len(got), lines, first, out)
		}
	}
	f(3, `{"Timestamp":"2023-11-14T22:13:20Z","DNS":{"Id":0,`, "--stdoutoutputformat", "json")
	f(4, "Year,Month,Day,Hour,Minute,Second,Ns,Server,IPVersion,", "--stdoutoutputformat", "csv")
	f(3, "2023,11,14,22,13,20,0,", "--stdoutoutputformat", "csv_no_header")
	f(3, "192.0.2.0 0 h0.example.org.", "--stdoutoutputformat", "gotemplate",
		"--stdoutoutputgotemplate", "{{.SrcIP}} {{.DNS.Id}} {{(index .DNS.Question 0).Name}}")
	f(3, `{"timestamp":"2023-11-14T22:13:20Z"`, "--stdoutoutputformat", "json-flat")
	f(3, `{"activity_id":1,`, "--stdoutoutputformat", "json-ocsf")
	f(3, "2023-11-14T22:13:20.000000000Z 192.0.2.0:1024 > 192.0.2.53:53 udp 0 rd A? h0.example.org. | ", "--stdoutoutputformat", "text") // with -v
	f(3, `{"Timestamp":"2023-11-14T22:13:20Z","DNS":{"Id":0,`, "--timezone=UTC")
	f(3, `{"Timestamp":"2023-11-15T03:58:20+05:45","DNS":{"Id":0,`, "--timezone=Asia/Kathmandu")
	f(3, "2023,11,15,3,58,20,0,sensor1,4,192.0.2.0,192.0.2.53,", "--stdoutoutputformat=csv_no_header", "--timezone=Asia/Kathmandu", "--csvip=text", "--servername=sensor1")
	f(3, "2023,11,14,22,13,20,0,default,4,3221225984,3221226037,", "--stdoutoutputformat=csv_no_header", "--csvip=uint128")
}

// repeatCapture writes a capture file that repeats the packets of a little-endian pcap
// file, each time some minutes later.
func repeatCapture(t *testing.T, path string, times int) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	all := slices.Clone(b[:24])
	for i := range times {
		from := len(all)
		all = append(all, b[24:]...)
		for at := from; at < len(all); at += 16 + int(le.Uint32(all[at+8:])) {
			le.PutUint32(all[at:], le.Uint32(all[at:])+uint32(i*300))
		}
	}
	return packets.TempFile(t, all)
}

// TestReplayByManyWorkers: captures of real servers, with each transport, give the same
// records for any number of workers.
func TestReplayByManyWorkers(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("../../userspace/worker/testdata/*.pcap")
	if len(files) == 0 {
		t.Fatal("no captures")
	}
	for _, path := range files {
		long := repeatCapture(t, path, tier.Work(40, 4))
		var first []string
		for _, workers := range []string{"1", "2", "3", "8"} {
			p := program.Start(t, nil, "replay", long, "--workers", workers, "--jsonfields", "tunnel,vlan,interface")
			r := p.Wait(time.Minute)
			r.Expect(t, program.ExitOK)
			b, err := os.ReadFile(p.RecordsFile)
			if err != nil {
				t.Fatal(err)
			}
			lines := slices.Sorted(strings.Lines(string(b)))
			if first == nil {
				first = lines
			}
			if len(lines) == 0 || !slices.Equal(lines, first) {
				t.Errorf("%s: %s workers give %d records, one gives %d:\n%s", path, workers, len(lines), len(first), r.Log)
			}
		}
	}
}
