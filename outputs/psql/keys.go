package psql

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/userspace/event"
)

// A block's key is needed while the block may be sent again: until the server has answered
// and the runner has recorded that on disk. So each sensor soon deletes the keys of its own
// answered blocks. A killed sensor leaves few keys, those of its last minutes. They are kept
// for a long time, since some are of blocks that wait in its spool.
const (
	keepAnswered = 10 * time.Minute // far longer than the spool takes to record a delivery on disk
	cleanEvery   = time.Minute
	keepOrphaned = 90 * 24 * time.Hour
	sweepEvery   = time.Hour
	deleteAtOnce = 10000
)

// answeredKeys are the keys that all writers of an output have to delete later.
type answeredKeys struct {
	mu        sync.Mutex
	answered  []answeredKey // oldest first
	nextClean time.Time     // when to delete next
	nextSweep time.Time
}

type answeredKey struct {
	id event.ID
	at time.Time
}

// add records that a block has its answer.
func (k *answeredKeys) add(id event.ID, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.nextSweep.IsZero() {
		k.nextClean, k.nextSweep = now.Add(cleanEvery), now.Add(sweepEvery)
	}
	k.answered = append(k.answered, answeredKey{id, now})
}

// expired removes and returns keys that are no longer needed, for the caller to
// delete. sweep: it is time to delete keys that other sensors left.
func (k *answeredKeys) expired(now time.Time) (ids []event.ID, sweep bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Before(k.nextClean) {
		return nil, false
	}
	n := 0
	for n < len(k.answered) && n < deleteAtOnce && now.Sub(k.answered[n].at) >= keepAnswered {
		ids = append(ids, k.answered[n].id)
		n++
	}
	k.answered = k.answered[n:]
	if n < deleteAtOnce {
		k.nextClean = now.Add(cleanEvery)
	}
	if sweep = !now.Before(k.nextSweep); sweep {
		k.nextSweep = now.Add(sweepEvery)
	}
	return ids, sweep
}

// deleteKeys deletes the given keys and, with sweep, very old ones.
func deleteKeys(ctx context.Context, conn *pgconn.PgConn, def *tableDef, ids []event.ID, sweep bool) error {
	table := def.keys.Sanitize()
	if len(ids) > 0 {
		var list strings.Builder
		for i, id := range ids {
			if i > 0 {
				list.WriteByte(',')
			}
			list.WriteString(id.String())
		}
		r := conn.ExecParams(ctx, "DELETE FROM "+table+" WHERE id = ANY($1::uuid[])", [][]byte{[]byte("{" + list.String() + "}")}, nil, nil, nil).Read()
		if r.Err != nil {
			return r.Err
		}
	}
	if !sweep {
		return nil
	}
	sql := fmt.Sprintf("DELETE FROM %s WHERE id IN (SELECT id FROM %s WHERE at < now() - interval '%d hours' LIMIT 100000)", table, table, int(keepOrphaned.Hours()))
	_, err := conn.Exec(ctx, sql).ReadAll()
	return err
}
