package outputtest_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/test/outputtest/testdata/collector"
	"dnsmonster-sensor/userspace/event"
)

// server is the destination of the output in testdata/collector.
type server struct {
	mu      sync.Mutex
	records []string          // acknowledged
	taken   map[string]answer // by block
	fails   int               // attempts that get no answer
	refuse  string
	failOne string // the record that fails, times more times
	times   int
	busy    int // attempts that are told to come back after wait seconds
	wait    int
	hang    sync.RWMutex // locked: nothing is taken
}

type answer struct {
	Refused, Failed []int
	Wait            int
	Why             string
}

func (s *server) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			for s.batch(conn) == nil {
			}
		}()
	}
}

// batch reads a batch and answers it.
func (s *server) batch(conn net.Conn) error {
	head := make([]byte, 20)
	if _, err := io.ReadFull(conn, head); err != nil {
		return err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[16:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		return err
	}
	s.hang.RLock()
	defer s.hang.RUnlock()
	a, ok := s.take(string(head[:16]), body)
	if !ok {
		return io.ErrUnexpectedEOF
	}
	return json.NewEncoder(conn).Encode(a)
}

// take decides what becomes of a batch.
func (s *server) take(id string, body []byte) (a answer, answered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails > 0 {
		s.fails--
		return a, false
	}
	if s.busy > 0 {
		s.busy--
		return answer{Wait: s.wait, Why: "busy"}, true
	}
	if a, ok := s.taken[id]; ok {
		return a, true
	}
	for i := 0; len(body) > 0; i++ {
		n := binary.BigEndian.Uint32(body)
		record := string(body[4:][:n])
		body = body[4+n:]
		switch {
		case record == s.refuse || record == "":
			a.Refused, a.Why = append(a.Refused, i), "it is not to be stored"
		case record == s.failOne && s.times > 0:
			s.times--
			a.Failed, a.Why = append(a.Failed, i), "its shard is locked"
		default:
			s.records = append(s.records, record)
		}
	}
	s.taken[id] = a
	return a, true
}

func (s *server) received() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// set changes what the server does.
func (s *server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// newCollector is a fresh output with a fresh server.
func newCollector(t outputtest.T, args ...string) *outputtest.Target {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { l.Close() })
	s := &server{taken: make(map[string]answer)}
	go s.accept(l)

	o := collector.New()
	outputtest.Options(t, o, append([]string{"--collectoroutputtype=1", "--collectoroutputendpoint=" + l.Addr().String()}, args...)...)
	records, err := o.RecordFormat()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return &outputtest.Target{
		Output:   o,
		Want:     func(e *event.Event) []string { return []string{string(records.NewEncoder().Append(nil, e))} },
		Received: s.received,
		Fail:     func(n int) { s.set(func() { s.fails = n }) },
		Hang:     func() func() { s.hang.Lock(); return sync.OnceFunc(s.hang.Unlock) },
		Refuse:   func(want string) { s.set(func() { s.refuse = want }) },
		FailOne:  func(want string, n int) { s.set(func() { s.failOne, s.times = want, n }) },
		Busy:     func(n int, wait time.Duration) { s.set(func() { s.busy, s.wait = n, int(wait/time.Second) }) },
	}
}

// TestExample: the output of docs/adding-an-output.md keeps all promises.
func TestExample(t *testing.T) {
	t.Parallel()
	outputtest.Run(t, func(t outputtest.T) *outputtest.Target { return newCollector(t) })
}

// TestExampleWithSeveralRecords: CSV has one for each question.
func TestExampleWithSeveralRecords(t *testing.T) {
	t.Parallel()
	outputtest.Run(t, func(t outputtest.T) *outputtest.Target {
		return newCollector(t, "--collectoroutputformat=csv_no_header")
	})
}

// TestExampleSettings: its options are checked as those of every output.
func TestExampleSettings(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		o := collector.New()
		outputtest.Options(t, o, args...)
		if _, err := o.Settings(); fmt.Sprint(err) != want {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
	}
	f("<nil>")
	f("<nil>", "--collectoroutputtype=1", "--collectoroutputendpoint=192.0.2.1:5000")
	f(`collectoroutputendpoint: "": write HOST:PORT, such as collector.example.org:5000`, "--collectoroutputtype=1")
	f("collectoroutputbatchsize: must be at least 1, not 0\n"+`collectoroutputendpoint: "here": write HOST:PORT, such as collector.example.org:5000`,
		"--collectoroutputtype=1", "--collectoroutputendpoint=here", "--collectoroutputbatchsize=0")
}
