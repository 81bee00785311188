//go:build linux

package lab

import (
	"fmt"
	"sync"
	"testing"
)

// Cluster18 are two shards of two replicas each, of Debian's clickhouse-server 18.16,
// with one ZooKeeper. Each replica has the macros shard and replica, and knows the
// cluster by its name; ON CLUSTER works.
type Cluster18 struct {
	Name      string
	Shards    [2][2]*ClickHouse // by shard and replica
	ZooKeeper *ZooKeeper
}

// StartCluster18 starts a cluster for one test. Where it is not installed the test is
// skipped; in CI that is a failure.
func StartCluster18(t testing.TB) *Cluster18 {
	t.Helper()
	Need(t, "clickhouse-server", "java")
	c := &Cluster18{Name: "tests", ZooKeeper: StartZooKeeper(t)}
	var ports [2][2]ports18
	servers := ""
	for s := range ports {
		servers += "<shard><internal_replication>true</internal_replication>"
		for r := range ports[s] {
			ports[s][r] = freePorts18(t)
			servers += fmt.Sprintf("<replica><host>127.0.0.1</host><port>%d</port></replica>", ports[s][r].native)
		}
		servers += "</shard>"
	}
	var all sync.WaitGroup
	failed := make(chan error, 4)
	for s := range ports {
		for r, p := range ports[s] {
			server := newClickHouse18(t, p, ClickHouse18Options{}, fmt.Sprintf(member18, c.ZooKeeper.port, s+1, r+1, c.Name, servers))
			c.Shards[s][r] = server
			t.Cleanup(server.Kill)
			all.Go(func() {
				if err := server.start(); err != nil {
					failed <- err
				}
			})
		}
	}
	all.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
	return c
}

// Replicas are all servers, shard by shard.
func (c *Cluster18) Replicas() []*ClickHouse {
	return []*ClickHouse{c.Shards[0][0], c.Shards[0][1], c.Shards[1][0], c.Shards[1][1]}
}

// Exec runs statements on each replica.
func (c *Cluster18) Exec(t testing.TB, statements ...string) {
	t.Helper()
	for _, r := range c.Replicas() {
		r.Exec(t, statements...)
	}
}

// member18 is what a server's configuration has more in a cluster. Servers see within a
// second that ZooKeeper is back, not within the usual minute.
const member18 = `
  <zookeeper><node><host>127.0.0.1</host><port>%d</port></node><session_timeout_ms>5000</session_timeout_ms></zookeeper>
  <macros><shard>%d</shard><replica>%d</replica><cluster>%s</cluster></macros>
  <remote_servers><%[4]s>%[5]s</%[4]s></remote_servers>
  <distributed_ddl><path>/clickhouse/task_queue/ddl</path></distributed_ddl>
  <merge_tree><zookeeper_session_expiration_check_period>1</zookeeper_session_expiration_check_period></merge_tree>
`
