package main

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// clickhouseGo inserts with clickhouse-go, row by row into a batch, as its manual shows.
func clickhouseGo(ctx context.Context, address, database string, batches [][]row) error {
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{address}, Auth: clickhouse.Auth{Database: database}})
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, rows := range batches {
		b, err := conn.PrepareBatch(ctx, "INSERT INTO DNS_LOG")
		if err != nil {
			return err
		}
		for i := range rows {
			r := &rows[i]
			if err := b.Append(r.time, r.index, r.server, r.ipVersion, r.src, r.dst, r.protocol, r.qr, r.opcode, r.class, r.qtype, r.edns, r.do, "", r.rcode, r.question, r.size); err != nil {
				return err
			}
		}
		if err := b.Send(); err != nil {
			return err
		}
	}
	return nil
}
