//go:build linux

package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab/tier"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
)

const oldRevision = 54031 // ch-go's later ones do not fit to the server

func TestClickHouse18TakesTLSAndPasswords(t *testing.T) {
	t.Parallel()
	ca := NewAuthority(t)
	s := StartClickHouse18(t, ClickHouse18Options{TLS: ca})
	s.Exec(t, "CREATE TABLE log (name String) ENGINE = MergeTree ORDER BY name", "CREATE DATABASE other")
	pem, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	f := func(user, password, sql string, code proto.Error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c, err := ch.Dial(ctx, ch.Options{
			Address: s.TLSAddr, TLS: &tls.Config{RootCAs: pool, ServerName: "db.example.org"}, User: user, Password: password, ProtocolVersion: oldRevision,
		})
		if err == nil {
			defer c.Close()
			name := proto.ColStr{}
			name.Append("example.org")
			err = c.Do(ctx, ch.Query{Body: sql, Input: proto.Input{{Name: "name", Data: &name}}})
		}
		if code == 0 && err != nil || code != 0 && !ch.IsErr(err, code) {
			t.Errorf("%s:%s, %s: %v, want code %d", user, password, sql, err, code)
		}
	}
	const insert = "INSERT INTO log (name) VALUES"
	f("sensor", "secret", insert, 0)
	f("sensor", "wrong", insert, proto.ErrWrongPassword)
	f("nobody", "secret", insert, proto.ErrUnknownUser)
	f("reader", "secret", insert, proto.ErrReadonly)
	f("confined", "secret", "INSERT INTO other.log (name) VALUES", proto.ErrDatabaseAccessDenied)
	f("sensor", "secret", "INSERT INTO nowhere (name) VALUES", proto.ErrUnknownTable)
	if n := s.Int(t, "SELECT count() FROM log"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// TestCluster18: what a test of outages builds upon.
func TestCluster18(t *testing.T) {
	t.Parallel()
	c := StartCluster18(t)
	c.Exec(t, "CREATE TABLE log (name String) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/log', '{replica}') ORDER BY name",
		"CREATE TABLE logs AS log ENGINE = Distributed("+c.Name+", default, log, rand())")
	one, two, other := c.Shards[0][0], c.Shards[0][1], c.Shards[1][0]
	one.Exec(t, "INSERT INTO log VALUES ('a'), ('b')")
	two.Exec(t, "INSERT INTO log VALUES ('a'), ('b')", "INSERT INTO log VALUES ('c')") // the first is a repetition
	other.Exec(t, "INSERT INTO log VALUES ('a'), ('b')")                               // on another shard it is none
	count := func(s *ClickHouse, table string, want int) {
		t.Helper()
		await.True(t, strconv.Itoa(want)+" rows in "+table, func() bool {
			rows, err := s.Try("SELECT count() FROM " + table)
			return err == nil && rows[0][0] == strconv.Itoa(want)
		}, &s.Log)
	}
	count(one, "log", 3)
	count(other, "logs", 5)

	if !tier.Full() {
		return // a session of ZooKeeper that has to end takes five seconds
	}
	two.Kill()
	one.Exec(t, "INSERT INTO log VALUES ('d')")
	count(other, "logs", 6)
	two.Start(t)
	count(two, "log", 4)

	c.ZooKeeper.Kill()
	const keeperLost, readOnly, noKeeper = 225, 242, 999
	_, err := one.Try("INSERT INTO log VALUES ('e')")
	if e := (*ClickHouseError)(nil); !errors.As(err, &e) || e.Code != keeperLost && e.Code != readOnly && e.Code != noKeeper {
		t.Errorf("without ZooKeeper: %v", err)
	}
	c.ZooKeeper.Start(t)
	await.True(t, "rows are taken again", func() bool {
		_, err := one.Try("INSERT INTO log VALUES ('e')")
		return err == nil
	}, &one.Log)
	count(two, "log", 5)
}

// TestTiedProcessesEndWithTheTest: a test that is killed leaves no server, not even one
// that was stopped.
func TestTiedProcessesEndWithTheTest(t *testing.T) {
	const variable = "LAB_TEST_START_A_TIED_PROCESS"
	if os.Getenv(variable) != "" {
		cmd := exec.Command("sleep", "1000")
		if err := startTied(cmd); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("pid " + strconv.Itoa(cmd.Process.Pid) + "\n")
		_ = cmd.Process.Signal(syscall.SIGSTOP)
		time.Sleep(time.Hour) // it is killed before
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), variable+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 100)
	n, err := out.Read(line)
	pid, bad := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "pid ")))
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err != nil || bad != nil {
		t.Fatalf("%q: %v %v", line[:n], err, bad)
	}
	await.True(t, "the process ends", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH || zombie(pid) })
}

// zombie reports whether a process has ended, and nobody has asked for its status.
func zombie(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(text), ") Z ")
}
