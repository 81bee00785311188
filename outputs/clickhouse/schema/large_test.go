//go:build linux

package schema

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
)

var rowsToMeasure = flag.Int("rows", 20_000_000, "rows that TestLargeLayouts inserts into each layout")

// TestLargeLayouts prints what docs/clickhouse.md says about the layouts: bytes per row, and
// the time of dashboards' queries. It takes about ten minutes and three gigabytes:
//
//	go test ./outputs/clickhouse/schema -run TestLargeLayouts -v -timeout 1h -rows 20000000
func TestLargeLayouts(t *testing.T) {
	tier.ByHand(t, tier.Large)
	s := &server{t, lab.StartChDB(t, lab.ChDBOptions{})}
	var names []string
	for _, c := range logColumns[:len(logColumns)-2] { // without key and index
		names = append(names, c.name)
	}
	s.run("CREATE DATABASE traffic")
	s.run("CREATE TABLE traffic.rows (%s) ENGINE = MergeTree ORDER BY PacketTime", strings.Replace(columnLines(logColumns[:len(names)]), "CODEC(T64, ZSTD(1))", "CODEC(ZSTD(1))", 1))
	const chunk = 500_000 // rows, half as many queries with their answers
	pairs := *rowsToMeasure / 2
	for at := 0; at < pairs; at += chunk / 2 {
		s.run("INSERT INTO traffic.rows (%s) %s", strings.Join(names, ", "), trafficSQL(at, min(chunk/2, pairs-at), pairs))
	}
	for _, layout := range []Layout{Ours, Dnsmonster} {
		o := Options{Layout: layout, Database: []string{"ours", "dnsmonster"}[layout], Table: DefaultTable}
		for _, statement := range Statements(o) {
			s.run("%s", statement.SQL)
		}
		target := strings.Join(names, ", ")
		source := target
		if layout == Dnsmonster {
			target = strings.Join(names[:len(dnsmonsterColumns)], ", ")
			source = strings.Replace(target, "Protocol", "substring(Protocol, 1, 3)", 1)
		}
		cpu, start := s.cpu(), time.Now()
		slices := max(1, pairs*2/chunk)
		for i := range slices {
			from, to := 86400*i/slices, 86400*(i+1)/slices
			if i == slices-1 {
				to += 3600 // the last answers come after midnight
			}
			s.run("INSERT INTO %s (%s) SELECT %s FROM traffic.rows WHERE PacketTime >= toDateTime('2026-11-23 00:00:00') + %d AND PacketTime < toDateTime('2026-11-23 00:00:00') + %d SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_rows = %d, min_insert_block_size_bytes = 0", o.table(o.Table), target, source, from, to, 2*chunk)
		}
		s.want(fmt.Sprint(pairs*2), "SELECT count() FROM %s", o.table(o.Table))
		t.Logf("%s: %d rows inserted in %v, %.1f s of CPU", o.Database, pairs*2, time.Since(start).Round(time.Second), s.cpu()-cpu)
		s.merge(o.table(o.Table))
		t.Logf("%s: bytes per row of the log\n%s", o.Database, s.run("SELECT table, sum(rows), round(sum(data_compressed_bytes) / %d, 2) AS bytes FROM system.parts WHERE database = '%s' AND active GROUP BY table ORDER BY bytes DESC", pairs*2, o.Database))
		t.Logf("%s: bytes per row, by column\n%s", o.Database, s.run("SELECT name, round(data_compressed_bytes / %d, 2) AS bytes FROM system.columns WHERE database = '%s' AND table = '%s' ORDER BY bytes DESC", pairs*2, o.Database, o.Table))
		for _, q := range measuredQueries {
			sql, best, bestCPU := strings.ReplaceAll(q.sql, "FROM ", "FROM "+o.Database+"."), time.Hour, 1e9
			for range 3 {
				cpu, start := s.cpu(), time.Now()
				s.run("%s SETTINGS max_threads = 2", sql)
				best, bestCPU = min(best, time.Since(start)), min(bestCPU, s.cpu()-cpu)
			}
			t.Logf("%-45s %8d ms %8.3f s of CPU", q.about, best.Milliseconds(), bestCPU)
		}
	}
}

// cpu is the time that the server has used, in seconds.
func (s *server) cpu() float64 {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.c.PID()))
	if err != nil {
		s.t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))
	user, err := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if err != nil || err2 != nil {
		s.t.Fatal(err, err2)
	}
	return (user + system) / 100
}

// measuredQueries are those of dashboards, on a day of traffic.
var measuredQueries = []struct{ about, sql string }{
	{"log: rate per minute and server, 6 h", "SELECT toStartOfMinute(PacketTime) AS m, Server, count() FROM DNS_LOG WHERE PacketTime >= '2026-11-23 06:00:00' AND PacketTime < '2026-11-23 12:00:00' GROUP BY m, Server"},
	{"log: top names, 24 h", "SELECT Question, count() AS n FROM DNS_LOG WHERE QR = 0 GROUP BY Question ORDER BY n DESC LIMIT 10"},
	{"log: top names, 24 h, SAMPLE 0.1", "SELECT Question, count() * 10 AS n FROM DNS_LOG SAMPLE 0.1 WHERE QR = 0 GROUP BY Question ORDER BY n DESC LIMIT 10"},
	{"log: top registered domains, 6 h", "SELECT cutToFirstSignificantSubdomain(trimRight(Question, '.')) AS d, count() AS n FROM DNS_LOG WHERE QR = 0 AND PacketTime >= '2026-11-23 06:00:00' AND PacketTime < '2026-11-23 12:00:00' GROUP BY d ORDER BY n DESC LIMIT 10"},
	{"log: top clients, 24 h", "SELECT SrcIP, count() AS n FROM DNS_LOG WHERE QR = 0 GROUP BY SrcIP ORDER BY n DESC LIMIT 10"},
	{"log: NXDOMAIN and SERVFAIL per 5 min, 24 h", "SELECT toStartOfFiveMinutes(PacketTime) AS m, countIf(ResponseCode = 3) / count(), countIf(ResponseCode = 2) / count() FROM DNS_LOG WHERE QR = 1 GROUP BY m"},
	{"log: search of a name, 24 h", "SELECT PacketTime, SrcIP, Type, ResponseCode FROM DNS_LOG WHERE Question = 'mail.gukrogergu.io.' ORDER BY PacketTime DESC LIMIT 100"},
	{"log: search of a suffix, 24 h", "SELECT PacketTime, SrcIP, Question FROM DNS_LOG WHERE Question LIKE '%.gukrogergu.io.' ORDER BY PacketTime DESC LIMIT 100"},
	{"log: search of a client, 24 h", "SELECT PacketTime, Question, Type FROM DNS_LOG WHERE SrcIP = toIPv6('::ffff:10.0.31.254') ORDER BY PacketTime DESC LIMIT 100"},
	{"aggregate: top 5 names per 5 min, 24 h", "SELECT toStartOfFiveMinutes(t) AS m, Question, sum(c) AS n FROM DNS_DOMAIN_COUNT GROUP BY m, Question ORDER BY n DESC LIMIT 5 BY m"},
	{"aggregate: unique names per 5 min, 24 h", "SELECT toStartOfFiveMinutes(timestamp) AS m, uniqMerge(UniqueDnsCount) FROM DNS_DOMAIN_UNIQUE GROUP BY m"},
	{"aggregate: average size per 5 min, 24 h", "SELECT toStartOfFiveMinutes(timestamp) AS m, avgMerge(AverageSize) FROM DNS_GENERAL_AGGREGATIONS GROUP BY m"},
	{"aggregate: rate by type per 5 min, 24 h", "SELECT toStartOfFiveMinutes(timestamp) AS m, Type, sum(c) FROM DNS_TYPE GROUP BY m, Type"},
	{"aggregate: top clients, 24 h", "SELECT SrcIP, sum(c) AS n FROM DNS_SRCIP_MASK GROUP BY SrcIP ORDER BY n DESC LIMIT 20"},
}

// trafficSQL makes queries and answers: first to first + count of a day's pairs. There are
// half a million names by Zipf's law and random subdomains, 20,000 clients, three sensors,
// four resolvers that ask 50,000 servers.
func trafficSQL(first, count, pairs int) string {
	return strings.NewReplacer("{first}", fmt.Sprint(first), "{count}", fmt.Sprint(count), "{step}", fmt.Sprintf("%g", 86400e6/float64(pairs))).Replace(`
WITH ['ka', 'lo', 'mi', 'ne', 'ru', 'ta', 'si', 'do', 've', 'pa', 'gu', 'ho', 'li', 'no', 're', 'sa', 'to', 'vi', 'wa', 'zu', 'bre', 'cli', 'dra', 'fla', 'gri', 'kro', 'pla', 'sta', 'tri', 'ven', 'ber', 'con', 'der', 'ger', 'hal', 'jon', 'mar', 'nor', 'ster', 'wick'] AS syllables,
  ['www', 'api', 'cdn', 'mail', 'static', 'img', 'login', 'edge', 'assets', 'metrics', 'm', 'app', 'ns1', 'push', 'sync', 'telemetry'] AS hosts,
  ['com', 'net', 'org', 'de', 'io', 'co.uk', 'fr', 'nl', 'com', 'com', 'net', 'info'] AS ends
SELECT
  toDateTime64('2026-11-23 00:00:00', 6) + toIntervalMicrosecond(toUInt64(number * {step}) + r1 % toUInt32({step} + 1) + if(qr = 1, 200 + toUInt64(exp(r3 % 1000 / 1000 * 5.5) * 200), 0)) AS time,
  toDateTime64(toStartOfSecond(time), 3) + 1, ['sensor-a', 'sensor-b', 'sensor-c'][if(r4 % 10 < 5, 1, if(r4 % 10 < 8, 2, 3))], if(v6, 6, 4),
  if(qr = 0, client, resolver), if(qr = 0, resolver, client), if(r5 % 100 < 3, 'tcp', if(r5 % 100 < 5, 'dot', 'udp')), qr, if(r5 % 1000 = 7, 4, 0), if(r5 % 500 = 3, 3, 1), kind, edns, edns AND up, '',
  if(qr = 1, rcode, 0), name, toUInt32(17 + length(name) + if(edns, 11, 0) + if(qr = 1, arraySum(arrayMap(x -> 16 + if(x = 5, 20, if(x = 28, 12, 0)), types)), 0)),
  if(qr = 0, port, 53), if(qr = 0, 53, port), if((qr = 0) != up, 'in', 'out'), if(up, 'eth1', 'eth0'), 0, '', 1, toUInt16(r6), qr = 1 AND up, 0, NOT up, qr = 1 AND NOT up, qr = 1 AND NOT up AND h % 4 = 0, 0,
  1, length(types), if(qr = 1 AND rcode = 3, 1, 0), edns,
  arrayMap((x, i) -> if(i = 1, name, concat('e', toString(h % 5000), '.edge', toString(h % 16), '.', syllables[h % 40 + 1], 'cdn.net.')), types, arrayEnumerate(types)), types,
  arrayMap(x -> toUInt32(if(up, [60, 300, 3600, 86400][h % 4 + 1], r7 % [60, 300, 3600, 86400][h % 4 + 1])), types),
  arrayMap((x, i) -> multiIf(x = 5, concat('e', toString(h % 5000), '.edge', toString(h % 16), '.', syllables[h % 40 + 1], 'cdn.net.'), x = 1, IPv4NumToString(toUInt32(cityHash64(h % 60000, i))), x = 28, IPv6NumToString(reinterpretAsFixedString(toUInt128(cityHash64(h % 60000, i)) + bitShiftLeft(toUInt128(0x2001), 112))), concat(syllables[h % 40 + 1], '.example.')), types, arrayEnumerate(types)),
  if(edns, if(up, 1232, [1232, 4096, 512][r5 % 3 + 1]), 0), if(edns AND up AND r5 % 4 = 0, concat(IPv4NumToString(bitAnd(toUInt32(cityHash64(c)), 0xffffff00)), '/24'), ''), if(qr = 1 AND rcode = 2, [22], []), '', '', toDateTime64(0, 6), toDateTime64(0, 6), 0, ''
FROM (SELECT *, arrayJoin([0, 1]) AS qr, if(qr = 1 AND rcode = 0, arrayConcat(if(h % 10 < 3, [toUInt16(5)], []), arrayWithConstant(if(kind IN (1, 28), h % 3 + 1, 1), toUInt16(kind))), emptyArrayUInt16()) AS types
FROM (SELECT number, cityHash64(number, 1) AS r1, cityHash64(number, 2) AS r2, cityHash64(number, 3) AS r3, cityHash64(number, 4) AS r4, cityHash64(number, 5) AS r5, cityHash64(number, 6) AS r6, cityHash64(number, 7) AS r7, cityHash64(number, 8) AS r8,
  toUInt32(exp(r2 / 18446744073709551615 * log(500000))) AS rank, cityHash64(rank, 'n') AS h, cityHash64(intDiv(rank, 4)) AS h2, toUInt8(r3 % 10 < 3) AS up, toUInt8(r8 % 10 < 2) AS v6, toUInt32(exp(r8 / 18446744073709551615 * log(20000))) AS c, r1 % 100 AS sort,
  concat(syllables[h2 % 40 + 1], syllables[intDiv(h2, 40) % 40 + 1], syllables[intDiv(h2, 1600) % 40 + 1], if(h2 % 3 = 0, syllables[intDiv(h2, 64000) % 40 + 1], ''), '.', ends[intDiv(h2, 7) % 12 + 1], '.') AS domain,
  multiIf(sort < 5, concat(lower(hex(r7)), if(r7 % 2 = 0, lower(hex(r6)), ''), '.t.', domain), sort < 9, concat(toString(r7 % 254), '.', toString(intDiv(r7, 254) % 8), '.0.10.in-addr.arpa.'), rank % 4 = 0, domain, concat(hosts[h % 16 + 1], '.', domain)) AS name,
  multiIf(sort >= 5 AND sort < 9, 12, r4 % 100 < 62, 1, r4 % 100 < 86, 28, r4 % 100 < 94, 65, r4 % 100 < 96, 16, r4 % 100 < 98, 15, 2) AS kind, toUInt8(up OR r5 % 3 > 0) AS edns, multiIf(sort < 5, if(r7 % 3 = 0, 3, 0), h % 100 < 7, 3, h % 100 < 8, 2, h % 100 < 9, 5, 0) AS rcode,
  toIPv6(if(v6, concat('fd00:10::', lower(hex(toUInt16(c)))), concat('::ffff:10.', toString(intDiv(c, 65536)), '.', toString(intDiv(c, 256) % 256), '.', toString(c % 256)))) AS stub, toIPv6(if(up, IPv4NumToString(toUInt32(cityHash64(h2 % 50000))), concat('10.255.0.', toString(r4 % 4 + 1)))) AS resolver,
  if(up, toIPv6('192.0.2.53'), stub) AS client, toUInt16(1024 + r6 % 64000) AS port
FROM numbers({first}, {count})))
SETTINGS max_threads = 1, max_insert_threads = 1, max_block_size = 32768`)
}
