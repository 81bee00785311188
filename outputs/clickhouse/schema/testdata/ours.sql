CREATE DATABASE IF NOT EXISTS `dns`;

CREATE TABLE IF NOT EXISTS `dns`.`LOG`
(
    PacketTime DateTime64(6) CODEC(Delta, ZSTD(1)),
    IndexTime DateTime64(3) CODEC(Delta, ZSTD(1)),
    Server LowCardinality(String) CODEC(ZSTD(1)),
    IPVersion UInt8 CODEC(ZSTD(1)),
    SrcIP IPv6 CODEC(ZSTD(1)),
    DstIP IPv6 CODEC(ZSTD(1)),
    Protocol LowCardinality(String) CODEC(ZSTD(1)),
    QR UInt8 CODEC(ZSTD(1)),
    OpCode UInt8 CODEC(ZSTD(1)),
    Class UInt16 CODEC(ZSTD(1)),
    Type UInt16 CODEC(ZSTD(1)),
    Edns0Present UInt8 CODEC(ZSTD(1)),
    DoBit UInt8 CODEC(ZSTD(1)),
    FullQuery String CODEC(ZSTD(3)),
    ResponseCode UInt16 CODEC(ZSTD(1)),
    Question String CODEC(ZSTD(1)),
    Size UInt32 CODEC(T64, ZSTD(1)),
    SrcPort UInt16 CODEC(ZSTD(1)),
    DstPort UInt16 CODEC(ZSTD(1)),
    Direction LowCardinality(String) CODEC(ZSTD(1)),
    Interface LowCardinality(String) CODEC(ZSTD(1)),
    VLAN UInt16 CODEC(ZSTD(1)),
    Tunnel LowCardinality(String) CODEC(ZSTD(1)),
    Weight Float64 DEFAULT 1 CODEC(ZSTD(1)),
    MessageID UInt16 CODEC(ZSTD(1)),
    Authoritative UInt8 CODEC(ZSTD(1)),
    Truncated UInt8 CODEC(ZSTD(1)),
    RecursionDesired UInt8 CODEC(ZSTD(1)),
    RecursionAvailable UInt8 CODEC(ZSTD(1)),
    AuthenticatedData UInt8 CODEC(ZSTD(1)),
    CheckingDisabled UInt8 CODEC(ZSTD(1)),
    QuestionCount UInt16 CODEC(ZSTD(1)),
    AnswerCount UInt16 CODEC(ZSTD(1)),
    AuthorityCount UInt16 CODEC(ZSTD(1)),
    AdditionalCount UInt16 CODEC(ZSTD(1)),
    AnswerName Array(String) CODEC(ZSTD(1)),
    AnswerType Array(UInt16) CODEC(ZSTD(1)),
    AnswerTTL Array(UInt32) CODEC(ZSTD(1)),
    AnswerData Array(String) CODEC(ZSTD(1)),
    EdnsSize UInt16 CODEC(ZSTD(1)),
    ClientSubnet String CODEC(ZSTD(1)),
    ExtendedErrors Array(UInt16) CODEC(ZSTD(1)),
    Identity LowCardinality(String) CODEC(ZSTD(1)),
    Version LowCardinality(String) CODEC(ZSTD(1)),
    QueryTime DateTime64(6) CODEC(ZSTD(1)),
    ResponseTime DateTime64(6) CODEC(ZSTD(1)),
    CaptureCut UInt32 CODEC(ZSTD(1)),
    Malformed String CODEC(ZSTD(1)),
    SampleKey UInt16 MATERIALIZED (cityHash64(MessageID, Question) + cityHash64(SrcIP, SrcPort) + cityHash64(DstIP, DstPort)) % 100 * 656 CODEC(ZSTD(1)),
    INDEX QuestionIndex Question TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toMonday(PacketTime)
PRIMARY KEY (toStartOfHour(PacketTime), Server, SampleKey)
ORDER BY (toStartOfHour(PacketTime), Server, SampleKey, Question, PacketTime)
SAMPLE BY SampleKey
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE TABLE IF NOT EXISTS `dns`.`DNS_DOMAIN_COUNT`
(
    DnsDate Date CODEC(ZSTD(1)),
    t DateTime CODEC(ZSTD(1)),
    Server LowCardinality(String) CODEC(ZSTD(1)),
    Question String CODEC(ZSTD(1)),
    c SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    w SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    QH UInt64 ALIAS cityHash64(Question)
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(DnsDate)
ORDER BY (toStartOfHour(t), Server, Question, t)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS `dns`.`DNS_DOMAIN_COUNT_MV` TO `dns`.`DNS_DOMAIN_COUNT`
AS SELECT toDate(PacketTime) AS DnsDate, toStartOfMinute(PacketTime) AS t, Server, Question, count() AS c, sum(Weight) AS w
FROM `dns`.`LOG`
WHERE QR = 0
GROUP BY DnsDate, t, Server, Question;

CREATE TABLE IF NOT EXISTS `dns`.`DNS_DOMAIN_UNIQUE`
(
    DnsDate Date CODEC(ZSTD(1)),
    timestamp DateTime CODEC(ZSTD(1)),
    Server LowCardinality(String) CODEC(ZSTD(1)),
    UniqueDnsCount AggregateFunction(uniq, String) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(DnsDate)
ORDER BY (timestamp, Server)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS `dns`.`DNS_DOMAIN_UNIQUE_MV` TO `dns`.`DNS_DOMAIN_UNIQUE`
AS SELECT toDate(PacketTime) AS DnsDate, toStartOfMinute(PacketTime) AS timestamp, Server, uniqState(Question) AS UniqueDnsCount
FROM `dns`.`LOG`
WHERE QR = 0
GROUP BY DnsDate, timestamp, Server;

CREATE TABLE IF NOT EXISTS `dns`.`DNS_PROTOCOL`
(
    DnsDate Date CODEC(ZSTD(1)),
    timestamp DateTime CODEC(ZSTD(1)),
    Server LowCardinality(String) CODEC(ZSTD(1)),
    Protocol LowCardinality(String) CODEC(ZSTD(1)),
    c SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    w SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(DnsDate)
ORDER BY (timestamp, Server, Protocol)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS `dns`.`DNS_PROTOCOL_MV` TO `dns`.`DNS_PROTOCOL`
AS SELECT toDate(PacketTime) AS DnsDate, toStartOfMinute(PacketTime) AS timestamp, Server, Protocol, count() AS c, sum(Weight) AS w
FROM `dns`.`LOG`
GROUP BY DnsDate, timestamp, Server, Protocol;

CREATE TABLE IF NOT EXISTS `dns`.`DNS_GENERAL_AGGREGATIONS`
(
    DnsDate Date CODEC(ZSTD(1)),
    timestamp DateTime CODEC(ZSTD(1)),
    Server LowCardinality(String) CODEC(ZSTD(1)),
    TotalSize AggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    AverageSize AggregateFunction(avg, UInt64) CODEC(ZSTD(1)),
    WeightedSize SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    c SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    w SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(DnsDate)
ORDER BY (timestamp, Server)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS `dns`.`DNS_GENERAL_AGGREGATIONS_MV` TO `dns`.`DNS_GENERAL_AGGREGATIONS`
AS SELECT toDate(PacketTime) AS DnsDate, toStartOfMinute(PacketTime) AS timestamp, Server, sumState(toUInt64(Size)) AS TotalSize, avgState(toUInt64(Size)) AS AverageSize, sum(Weight * Size) AS WeightedSize, count() AS c, sum(Weight) AS w
FROM `dns`.`LOG`
GROUP BY DnsDate, timestamp, Server;

CREATE TABLE IF NOT EXISTS `dns`.`DNS_EDNS`
(
    DnsDate Date CODEC(ZSTD(1)),
    timestamp DateTime CODEC(ZSTD(1)),
    Server LowCardinality(String) CODEC(ZSTD(1)),
    EdnsCount AggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    DoBitCount AggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    WeightedEdnsCount SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    WeightedDoBitCount SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    c SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    w SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(DnsDate)
ORDER BY (timestamp, Server)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS `dns`.`DNS_EDNS_MV` TO `dns`.`DNS_EDNS`
AS SELECT toDate(PacketTime) AS DnsDate, toStartOfMinute(PacketTime) AS timestamp, Server, sumState(toUInt64(Edns0Present)) AS EdnsCount, sumState(toUInt64(DoBit)) AS DoBitCount, sum(Weight * Edns0Present) AS WeightedEdnsCount, sum(Weight * DoBit) AS WeightedDoBitCount, count() AS c, sum(Weight) AS w
FROM `dns`.`LOG`
WHERE QR = 0
GROUP BY DnsDate, timestamp, Server;

CREATE TABLE IF NOT EXISTS `dns`.`DNS_OPCODE`
(
    DnsDate Date CODEC(ZSTD(1)),
    timestamp DateTime CODEC(ZSTD(1)),
    Server LowCardinality(String) CODEC(ZSTD(1)),
    OpCode UInt8 CODEC(ZSTD(1)),
    c SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    w SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(DnsDate)
ORDER BY (timestamp, Server, OpCode)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS `dns`.`DNS_OPCODE_MV` TO `dns`.`DNS_OPCODE`
AS SELECT toDate(PacketTime) AS DnsDate, toStartOfMinute(PacketTime) AS timestamp, Server, OpCode, count() AS c, sum(Weight) AS w
FROM `dns`.`LOG`
WHERE QR = 0
GROUP BY DnsDate, timestamp, Server, OpCode;

CREATE TABLE IF NOT EXISTS `dns`.`DNS_TYPE`
(
    DnsDate Date CODEC(ZSTD(1)),
    timestamp DateTime CODEC(ZSTD(1)),
    Server LowCardinality(String) CODEC(ZSTD(1)),
    Type UInt16 CODEC(ZSTD(1)),
    c SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    w SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(DnsDate)
ORDER BY (timestamp, Server, Type)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS `dns`.`DNS_TYPE_MV` TO `dns`.`DNS_TYPE`
AS SELECT toDate(PacketTime) AS DnsDate, toStartOfMinute(PacketTime) AS timestamp, Server, Type, count() AS c, sum(Weight) AS w
FROM `dns`.`LOG`
WHERE QR = 0
GROUP BY DnsDate, timestamp, Server, Type;

CREATE TABLE IF NOT EXISTS `dns`.`DNS_CLASS`
(
    DnsDate Date CODEC(ZSTD(1)),
    timestamp DateTime CODEC(ZSTD(1)),
    Server LowCardinality(String) CODEC(ZSTD(1)),
    Class UInt16 CODEC(ZSTD(1)),
    c SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    w SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(DnsDate)
ORDER BY (timestamp, Server, Class)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS `dns`.`DNS_CLASS_MV` TO `dns`.`DNS_CLASS`
AS SELECT toDate(PacketTime) AS DnsDate, toStartOfMinute(PacketTime) AS timestamp, Server, Class, count() AS c, sum(Weight) AS w
FROM `dns`.`LOG`
WHERE QR = 0
GROUP BY DnsDate, timestamp, Server, Class;

CREATE TABLE IF NOT EXISTS `dns`.`DNS_RESPONSECODE`
(
    DnsDate Date CODEC(ZSTD(1)),
    timestamp DateTime CODEC(ZSTD(1)),
    Server LowCardinality(String) CODEC(ZSTD(1)),
    ResponseCode UInt16 CODEC(ZSTD(1)),
    c SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    w SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(DnsDate)
ORDER BY (timestamp, Server, ResponseCode)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS `dns`.`DNS_RESPONSECODE_MV` TO `dns`.`DNS_RESPONSECODE`
AS SELECT toDate(PacketTime) AS DnsDate, toStartOfMinute(PacketTime) AS timestamp, Server, ResponseCode, count() AS c, sum(Weight) AS w
FROM `dns`.`LOG`
WHERE QR = 1
GROUP BY DnsDate, timestamp, Server, ResponseCode;

CREATE TABLE IF NOT EXISTS `dns`.`DNS_SRCIP_MASK`
(
    DnsDate Date CODEC(ZSTD(1)),
    timestamp DateTime CODEC(ZSTD(1)),
    Server LowCardinality(String) CODEC(ZSTD(1)),
    QR UInt8 CODEC(ZSTD(1)),
    IPVersion UInt8 CODEC(ZSTD(1)),
    SrcIP IPv6 CODEC(ZSTD(1)),
    c SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    w SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(DnsDate)
ORDER BY (toStartOfHour(timestamp), Server, QR, IPVersion, SrcIP, timestamp)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS `dns`.`DNS_SRCIP_MASK_MV` TO `dns`.`DNS_SRCIP_MASK`
AS SELECT toDate(PacketTime) AS DnsDate, toStartOfMinute(PacketTime) AS timestamp, Server, QR, IPVersion, SrcIP, count() AS c, sum(Weight) AS w
FROM `dns`.`LOG`
GROUP BY DnsDate, timestamp, Server, QR, IPVersion, SrcIP;

CREATE TABLE IF NOT EXISTS `dns`.`DNS_DSTIP_MASK`
(
    DnsDate Date CODEC(ZSTD(1)),
    timestamp DateTime CODEC(ZSTD(1)),
    Server LowCardinality(String) CODEC(ZSTD(1)),
    QR UInt8 CODEC(ZSTD(1)),
    IPVersion UInt8 CODEC(ZSTD(1)),
    DstIP IPv6 CODEC(ZSTD(1)),
    c SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    w SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(DnsDate)
ORDER BY (toStartOfHour(timestamp), Server, QR, IPVersion, DstIP, timestamp)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS `dns`.`DNS_DSTIP_MASK_MV` TO `dns`.`DNS_DSTIP_MASK`
AS SELECT toDate(PacketTime) AS DnsDate, toStartOfMinute(PacketTime) AS timestamp, Server, QR, IPVersion, DstIP, count() AS c, sum(Weight) AS w
FROM `dns`.`LOG`
GROUP BY DnsDate, timestamp, Server, QR, IPVersion, DstIP;

CREATE DICTIONARY IF NOT EXISTS `dns`.`dns_class`
(
    Id UInt64,
    Name String DEFAULT 'Invalid'
)
PRIMARY KEY Id
SOURCE(CLICKHOUSE(QUERY 'SELECT toUInt64(splitByChar('' '', line)[1]) AS Id, splitByChar('' '', line)[2] AS Name FROM (SELECT arrayJoin(splitByChar('','', ''1 IN,3 CH,4 HS,254 NONE,255 ANY'')) AS line)'))
LAYOUT(FLAT())
LIFETIME(0);

CREATE DICTIONARY IF NOT EXISTS `dns`.`dns_opcode`
(
    Id UInt64,
    Name String DEFAULT 'Invalid'
)
PRIMARY KEY Id
SOURCE(CLICKHOUSE(QUERY 'SELECT toUInt64(splitByChar('' '', line)[1]) AS Id, splitByChar('' '', line)[2] AS Name FROM (SELECT arrayJoin(splitByChar('','', ''0 QUERY,1 IQUERY,2 STATUS,4 NOTIFY,5 UPDATE,6 DSO'')) AS line)'))
LAYOUT(FLAT())
LIFETIME(0);

CREATE DICTIONARY IF NOT EXISTS `dns`.`dns_response`
(
    Id UInt64,
    Name String DEFAULT 'Invalid'
)
PRIMARY KEY Id
SOURCE(CLICKHOUSE(QUERY 'SELECT toUInt64(splitByChar('' '', line)[1]) AS Id, splitByChar('' '', line)[2] AS Name FROM (SELECT arrayJoin(splitByChar('','', ''0 NOERROR,1 FORMERR,2 SERVFAIL,3 NXDOMAIN,4 NOTIMP,5 REFUSED,6 YXDOMAIN,7 YXRRSET,8 NXRRSET,9 NOTAUTH,10 NOTZONE,11 DSOTYPENI,16 BADSIG,17 BADKEY,18 BADTIME,19 BADMODE,20 BADNAME,21 BADALG,22 BADTRUNC,23 BADCOOKIE'')) AS line)'))
LAYOUT(FLAT())
LIFETIME(0);

CREATE DICTIONARY IF NOT EXISTS `dns`.`dns_type`
(
    Id UInt64,
    Name String DEFAULT 'Invalid'
)
PRIMARY KEY Id
SOURCE(CLICKHOUSE(QUERY 'SELECT toUInt64(splitByChar('' '', line)[1]) AS Id, splitByChar('' '', line)[2] AS Name FROM (SELECT arrayJoin(splitByChar('','', ''0 None,1 A,2 NS,3 MD,4 MF,5 CNAME,6 SOA,7 MB,8 MG,9 MR,10 NULL,12 PTR,13 HINFO,14 MINFO,15 MX,16 TXT,17 RP,18 AFSDB,19 X25,20 ISDN,21 RT,23 NSAP-PTR,24 SIG,25 KEY,26 PX,27 GPOS,28 AAAA,29 LOC,30 NXT,31 EID,32 NIMLOC,33 SRV,34 ATMA,35 NAPTR,36 KX,37 CERT,39 DNAME,41 OPT,42 APL,43 DS,44 SSHFP,45 IPSECKEY,46 RRSIG,47 NSEC,48 DNSKEY,49 DHCID,50 NSEC3,51 NSEC3PARAM,52 TLSA,53 SMIMEA,55 HIP,56 NINFO,57 RKEY,58 TALINK,59 CDS,60 CDNSKEY,61 OPENPGPKEY,62 CSYNC,63 ZONEMD,64 SVCB,65 HTTPS,99 SPF,100 UINFO,101 UID,102 GID,103 UNSPEC,104 NID,105 L32,106 L64,107 LP,108 EUI48,109 EUI64,128 NXNAME,249 TKEY,250 TSIG,251 IXFR,252 AXFR,253 MAILB,254 MAILA,255 ANY,256 URI,257 CAA,258 AVC,260 AMTRELAY,261 RESINFO,32768 TA,32769 DLV,65535 Reserved'')) AS line)'))
LAYOUT(FLAT())
LIFETIME(0);
