// Package cluster reads the shards of a cluster, and the replicas of each, as a server has
// them in system.clusters. It chooses no shard and connects to nothing.
package cluster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/server"
)

// Querier asks a server.
type Querier interface {
	Query(ctx context.Context, sql string) (*server.Result, error)
}

// Shard is a part of the rows. Its replicas have the same ones.
type Shard struct {
	Number   int   // from 1 on
	Weight   int64 // its share of new rows among the weights of all shards, at most 1000; 0: none
	Replicas []Replica
	// InternalReplication says that a Distributed table writes to one replica only, because
	// the tables replicate themselves. Most servers do not tell: Known is false then.
	InternalReplication, Known bool
}

// Replica is a server of a shard, under the name that the cluster's configuration has.
type Replica struct {
	Host string
	Port int
	// Local says that it is the server that was asked. If its host is a loopback address,
	// only the address under which the server was asked is of use elsewhere.
	Local bool
}

// Loopback reports whether the host is a name or address of the machine itself.
func (r Replica) Loopback() bool {
	ip, err := netip.ParseAddr(r.Host)
	return err == nil && ip.Unmap().IsLoopback() || r.Host == "localhost"
}

func (r Replica) String() string { return net.JoinHostPort(r.Host, strconv.Itoa(r.Port)) }

// Read returns the shards of a cluster in the order of their numbers, and of each the
// replicas in the order of theirs. At least one shard has a weight. It works with any server
// from 18.16 on. An error that the server's configuration must put right is permanent.
func Read(ctx context.Context, q Querier, name string) ([]Shard, error) {
	known, err := rows(ctx, q, 1, "SELECT count() FROM system.columns WHERE database = 'system' AND table = 'clusters' AND name = 'internal_replication'")
	if err != nil {
		return nil, explain(name, err)
	}
	tells := len(known) == 1 && known[0][0] == "1"
	columns := "shard_num, shard_weight, host_name, port, is_local"
	if tells {
		columns += ", internal_replication"
	}
	// Only columns that are named: newer servers ask Keeper for others.
	answer, err := rows(ctx, q, len(strings.Split(columns, ",")), "SELECT "+columns+" FROM system.clusters WHERE cluster = "+literal(name)+" ORDER BY shard_num, replica_num")
	if err != nil {
		return nil, explain(name, err)
	}
	if len(answer) == 0 {
		return nil, unknown(ctx, q, name)
	}
	return shards(name, answer, tells)
}

// rows returns the rows of an answer, which have that many columns.
func rows(ctx context.Context, q Querier, columns int, sql string) ([][]string, error) {
	answer, err := q.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	if len(answer.Rows) > 0 && len(answer.Names) != columns {
		return nil, fmt.Errorf("the answer has %d columns instead of %d", len(answer.Names), columns)
	}
	return answer.Rows, nil
}

func shards(name string, rows [][]string, tells bool) (list []Shard, err error) {
	weights := int64(0)
	for _, row := range rows {
		s, err := parse(row, tells)
		if err != nil {
			return nil, outputs.Permanent(fmt.Errorf("cluster %s: %w", show(name), err))
		}
		if last := len(list) - 1; last >= 0 && list[last].Number == s.Number {
			list[last].Replicas = append(list[last].Replicas, s.Replicas...)
			continue
		}
		list = append(list, s)
		weights += s.Weight
	}
	if weights == 0 {
		return nil, outputs.Permanent(fmt.Errorf("no shard of cluster %s takes rows: each has the weight 0: change <weight> of a shard in <remote_servers> of the server's configuration", show(name)))
	}
	bound(list)
	return list, nil
}

// maxWeight bounds what a caller may do for each unit of a weight.
const maxWeight = 1000

// bound makes all weights smaller if one is too large. None becomes 0.
func bound(list []Shard) {
	largest := int64(0)
	for _, s := range list {
		largest = max(largest, s.Weight)
	}
	for i := range list {
		if w := list[i].Weight; w > 0 && largest > maxWeight {
			list[i].Weight = max(1, w*maxWeight/largest)
		}
	}
}

// parse reads a row: a shard with one replica.
func parse(row []string, tells bool) (s Shard, err error) {
	var errs [3]error
	var shard, port int64
	shard, errs[0] = number(row[0], 1<<31-1)
	s.Weight, errs[1] = number(row[1], 1<<32-1)
	port, errs[2] = number(row[3], 1<<16-1)
	s.Number = int(shard)
	r := Replica{Host: row[2], Port: int(port), Local: row[4] == "1"}
	for i, what := range []string{"number", "weight", "port of " + show(r.Host)} {
		if errs[i] != nil {
			return s, fmt.Errorf("shard %s: %s %w", show(row[0]), what, errs[i])
		}
	}
	if r.Host == "" || r.Port == 0 {
		return s, fmt.Errorf("shard %d: a replica has the address %q: set <host> and <port> in <remote_servers> of the server's configuration", s.Number, r)
	}
	s.Replicas = []Replica{r}
	if s.Known = tells; tells {
		s.InternalReplication = row[5] == "1"
	}
	return s, nil
}

func number(text string, limit int64) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > limit {
		return 0, fmt.Errorf("%s: must be from 0 to %d", show(text), limit)
	}
	return n, nil
}

// unknown says which clusters there are.
func unknown(ctx context.Context, q Querier, name string) error {
	answer, err := rows(ctx, q, 1, "SELECT DISTINCT cluster FROM system.clusters ORDER BY cluster")
	if err != nil {
		return explain(name, err)
	}
	const most = 20
	var names []string
	for _, row := range answer {
		names = append(names, show(row[0]))
	}
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", more))
	}
	if names == nil {
		return outputs.Permanent(fmt.Errorf("the server knows no cluster %s, nor any other: add it to <remote_servers> of the server's configuration, or name no cluster", show(name)))
	}
	return outputs.Permanent(fmt.Errorf("the server knows no cluster %s, but %s: name one of these, or add it to <remote_servers> of the server's configuration", show(name), strings.Join(names, ", ")))
}

func explain(name string, err error) error {
	return fmt.Errorf("read the shards of cluster %s: %w", show(name), err)
}

// literal is a text in SQL.
func literal(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
}

// show is a text of the server or user for a message.
func show(text string) string {
	const longest = 100
	if len(text) > longest {
		text = text[:longest] + "..."
	}
	return strconv.Quote(text)
}
