package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestClassify: texts of 18.16 and of 26, as the servers write them.
func TestClassify(t *testing.T) {
	c := &Conn{address: "192.0.2.1:9000"}
	f := func(class Class, code int, message, wantAdvice string) {
		t.Helper()
		err := c.failed(t.Context(), "insert at", c.newError(code, "DB::Exception", message), true)
		advice := Advice(err, Target{User: "dns", Database: "d", Table: "t"})
		if Classify(err) != class || !strings.Contains(advice, wantAdvice) || wantAdvice == "" && advice != "" {
			t.Errorf("%v is %v, advice %q", err, Classify(err), advice)
		}
	}
	f(Retry, 252, "Too many parts (300). Merges are processing significantly slower than inserts.", "larger batches")
	f(Retry, 252, "DB::Exception: Too many parts (3001 with average size of 1.00 KiB) in table 'd.t (61f0c404-5cb3-11e7-907b-a6006ad3dba0)'. Merges are processing significantly slower than inserts. (TOO_MANY_PARTS)", "larger batches")
	f(Parts, 252, "Too many partitions for single INSERT block (more than 100). The limit is controlled by 'max_partitions_per_insert_block' setting.", "max_partitions_per_insert_block for user dns")
	f(Retry, 241, "Memory limit (for query) exceeded: would use 9.32 GiB (attempt to allocate chunk of 4194304 bytes), maximum: 9.31 GiB", "")
	f(Retry, 241, "(total) memory limit exceeded: would use 3.51 GiB. OvercommitTracker decision: Query was selected to stop by OvercommitTracker. (MEMORY_LIMIT_EXCEEDED)", "")
	f(Retry, 202, "Too many simultaneous queries. Maximum: 100", "")
	f(Retry, 159, "Timeout exceeded: elapsed 30.1 seconds, maximum: 30", "")
	f(Retry, 201, "Quota for user `dns` for 3600s has been exceeded: written_bytes = 2/1", "quota of user dns")
	f(Retry, 12345, "An error of tomorrow", "")
	f(OtherReplica, 242, "Table is in readonly mode (replica path: /clickhouse/tables/1/t/replicas/a) (TABLE_IS_READ_ONLY)", "Keeper")
	f(OtherReplica, 225, "Can't get ZooKeeper, session expired", "Keeper")
	f(OtherReplica, 999, "Coordination::Exception: Session expired (Session expired)", "Keeper")
	f(OtherReplica, 319, "Unknown status, client must retry. Reason: Connection loss", "")
	f(OtherReplica, 236, "Insert was cancelled: Server is shutting down", "")
	f(OtherReplica, 243, "Cannot reserve 1.00 MiB, not enough space", "retention")
	f(OtherReplica, 286, "Quorum for previous write has not been satisfied yet.", "")
	f(Setup, 60, "Table d.t doesn't exist.", "clickhouse init")
	f(Setup, 60, "Table d.t does not exist. Maybe you meant d.u? (UNKNOWN_TABLE)", "clickhouse init")
	f(Setup, 60, "Target table 'd.a' of view 'd.t' doesn't exists. (UNKNOWN_TABLE)", "or drop the view")
	f(Setup, 81, "Database d doesn't exist", "clickhouse init")
	f(Setup, 516, "dns: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)", "--clickhousepassword")
	f(Setup, 192, "Unknown user dns", "--clickhouseusername")
	f(Setup, 193, "Wrong password for user dns", "--clickhousepassword")
	f(Setup, 194, "Password required for user dns", "--clickhousepassword")
	f(Setup, 195, "User dns is not allowed to connect from address 192.0.2.9", "from this host")
	f(Setup, 497, "dns: Not enough privileges. To execute this query, it's necessary to have the grant INSERT(a) ON d.t. (ACCESS_DENIED)", "clickhouse sql --grants")
	f(Setup, 291, "Access denied to database d", "allow_databases")
	f(Setup, 164, "Cannot insert into table in readonly mode", "user dns may only read")
	f(Setup, 164, "dns: Cannot execute query in readonly mode. (READONLY)", "user dns may only read")
	f(Setup, 452, "Setting insert_deduplicate should not be changed", "let user dns change it")
	f(Setup, 170, "Requested cluster 'c' not found", "system.clusters")
	f(Setup, 701, "Requested cluster 'c' not found. (CLUSTER_DOESNT_EXIST)", "system.clusters")
	f(Setup, 139, "No macro 'shard' in config while processing substitutions", "macros")
	f(Setup, 48, "Method write is not supported by storage View", "--clickhousetable")
	f(Setup, 62, "Syntax error: failed at position 1", "clickhouse check")
	f(Setup, 455, "Creating columns of type LowCardinality(UInt16) is prohibited by default ... experimental", "profile of user dns")
	f(Setup, 395, "Value passed to 'throwIf' function is non-zero: while executing 'FUNCTION throwIf(...)': while pushing to view d.t_MV. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)", "drop the materialized view d.t_MV:")
	f(Setup, 252, "Too many partitions for single INSERT block (more than 100): while pushing to view d.t_MV (61f0c404-5cb3-11e7-907b-a6006ad3dba0)", "drop the materialized view d.t_MV:")
	f(Setup, 395, strings.Repeat("long ", maxMessage)+": while pushing to view d.t_MV.", "drop the materialized view d.t_MV:")
	f(Retry, 241, "Memory limit (for query) exceeded: while pushing to view d.t_MV", "")
	f(Changed, 16, "No such column b in table d.t", "clickhouse check")
	f(Changed, 53, "Type mismatch in IN or VALUES section", "clickhouse check")
	f(Changed, 218, "Table is dropped", "clickhouse init")
	f(Rows, 469, "Constraint `c` for table d.t is violated at row 3", "DROP CONSTRAINT")
	f(Rows, 349, "Cannot convert NULL value to non-Nullable type", "clickhouse check")
	f(Rows, 131, "Too large string size", "clickhouse check")

	for err, class := range map[error]Class{
		nil: Retry, io.EOF: Retry, errors.New("x"): Retry, &changedError{"y"}: Changed, fmt.Errorf("z: %w", &setupError{"z", "do"}): Setup,
	} {
		if Classify(err) != class {
			t.Errorf("%v is %v", err, Classify(err))
		}
	}
	over, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for doing, want := range map[string]bool{inserting: true, "query at": false} {
		if advice := Advice(c.failed(over, doing, io.EOF, false), Target{}); strings.Contains(advice, "--clickhousetimeout") != want {
			t.Errorf("%s, too slow: advice %q", doing, advice)
		}
	}
	if Advice(nil, Target{}) != "" || MayBeStored(nil) || !MayBeStored(io.EOF) {
		t.Error("no error")
	}
}

// TestClasses: each code has a name, a class and a reason.
func TestClasses(t *testing.T) {
	for code, kind := range classes {
		if !code.IsAError() || kind.reason == "" || int(kind.class) >= len(classNames) {
			t.Errorf("%v: %+v", code, kind)
		}
		if kind.class == Parts {
			t.Errorf("%v: only a message makes that", code)
		}
	}
	if len(classes) < 80 {
		t.Errorf("%d codes", len(classes))
	}
	for class := Retry; class <= Changed; class++ {
		if class.String() == "" {
			t.Errorf("class %d has no name", class)
		}
	}
}

// TestMessage: what a server says is one bounded line without control characters.
func TestMessage(t *testing.T) {
	c := new(Conn)
	f := func(want string, code int, message string) {
		t.Helper()
		if got := c.newError(code, "DB::Exception", message).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f("UNKNOWN_TABLE (code 60): Table t", 60, "DB::Exception: Table t\nsecond line")
	f("UNKNOWN_TABLE (code 60): Table t does not exist.", 60, "DB::Exception: Table t does not exist. (UNKNOWN_TABLE)")
	f("UNKNOWN_TABLE (code 60): Table t", 60, "Table t. Stack trace:\n\n0. main")
	f(`code 7654: a\u001b[31mb\xff`, 7654, "a\x1b[31mb\xff")
	f("code -1: ", -1, "")
	f("code 7654: "+strings.Repeat("a", maxMessage)+"...", 7654, strings.Repeat("a", 5000))
	f("code 7654: "+strings.Repeat("é", maxMessage/2)+"...", 7654, strings.Repeat("é", 5000))
}

// TestNestedException: servers before 20 put errors into each other; the outer one counts.
func TestNestedException(t *testing.T) {
	f := startFake(t, &fake{query: func(s *session) {
		for i := range 3 {
			one := &session{version: s.version}
			one.putException(252+i, fmt.Sprint("level ", i))
			if i < 2 {
				one.b.Buf[len(one.b.Buf)-1] = 1 // another one follows
			}
			if i > 0 {
				one.b.Buf = one.b.Buf[1:] // it is no packet of its own
			}
			s.b.PutRaw(one.b.Buf)
		}
		s.flush()
	}})
	c := dial(t, f.Addr, Config{})
	err := c.Exec(within(t, patience), "x")
	if err == nil || !strings.HasSuffix(err.Error(), "TOO_MANY_PARTS (code 252): level 0") {
		t.Errorf("%v", err)
	}
}
