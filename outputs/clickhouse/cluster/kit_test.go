//go:build linux

package cluster_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/outputs/clickhouse/table"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// start starts the cluster with its tables.
func start(t *testing.T) *lab.Cluster18 {
	t.Helper()
	c := lab.StartCluster18(t)
	c.Exec(t, lab.Tables18(c.Name, false)...)
	return c
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

// sender writes blocks as an output does, each where a test says.
type sender struct {
	conns map[string]*server.Conn
	enc   *table.Encoder
	plan  *table.Plan
	codes map[string]int // errors, by their text
}

func newSender(t *testing.T, c *lab.Cluster18) *sender {
	t.Helper()
	s := &sender{conns: make(map[string]*server.Conn), codes: make(map[string]int)}
	conn, err := s.conn(t.Context(), c.Shards[0][0].Addr)
	if err != nil {
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
