package cluster

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/server"
)

// fake answers as a server does whose system.clusters has these rows: cluster, number,
// weight, host, port, local and, if it tells, internal_replication.
type fake struct {
	tells   bool
	rows    []string
	fail    string // in a query that contains it
	short   bool   // answers lack their last column
	queries []string
}

var errAway = errors.New("the server is away")

func (f *fake) Query(_ context.Context, sql string) (*server.Result, error) {
	f.queries = append(f.queries, sql)
	r := &server.Result{}
	add := func(cells ...string) {
		r.Names = make([]string, len(cells))
		if f.short {
			r.Names, cells = r.Names[1:], cells[1:]
		}
		r.Rows = append(r.Rows, cells)
	}
	switch {
	case f.fail != "" && strings.Contains(sql, f.fail):
		return nil, errAway
	case strings.Contains(sql, "system.columns"):
		add(map[bool]string{true: "1", false: "0"}[f.tells])
	case strings.Contains(sql, "DISTINCT"):
		seen := map[string]bool{}
		for _, row := range f.rows {
			if name, _, _ := strings.Cut(row, " "); !seen[name] {
				seen[name] = true
				add(name)
			}
		}
	default:
		if f.tells != strings.Contains(sql, "internal_replication") {
			return nil, fmt.Errorf("columns of %s", sql)
		}
		for _, row := range f.rows {
			if cells := strings.Split(row, " "); strings.Contains(sql, "cluster = "+literal(cells[0])) {
				add(cells[1:]...)
			}
		}
	}
	return r, nil
}

func TestRead(t *testing.T) {
	old := &fake{rows: []string{
		"other 1 1 other.example.org 9000 0",
		"main 1 3 a.example.org 9000 0", "main 1 3 b.example.org 9001 1",
		"main 2 0 2001:db8::1 9000 0",
		"main 3 1 127.0.0.1 9440 0",
	}}
	want := []Shard{
		{Number: 1, Weight: 3, Replicas: []Replica{{"a.example.org", 9000, false}, {"b.example.org", 9001, true}}},
		{Number: 2, Replicas: []Replica{{"2001:db8::1", 9000, false}}},
		{Number: 3, Weight: 1, Replicas: []Replica{{"127.0.0.1", 9440, false}}},
	}
	got, err := Read(t.Context(), old, "main")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for sql := range strings.SplitSeq(strings.Join(old.queries, "\n"), "\n") {
		if strings.Contains(sql, "*") {
			t.Errorf("%s: other columns of newer servers ask Keeper", sql)
		}
	}

	tells := &fake{tells: true, rows: []string{"it's\\ 1 1 a.example.org 9000 0 1", "it's\\ 2 1 b.example.org 9000 0 0"}}
	got, err = Read(t.Context(), tells, `it's\`)
	if err != nil || len(got) != 2 || !got[0].Known || !got[0].InternalReplication || !got[1].Known || got[1].InternalReplication {
		t.Errorf("%+v, %v", got, err)
	}
	if sql := tells.queries[1]; !strings.Contains(sql, `cluster = 'it\'s\\' `) {
		t.Errorf("the name ends its text: %s", sql)
	}
}

func TestWeightsAreBounded(t *testing.T) {
	f := &fake{}
	for i, weight := range []string{"4000000000", "1000000000", "0", "1"} {
		f.rows = append(f.rows, fmt.Sprintf("main %d %s a.example.org 9000 0", i+1, weight))
	}
	got, err := Read(t.Context(), f, "main")
	if err != nil || len(got) != 4 {
		t.Fatal(got, err)
	}
	for i, want := range []int{1000, 250, 0, 1} {
		if got[i].Weight != int64(want) {
			t.Errorf("shard %d: weight %d, want %d", i+1, got[i].Weight, want)
		}
	}
}

func TestReplica(t *testing.T) {
	for host, loopback := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"db.example.org": false, "192.0.2.1": false, "2001:db8::1": false, "localhost.example.org": false,
	} {
		if got := (Replica{Host: host}).Loopback(); got != loopback {
			t.Errorf("%s: %v", host, got)
		}
	}
	if got := (Replica{Host: "2001:db8::1", Port: 9000}).String(); got != "[2001:db8::1]:9000" {
		t.Error(got)
	}
}

func TestReadSaysWhatIsWrong(t *testing.T) {
	many := &fake{}
	for i := range 30 {
		many.rows = append(many.rows, fmt.Sprintf("c%02d 1 1 a.example.org 9000 0", i))
	}
	for _, c := range []struct {
		f    *fake
		text string // of the error
		lost bool   // an error of the server, not of its configuration
	}{
		{f: &fake{}, text: `the server knows no cluster "main", nor any other: add it to <remote_servers>`},
		{f: &fake{rows: []string{"b 1 1 a.example.org 9000 0", "\x1b[2J 1 1 a.example.org 9000 0"}}, text: `the server knows no cluster "main", but "b", "\x1b[2J": name one of these, or add it to <remote_servers>`},
		{f: many, text: `"c19", 10 more: name`},
		{f: &fake{rows: []string{strings.Repeat("x", 1000) + " 1 1 a.example.org 9000 0"}}, text: `xxx...": name`},
		{f: &fake{rows: []string{"main 1 0 a.example.org 9000 0", "main 2 0 b.example.org 9000 0"}}, text: `no shard of cluster "main" takes rows: each has the weight 0: change <weight>`},
		{f: &fake{rows: []string{"main 1 1  9000 0"}}, text: `cluster "main": shard 1: a replica has the address ":9000": set <host>`},
		{f: &fake{rows: []string{"main 1 1 a.example.org 0 0"}}, text: `a replica has the address "a.example.org:0"`},
		{f: &fake{rows: []string{"main 1 1 a.example.org 65536 0"}}, text: `shard "1": port of "a.example.org" "65536": must be from 0 to 65535`},
		{f: &fake{rows: []string{"main 1 -1 a.example.org 9000 0"}}, text: `shard "1": weight "-1": must be from 0 to 4294967295`},
		{f: &fake{rows: []string{"main \x1b 1 a.example.org 9000 0"}}, text: `shard "\x1b": number "\x1b"`},
		{f: &fake{short: true, tells: true, rows: []string{"main 1 1 a.example.org 9000 0 1"}}, text: "columns instead of", lost: true},
		{f: &fake{fail: "system.columns"}, text: `read the shards of cluster "main": the server is away`, lost: true},
		{f: &fake{fail: "shard_num"}, text: `read the shards of cluster "main": the server is away`, lost: true},
		{f: &fake{fail: "DISTINCT"}, text: `read the shards of cluster "main": the server is away`, lost: true},
	} {
		got, err := Read(t.Context(), c.f, "main")
		if err == nil || got != nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%+v: %v, want %s", got, err, c.text)
		}
		if errors.Is(err, outputs.ErrPermanent) == c.lost {
			t.Errorf("%v: permanent: %v", err, !c.lost)
		}
		if c.f.fail != "" && !errors.Is(err, errAway) {
			t.Errorf("%v: the cause is hidden", err)
		}
	}
}
