//go:build linux

package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
)

// testValues: what Query reads is what the server itself writes.
func testValues(t *testing.T, c *Conn, isOld bool) {
	both := []string{
		"toUInt8(255)", "toUInt16(65535)", "toUInt32(4294967295)", "toUInt64(18446744073709551615)", "toInt8(-128)", "toInt16(-32768)", "toInt32(-2147483648)",
		"toInt64(-9223372036854775808)", "toFloat64(0.25)", "toFloat32(-1.5)", "'text'", "''", "toFixedString('udp', 3)",
		"toDate('2026-11-27')", "toDateTime('2026-11-27 21:00:00')", "toDateTime('2026-11-27 21:00:00', 'America/New_York')",
		"toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')", "toNullable('a')", "[1, 2]", "['it\\'s', 'a\\\\b']", "[[1], [], [2, 3]]", "emptyArrayString()", "[toDate('2026-11-27')]",
		"CAST('b', 'Enum8(\\'a\\' = -1, \\'b\\' = 1)')", "CAST('a', 'Enum16(\\'a\\' = -300)')", "[toNullable(1), NULL]",
		"number", "toString(number)",
	}
	modern := []string{
		"toDateTime64('2026-11-27 21:00:00.123', 3)", "toDateTime64('1969-12-31 23:59:59.9', 1, 'UTC')", "toIPv4('192.0.2.1')", "toIPv6('2001:db8::1')", "toIPv6('192.0.2.1')",
		"[toIPv6('::')]", "[toLowCardinality('a'), 'b']", "true", "toLowCardinality('lc')", "toLowCardinality(toNullable('lc'))", "[toLowCardinality(toNullable('a')), NULL]", "[toDateTime64('2026-11-27 21:00:00.123456', 6, 'UTC')]",
	}
	exprs := both
	if !isOld {
		exprs = append(exprs[:len(exprs):len(exprs)], modern...)
	}
	for _, e := range exprs {
		r, err := c.Query(within(t, patience), "SELECT "+e+" AS a, toString(a) FROM system.numbers LIMIT 3")
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		if len(r.Rows) != 3 || r.Rows[2][0] != r.Rows[2][1] {
			t.Errorf("%s (%s): %q", e, r.Types[0], r.Rows)
		}
	}
}

// testInsertIntoServer: the rows are there, with each compression.
func testInsertIntoServer(t *testing.T, c *Conn, isOld bool) {
	db := c.config.Database
	for name, compression := range compressions {
		table := db + "." + name
		exec(t, c, "CREATE TABLE "+table+" (Day Date DEFAULT '2026-11-27', Number UInt32, Question String, Protocol LowCardinality(String)) ENGINE = MergeTree PARTITION BY Day ORDER BY Number")
		config := c.config
		config.Compression = compression
		conn := dial(t, c.Address(), config)
		sql := "INSERT INTO " + table + " (Number, Question, Protocol) VALUES"
		for range 2 {
			if err := conn.Insert(within(t, patience), sql, block(100_000), []Setting{{Name: "async_insert", Value: "0"}, {Name: "no_such_setting", Value: "1"}}); err != nil {
				t.Fatal(err)
			}
		}
		r, err := conn.Query(within(t, patience), "SELECT count(), sum(Number), uniq(Question), any(Question), countIf(Protocol = 'udp'), countIf(Protocol = 'tcp'), any(Day) FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for i := range 100_000 {
			sum += i & 0xffff
		}
		if want := []string{"200000", fmt.Sprint(2 * sum), "1", "example.org", "100000", "100000", "2026-11-27"}; fmt.Sprint(r.Rows[0]) != fmt.Sprint(want) {
			t.Errorf("%s: %q, want %q", name, r.Rows[0], want)
		}
		r, err = conn.Query(within(t, patience), "SELECT Protocol, toString(Protocol) FROM "+table+" WHERE Number < 2 ORDER BY Number")
		if err != nil || r.Types[0] != "LowCardinality(String)" || r.Rows[0][0] != "udp" || fmt.Sprint(r.Rows[0]) != "[udp udp]" || fmt.Sprint(r.Rows[len(r.Rows)-1]) != "[tcp tcp]" {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}

// testErrorsOfServer: what a server says about the mistakes that users make.
func testErrorsOfServer(t *testing.T, c *Conn, isOld bool) {
	db := c.config.Database
	exec(t, c, "CREATE TABLE "+db+".t (Number UInt32, Question String, Protocol LowCardinality(String)) ENGINE = Memory")
	exec(t, c, "CREATE VIEW "+db+".v AS SELECT * FROM "+db+".t")
	f := func(class Class, code int, sql string) {
		t.Helper()
		conn := dial(t, c.Address(), c.config)
		err := conn.Insert(within(t, patience), sql, block(3), nil)
		var said *Error
		errors.As(err, &said)
		if err == nil || Classify(err) != class || code != 0 && (said == nil || said.Code != code) || MayBeStored(err) && code != 48 || Advice(err, Target{Database: db, Table: "t"}) == "" {
			t.Errorf("%s: %v is %v, may be stored: %v, advice %q", sql, err, Classify(err), MayBeStored(err), Advice(err, Target{}))
		}
	}
	f(Setup, 60, "INSERT INTO "+db+".nothing (Number, Question, Protocol) VALUES")
	f(Setup, 81, "INSERT INTO nothing.t (Number, Question, Protocol) VALUES")
	f(Changed, 16, "INSERT INTO "+db+".t (Number, Question, Gone) VALUES")
	f(Setup, 48, "INSERT INTO "+db+".v (Number, Question, Protocol) VALUES")
	if err := dial(t, c.Address(), c.config).Exec(within(t, patience), "SELEC 1"); err == nil || Classify(err) != Setup || !strings.Contains(err.Error(), "SYNTAX_ERROR (code 62)") {
		t.Errorf("%v is %v", err, Classify(err))
	}
	exec(t, c, "DROP TABLE "+db+".t", "CREATE TABLE "+db+".t (Number UInt64, Question String, Protocol LowCardinality(String)) ENGINE = Memory")
	f(Changed, 0, "INSERT INTO "+db+".t (Number, Question, Protocol) VALUES")

	config := c.config
	config.User, config.Password = "nobody", "hush"
	if _, err := Dial(within(t, patience), c.Address(), config); isOld && (err == nil || Classify(err) != Setup || strings.Contains(err.Error(), "hush")) {
		t.Errorf("login: %v is %v", err, Classify(err))
	}
}

// testPartitionsAndConstraints: errors that only modern servers have.
func testPartitionsAndConstraints(t *testing.T, c *Conn, _ bool) {
	db := c.config.Database
	exec(t, c, "CREATE TABLE "+db+".p (Number UInt32, Question String, Protocol LowCardinality(String)) ENGINE = MergeTree PARTITION BY Number ORDER BY Number",
		"CREATE TABLE "+db+".c (Number UInt32, Question String, Protocol LowCardinality(String), CONSTRAINT small CHECK Number < 2) ENGINE = MergeTree ORDER BY Number")
	f := func(class Class, table string) {
		t.Helper()
		conn := dial(t, c.Address(), c.config)
		err := conn.Insert(within(t, patience), "INSERT INTO "+db+"."+table+" (Number, Question, Protocol) VALUES", block(200), nil)
		if err == nil || Classify(err) != class {
			t.Errorf("%v is %v", err, Classify(err))
		}
		if r, err := c.Query(within(t, patience), "SELECT count() FROM "+db+"."+table); err != nil || r.Rows[0][0] != "0" {
			t.Errorf("rows %v, %v", r, err)
		}
	}
	f(Parts, "p")
	f(Rows, "c")

	// A view that fails leaves the rows in the table: no row is refused.
	exec(t, c, "CREATE TABLE "+db+".t (Number UInt32, Question String, Protocol LowCardinality(String)) ENGINE = MergeTree ORDER BY Number",
		"CREATE TABLE "+db+".a (n UInt32) ENGINE = MergeTree ORDER BY n",
		"CREATE MATERIALIZED VIEW "+db+".a_MV TO "+db+".a AS SELECT throwIf(Number = 1) AS n FROM "+db+".t")
	err := dial(t, c.Address(), c.config).Insert(within(t, patience), insertInto(db+".t"), block(3), nil)
	r, counted := c.Query(within(t, patience), "SELECT count() FROM "+db+".t")
	if Classify(err) != Setup || !MayBeStored(err) || !strings.Contains(Advice(err, Target{}), "view "+db+".a_MV:") || counted != nil || r.Rows[0][0] != "3" {
		t.Errorf("%v is %v, may be stored: %v; advice %q; %v rows, %v", err, Classify(err), MayBeStored(err), Advice(err, Target{}), r, counted)
	}
}

func exec(t *testing.T, c *Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if err := c.Exec(within(t, patience), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// serverTests run against each server.
var serverTests = map[string]func(t *testing.T, c *Conn, isOld bool){
	"values":      testValues,
	"insert":      testInsertIntoServer,
	"errors":      testErrorsOfServer,
	"constraints": testPartitionsAndConstraints,
}

func TestModernServer(t *testing.T) {
	for name, test := range serverTests {
		t.Run(name, func(t *testing.T) {
			s := lab.SharedChDB(t)
			test(t, dial(t, s.Addr, Config{Database: s.Database}), false)
		})
	}
}

// TestCodesAreThoseOfServer: a modern server has the same names for the codes that are
// sorted here.
func TestCodesAreThoseOfServer(t *testing.T) {
	c := dial(t, lab.SharedChDB(t).Addr, Config{})
	var codes []string
	for code := range classes {
		codes = append(codes, strconv.Itoa(int(code)))
	}
	r, err := c.Query(within(t, patience), "SELECT arrayJoin(["+strings.Join(codes, ",")+"]) AS code, errorCodeToName(code)")
	if err != nil || len(r.Rows) != len(classes) {
		t.Fatalf("%v, %v", r, err)
	}
	for _, row := range r.Rows {
		code, _ := strconv.Atoi(row[0])
		if got := c.newError(code, "", "").Name; got != row[1] {
			t.Errorf("code %s is %s, not %s", row[0], row[1], got)
		}
	}
}

// TestOldServer: Debian's server of 2018, in plain text and over TLS.
func TestOldServer(t *testing.T) {
	authority := lab.NewAuthority(t)
	s := lab.StartClickHouse18(t, lab.ClickHouse18Options{TLS: authority})
	pem, err := os.ReadFile(authority.File)
	if err != nil {
		t.Fatal(err)
	}
	trust := func(host string) (*tls.Config, error) {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		return &tls.Config{RootCAs: pool, ServerName: host}, nil
	}
	login := Config{User: "sensor", Password: "secret"}
	secured := login
	secured.TLS = trust
	for name, test := range serverTests {
		if name == "constraints" {
			continue // newer than this server
		}
		for transport, config := range map[string]Config{"": login, "/tls": secured} {
			t.Run(name+transport, func(t *testing.T) {
				address := s.Addr
				if config.TLS != nil {
					address = s.TLSAddr
				}
				config.Database = "test_" + name + strings.Trim(transport, "/")
				exec(t, dial(t, s.Addr, login), "CREATE DATABASE "+config.Database)
				c := dial(t, address, config)
				exec(t, c, allowDictionaries)
				test(t, c, true)
			})
		}
	}
	c := dial(t, s.Addr, login)
	if i := c.Server(); i.Version != "18.16.1" || i.Revision != 54412 || i.Settings || i.TimeZone == "" {
		t.Errorf("%+v", i)
	}
	exec(t, c, allowDictionaries, "CREATE TABLE t (Number UInt32, Question String, Protocol LowCardinality(String)) ENGINE = MergeTree ORDER BY Number")
	t.Run("logins", func(t *testing.T) { testLogins(t, s) })
	t.Run("ports", func(t *testing.T) { testPorts(t, s, secured) })
	t.Run("cuts", func(t *testing.T) { testCuts(t, s, login) })
	t.Run("killed", func(t *testing.T) {
		c := dial(t, s.Addr, login)
		s.Kill()
		err := c.Insert(within(t, patience), insertInto("t"), block(3), nil)
		if err == nil || Classify(err) != Retry || MayBeStored(err) {
			t.Errorf("%v is %v, may be stored: %v", err, Classify(err), MayBeStored(err))
		}
	})
}

const allowDictionaries = "SET allow_experimental_low_cardinality_type = 1"

func insertInto(table string) string {
	return "INSERT INTO " + table + " (Number, Question, Protocol) VALUES"
}

// testLogins: what the server says to users that may not do something.
func testLogins(t *testing.T, s *lab.ClickHouse) {
	f := func(user, password, database, table string, code int) {
		t.Helper()
		c, err := Dial(within(t, patience), s.Addr, Config{User: user, Password: password, Database: database})
		if err == nil {
			err = c.Insert(within(t, patience), insertInto(table), block(3), nil)
			c.Close()
		}
		var said *Error
		if !errors.As(err, &said) || said.Code != code || Classify(err) != Setup || MayBeStored(err) || Advice(err, Target{}) == "" || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v is %v, advice %q", user, err, Classify(err), Advice(err, Target{}))
		}
	}
	f("sensor", "hush", "", "t", 193)
	f("nobody", "hush", "", "t", 192)
	f("sensor", "secret", "nowhere", "t", 81)
	f("reader", "secret", "", "t", 164)
	f("confined", "secret", "", "test_insert.none", 291)

	_, err := Dial(within(t, patience), s.Addr, Config{User: "confined", Password: "secret", Database: "test_insert"})
	if Classify(err) != Retry || !strings.Contains(Advice(err, Target{}), "the server's log says why") {
		t.Errorf("a database that the user may not use: %v, advice %q", err, Advice(err, Target{}))
	}
}

// testPorts: the mistakes that users make with ports and TLS.
func testPorts(t *testing.T, s *lab.ClickHouse, secured Config) {
	plain := secured
	plain.TLS = nil
	f := func(address string, config Config, limit time.Duration, class Class, advice string) {
		t.Helper()
		_, err := Dial(within(t, limit), address, config)
		if err == nil || Classify(err) != class || !strings.Contains(Advice(err, Target{}), advice) {
			t.Errorf("%v is %v, advice %q", err, Classify(err), Advice(err, Target{}))
		}
	}
	f(s.HTTPAddr, plain, time.Second, Retry, "if this is a port of HTTP")
	if _, err := Dial(within(t, time.Second), s.HTTPAddr, secured); !strings.Contains(Advice(err, Target{}), "9440") { // it answers only if there is a line end in random bytes
		t.Errorf("%v, advice %q", err, Advice(err, Target{}))
	}
	f(s.Addr, secured, patience, Setup, "--clickhousesecure=false")
	f(s.TLSAddr, plain, patience, Retry, "set --clickhousesecure")
	secured.TLS = func(host string) (*tls.Config, error) { return &tls.Config{ServerName: host}, nil }
	f(s.TLSAddr, secured, patience, Setup, "--clickhousecafile")
}

// testCuts: connections are cut after any number of bytes, in each direction. What the
// server has stored was acknowledged, or is said to be possible.
func testCuts(t *testing.T, s *lab.ClickHouse, login Config) {
	c := dial(t, s.Addr, login)
	exec(t, c, allowDictionaries, "CREATE TABLE cuts (Number UInt32, Question String, Protocol LowCardinality(String)) ENGINE = MergeTree ORDER BY Number")
	acknowledged, possible, attempts := make(map[string]bool), make(map[string]bool), 0
	try := func(requests, answers int) bool {
		attempts++
		cols, number := block(1), strconv.Itoa(attempts)
		cols[0].Data = [][]byte{binary.LittleEndian.AppendUint32(nil, uint32(attempts))}
		c, err := Dial(within(t, patience), through(t, s.Addr, requests, answers), login)
		if err != nil {
			return false
		}
		defer c.Close()
		err = c.Insert(within(t, patience), insertInto("cuts"), cols, nil)
		acknowledged[number], possible[number] = err == nil, MayBeStored(err)
		return err == nil
	}
	for n := 1; !try(n, -1); n++ {
	}
	for n := 1; !try(-1, n); n++ {
	}
	await.True(t, "the server has ended all queries", func() bool {
		r, err := c.Query(within(t, patience), "SELECT count() FROM system.processes")
		return err == nil && r.Rows[0][0] == "1"
	})
	r, err := c.Query(within(t, patience), "SELECT Number, count() FROM cuts GROUP BY Number")
	if err != nil {
		t.Fatal(err)
	}
	lost := 0
	for _, row := range r.Rows {
		if row[1] != "1" || !acknowledged[row[0]] && !possible[row[0]] {
			t.Errorf("attempt %s is stored %s times; acknowledged: %v, possible: %v", row[0], row[1], acknowledged[row[0]], possible[row[0]])
		}
		if possible[row[0]] {
			lost++
		}
		delete(acknowledged, row[0])
	}
	for number, yes := range acknowledged {
		if yes {
			t.Errorf("attempt %s was acknowledged, and is not stored", number)
		}
	}
	if lost == 0 || len(r.Rows) > attempts/2 {
		t.Errorf("%d attempts, %d stored, %d of them without an answer", attempts, len(r.Rows), lost)
	}
}

// through relays one connection to a server, and cuts it after so many bytes of a
// direction; -1: never.
func through(t *testing.T, server string, requests, answers int) string {
	return serve(t, func(near net.Conn) {
		far, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		defer far.Close()
		done := make(chan struct{}, 2)
		relay := func(to io.Writer, from io.Reader, most int) {
			if most >= 0 {
				from = io.LimitReader(from, int64(most))
			}
			io.Copy(to, from)
			done <- struct{}{}
		}
		go relay(far, near, requests)
		go relay(near, far, answers)
		<-done
		near.Close()
		far.Close()
		<-done
	})
}
