//go:build linux

package lab

import (
	"testing"

	"dnsmonster-sensor/test/await"
)

// Tables18 is dnsmonster's log and one of its aggregates for a server of 2018: types and
// engines that it knows, with windows as long as those of our own tables. The tables are in
// database dns; DNS_LOG and DNS_TYPE are Distributed tables over those that end with _LOCAL.
// With onCluster one server creates all.
func Tables18(cluster string, onCluster bool) []string {
	const window = " SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"
	on := ""
	if onCluster {
		on = " ON CLUSTER " + cluster
	}
	return []string{
		"CREATE DATABASE IF NOT EXISTS dns" + on,
		"CREATE TABLE IF NOT EXISTS dns.DNS_LOG_LOCAL" + on + " (PacketTime DateTime, IndexTime DateTime, Server String, IPVersion UInt8, SrcIP FixedString(16), DstIP FixedString(16), " +
			"Protocol FixedString(3), QR UInt8, OpCode UInt8, Class UInt16, Type UInt16, Edns0Present UInt8, DoBit UInt8, FullQuery String, ResponseCode UInt8, Question String, Size UInt16) " +
			"ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/dns/DNS_LOG_LOCAL', '{replica}') PARTITION BY toYYYYMMDD(PacketTime) " +
			"ORDER BY (toStartOfHour(PacketTime), Server, cityHash64(Question), PacketTime) SAMPLE BY cityHash64(Question)" + window,
		"CREATE TABLE IF NOT EXISTS dns.DNS_TYPE_LOCAL" + on + " (PacketTime DateTime, Server String, Type UInt16, c UInt64) " +
			"ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/dns/DNS_TYPE_LOCAL', '{replica}') PARTITION BY toYYYYMMDD(PacketTime) ORDER BY (PacketTime, Server, Type)" + window,
		"CREATE MATERIALIZED VIEW IF NOT EXISTS dns.DNS_TYPE_MV" + on + " TO dns.DNS_TYPE_LOCAL AS " +
			"SELECT toStartOfMinute(PacketTime) AS PacketTime, Server, Type, count() AS c FROM dns.DNS_LOG_LOCAL GROUP BY PacketTime, Server, Type",
		"CREATE TABLE IF NOT EXISTS dns.DNS_LOG" + on + " AS dns.DNS_LOG_LOCAL ENGINE = Distributed(" + cluster + ", dns, DNS_LOG_LOCAL, rand())",
		"CREATE TABLE IF NOT EXISTS dns.DNS_TYPE" + on + " AS dns.DNS_TYPE_LOCAL ENGINE = Distributed(" + cluster + ", dns, DNS_TYPE_LOCAL, rand())",
	}
}

// Settle waits until each replica has all rows of its shard. All servers must run. A replica
// that has just started, or lost ZooKeeper, has not yet asked what it lacks: it says that it
// is read-only.
func (c *Cluster18) Settle(t testing.TB) {
	t.Helper()
	for _, r := range c.Replicas() {
		await.True(t, "replica "+r.Addr+" takes part", func() bool {
			rows, err := r.Try("SELECT count() FROM system.replicas WHERE is_readonly OR is_session_expired OR active_replicas < total_replicas")
			return err == nil && rows[0][0] == "0"
		}, &r.Log)
	}
	for _, r := range c.Replicas() {
		for _, table := range r.Query(t, "SELECT concat(database, '.', table) FROM system.replicas") {
			await.True(t, "replica "+r.Addr+" has the rows of "+table[0], func() bool {
				_, err := r.Try("SYSTEM SYNC REPLICA " + table[0])
				return err == nil
			}, &r.Log)
		}
	}
}
