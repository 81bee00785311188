//go:build linux

package scenes

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/spool"
	"dnsmonster-sensor/test/chproxy/fault"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// TestClickHouseDelivery causes failures between a sensor and ClickHouse. Each query is one
// row, and is counted once in each aggregate.
func TestClickHouseDelivery(t *testing.T) {
	t.Parallel()
	server := lab.StartChDB(t, lab.ChDBOptions{})
	for _, scene := range []struct {
		name string
		long bool
		play func(*clickhouseScene)
	}{
		{"down at the start", true, clickhouseDownAtTheStart}, // TestDefect26 begins like this, too
		{"slow", true, clickhouseSlow},
		{"stopped in an outage", true, stoppedWithoutClickhouse},
		{"killed in an outage", true, killedWithoutClickhouse},
		{"killed while a batch is not acknowledged", false, killedBeforeTheAnswer},
		{"few INSERTs", true, fewInserts},
		{"server killed", true, clickhouseKilled},
	} {
		t.Run(scene.name, func(t *testing.T) {
			if scene.long && !tier.Full() {
				t.Skip(tier.LeftTo + "test-all: it takes long")
			}
			defer server.SetFaults(t)
			scene.play(newClickhouseScene(t, server))
		})
	}
}

func clickhouseDownAtTheStart(s *clickhouseScene) {
	s.proxy.Down()
	s.replay(3000)
	s.sensor.WaitFor("output fails")
	s.proxy.Up()
	s.waitForEnd(program.ExitOK)
	s.expectAll(0)
}

// clickhouseSlow: answers come later than the timeout, so batches are repeated that are
// stored already.
func clickhouseSlow(s *clickhouseScene) {
	s.server.SetFaults(s.t, fault.Fault{Times: 3, At: fault.Stored, Do: fault.Delay, Milliseconds: 2500})
	s.replay(3000, "--clickhousebatchsize=1000", "--clickhousetimeout=2s")
	if r := s.waitForEnd(program.ExitOK); !strings.Contains(r.Log, "output fails") {
		s.t.Errorf("no answer was too late:\n%s", r.Log)
	}
	s.expectAll(0)
}

func stoppedWithoutClickhouse(s *clickhouseScene) {
	s.proxy.Down()
	for _, n := range []int{3000, 500} {
		s.replay(n)
		s.sensor.WaitForWaiting(s.asked)
		r := s.sensor.Stop()
		r.Expect(s.t, program.ExitUndelivered)
		if held := r.Ledgers["delivery clickhouse"]["held"]; int(held) != s.asked {
			s.t.Errorf("%d held, want %d", held, s.asked)
		}
	}
	s.proxy.Up()
	s.replay(500)
	s.waitForEnd(program.ExitOK)
	s.expectAll(0)
}

func killedWithoutClickhouse(s *clickhouseScene) {
	s.proxy.Down()
	s.replay(3000, "--spoolmode=always")
	s.waitUntil("all on disk", func() bool {
		info, err := spool.Inspect(filepath.Join(s.spool, "clickhouse"), nil)
		return err == nil && info.Events == 3000
	})
	s.kill()
	s.proxy.Up()
	s.replay(500, "--spoolmode=always")
	s.waitForEnd(program.ExitOK)
	s.expectAll(0)
}

// kill sends SIGKILL.
func (s *clickhouseScene) kill() {
	s.sensor.Signal(syscall.SIGKILL)
	<-s.sensor.Done
}

// killedBeforeTheAnswer: the rows are there, and the sensor does not know. After the restart
// it sends them again.
func killedBeforeTheAnswer(s *clickhouseScene) {
	s.server.SetFaults(s.t, fault.Fault{At: fault.Stored, Do: fault.Hang})
	s.replay(3000, "--spoolmode=always")
	s.waitUntil("rows", func() bool { return s.rows() > 0 })
	s.sensor.WaitForCount(" metrics: ", strings.Count(s.sensor.Log(), " metrics: ")+2)
	if strings.Contains(s.sensor.Log(), `outcome=\"delivered\",part=\"clickhouse\"`) {
		s.t.Errorf("rows are counted as delivered before an answer:\n%s", s.sensor.Log())
	}
	s.kill()
	s.server.SetFaults(s.t)
	s.server.Inserts(s.t)
	s.replay(0, "--spoolmode=always")
	s.waitForEnd(program.ExitOK)
	if n := len(s.server.Inserts(s.t)); n == 0 {
		s.t.Error("nothing was sent again")
	}
	s.expectAll(0)
}

// fewInserts: with the default options slow traffic makes no more than two INSERTs a
// second.
func fewInserts(s *clickhouseScene) {
	s.server.Inserts(s.t)
	began := time.Now()
	var in interface {
		Write([]byte) (int, error)
		Close() error
	}
	s.sensor, in = program.Feed(s.t, packets.Queries(0), s.options()...)
	for time.Since(began) < 6*time.Second {
		if _, err := in.Write(packets.QueriesFrom(s.asked, 50)[packets.FileHeaderSize:]); err != nil {
			s.t.Fatal(err)
		}
		s.asked += 50
		time.Sleep(20 * time.Millisecond)
	}
	in.Close()
	s.waitForEnd(program.ExitOK)
	seconds := int(time.Since(began)/time.Second) + 1
	if n := len(s.server.Inserts(s.t)); n < 2 || n > 2*seconds {
		s.t.Errorf("%d INSERTs in %d seconds", n, seconds)
	}
	s.expectAll(0)
}

// clickhouseKilled kills the server while it stores batches, and starts it with its files.
// Tables that are not replicated may then lack the batch of that moment in an aggregate.
func clickhouseKilled(s *clickhouseScene) {
	const batch, kills = 100, 2
	restore := s.proxy.AddFault(lab.Requests, "bandwidth", map[string]any{"rate": 100}) // KB/s
	s.replay(4000, "--clickhousebatchsize=100")
	for range kills {
		before := s.rows()
		s.waitUntil("more rows", func() bool { return s.rows() > before })
		s.server.Restart(s.t)
	}
	restore()
	s.waitForEnd(program.ExitOK)
	s.expectAll(kills * batch)
}

// TestClickHouseRefuses: a row that the table does not take is counted, logged once, and
// in the exit status. The others are stored.
func TestClickHouseRefuses(t *testing.T) {
	if !tier.Full() {
		t.Skip(tier.LeftTo + "test-all: the sensor doubts for half a minute that rows are to blame")
	}
	t.Parallel()
	s := newClickhouseScene(t, lab.StartChDB(t, lab.ChDBOptions{}))
	s.server.Exec(t, "ALTER TABLE "+s.database+".DNS_LOG ADD CONSTRAINT never CHECK Question NOT IN ('h7.example.org.', 'h77.example.org.')")
	s.replay(100)
	r := s.waitForEnd(program.ExitUndelivered)
	if n := r.Sum("delivery clickhouse", "refused"); n != 2 {
		t.Errorf("%d refused, want 2:\n%s", n, r.Log)
	}
	if n := strings.Count(r.Log, "VIOLATED_CONSTRAINT"); n != 2 { // once for the outage, once for the rows
		t.Errorf("the reason is logged %d times, want 2:\n%s", n, r.Log)
	}
	if n := s.rows(); n != 98 {
		t.Errorf("%d rows, want 98", n)
	}
}

// TestDefect26: without a server and with an interrupt the sensor ends in order, and loses
// no batch. With the default batch size a record is there after little more than a second.
// What has no answer is not delivered: killedBeforeTheAnswer.
func TestDefect26(t *testing.T) {
	t.Parallel()
	s := newClickhouseScene(t, lab.StartChDB(t, lab.ChDBOptions{}))
	s.proxy.Down()
	s.replay(100)
	s.sensor.WaitFor("output fails")
	s.sensor.WaitForWaiting(100)
	s.sensor.Signal(syscall.SIGINT)
	r := s.waitForEnd(program.ExitUndelivered)
	if b := r.Ledgers["delivery clickhouse"]; b["held"] != 100 || b["delivered"] != 0 || strings.Contains(r.Log, "panic") {
		t.Errorf("ledger %v, want 100 held and nothing delivered:\n%s", b, r.Log)
	}
	file := packets.TempFile(t, packets.QueriesFrom(1000, 5)) // without a spool, what is lost is counted
	p := program.Start(t, nil, "replay", file, "--clickhouseoutputtype=1", "--clickhouseaddress="+s.proxy.Addr, "--clickhousedatabase="+s.database, "--grace=1s")
	p.WaitFor("output fails")
	p.Signal(syscall.SIGINT)
	if r := p.Wait(time.Minute); r.Code != program.ExitUndelivered || r.Sum("delivery clickhouse", "delivered") != 0 || strings.Contains(r.Log, "panic") {
		t.Errorf("without a spool: exit status %d, want %d:\n%s", r.Code, program.ExitUndelivered, r.Log)
	}
	s.proxy.Up()
	var in interface{ Close() error }
	s.sensor, in = program.Feed(t, packets.QueriesFrom(s.asked, 1), s.options()...)
	s.asked++
	began := time.Now()
	s.waitUntil("a row while the sensor waits for more", func() bool { return s.rows() == s.asked })
	if took := time.Since(began); took > 10*time.Second { // of a busy machine
		t.Errorf("the row was there after %s", took)
	}
	in.Close()
	s.waitForEnd(program.ExitOK)
	s.expectAll(0)
}
