CREATE TABLE IF NOT EXISTS `default`.`DNS_LOG`
(
    PacketTime DateTime64,
    IndexTime DateTime64,
    Server LowCardinality(String),
    IPVersion UInt8,
    SrcIP IPv6,
    DstIP IPv6,
    Protocol FixedString(3),
    QR UInt8,
    OpCode UInt8,
    Class UInt16,
    Type UInt16,
    Edns0Present UInt8,
    DoBit UInt8,
    FullQuery String,
    ResponseCode UInt8,
    Question String CODEC(ZSTD(1)),
    Size UInt16
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(PacketTime)
ORDER BY (toStartOfHour(PacketTime), Server, reverse(Question), toUnixTimestamp(PacketTime))
SAMPLE BY toUnixTimestamp(PacketTime)
TTL toDate(PacketTime) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS `default`.`DNS_DOMAIN_COUNT`
ENGINE = SummingMergeTree
PARTITION BY toYYYYMMDD(DnsDate)
ORDER BY (DnsDate, Server, QH)
SAMPLE BY QH
TTL DnsDate + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000
AS SELECT toDate(PacketTime) AS DnsDate, toStartOfMinute(PacketTime) AS t, Server, Question, cityHash64(Question) AS QH, count() AS c
FROM `default`.`DNS_LOG`
WHERE QR = 0
GROUP BY DnsDate, t, Server, Question;

CREATE MATERIALIZED VIEW IF NOT EXISTS `default`.`DNS_DOMAIN_UNIQUE`
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(DnsDate)
ORDER BY (DnsDate, timestamp, Server)
TTL DnsDate + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000
AS SELECT toDate(PacketTime) AS DnsDate, PacketTime AS timestamp, Server, uniqState(Question) AS UniqueDnsCount
FROM `default`.`DNS_LOG`
WHERE QR = 0
GROUP BY DnsDate, timestamp, Server;

CREATE MATERIALIZED VIEW IF NOT EXISTS `default`.`DNS_PROTOCOL`
ENGINE = SummingMergeTree
PARTITION BY toYYYYMMDD(DnsDate)
ORDER BY (DnsDate, timestamp, Server)
TTL DnsDate + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000
AS SELECT toDate(PacketTime) AS DnsDate, toStartOfMinute(PacketTime) AS timestamp, Server, Protocol, count() AS c
FROM `default`.`DNS_LOG`
GROUP BY DnsDate, timestamp, Server, Protocol;

CREATE MATERIALIZED VIEW IF NOT EXISTS `default`.`DNS_GENERAL_AGGREGATIONS`
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(DnsDate)
ORDER BY (DnsDate, timestamp, Server)
TTL DnsDate + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000
AS SELECT toDate(PacketTime) AS DnsDate, PacketTime AS timestamp, Server, sumState(Size) AS TotalSize, avgState(Size) AS AverageSize
FROM `default`.`DNS_LOG`
GROUP BY DnsDate, timestamp, Server;

CREATE MATERIALIZED VIEW IF NOT EXISTS `default`.`DNS_EDNS`
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(DnsDate)
ORDER BY (DnsDate, timestamp, Server)
TTL DnsDate + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000
AS SELECT toDate(PacketTime) AS DnsDate, PacketTime AS timestamp, Server, sumState(Edns0Present) AS EdnsCount, sumState(DoBit) AS DoBitCount
FROM `default`.`DNS_LOG`
WHERE QR = 0
GROUP BY DnsDate, timestamp, Server;

CREATE MATERIALIZED VIEW IF NOT EXISTS `default`.`DNS_OPCODE`
ENGINE = SummingMergeTree
PARTITION BY toYYYYMMDD(DnsDate)
ORDER BY (timestamp, Server, OpCode)
SAMPLE BY OpCode
TTL DnsDate + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000
AS SELECT toDate(PacketTime) AS DnsDate, PacketTime AS timestamp, Server, OpCode, count() AS c
FROM `default`.`DNS_LOG`
WHERE QR = 0
GROUP BY DnsDate, timestamp, Server, OpCode;

CREATE MATERIALIZED VIEW IF NOT EXISTS `default`.`DNS_TYPE`
ENGINE = SummingMergeTree
PARTITION BY toYYYYMMDD(DnsDate)
ORDER BY (timestamp, Server, Type)
SAMPLE BY Type
TTL DnsDate + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000
AS SELECT toDate(PacketTime) AS DnsDate, PacketTime AS timestamp, Server, Type, count() AS c
FROM `default`.`DNS_LOG`
WHERE QR = 0
GROUP BY DnsDate, timestamp, Server, Type;

CREATE MATERIALIZED VIEW IF NOT EXISTS `default`.`DNS_CLASS`
ENGINE = SummingMergeTree
PARTITION BY toYYYYMMDD(DnsDate)
ORDER BY (timestamp, Server, Class)
SAMPLE BY Class
TTL DnsDate + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000
AS SELECT toDate(PacketTime) AS DnsDate, PacketTime AS timestamp, Server, Class, count() AS c
FROM `default`.`DNS_LOG`
WHERE QR = 0
GROUP BY DnsDate, timestamp, Server, Class;

CREATE MATERIALIZED VIEW IF NOT EXISTS `default`.`DNS_RESPONSECODE`
ENGINE = SummingMergeTree
PARTITION BY toYYYYMMDD(DnsDate)
ORDER BY (timestamp, Server, ResponseCode)
SAMPLE BY ResponseCode
TTL DnsDate + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000
AS SELECT toDate(PacketTime) AS DnsDate, PacketTime AS timestamp, Server, ResponseCode, count() AS c
FROM `default`.`DNS_LOG`
WHERE QR = 1
GROUP BY DnsDate, timestamp, Server, ResponseCode;

CREATE MATERIALIZED VIEW IF NOT EXISTS `default`.`DNS_SRCIP_MASK`
ENGINE = SummingMergeTree
PARTITION BY toYYYYMMDD(DnsDate)
ORDER BY (timestamp, Server, IPVersion, cityHash64(SrcIP))
SAMPLE BY cityHash64(SrcIP)
TTL DnsDate + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000
AS SELECT toDate(PacketTime) AS DnsDate, PacketTime AS timestamp, Server, IPVersion, SrcIP, count() AS c
FROM `default`.`DNS_LOG`
GROUP BY DnsDate, timestamp, Server, IPVersion, SrcIP;

CREATE MATERIALIZED VIEW IF NOT EXISTS `default`.`DNS_DSTIP_MASK`
ENGINE = SummingMergeTree
PARTITION BY toYYYYMMDD(DnsDate)
ORDER BY (timestamp, Server, IPVersion, cityHash64(DstIP))
SAMPLE BY cityHash64(DstIP)
TTL DnsDate + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000
AS SELECT toDate(PacketTime) AS DnsDate, PacketTime AS timestamp, Server, IPVersion, DstIP, count() AS c
FROM `default`.`DNS_LOG`
GROUP BY DnsDate, timestamp, Server, IPVersion, DstIP;

CREATE DICTIONARY IF NOT EXISTS `default`.`dns_class`
(
    Id UInt64,
    Name String DEFAULT 'Invalid'
)
PRIMARY KEY Id
SOURCE(CLICKHOUSE(QUERY 'SELECT toUInt64(splitByChar('' '', line)[1]) AS Id, splitByChar('' '', line)[2] AS Name FROM (SELECT arrayJoin(splitByChar('','', ''1 IN,3 CH,4 HS,254 NONE,255 ANY'')) AS line)'))
LAYOUT(FLAT())
LIFETIME(0);

CREATE DICTIONARY IF NOT EXISTS `default`.`dns_opcode`
(
    Id UInt64,
    Name String DEFAULT 'Invalid'
)
PRIMARY KEY Id
SOURCE(CLICKHOUSE(QUERY 'SELECT toUInt64(splitByChar('' '', line)[1]) AS Id, splitByChar('' '', line)[2] AS Name FROM (SELECT arrayJoin(splitByChar('','', ''0 QUERY,1 IQUERY,2 STATUS,4 NOTIFY,5 UPDATE,6 DSO'')) AS line)'))
LAYOUT(FLAT())
LIFETIME(0);

CREATE DICTIONARY IF NOT EXISTS `default`.`dns_response`
(
    Id UInt64,
    Name String DEFAULT 'Invalid'
)
PRIMARY KEY Id
SOURCE(CLICKHOUSE(QUERY 'SELECT toUInt64(splitByChar('' '', line)[1]) AS Id, splitByChar('' '', line)[2] AS Name FROM (SELECT arrayJoin(splitByChar('','', ''0 NOERROR,1 FORMERR,2 SERVFAIL,3 NXDOMAIN,4 NOTIMP,5 REFUSED,6 YXDOMAIN,7 YXRRSET,8 NXRRSET,9 NOTAUTH,10 NOTZONE,11 DSOTYPENI,16 BADSIG,17 BADKEY,18 BADTIME,19 BADMODE,20 BADNAME,21 BADALG,22 BADTRUNC,23 BADCOOKIE'')) AS line)'))
LAYOUT(FLAT())
LIFETIME(0);

CREATE DICTIONARY IF NOT EXISTS `default`.`dns_type`
(
    Id UInt64,
    Name String DEFAULT 'Invalid'
)
PRIMARY KEY Id
SOURCE(CLICKHOUSE(QUERY 'SELECT toUInt64(splitByChar('' '', line)[1]) AS Id, splitByChar('' '', line)[2] AS Name FROM (SELECT arrayJoin(splitByChar('','', ''0 None,1 A,2 NS,3 MD,4 MF,5 CNAME,6 SOA,7 MB,8 MG,9 MR,10 NULL,12 PTR,13 HINFO,14 MINFO,15 MX,16 TXT,17 RP,18 AFSDB,19 X25,20 ISDN,21 RT,23 NSAP-PTR,24 SIG,25 KEY,26 PX,27 GPOS,28 AAAA,29 LOC,30 NXT,31 EID,32 NIMLOC,33 SRV,34 ATMA,35 NAPTR,36 KX,37 CERT,39 DNAME,41 OPT,42 APL,43 DS,44 SSHFP,45 IPSECKEY,46 RRSIG,47 NSEC,48 DNSKEY,49 DHCID,50 NSEC3,51 NSEC3PARAM,52 TLSA,53 SMIMEA,55 HIP,56 NINFO,57 RKEY,58 TALINK,59 CDS,60 CDNSKEY,61 OPENPGPKEY,62 CSYNC,63 ZONEMD,64 SVCB,65 HTTPS,99 SPF,100 UINFO,101 UID,102 GID,103 UNSPEC,104 NID,105 L32,106 L64,107 LP,108 EUI48,109 EUI64,128 NXNAME,249 TKEY,250 TSIG,251 IXFR,252 AXFR,253 MAILB,254 MAILA,255 ANY,256 URI,257 CAA,258 AVC,260 AMTRELAY,261 RESINFO,32768 TA,32769 DLV,65535 Reserved'')) AS line)'))
LAYOUT(FLAT())
LIFETIME(0);
