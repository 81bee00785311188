//go:build linux

package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/clickhouse/cluster"
	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/userspace/event"
)

// TestCluster18 shows on servers of 2018 what the output relies on: which shards there are,
// and that replicas recognise a repeated block. They know no tokens; they compare the bytes.
func TestCluster18(t *testing.T) {
	onlyInTestAll(t)
	t.Parallel()
	c := start(t)
	s := newSender(t, c)
	for _, part := range []struct {
		name string
		test func(*testing.T, *lab.Cluster18, *sender)
	}{
		{"Read", readsShards}, {"RepeatedBlock", recognisesRepeatedBlock}, {"IndexTime", comparesIndexTime}, {"Views", viewsFollowTheLog},
		{"OnCluster", takesStatementsForTheCluster}, {"ZooKeeperAway", worksWithoutZooKeeper},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, c, s) })
	}
}

func readsShards(t *testing.T, c *lab.Cluster18, s *sender) {
	for _, r := range c.Replicas() {
		conn, err := s.conn(t.Context(), r.Addr)
		if err != nil {
			t.Fatal(err)
		}
		shards, err := cluster.Read(t.Context(), conn, c.Name)
		if err != nil || len(shards) != len(c.Shards) {
			t.Fatalf("%+v, %v", shards, err)
		}
		for i, shard := range shards {
			if shard.Number != i+1 || shard.Weight != 1 || shard.Known || len(shard.Replicas) != len(c.Shards[i]) {
				t.Errorf("shard %d: %+v", i+1, shard)
				continue
			}
			for j, replica := range shard.Replicas {
				if replica.String() != c.Shards[i][j].Addr {
					t.Errorf("%s has the address %s", c.Shards[i][j].Addr, replica)
				}
			}
		}
		if _, err := cluster.Read(t.Context(), conn, "nowhere"); err == nil || !strings.Contains(err.Error(), `no cluster "nowhere", but "`+c.Name+`": name`) {
			t.Error(err)
		}
		if conn.Broken() {
			t.Error("the connection cannot be used again")
		}
	}
}

// counts is how many rows of a block the log has, as seen by a server.
func counts(t *testing.T, at *lab.ClickHouse, name, prefix string) int {
	t.Helper()
	return at.Int(t, fmt.Sprintf("SELECT count() FROM dns.%s WHERE position(Question, '%s-') = 1", name, prefix))
}

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// store writes a block to one server, as soon as that takes rows.
func store(t *testing.T, s *sender, at *lab.ClickHouse, b *event.Block) {
	t.Helper()
	await.True(t, at.Addr+" takes a block", func() bool {
		err := s.insert(t.Context(), at.Addr, b)
		if err != nil && server.Classify(err) != server.Retry && server.Classify(err) != server.OtherReplica {
			t.Fatalf("%v: %v", server.Classify(err), err)
		}
		return err == nil
	}, &at.Log)
}

func recognisesRepeatedBlock(t *testing.T, c *lab.Cluster18, s *sender) {
	a, b := c.Shards[0][0], c.Shards[0][1]
	first := block(event.ID{1}, "repeated", 100, testTime)
	want := func(what string, n int) {
		t.Helper()
		c.Settle(t)
		for _, at := range c.Shards[0] {
			if got := counts(t, at, "DNS_LOG_LOCAL", "repeated"); got != 100 {
				t.Errorf("%s: %d rows at %s, want 100", what, got, at.Addr)
			}
		}
		if got := counts(t, b, "DNS_LOG", "repeated"); got != n {
			t.Errorf("%s: %d rows in all shards, want %d", what, got, n)
		}
	}
	store(t, s, a, first)
	store(t, s, a, first)
	want("again to the same replica", 100)
	store(t, s, b, first)
	want("to the other replica", 100)
	a.Restart(t)
	store(t, s, a, first)
	want("after a restart", 100)
	// Why a block that may be stored stays in its shard:
	store(t, s, c.Shards[1][0], first)
	want("to the other shard", 200)
}

// A block is repeated with the time at which it was made: another IndexTime makes it another
// block.
func comparesIndexTime(t *testing.T, c *lab.Cluster18, s *sender) {
	later := block(event.ID{2}, "later", 10, testTime)
	store(t, s, c.Shards[0][0], later)
	later.Seal(event.ID{2}, testTime.Add(time.Second))
	store(t, s, c.Shards[0][0], later)
	if got := counts(t, c.Shards[0][0], "DNS_LOG_LOCAL", "later"); got != 20 {
		t.Errorf("%d rows, want 20: does the server compare something else now?", got)
	}
}

// A block that the log recognises does not reach its views. Blocks of which a view makes the
// same rows are different ones.
func viewsFollowTheLog(t *testing.T, c *lab.Cluster18, s *sender) {
	at := testTime.AddDate(0, 0, 1)
	for i, prefix := range []string{"one", "two"} {
		b := block(event.ID{3, byte(i)}, prefix, 50, at)
		for _, replica := range c.Shards[i%2] {
			store(t, s, replica, b)
			store(t, s, c.Shards[0][0], block(event.ID{4, byte(i)}, "more-"+prefix, 50, at))
		}
	}
	c.Settle(t)
	const want = 200
	for _, r := range c.Replicas() {
		log := r.Int(t, "SELECT count() FROM dns.DNS_LOG WHERE toDate(PacketTime) = '2026-01-03'")
		sum := r.Int(t, "SELECT sum(c) FROM dns.DNS_TYPE WHERE toDate(PacketTime) = '2026-01-03'")
		if log != want || sum != want {
			t.Errorf("%s: %d rows, of which the view has counted %d, want %d", r.Addr, log, sum, want)
		}
	}
}

// takesStatementsForTheCluster lists what servers of 2018 accept after ON CLUSTER.
func takesStatementsForTheCluster(t *testing.T, c *lab.Cluster18, _ *sender) {
	on := " ON CLUSTER " + c.Name
	a := c.Shards[0][0]
	for _, sql := range []string{"DROP TABLE dns.DNS_LOG" + on, "DROP TABLE dns.DNS_TYPE" + on} {
		a.Exec(t, sql)
	}
	a.Exec(t, lab.Tables18(c.Name, true)...)
	for _, r := range c.Replicas() {
		if n := r.Int(t, "SELECT count() FROM system.tables WHERE database = 'dns' AND engine = 'Distributed'"); n != 2 {
			t.Errorf("%s has %d of the 2 tables", r.Addr, n)
		}
	}
	for sql, code := range map[string]int{
		"CREATE TABLE dns.other ON CLUSTER nowhere (n UInt8) ENGINE = Log":                                                          170,
		"ALTER TABLE dns.DNS_LOG_LOCAL" + on + " MODIFY TTL PacketTime + INTERVAL 1 DAY":                                            62,
		"CREATE TABLE dns.other" + on + " (n UInt8 CODEC(ZSTD(1))) ENGINE = MergeTree ORDER BY n":                                   62,
		"CREATE TABLE dns.other" + on + " (n DateTime64(3)) ENGINE = MergeTree ORDER BY n":                                          50,
		"CREATE DICTIONARY dns.other" + on + " (n UInt64) PRIMARY KEY n SOURCE(CLICKHOUSE(TABLE 't')) LAYOUT(FLAT()) LIFETIME(300)": 62,
		"CREATE USER IF NOT EXISTS sensor" + on:                                                                                     62,
	} {
		_, err := a.Try(sql)
		if e, ok := err.(*lab.ClickHouseError); !ok || e.Code != code {
			t.Errorf("%s: %v, want code %d", sql, err, code)
		}
	}
}

// Without ZooKeeper a cluster is read, but not written. A block that was refused, or whose
// fate is not known, is stored once afterwards.
func worksWithoutZooKeeper(t *testing.T, c *lab.Cluster18, s *sender) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	before := c.Shards[1][1].Int(t, "SELECT count() FROM dns.DNS_LOG")
	c.ZooKeeper.Kill()
	b := block(event.ID{5}, "away", 10, testTime)
	for range 5 {
		for _, r := range c.Shards[0] {
			err := s.insert(ctx, r.Addr, b)
			if class := server.Classify(err); err == nil || class != server.OtherReplica {
				t.Errorf("%v: %v", class, err)
			}
			s.codes[short(err)]++
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Log(s.codes)
	for _, r := range c.Replicas() {
		conn, err := s.conn(ctx, r.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if shards, err := cluster.Read(ctx, conn, c.Name); err != nil || len(shards) != 2 {
			t.Errorf("%v, %v", shards, err)
		}
		if n := r.Int(t, "SELECT count() FROM dns.DNS_LOG"); n != before {
			t.Errorf("%d rows at %s, want %d", n, r.Addr, before)
		}
		await.True(t, "the tables say that they have lost ZooKeeper", func() bool {
			return r.Int(t, "SELECT toUInt8(count() = 2 AND min(is_session_expired) = 1) FROM system.replicas WHERE database = 'dns'") == 1
		}, &r.Log)
	}
	start := time.Now()
	c.ZooKeeper.Start(t)
	store(t, s, c.Shards[0][0], b)
	t.Logf("written %v after ZooKeeper was started", time.Since(start).Round(time.Millisecond))
	store(t, s, c.Shards[0][1], b)
	c.Settle(t)
	if n := counts(t, c.Shards[1][0], "DNS_LOG", "away"); n != 10 {
		t.Errorf("%d rows, want 10", n)
	}
}
