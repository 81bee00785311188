package config

import (
	"time"

	"dnsmonster-sensor/outputs"
)

// outputTypes are the valid types of an output.
var outputTypes = []string{"0", "1", "2", "3", "4"}

// pendingOutput declares a pending output: the option for its type, and the others.
func pendingOutput(name, option, env string, rows ...row) Feature {
	first := row{name + "_output", option, env, 0, outputs.TypeUsage(""), outputTypes}
	return Feature{Name: name + " output", Output: name, on: unless(option, "0"), rows: append([]row{first}, rows...)}
}

// pendingOutputs returns dnsmonster's outputs. Package outputs declares the options of
// those that are built.
func pendingOutputs() []Feature {
	return []Feature{elastic(), influx(), kafka(), nats(), parquet(), sentinel(), splunk(), syslog(), victoria(), zinc()}
}

func elastic() Feature {
	const s = "elastic_output"
	return pendingOutput("elastic", "elasticoutputtype", "DNSMONSTER_ELASTICOUTPUTTYPE",
		row{s, "elasticoutputendpoint", "DNSMONSTER_ELASTICOUTPUTENDPOINT", "", "`URL` of the server, such as http://127.0.0.1:9200", nil},
		row{s, "elasticoutputindex", "DNSMONSTER_ELASTICOUTPUTINDEX", "default", "`INDEX` of the records", nil},
		row{s, "elasticbatchsize", "DNSMONSTER_ELASTICBATCHSIZE", 1000, "`NUMBER` of records in a batch", nil},
		row{s, "elasticbatchdelay", "DNSMONSTER_ELASTICBATCHDELAY", time.Second, "`TIME` after which a batch that is not full is sent", nil},
	)
}

func influx() Feature {
	const s = "influx_output"
	return pendingOutput("influx", "influxoutputtype", "DNSMONSTER_INFLUXOUTPUTTYPE",
		row{s, "influxoutputserver", "DNSMONSTER_INFLUXOUTPUTSERVER", "", "`URL` of the server, such as http://localhost:8086", nil},
		row{s, "influxoutputtoken", "DNSMONSTER_INFLUXOUTPUTTOKEN", secretValue{"dnsmonster", "DNSMONSTER_INFLUXOUTPUTTOKENFILE"}, "`TOKEN` to log in with", nil},
		row{s, "influxoutputbucket", "DNSMONSTER_INFLUXOUTPUTBUCKET", "dnsmonster", "`BUCKET` of the points", nil},
		row{s, "influxoutputorg", "DNSMONSTER_INFLUXOUTPUTORG", "dnsmonster", "`ORGANISATION` of the bucket", nil},
		row{s, "influxoutputworkers", "DNSMONSTER_INFLUXOUTPUTWORKERS", 8, "`NUMBER` of connections", nil},
		row{s, "influxbatchsize", "DNSMONSTER_INFLUXBATCHSIZE", 1000, "`NUMBER` of points in a batch", nil},
	)
}

func kafka() Feature {
	const s = "kafka_output"
	return pendingOutput("kafka", "kafkaoutputtype", "DNSMONSTER_KAFKAOUTPUTTYPE",
		row{s, "kafkaoutputbroker", "DNSMONSTER_KAFKAOUTPUTBROKER", []string{}, "`HOST:PORT` of a broker; repeat for several", nil},
		row{s, "kafkasaslcredentials", "DNSMONSTER_KAFKASASLCREDENTIALS", secretValue{"", "DNSMONSTER_KAFKASASLCREDENTIALSFILE"}, "`USER:PASSWORD` for SASL", nil},
		row{s, "kafkaoutputtopic", "DNSMONSTER_KAFKAOUTPUTTOPIC", "dnsmonster", "`TOPIC` of the records", nil},
		row{s, "kafkabatchsize", "DNSMONSTER_KAFKABATCHSIZE", 1000, "`NUMBER` of records in a batch", nil},
		row{s, "kafkaoutputformat", "DNSMONSTER_KAFKAOUTPUTFORMAT", "json", "`FORMAT` of the records: json or gob", []string{"json", "gob"}},
		row{s, "kafkatimeout", "DNSMONSTER_KAFKATIMEOUT", 3, "`SECONDS` that connecting may take", nil},
		row{s, "kafkabatchdelay", "DNSMONSTER_KAFKABATCHDELAY", time.Second, "`TIME` after which a batch that is not full is sent", nil},
		row{s, "kafkacompress", "DNSMONSTER_KAFKACOMPRESS", false, "compress batches", nil},
		row{s, "kafkacompressiontype", "DNSMONSTER_KAFKACOMPRESSIONTYPE", "snappy", "`CODEC`: snappy, gzip, lz4 or zstd", []string{"snappy", "gzip", "lz4", "zstd"}},
		row{s, "kafkasecure", "DNSMONSTER_KAFKASECURE", false, "use TLS", nil},
		row{s, "kafkacacertificatepath", "DNSMONSTER_KAFKACACERTIFICATEPATH", "", "`FILE` with the CA certificate of the brokers", nil},
		row{s, "kafkatlscertificatepath", "DNSMONSTER_KAFKATLSCERTIFICATEPATH", "", "`FILE` with the client's certificate", nil},
		row{s, "kafkatlskeypath", "DNSMONSTER_KAFKATLSKEYPATH", "", "`KEYFILE` with the client's key", nil},
	)
}

func nats() Feature {
	const s = "nats_output"
	return pendingOutput("nats", "natsoutputtype", "DNSMONSTER_NATSOUTPUTTYPE",
		row{s, "natsoutputserver", "DNSMONSTER_NATSOUTPUTSERVER", "nats://localhost:4222", "`URL` of the server", nil},
		row{s, "natsoutputsubject", "DNSMONSTER_NATSOUTPUTSUBJECT", "dns.events", "`SUBJECT` of the messages", nil},
		row{s, "natsoutputtlscert", "DNSMONSTER_NATSOUTPUTTLSCERT", "", "`FILE` with the client's certificate", nil},
		row{s, "natsoutputtlskey", "DNSMONSTER_NATSOUTPUTTLSKEY", "", "`KEYFILE` with the client's key", nil},
		row{s, "natsoutputtlsca", "DNSMONSTER_NATSOUTPUTTLSCA", "", "`FILE` with the CA certificate of the server", nil},
	)
}

func parquet() Feature {
	const s = "parquet_output"
	return pendingOutput("parquet", "parquetoutputtype", "DNSMONSTER_PARQUETOUTPUTTYPE",
		row{s, "parquetoutputpath", "DNSMONSTER_PARQUETOUTPUTPATH", "", "`FOLDER` of the files, or one file that ends in .parquet", nil},
		row{s, "parquetflushbatchsize", "DNSMONSTER_PARQUETFLUSHBATCHSIZE", 10000, "`NUMBER` of records in a row group", nil},
		row{s, "parquetworkercount", "DNSMONSTER_PARQUETWORKERCOUNT", 4, "`NUMBER` of goroutines that encode", nil},
		row{s, "parquetwritebuffersize", "DNSMONSTER_PARQUETWRITEBUFFERSIZE", 256000, "`BYTES` of the write buffer", nil},
	)
}

func sentinel() Feature {
	const s = "sentinel_output"
	return pendingOutput("sentinel", "sentineloutputtype", "DNSMONSTER_SENTINELOUTPUTTYPE",
		row{s, "sentineloutputsharedkey", "DNSMONSTER_SENTINELOUTPUTSHAREDKEY", secretValue{"", "DNSMONSTER_SENTINELOUTPUTSHAREDKEYFILE"}, "`KEY` of the Log Analytics workspace", nil},
		row{s, "sentineloutputcustomerid", "DNSMONSTER_SENTINELOUTPUTCUSTOMERID", "", "`ID` of the Log Analytics workspace", nil},
		row{s, "sentineloutputlogtype", "DNSMONSTER_SENTINELOUTPUTLOGTYPE", "dnsmonster", "`TYPE` of the log", nil},
		row{s, "sentineloutputproxy", "DNSMONSTER_SENTINELOUTPUTPROXY", "", "`URI` of a proxy", nil},
		row{s, "sentinelbatchsize", "DNSMONSTER_SENTINELBATCHSIZE", 100, "`NUMBER` of records in a batch", nil},
		row{s, "sentinelbatchdelay", "DNSMONSTER_SENTINELBATCHDELAY", time.Duration(0), "`TIME` after which a batch is sent, whatever its size. 0: a batch is sent when it is full, or after 1s", nil},
	)
}

func splunk() Feature {
	const s = "splunk_output"
	return pendingOutput("splunk", "splunkoutputtype", "DNSMONSTER_SPLUNKOUTPUTTYPE",
		row{s, "splunkoutputendpoint", "DNSMONSTER_SPLUNKOUTPUTENDPOINT", []string{}, "HEC `URL`; repeat for several", nil},
		row{s, "splunkoutputtoken", "DNSMONSTER_SPLUNKOUTPUTTOKEN", secretValue{"00000000-0000-0000-0000-000000000000", "DNSMONSTER_SPLUNKOUTPUTTOKENFILE"}, "HEC `TOKEN`", nil},
		row{s, "splunkoutputindex", "DNSMONSTER_SPLUNKOUTPUTINDEX", "temp", "`INDEX` of the events", nil},
		row{s, "splunkoutputproxy", "DNSMONSTER_SPLUNKOUTPUTPROXY", "", "`URI` of a proxy", nil},
		row{s, "splunkoutputsource", "DNSMONSTER_SPLUNKOUTPUTSOURCE", "dnsmonster", "`SOURCE` of the events", nil},
		row{s, "splunkoutputsourcetype", "DNSMONSTER_SPLUNKOUTPUTSOURCETYPE", "json", "`TYPE` of the source", nil},
		row{s, "splunkbatchsize", "DNSMONSTER_SPLUNKBATCHSIZE", 1000, "`NUMBER` of events in a batch", nil},
		row{s, "splunkbatchdelay", "DNSMONSTER_SPLUNKBATCHDELAY", time.Second, "`TIME` after which a batch that is not full is sent", nil},
	)
}

func syslog() Feature {
	return pendingOutput("syslog", "syslogoutputtype", "DNSMONSTER_SYSLOGOUTPUTTYPE",
		row{"syslog_output", "syslogoutputendpoint", "DNSMONSTER_SYSLOGOUTPUTENDPOINT", "udp://127.0.0.1:514", "`URL` of the server: udp:// or tcp://", nil},
	)
}

func victoria() Feature {
	const s = "victoria_output"
	return pendingOutput("victoria", "victoriaoutputtype", "DNSMONSTER_VICTORIAOUTPUTTYPE",
		row{s, "victoriaoutputendpoint", "DNSMONSTER_VICTORIAOUTPUTENDPOINT", "", "`URL` that takes JSON lines", nil},
		row{s, "victoriaoutputproxy", "DNSMONSTER_VICTORIAOUTPUTPROXY", "", "`URI` of a proxy", nil},
		row{s, "victoriaoutputworkers", "DNSMONSTER_VICTORIAOUTPUTWORKERS", 8, "`NUMBER` of connections", nil},
		row{s, "victoriabatchsize", "DNSMONSTER_VICTORIABATCHSIZE", 100, "`NUMBER` of records in a batch", nil},
		row{s, "victoriabatchdelay", "DNSMONSTER_VICTORIABATCHDELAY", time.Duration(0), "`TIME` after which a batch is sent, whatever its size. 0: a batch is sent when it is full, or after 1s", nil},
	)
}

func zinc() Feature {
	const s = "zinc_output"
	return pendingOutput("zinc", "zincoutputtype", "DNSMONSTER_ZINCOUTPUTTYPE",
		row{s, "zincoutputindex", "DNSMONSTER_ZINCOUTPUTINDEX", "dnsmonster", "`INDEX` of the records", nil},
		row{s, "zincoutputendpoint", "DNSMONSTER_ZINCOUTPUTENDPOINT", "", "`URL` of the server, such as http://127.0.0.1:9200/api/default/_bulk", nil},
		row{s, "zincoutputusername", "DNSMONSTER_ZINCOUTPUTUSERNAME", "", "`NAME` to log in with", nil},
		row{s, "zincoutputpassword", "DNSMONSTER_ZINCOUTPUTPASSWORD", secretValue{"", "DNSMONSTER_ZINCOUTPUTPASSWORDFILE"}, "`PASSWORD` to log in with", nil},
		row{s, "zincbatchsize", "DNSMONSTER_ZINCBATCHSIZE", 1000, "`NUMBER` of records in a batch", nil},
		row{s, "zincbatchdelay", "DNSMONSTER_ZINCBATCHDELAY", time.Second, "`TIME` after which a batch that is not full is sent", nil},
		row{s, "zinctimeout", "DNSMONSTER_ZINCTIMEOUT", 10 * time.Second, "`TIME` that a request may take", nil},
	)
}
