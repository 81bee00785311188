//go:build linux

package scenes

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/program"
)

// TestDelivery causes failures between a sensor and its database. Every scene counts each
// query by its name: nothing is lost that the spool mode promises to keep, nothing comes
// twice, and the ledgers balance.
func TestDelivery(t *testing.T) {
	t.Parallel()
	server := lab.StartPostgres(t)
	for _, mode := range []string{"overflow", "always"} {
		for _, scene := range []struct {
			name string
			play func(*deliveryScene, string)
		}{
			{"server down at the start", serverDownAtTheStart},
			{"server silent at the start", serverSilentAtTheStart},
			{"wrong password while packets pass", wrongPasswordWhilePacketsPass},
			{"cut after the data", cutAfterTheData},
			{"answers later than the timeout", answersLaterThanTheTimeout},
			{"stopped in an outage", stoppedInAnOutage},
			{"stopped while a file waits", stoppedWhileAFileWaits},
			{"table dropped and made again", tableDroppedAndMadeAgain},
			{"password changed and put right", passwordChangedAndPutRight},
		} {
			t.Run(scene.name+", "+mode, func(t *testing.T) {
				t.Parallel()
				scene.play(newDeliveryScene(t, server), "--spoolmode="+mode)
			})
		}
	}
	for name, play := range map[string]func(*deliveryScene){
		"killed in an outage":   killedInAnOutage,
		"killed in a batch":     killedInABatch,
		"killed without always": killedWithoutAlways,
		"killed while watching": killedWhileWatching,
		"disk full":             diskFull,
		"one output hangs":      oneOutputHangs,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(newDeliveryScene(t, server))
		})
	}
	// The parallel scenes wait meanwhile: this one kills the server that all use.
	t.Run("server killed in a batch", func(t *testing.T) { serverKilledInABatch(newDeliveryScene(t, server)) })
}

func serverDownAtTheStart(s *deliveryScene, mode string) {
	s.serverDown()
	s.replay(3000, mode)
	s.waitForLog("output fails")
	s.serverUp()
	s.waitForEnd(program.ExitOK)
	s.expectAllRows()
	s.expectOnce("output fails", "output has recovered")
}

// serverSilentAtTheStart: messages that pass while the output is checked are recorded
// once the server answers.
func serverSilentAtTheStart(s *deliveryScene, mode string) {
	restore := s.proxy.HoldAnswers()
	s.capture(mode, "--psqlbatchtimeout=10m") // the attempt lasts until the server answers
	s.sendQueries(500, 2000)
	if n := s.timesLogged("output fails"); n > 0 {
		s.t.Errorf("the attempt is over: this scene shows nothing:\n%s", s.sensor.Log())
	}
	restore()
	s.waitForLog("output fails")
	s.sendQueries(100, 2000)
	s.waitUntilDelivered()
	s.stop(program.ExitOK)
	s.expectAllRows()
}

// wrongPasswordWhilePacketsPass: the sensor exits with an error, and has not written to
// any output.
func wrongPasswordWhilePacketsPass(s *deliveryScene, mode string) {
	s.server.Exec(s.t, fmt.Sprintf("CREATE ROLE %s_user LOGIN PASSWORD 'right'", s.table))
	s.makeHosts()
	s.url = strings.Replace(s.url, "postgres@", s.table+"_user:wrong@", 1)
	restore := s.proxy.Delay(500)
	defer restore()
	s.capture(mode, "--stdoutoutputtype=1", "--psqlbatchtimeout=10m")
	s.sendQueries(500, 2000)
	r := s.sensor.Wait(time.Minute)
	if r.Code != program.ExitUsage || !strings.Contains(r.Log, "password authentication failed") {
		s.t.Errorf("exit status %d, want %d and the reason:\n%s", r.Code, program.ExitUsage, r.Log)
	}
	if c := program.Count(s.t, s.sensor.RecordsFile); c.Total() != 0 || s.onDisk() != 0 {
		s.t.Errorf("%d records were written, and %d to the spool, want none", c.Total(), s.onDisk())
	}
}

func serverKilledInABatch(s *deliveryScene) {
	restore := s.slowDown()
	s.replay(2000, "--spoolmode=always", "--psqlbatchsize=1000")
	s.waitForBatch()
	if err := s.server.Kill(); err != nil {
		s.t.Fatal(err)
	}
	s.waitForLog("output fails")
	restore()
	if err := s.server.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.waitForEnd(program.ExitOK)
	s.expectAllRows()
}

func cutAfterTheData(s *deliveryScene, mode string) {
	restore := s.slowDown()
	s.replay(6000, mode)
	s.waitForRows()
	releaseAnswers := s.proxy.HoldAnswers()
	s.waitForUnacknowledgedRows()
	s.serverDown()
	releaseAnswers()
	restore()
	s.serverUp()
	s.waitForEnd(program.ExitOK)
	s.expectAllRows()
	if n := s.metric("already_there"); n == "" || n == "0" {
		s.t.Errorf("no answer was lost: this scene shows nothing:\n%s", s.sensor.Log())
	}
}

func answersLaterThanTheTimeout(s *deliveryScene, mode string) {
	restore := s.slowDown()
	s.replay(6000, mode, "--psqlbatchtimeout=700ms")
	s.waitForRows()
	undelay := s.proxy.Delay(2000)
	s.waitForLog("output fails")
	restore()
	undelay()
	s.waitForEnd(program.ExitOK)
	s.expectAllRows()
}

func stoppedInAnOutage(s *deliveryScene, mode string) {
	s.serverDown()
	s.replay(3000, mode)
	s.sensor.WaitForWaiting(3000)
	if r := s.stop(program.ExitUndelivered); r.Ledgers["delivery psql"]["held"] != 3000 {
		s.t.Errorf("ledger %v, want 3000 held", r.Ledgers["delivery psql"])
	}
	s.replay(500, mode) // a second run in the same outage
	s.sensor.WaitForWaiting(3500)
	s.stop(program.ExitUndelivered)
	s.serverUp()
	s.replay(500, mode)
	if r := s.waitForEnd(program.ExitOK); r.Ledgers["delivery psql"]["in"] != 4000 || r.Ledgers["delivery psql"]["delivered"] != 4000 {
		s.t.Errorf("ledger %v, want 4000 in and delivered", r.Ledgers["delivery psql"])
	}
	s.expectAllRows()
}

// stoppedWhileAFileWaits: everything read of the file is in the spool, even if the queue
// had no room for it.
func stoppedWhileAFileWaits(s *deliveryScene, mode string) {
	s.serverDown()
	s.replay(60000, mode, "--queuemb=64", "--spoolmb=8")
	s.waitUntil("reading waits", func() bool { // three stats lines without new messages, and many held
		lines := program.ParseStats(s.sensor.Log())
		waits := len(lines) > 3
		for _, line := range lines[max(len(lines)-3, 0):] {
			waits = waits && line.Waiting > 2000 && line.Records == 0
		}
		return waits
	})
	r := s.stop(program.ExitUndelivered)
	b := r.Ledgers["delivery psql"]
	if b["held"] != b["in"] || b["in"] == 60000 || b["in"] < 2000 {
		s.t.Errorf("ledger %v, want all held, and not all of the file in", b)
	}
	s.asked = int(b["in"])
	s.serverUp()
	s.replay(0, mode)
	s.waitForEnd(program.ExitOK)
	s.expectAllRows()
}

func killedInAnOutage(s *deliveryScene) {
	s.serverDown()
	s.replay(3000, "--spoolmode=always")
	s.waitUntil("all on disk", func() bool { return s.onDisk() == 3000 })
	s.kill()
	s.serverUp()
	s.replay(500, "--spoolmode=always")
	if r := s.waitForEnd(program.ExitOK); r.Ledgers["delivery psql"]["in"] != 3500 {
		s.t.Errorf("ledger %v, want 3500 in", r.Ledgers["delivery psql"])
	}
	s.expectAllRows()
}

// killedInABatch kills the sensor several times while it delivers.
func killedInABatch(s *deliveryScene) {
	restore := s.slowDown()
	s.replay(8000, "--spoolmode=always")
	s.waitUntil("all on disk, or there", func() bool { return int(s.onDisk())+s.rows() >= 8000 })
	for range 3 {
		s.waitForRows()
		s.waitForBatch()
		s.kill()
		s.replay(0, "--spoolmode=always")
	}
	restore()
	s.waitForEnd(program.ExitOK)
	s.expectAllRows()
}

// killedWithoutAlways: what was in memory is lost, what was on disk is not.
func killedWithoutAlways(s *deliveryScene) {
	s.serverDown()
	s.capture("--queuemb=1")
	for s.asked < 40000 { // in parts, so that the queue does not overflow, or not much if the disk is slow
		s.sendQueries(4000, 20000)
		s.waitUntil("all are held, or counted as lost", func() bool {
			lines := program.ParseStats(s.sensor.Log())
			return len(lines) > 0 && lines[len(lines)-1].Waiting+lines[len(lines)-1].Lost == s.asked
		})
	}
	s.kill()
	stored := int(s.onDisk())
	s.serverUp()
	s.replay(0)
	s.waitForEnd(program.ExitOK)
	if missing := s.expectNoRepeats(); missing != s.asked-stored || stored < 10000 {
		s.t.Errorf("%d of %d are missing, %d were on disk at the kill", missing, s.asked, stored)
	}
}

// killedWhileWatching: what was on disk just before the kill is delivered, and only the
// last records are missing.
func killedWhileWatching(s *deliveryScene) {
	s.serverDown()
	s.capture("--spoolmode=always")
	wait := s.startQueries(40000, 20000)
	var stored int
	s.waitUntil("some on disk", func() bool { stored = int(s.onDisk()); return stored > 5000 })
	s.kill()
	wait()
	s.serverUp()
	s.replay(0, "--spoolmode=always")
	s.waitForEnd(program.ExitOK)
	s.asked -= s.expectNoRepeats()
	s.expectAllRows()
	if s.asked < stored {
		s.t.Errorf("%d arrived, %d were on disk before the kill", s.asked, stored)
	}
}

func tableDroppedAndMadeAgain(s *deliveryScene, mode string) {
	restore := s.slowDown()
	s.replay(6000, mode)
	s.waitForRows()
	s.server.Exec(s.t, fmt.Sprintf("BEGIN; LOCK %[1]s; CREATE TABLE %[1]s_saved AS SELECT * FROM %[1]s; DROP TABLE %[1]s; COMMIT", s.table))
	s.waitForLog("output fails")
	s.makeTable()
	restore()
	s.waitForEnd(program.ExitOK)
	s.server.Exec(s.t, fmt.Sprintf("ALTER TABLE %[1]s RENAME TO %[1]s_new; CREATE VIEW %[1]s AS "+
		"SELECT question, n FROM %[1]s_saved UNION ALL SELECT question, n + 1000000 FROM %[1]s_new", s.table))
	s.expectAllRows()
}

func passwordChangedAndPutRight(s *deliveryScene, mode string) {
	s.server.Exec(s.t, fmt.Sprintf("CREATE ROLE %[1]s_user LOGIN PASSWORD 'first'; ALTER TABLE %[1]s OWNER TO %[1]s_user; ALTER TABLE %[1]s_blocks OWNER TO %[1]s_user", s.table))
	login := func(password string) string {
		return fmt.Sprintf("postgres://%s_user:%s@%s/postgres?sslmode=disable", s.table, password, s.proxy.Addr)
	}
	change := func(password string) {
		s.server.Exec(s.t, fmt.Sprintf("ALTER ROLE %[1]s_user PASSWORD '%[2]s'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '%[1]s_user'", s.table, password))
	}
	s.url = login("first")
	restore := s.slowDown()
	s.replay(6000, mode)
	s.waitForRows()
	change("second")
	s.waitForLog("password authentication failed")
	change("first") // repaired at the server
	s.waitForLog("output has recovered")
	s.waitForRows()
	change("third")
	s.waitUntil("it fails again", func() bool { return s.timesLogged("output fails") == 2 })
	s.stop(program.ExitUndelivered)
	restore()
	s.url = login("second") // a wrong password at the start is an error at once
	s.replay(0, mode)
	if r := s.sensor.Wait(time.Minute); r.Code != program.ExitUsage {
		s.t.Errorf("exit status %d, want %d:\n%s", r.Code, program.ExitUsage, r.Log)
	}
	s.url = login("third") // repaired in the options
	s.replay(100, mode)
	s.waitForEnd(program.ExitOK)
	s.expectAllRows()
}

// diskFull: the disk is smaller than the spool's bound, and the outage exceeds both.
func diskFull(s *deliveryScene) {
	s.spool = lab.Tmpfs(s.t, 9)
	s.serverDown()
	s.capture("--queuemb=1", "--psqlbatchsize=1000")
	s.sendQueries(120000, 40000)
	s.waitForLog("the spool cannot be written")
	s.serverUp()
	s.waitUntilDelivered()
	s.sendQueries(1000, 10000) // after the recovery
	r := s.stop(program.ExitUndelivered)
	missing := s.expectNoRepeats()
	if full := int(r.Sum("delivery psql", "queue_full")); full == 0 || missing != full+int(r.Sum("kernel", "ring_full")) {
		s.t.Errorf("%d are missing, the ledgers say %d:\n%s", missing, full, r.Log)
	}
	names := s.names()
	if last := fmt.Sprintf("h%d.example.org.", s.asked-1); names[len(names)-1] != last {
		s.t.Errorf("the last row is %s, want %s", names[len(names)-1], last)
	}
}

// oneOutputHangs: meanwhile the other output gets every record.
func oneOutputHangs(s *deliveryScene) {
	s.capture("--stdoutoutputtype=1")
	s.sendQueries(100, 10000)
	s.waitUntil("the first rows", func() bool { return s.rows() == 100 })
	restore := s.proxy.HoldAnswers()
	s.sendQueries(50000, 20000)
	s.waitUntil("all on stdout", func() bool {
		b, err := os.ReadFile(s.sensor.RecordsFile)
		return err == nil && bytes.Count(b, []byte("\n")) == s.asked
	})
	if n := s.rows(); n == s.asked {
		s.t.Error("nothing hangs: this scene shows nothing")
	}
	restore()
	s.waitUntilDelivered()
	s.stop(program.ExitOK)
	s.expectAllRows()
	if c := program.Count(s.t, s.sensor.RecordsFile); int(c.Total()) != s.asked {
		s.t.Errorf("%d records on stdout, want %d", c.Total(), s.asked)
	}
}
