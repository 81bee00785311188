package clickhouse

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/cluster"
	"dnsmonster-sensor/userspace/event"
)

// target is where rows can go: one shard, or those of a cluster.
type target struct {
	shards  []*shard
	tickets []int // the index of a shard, as often as its weight
	readAt  time.Time
}

// shard is the servers that hold the same rows, or that stand in for each other.
type shard struct {
	name      string // for messages; "" if there is only one
	addresses *outputs.Addresses
	hosts     []string
	replicas  bool // of a cluster: they must hold the same rows
}

func (o *Output) newShard(name string, hosts []string, replicas bool) *shard {
	log := o.Log()
	if name != "" {
		log = log.With("shard", name)
	}
	return &shard{name: name, hosts: hosts, replicas: replicas, addresses: outputs.NewAddresses(log, hosts...)}
}

// currentTarget returns the target. That of a cluster is read from the first server that
// answers, and again after a while.
func (o *Output) currentTarget(ctx context.Context) (*target, error) {
	o.mu.Lock()
	t := o.target
	o.mu.Unlock()
	if t != nil && (o.set.cluster == "" || time.Since(t.readAt) < clusterAge) {
		return t, nil
	}
	hosts, err := o.set.hosts()
	if err != nil {
		return nil, outputs.Permanent(err)
	}
	if o.set.cluster == "" {
		return o.setTarget(&target{shards: []*shard{o.newShard("", hosts, false)}, tickets: []int{0}}), nil
	}
	fresh, err := o.readCluster(ctx, hosts)
	switch {
	case err == nil:
		return o.setTarget(fresh), nil
	case t != nil: // the shards are known: they may work although these servers do not answer
		o.Log().Warn("the shards of the cluster cannot be read again, those that are known stay in use", "cluster", o.set.cluster, "error", err)
		o.mu.Lock()
		defer o.mu.Unlock()
		t.readAt = time.Now()
		return t, nil
	}
	return nil, err
}

// clusterAge is how long the shards of a cluster are taken as known.
const clusterAge = 5 * time.Minute

// setTarget replaces the target, unless it says the same as the one before: its shards know
// which of their addresses work.
func (o *Output) setTarget(t *target) *target {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.target != nil && slices.EqualFunc(o.target.shards, t.shards, func(a, b *shard) bool {
		return a.name == b.name && slices.Equal(a.hosts, b.hosts)
	}) && slices.Equal(o.target.tickets, t.tickets) {
		t = o.target
	} else if o.target != nil {
		o.Log().Info("the shards of the cluster have changed", "cluster", o.set.cluster, "shards", t.describe())
	}
	t.readAt = time.Now()
	o.target = t
	return t
}

func (t *target) has(sh *shard) bool { return slices.Contains(t.shards, sh) }

// hasOther reports whether blocks can go elsewhere than to a shard, or to another server of
// it, which may have another table.
func (o *Output) hasOther(sh *shard) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return sh.addresses.Len() > 1 || o.target != nil && slices.ContainsFunc(o.target.shards, func(other *shard) bool { return other != sh })
}

func (t *target) describe() string {
	var list []string
	for _, s := range t.shards {
		list = append(list, s.name+" ("+strings.Join(s.hosts, ", ")+")")
	}
	return strings.Join(list, ", ")
}

// clusterTarget makes the target of a cluster's shards, as the server at an address has named
// them.
func (o *Output) clusterTarget(shards []cluster.Shard, asked string) *target {
	t := &target{}
	for _, s := range shards {
		if s.Weight == 0 {
			continue // takes no new rows
		}
		var hosts []string
		local := 0
		for _, r := range s.Replicas {
			if r.Local {
				local++
			}
		}
		for _, r := range s.Replicas {
			r.Local = r.Local && (local == 1 || r.String() == asked) // 18.16 says so of all in its shard
			hosts = append(hosts, o.set.replicaAddress(r, asked))
		}
		t.tickets = append(t.tickets, slices.Repeat([]int{len(t.shards)}, int(s.Weight))...)
		t.shards = append(t.shards, o.newShard(fmt.Sprintf("%s/%d", o.set.cluster, s.Number), hosts, true))
	}
	return t
}

// replicaAddress is where a replica of a cluster is reached. A host of clickhouseaddress is
// reached at the port that is given there, and a server that calls itself localhost where
// it was asked. Other hosts of a cluster that is configured without TLS are reached at the
// usual port for TLS, if that is wanted.
func (s *options) replicaAddress(r cluster.Replica, asked string) string {
	if r.Local && r.Loopback() {
		return asked
	}
	hosts, _ := s.hosts()
	if slices.Contains(hosts, r.String()) {
		return r.String()
	}
	for _, h := range hosts {
		if name, _, _ := net.SplitHostPort(h); name == r.Host && !r.Loopback() {
			return h
		}
	}
	if s.secure && r.Port == 9000 {
		r.Port = 9440
	}
	return r.String()
}

// readCluster reads the shards from the first of the servers that answers.
func (o *Output) readCluster(ctx context.Context, hosts []string) (t *target, err error) {
	addresses := outputs.NewAddresses(o.Log(), hosts...)
	var errs []error
	addresses.TryEach(ctx, func(ctx context.Context, at outputs.Address) (more bool) {
		conn, err := o.dial(ctx, at.Name)
		if err == nil {
			var shards []cluster.Shard
			if shards, err = cluster.Read(ctx, conn, o.set.cluster); err == nil {
				t = o.clusterTarget(shards, at.Name)
			}
			conn.Close()
		}
		if err != nil {
			errs = append(errs, o.explain(err))
		}
		return err != nil
	})
	if t != nil {
		return t, nil
	}
	return nil, joinAttempts(ctx, errs)
}

// home is the index of the block's shard. It depends only on the block's id, so that a block
// that comes back from the spool after a restart is recognised there.
func (t *target) home(id event.ID) int {
	// The id ends with a counter: successive blocks take turns.
	return t.tickets[binary.BigEndian.Uint64(id[8:])%uint64(len(t.tickets))]
}

// addressChanges is how often records moved to another address.
func (o *Output) addressChanges() (n uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.target != nil {
		for _, s := range o.target.shards {
			n += s.addresses.Switches()
		}
	}
	return n
}
