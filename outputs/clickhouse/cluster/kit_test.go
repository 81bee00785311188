package cluster_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/outputs/clickhouse/cluster"
	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/outputs/clickhouse/table"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// tables18 is dnsmonster's log and one of its aggregates for a server of 2018: types and
// engines that it knows, with windows as long as those of our own tables. onCluster is "" or
// an ON CLUSTER clause.
func tables18(name, onCluster string) []string {
	const window = " SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"
	return []string{
		"CREATE DATABASE IF NOT EXISTS dns" + onCluster,
		"CREATE TABLE IF NOT EXISTS dns.DNS_LOG_LOCAL" + onCluster + " (PacketTime DateTime, IndexTime DateTime, Server String, IPVersion UInt8, SrcIP FixedString(16), DstIP FixedString(16), " +
			"Protocol FixedString(3), QR UInt8, OpCode UInt8, Class UInt16, Type UInt16, Edns0Present UInt8, DoBit UInt8, FullQuery String, ResponseCode UInt8, Question String, Size UInt16) " +
			"ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/dns/DNS_LOG_LOCAL', '{replica}') PARTITION BY toYYYYMMDD(PacketTime) " +
			"ORDER BY (toStartOfHour(PacketTime), Server, cityHash64(Question), PacketTime) SAMPLE BY cityHash64(Question)" + window,
		"CREATE TABLE IF NOT EXISTS dns.DNS_TYPE_LOCAL" + onCluster + " (PacketTime DateTime, Server String, Type UInt16, c UInt64) " +
			"ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/dns/DNS_TYPE_LOCAL', '{replica}') PARTITION BY toYYYYMMDD(PacketTime) ORDER BY (PacketTime, Server, Type)" + window,
		"CREATE MATERIALIZED VIEW IF NOT EXISTS dns.DNS_TYPE_MV" + onCluster + " TO dns.DNS_TYPE_LOCAL AS " +
			"SELECT toStartOfMinute(PacketTime) AS PacketTime, Server, Type, count() AS c FROM dns.DNS_LOG_LOCAL GROUP BY PacketTime, Server, Type",
		"CREATE TABLE IF NOT EXISTS dns.DNS_LOG" + onCluster + " AS dns.DNS_LOG_LOCAL ENGINE = Distributed(" + name + ", dns, DNS_LOG_LOCAL, rand())",
		"CREATE TABLE IF NOT EXISTS dns.DNS_TYPE" + onCluster + " AS dns.DNS_TYPE_LOCAL ENGINE = Distributed(" + name + ", dns, DNS_TYPE_LOCAL, rand())",
	}
}

// start starts the cluster with its tables.
func start(t *testing.T) *lab.Cluster18 {
	t.Helper()
	c := lab.StartCluster18(t)
	c.Exec(t, tables18(c.Name, "")...)
	return c
}

// settle waits until each replica that runs has all rows of its shard.
func settle(t *testing.T, c *lab.Cluster18) {
	t.Helper()
	for _, r := range c.Replicas() {
		for _, name := range []string{"DNS_LOG_LOCAL", "DNS_TYPE_LOCAL"} {
			var err error
			await.True(t, "replica "+r.Addr+" has the rows of "+name, func() bool {
				_, err = r.Try("SYSTEM SYNC REPLICA dns." + name)
				return err == nil
			}, &r.Log)
		}
	}
}

// block makes a block of n events at the time, whose names are unique if the prefix is.
func block(id event.ID, prefix string, n int, at time.Time) *event.Block {
	b := event.NewBlock(0)
	for i := range n {
		m := new(mdns.Msg)
		m.SetQuestion(fmt.Sprintf("%s-%d.example.org.", prefix, i), mdns.TypeA)
		wire, err := m.Pack()
		if err != nil {
			panic(err)
		}
		e := &event.Event{
			Time: at.UnixNano(), Proto: event.UDP, Message: wire,
			Src: netip.MustParseAddrPort("192.0.2.1:40000"), Dst: netip.MustParseAddrPort("192.0.2.53:53"),
		}
		dns.Read(wire, false, &e.DNS)
		b.Append(e)
	}
	b.Seal(id, at)
	return b
}

// sender writes blocks as an output does, to the shards that a server names. One goroutine
// uses it.
type sender struct {
	shards []cluster.Shard
	conns  map[string]*server.Conn
	enc    *table.Encoder
	plan   *table.Plan
	codes  map[string]int // errors, by their text
	moved  int            // blocks that left their shard
	stored *atomic.Int64  // blocks
}

func newSender(t *testing.T, c *lab.Cluster18, stored *atomic.Int64) *sender {
	t.Helper()
	s := &sender{conns: make(map[string]*server.Conn), codes: make(map[string]int), stored: stored}
	conn, err := s.conn(t.Context(), c.Shards[0][0].Addr)
	if err != nil {
		t.Fatal(err)
	}
	if s.shards, err = cluster.Read(t.Context(), conn, c.Name); err != nil {
		t.Fatal(err)
	}
	def, err := table.Read(t.Context(), conn, "dns", "DNS_LOG_LOCAL")
	if err != nil {
		t.Fatal(err)
	}
	if s.plan, err = def.Plan(table.Options{Server: "sensor"}); err != nil {
		t.Fatal(err)
	}
	s.enc = table.NewEncoder(s.plan)
	t.Cleanup(func() {
		for _, c := range s.conns {
			c.Close()
		}
	})
	return s
}

// conn returns the connection to an address, a new one if there is none.
func (s *sender) conn(ctx context.Context, address string) (*server.Conn, error) {
	if c := s.conns[address]; c != nil && !c.Broken() {
		return c, nil
	}
	c, err := server.Dial(ctx, address, server.Config{Compression: server.LZ4})
	if err == nil {
		s.conns[address] = c
	}
	return c, err
}

// insert writes the block to one server, once.
func (s *sender) insert(ctx context.Context, address string, b *event.Block) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := s.conn(ctx, address)
	if err != nil {
		return err
	}
	parts := s.enc.Encode(b, b.Sealed())
	if len(parts) != 1 {
		return fmt.Errorf("%d parts", len(parts))
	}
	return conn.Insert(ctx, s.plan.InsertSQL(), parts[0].Columns, []server.Setting{{Name: "insert_deduplication_token", Value: b.ID().String()}})
}

// write writes a block until it is stored, or until the context ends. A block that may be
// stored in a shard stays there.
func (s *sender) write(ctx context.Context, b *event.Block) error {
	id := b.ID()
	at, mayBeStored := int(id[15])%len(s.shards), false
	for {
		for _, r := range s.shards[at].Replicas {
			err := s.insert(ctx, r.String(), b)
			if err == nil {
				s.stored.Add(1)
				return nil
			}
			s.codes[short(err)]++
			mayBeStored = mayBeStored || server.MayBeStored(err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !mayBeStored {
			at = (at + 1) % len(s.shards)
			s.moved++
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// short is an error without what differs each time.
func short(err error) string {
	class := server.Classify(err).String()
	text := err.Error()
	if i := strings.Index(text, "127.0.0.1:"); i >= 0 {
		text = text[i:]
		if _, rest, ok := strings.Cut(text, " "); ok {
			text = rest
		}
	}
	return class + ": " + text[:min(len(text), 120)]
}

// onlyInTestAll marks a test that needs a cluster: four servers and ZooKeeper.
func onlyInTestAll(t *testing.T) {
	t.Helper()
	if !tier.Full() {
		t.Skip(tier.LeftTo + "test-all: a cluster of four servers, and outages of seconds")
	}
}
