package schema

import (
	"strings"
	"testing"
)

// TestRetentionOfWhatExists: statements are for tables with rows that exist, no other.
func TestRetentionOfWhatExists(t *testing.T) {
	const uuid = "d9428888-122b-11e1-b85c-61cd3cbb3210"
	one, cluster := standard(Ours, ""), standard(Ours, "main")
	for _, c := range []struct {
		about    string
		o        Options
		days     int
		existing []Table
		want     string // targets, and what happens
	}{
		{"nothing", one, 9, nil, ""},
		{"the log alone", one, 9, []Table{{"DNS_LOG", "MergeTree", uuid, "x", false}}, "ALTER TABLE `default`.`DNS_LOG` MODIFY TTL toDate(PacketTime) + INTERVAL 9 DAY"},
		{"for ever", one, 0, []Table{{"DNS_LOG", "MergeTree", uuid, "x", false}}, "ALTER TABLE `default`.`DNS_LOG` REMOVE TTL"},
		{"for ever already", one, 0, []Table{{"DNS_LOG", "MergeTree", uuid, "", false}}, ""},
		{"a table of another kind", one, 9, []Table{{"DNS_LOG", "Memory", uuid, "", false}}, ""},
		{"inline", one, 9, []Table{{"DNS_TYPE", "MaterializedView", uuid, "", false}, {".inner_id." + uuid, "SummingMergeTree", "", "x", false}, {".inner_id.other", "MergeTree", "", "x", false}}, "ALTER TABLE `default`.`.inner_id." + uuid + "` MODIFY TTL DnsDate + INTERVAL 9 DAY"},
		{"inline, of an old database", one, 9, []Table{{"DNS_TYPE", "MaterializedView", noUUID, "", false}, {".inner.DNS_TYPE", "SummingMergeTree", noUUID, "x", false}}, "ALTER TABLE `default`.`.inner.DNS_TYPE` MODIFY TTL DnsDate + INTERVAL 9 DAY"},
		{"a view into a table of another name", one, 9, []Table{{"DNS_TYPE", "MaterializedView", uuid, "", false}}, ""},
		{"cluster", cluster, 9, []Table{{"DNS_LOG", "Distributed", uuid, "", false}, {"DNS_LOG_LOCAL", "ReplicatedMergeTree", uuid, "x", false}}, "ALTER TABLE `default`.`DNS_LOG_LOCAL` ON CLUSTER `main` MODIFY TTL toDate(PacketTime) + INTERVAL 9 DAY"},
		{"cluster, for ever", cluster, 0, []Table{{"DNS_EDNS_LOCAL", "ReplicatedAggregatingMergeTree", uuid, "x", false}}, "ALTER TABLE `default`.`DNS_EDNS_LOCAL` ON CLUSTER `main` REMOVE TTL"},
		{"the log last", one, 9, []Table{{"DNS_LOG", "MergeTree", uuid, "x", false}, {"DNS_EDNS", "AggregatingMergeTree", uuid, "x", false}}, "ALTER TABLE `default`.`DNS_EDNS` MODIFY TTL DnsDate + INTERVAL 9 DAY\nALTER TABLE `default`.`DNS_LOG` MODIFY TTL toDate(PacketTime) + INTERVAL 9 DAY"},
	} {
		var got []string
		for _, s := range Retention(c.o, c.days, c.existing) {
			got = append(got, s.SQL)
		}
		if text := strings.Join(got, "\n"); text != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.about, text, c.want)
		}
	}
	if got := Tables([][]string{{"a", "b"}, {"n", "e", "u", "x", "0"}}); len(got) != 1 || got[0] != (Table{"n", "e", "u", "x", false}) {
		t.Errorf("Tables: %v", got)
	}
}

// TestStatementsForExistingTables: on one server and on a cluster.
func TestStatementsForExistingTables(t *testing.T) {
	one, cluster := standard(Ours, ""), standard(Ours, "main")
	foreign := Names(cluster, [][]string{
		{"DNS_LOG", "Distributed", "Distributed('main', 'default', 'log', rand())"}, {"all", "Distributed", "Distributed(main, default, log)"},
		{"DNS_TYPE", "ReplicatedSummingMergeTree", ""}, {"elsewhere", "Distributed", "Distributed('main', 'other', 'log')"}, {"short"},
	})
	for _, c := range []struct {
		list []Statement
		want string
	}{
		{AddColumns(one, "", []string{"PacketTime2", "SampleKey", "INDEX QuestionIndex"}), ""},
		{AddColumns(one, "", nil), ""},
		{AddColumns(one, "", []string{"Weight", "VLAN"}), "ALTER TABLE `default`.`DNS_LOG` ADD COLUMN IF NOT EXISTS VLAN UInt16 CODEC(ZSTD(1)), ADD COLUMN IF NOT EXISTS Weight Float64 DEFAULT 1 CODEC(ZSTD(1))"},
		{AddColumns(cluster, "", []string{"VLAN"}), "ALTER TABLE `default`.`DNS_LOG_LOCAL` ON CLUSTER `main` ADD COLUMN IF NOT EXISTS VLAN UInt16 CODEC(ZSTD(1))\nALTER TABLE `default`.`DNS_LOG` ON CLUSTER `main` ADD COLUMN IF NOT EXISTS VLAN UInt16"},
		{AddColumns(Options{Database: "default", Table: "DNS_LOG", Old: true}, "", []string{"Weight", "Tunnel", "QueryTime"}), "ALTER TABLE `default`.`DNS_LOG` ADD COLUMN Tunnel String, ADD COLUMN Weight Float64 DEFAULT 1, ADD COLUMN QueryTime DateTime"},
		{AddColumns(foreign, "`other`.`log`", []string{"Weight"}), "ALTER TABLE `other`.`log` ON CLUSTER `main` ADD COLUMN IF NOT EXISTS Weight Float64 DEFAULT 1 CODEC(ZSTD(1))\nALTER TABLE `default`.`DNS_LOG` ON CLUSTER `main` ADD COLUMN IF NOT EXISTS Weight Float64 DEFAULT 1\nALTER TABLE `default`.`all` ON CLUSTER `main` ADD COLUMN IF NOT EXISTS Weight Float64 DEFAULT 1"},
		{Remember(foreign, []Table{{"log", "ReplicatedMergeTree", noUUID, "x", false}, {"DNS_TYPE", "ReplicatedSummingMergeTree", noUUID, "x", false}}), "ALTER TABLE `default`.`log` ON CLUSTER `main` MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800\nALTER TABLE `default`.`DNS_TYPE` ON CLUSTER `main` MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"},
		{AddColumns(Names(cluster, [][]string{{"DNS_LOG", "ReplicatedMergeTree", ""}}), "", []string{"VLAN"}), "ALTER TABLE `default`.`DNS_LOG` ON CLUSTER `main` ADD COLUMN IF NOT EXISTS VLAN UInt16 CODEC(ZSTD(1))"},
		{AddColumns(Names(cluster, nil), "", []string{"VLAN"}), "ALTER TABLE `default`.`DNS_LOG_LOCAL` ON CLUSTER `main` ADD COLUMN IF NOT EXISTS VLAN UInt16 CODEC(ZSTD(1))"},
		{Remember(one, nil), ""},
		{Remember(one, []Table{{"DNS_LOG", "MergeTree", noUUID, "x", true}}), ""},
		{Remember(one, []Table{{"DNS_LOG", "MergeTree", noUUID, "x", false}}), "ALTER TABLE `default`.`DNS_LOG` MODIFY SETTING non_replicated_deduplication_window = 10000"},
		{Remember(one, []Table{{"DNS_LOG", "ReplicatedMergeTree", noUUID, "x", false}}), "ALTER TABLE `default`.`DNS_LOG` MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"},
		{Remember(cluster, []Table{{"DNS_LOG", "Distributed", noUUID, "", false}, {"DNS_LOG_LOCAL", "ReplicatedMergeTree", noUUID, "x", false}}), "ALTER TABLE `default`.`DNS_LOG_LOCAL` ON CLUSTER `main` MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"},
	} {
		var got []string
		for _, s := range c.list {
			got = append(got, s.SQL)
		}
		if text := strings.Join(got, "\n"); text != c.want {
			t.Errorf("got %s\nwant %s", text, c.want)
		}
	}
}

// TestOwnRetention: what does more than to delete rows after some time is found.
func TestOwnRetention(t *testing.T) {
	for ttl, plain := range map[string]bool{
		"": true, "toDate(PacketTime) + toIntervalDay(30)": true, "PacketTime + toIntervalMonth(1) DELETE": true,
		"toDateTime(PacketTime) + toIntervalHour(12)": true, "expires": true,
		"toDate(PacketTime) + toIntervalDay(7) TO VOLUME 'cold'":                     false,
		"toDate(PacketTime) + toIntervalDay(7) RECOMPRESS CODEC(ZSTD(9))":            false,
		"toDate(PacketTime) + toIntervalDay(7) WHERE Type = 1":                       false,
		"toDate(PacketTime) + toIntervalDay(7), PacketTime + toIntervalDay(9)":       false,
		"toDate(PacketTime) + toIntervalDay(7) GROUP BY Server SET Size = max(Size)": false,
	} {
		name, text := OwnRetention(standard(Ours, ""), []Table{{"DNS_LOG", "MergeTree", noUUID, ttl, true}})
		if (name == "") != plain || name != "" && text != ttl {
			t.Errorf("%q: %q %q", ttl, name, text)
		}
	}
}

// TestViewsOfALog: they are recognised by their text, whatever has quotes. A text that is
// not shown may say anything.
func TestViewsOfALog(t *testing.T) {
	o := Options{Database: "dns", Table: "DNS_LOG"}
	table := []Table{{"DNS_TYPE", "AggregatingMergeTree", noUUID, "", true}}
	const is = "CREATE MATERIALIZED VIEW dns.DNS_TYPE_MV TO "
	for _, c := range []struct {
		about    string
		view     View
		existing []Table
		want     string // a view of another log, unfilled, stranded
	}{
		{"ours", View{"DNS_TYPE_MV", is + "dns.DNS_TYPE (`c` UInt64) AS SELECT count() AS c FROM dns.DNS_LOG WHERE QR = 0"}, table, ",,"},
		{"quoted, another name", View{"x", "CREATE MATERIALIZED VIEW dns.x TO `dns`.`DNS_TYPE` AS SELECT 1 FROM `dns`.`DNS_LOG`"}, table, ",,"},
		{"a longer name", View{"DNS_TYPE_MV", is + "dns.DNS_TYPE AS SELECT 1 FROM dns.DNS_LOG_2"}, table, "DNS_TYPE_MV,DNS_TYPE,"},
		{"into another database", View{"DNS_TYPE_MV", is + "dns2.DNS_TYPE AS SELECT 1 FROM dns.DNS_LOG"}, table, ",DNS_TYPE,"},
		{"stranded", View{"DNS_TYPE_MV", is + "dns.DNS_TYPE AS SELECT 1 FROM dns.DNS_LOG"}, nil, ",,DNS_TYPE_MV"},
		{"not shown", View{"DNS_TYPE_MV", ""}, table, ",,"},
		{"not shown, without the table", View{"DNS_TYPE_MV", ""}, nil, ",,"},
		{"a table for readers", View{"x", "CREATE MATERIALIZED VIEW dns.x TO dns.y AS SELECT 1"}, []Table{{"DNS_TYPE", "Distributed", noUUID, "", false}}, ",,"},
	} {
		views := []View{c.view}
		got := OtherLog(o, views) + "," + strings.Join(Unfilled(o, c.existing, views), " ") + "," + strings.Join(Stranded(o, c.existing, views), " ")
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.about, got, c.want)
		}
	}
}
