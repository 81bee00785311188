package main

import (
	"context"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
)

// chGo inserts with ch-go: columns that are filled row by row, and used again.
func chGo(ctx context.Context, address, database string, batches [][]row) error {
	client, err := ch.Dial(ctx, ch.Options{Address: address, Database: database, ReadTimeout: ch.NoTimeout})
	if err != nil {
		return err
	}
	defer client.Close()
	var (
		packetTime, indexTime        = new(proto.ColDateTime64).WithPrecision(3), new(proto.ColDateTime64).WithPrecision(3)
		server                       = new(proto.ColStr).LowCardinality()
		src, dst                     proto.ColIPv6
		protocol                     = proto.ColFixedStr{Size: 3}
		ipVersion, qr, opcode, rcode proto.ColUInt8
		edns, do                     proto.ColUInt8
		class, qtype, size           proto.ColUInt16
		fullQuery, question          proto.ColStr
	)
	input := proto.Input{
		{Name: "PacketTime", Data: packetTime}, {Name: "IndexTime", Data: indexTime}, {Name: "Server", Data: server}, {Name: "IPVersion", Data: &ipVersion},
		{Name: "SrcIP", Data: &src}, {Name: "DstIP", Data: &dst}, {Name: "Protocol", Data: &protocol}, {Name: "QR", Data: &qr}, {Name: "OpCode", Data: &opcode},
		{Name: "Class", Data: &class}, {Name: "Type", Data: &qtype}, {Name: "Edns0Present", Data: &edns}, {Name: "DoBit", Data: &do},
		{Name: "FullQuery", Data: &fullQuery}, {Name: "ResponseCode", Data: &rcode}, {Name: "Question", Data: &question}, {Name: "Size", Data: &size},
	}
	for _, rows := range batches {
		input.Reset()
		for i := range rows {
			r := &rows[i]
			packetTime.Append(r.time)
			indexTime.Append(r.index)
			server.Append(r.server)
			ipVersion.Append(r.ipVersion)
			src.Append(proto.ToIPv6(r.src))
			dst.Append(proto.ToIPv6(r.dst))
			protocol.Append([]byte(r.protocol))
			qr.Append(r.qr)
			opcode.Append(r.opcode)
			class.Append(r.class)
			qtype.Append(r.qtype)
			edns.Append(r.edns)
			do.Append(r.do)
			fullQuery.Append("")
			rcode.Append(r.rcode)
			question.Append(r.question)
			size.Append(r.size)
		}
		if err := client.Do(ctx, ch.Query{Body: input.Into("DNS_LOG"), Input: input}); err != nil {
			return err
		}
	}
	return nil
}
