package clickhouse

import (
	"context"
	"time"

	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/outputs/clickhouse/table"
	"dnsmonster-sensor/userspace/event"
)

// round writes the parts of one block, to the table as it is now.
type round struct {
	w   *writer
	s   *session
	enc *table.Encoder
	b   *event.Block
	now time.Time
}

// writeParts writes each part of the block that is not stored yet.
func (w *writer) writeParts(ctx context.Context, s *session, b *event.Block) error {
	// The time in IndexTime is that of the block, so that a repeated block has the same
	// bytes: servers without tokens recognise it by them.
	r := &round{w: w, s: s, enc: w.encoder(s.plan), b: b, now: b.Sealed()}
	parts := r.enc.Encode(b, r.now)
	if len(parts) > 1 {
		r.countSplit()
	}
	for len(parts) > 0 {
		p := parts[0]
		if parts = parts[1:]; w.progress.done[p.Suffix] {
			continue
		}
		if !w.progress.halved[p.Suffix] {
			if err := r.write(ctx, &p); err != nil {
				return err
			}
		}
		if w.progress.halved[p.Suffix] {
			halves, _ := r.enc.Halve(b, r.now, &p)
			parts = append(halves[:], parts...)
		}
	}
	return nil
}

// countSplit counts a block that is written in parts, once.
func (r *round) countSplit() {
	if halved := r.w.progress.halved; !halved[""] {
		halved[""] = true
		r.w.o.splits.Add(1)
	}
}

// write writes one part. Without an error the part is done, or has to be halved.
func (r *round) write(ctx context.Context, p *table.Part) error {
	if found := r.w.progress.sifted[p.Suffix]; found != nil {
		return r.writeRest(ctx, p, found)
	}
	err := r.insert(ctx, p)
	switch server.Classify(err) {
	case server.Parts:
		return r.divide(ctx, p, err)
	case server.Rows:
		if !r.w.doubt.blamesTable(err, r.w.o.doubtPeriod, time.Now()) {
			return r.sift(ctx, p, err)
		}
	}
	return err
}

// insert sends a part, and notes whether it may be stored.
func (r *round) insert(ctx context.Context, p *table.Part, more ...server.Setting) error {
	err := r.send(ctx, p, more...)
	if c := server.Classify(err); server.MayBeStored(err) && c != server.Rows && c != server.Parts {
		r.w.progress.unsure[p.Suffix] = true
	}
	return err
}

// send sends a part as one INSERT, with the token of the part.
func (r *round) send(ctx context.Context, p *table.Part, more ...server.Setting) error {
	w := r.w
	settings := append(writeSettings(w.progress.id.String()+p.Suffix), more...)
	err := r.s.conn.Insert(ctx, r.s.plan.InsertSQL(), p.Columns, settings)
	if err == nil || server.MayBeStored(err) {
		w.progress.shard, w.progress.group = r.s.shard, r.s.group
	}
	if err == nil {
		w.progress.done[p.Suffix] = true
		w.o.clamped.Add(p.Clamped)
	}
	return err
}

// writeSettings are the settings of an INSERT with a token.
func writeSettings(token string) []server.Setting {
	return []server.Setting{
		{Name: "insert_deduplication_token", Value: token},
		{Name: "insert_deduplicate", Value: "1"},
		{Name: "deduplicate_blocks_in_dependent_materialized_views", Value: "1"},
		{Name: "async_insert", Value: "0"},
	}
}

// unlimited lets an INSERT bring rows of any number of partitions.
var unlimited = server.Setting{Name: "throw_on_max_partitions_per_insert_block", Value: "0"}

// divide halves a part that has rows of too many partitions. A part that may be stored is
// tried as a whole first, because the server knows its token.
func (r *round) divide(ctx context.Context, p *table.Part, why error) error {
	if r.w.progress.unsure[p.Suffix] {
		if err := r.redial(ctx); err != nil {
			return err
		}
		if err := r.insert(ctx, p, unlimited); server.Classify(err) != server.Parts {
			return err
		}
	}
	if len(r.enc.Order(r.b, p)) < 2 {
		return why
	}
	r.countSplit()
	return r.halve(ctx, p, why)
}

// halve notes that a part, which has at least two events, is written as two. Their tokens
// are others than that of the part.
func (r *round) halve(ctx context.Context, p *table.Part, why error) error {
	if r.w.progress.unsure[p.Suffix] {
		n := len(r.enc.Order(r.b, p))
		r.w.o.maybeDoubled.Add(uint64(n))
		r.w.o.Log().Warn("records may be stored twice: an answer was lost, then the table began to refuse some of them, and the server cannot tell whether it has the others",
			"table", r.s.plan.Name(), "address", r.s.at.Name, "batch", r.w.progress.id, "records", n, "error", why)
	}
	r.w.progress.halved[p.Suffix] = true
	return r.redial(ctx)
}

// redial replaces a connection that has failed by one to the same server.
func (r *round) redial(ctx context.Context) error {
	r.w.drop(r.s.shard)
	conn, err := r.w.o.dial(ctx, r.s.at.Name)
	if err != nil {
		return err
	}
	r.s.conn = conn
	r.w.sessions[r.s.shard] = r.s
	return nil
}
