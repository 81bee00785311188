//go:build linux

package clickhouse

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/outputs/clickhouse/cluster"
	"dnsmonster-sensor/userspace/event"
)

// TestHome: blocks take turns among the shards by their weights, and a block's shard depends
// on its id alone.
func TestHome(t *testing.T) {
	o := New()
	o.set.cluster = "main"
	target := o.clusterTarget([]cluster.Shard{
		{Number: 1, Weight: 1, Replicas: []cluster.Replica{{Host: "192.0.2.1", Port: 9000}}},
		{Number: 2, Weight: 0, Replicas: []cluster.Replica{{Host: "192.0.2.2", Port: 9000}}},
		{Number: 3, Weight: 2, Replicas: []cluster.Replica{{Host: "192.0.2.3", Port: 9000}, {Host: "192.0.2.4", Port: 9000}}},
	}, "192.0.2.1:9000")
	if got := target.describe(); got != "main/1 (192.0.2.1:9000), main/3 (192.0.2.3:9000, 192.0.2.4:9000)" {
		t.Errorf("shards: %s", got)
	}
	var turns []int
	for n := range uint64(300) {
		var id event.ID
		binary.BigEndian.PutUint64(id[8:], n)
		home := target.home(id)
		id[0] = 1 // another run
		if turns = append(turns, home); target.home(id) != home {
			t.Errorf("block %d of another run is at %d, not %d", n, target.home(id), home)
		}
	}
	if !slices.Equal(turns[:6], []int{0, 1, 1, 0, 1, 1}) {
		t.Errorf("turns %v", turns[:6])
	}
}

// TestAllLocal: a server of 2018 calls all replicas of its own shard local.
func TestAllLocal(t *testing.T) {
	o := newOutput(t, "--clickhouseaddress=127.0.0.1:9001", "--clickhousecluster=main")
	one := cluster.Replica{Host: "127.0.0.1", Port: 9001, Local: true}
	two := cluster.Replica{Host: "127.0.0.1", Port: 9002, Local: true}
	target := o.clusterTarget([]cluster.Shard{{Number: 1, Weight: 1, Replicas: []cluster.Replica{one, two}}}, "127.0.0.1:9001")
	if got := target.describe(); got != "main/1 (127.0.0.1:9001, 127.0.0.1:9002)" {
		t.Errorf("shards: %s", got)
	}
}

// TestReplicaAddress: a replica is reached where the user says that its host is.
func TestReplicaAddress(t *testing.T) {
	f := func(want string, r cluster.Replica, secure bool, addresses string) {
		t.Helper()
		args := []string{}
		for a := range strings.FieldsSeq(addresses) {
			args = append(args, "--clickhouseaddress="+a)
		}
		if secure {
			args = append(args, "--clickhousesecure")
		}
		o := newOutput(t, args...)
		if got := o.set.replicaAddress(r, "asked:1"); got != want {
			t.Errorf("%v with %s: %s, want %s", r, addresses, got, want)
		}
	}
	f("db1.example.org:9000", cluster.Replica{Host: "db1.example.org", Port: 9000}, false, "db2.example.org")
	f("db1.example.org:19000", cluster.Replica{Host: "db1.example.org", Port: 9000}, false, "db2.example.org db1.example.org:19000")
	f("db1.example.org:9000", cluster.Replica{Host: "db1.example.org", Port: 9000}, false, "db1.example.org:19000 db1.example.org:9000")
	f("db1.example.org:9440", cluster.Replica{Host: "db1.example.org", Port: 9000}, true, "db2.example.org")
	f("db1.example.org:19440", cluster.Replica{Host: "db1.example.org", Port: 19440}, true, "db2.example.org")
	f("asked:1", cluster.Replica{Host: "localhost", Port: 9000, Local: true}, false, "db2.example.org")
	f("127.0.0.1:9001", cluster.Replica{Host: "127.0.0.1", Port: 9001}, false, "127.0.0.1:9000")
	f("[2001:db8::1]:9000", cluster.Replica{Host: "2001:db8::1", Port: 9000}, false, "db2.example.org")
}
