package grafana

var prometheus = dataSource{"prometheus", "${prometheus}"}

// instances chooses the sensors; every metric of one has the labels instance and job.
const instances = `instance=~"$instance"`

// lost are the outcomes by which records and packets are lost, as in the alerts of
// docs/metrics.md.
const lost = `outcome=~"ring_full|copy_failed|lane_full|not_read|lane_failed|refused|queue_full|spool_evicted|spool_damaged|spool_unreadable|abandoned"`

func sensor() dashboard {
	return newDashboard("dnsmonster-sensor-sensor", "DNS sensors",
		"The sensors' own state, from their Prometheus endpoints: what comes in, what is lost, what waits, and for how long.",
		"now-6h", sensorVariables(), join(sensorNow(), sensorIn(), sensorOut(), sensorProcess()))
}

func sensorVariables() []variable {
	return []variable{
		{Name: "prometheus", Label: "Data source", Type: "datasource", Query: "prometheus", Refresh: 1},
		{
			Name: "instance", Label: "Sensor", Description: "The sensors, by the address of their metrics.", Type: "query", DataSource: &prometheus,
			Query: "label_values(dnsmonster_sensor_build_info, instance)", Refresh: 2, Sort: 1, Multi: true, IncludeAll: true,
			Current: &option{true, []string{"All"}, []string{"$__all"}},
		},
	}
}

// expr asks Prometheus. More than one expression: pairs of an expression and its legend.
func (p panel) expr(pairs ...string) panel {
	p.DataSource, p.Interval = &prometheus, "15s"
	for i := 0; i < len(pairs); i += 2 {
		p.Targets = append(p.Targets, target{RefID: string(rune('A' + i/2)), DataSource: prometheus, Expr: pairs[i], LegendFormat: pairs[i+1], Format: "time_series"})
	}
	return p
}

// now is expr for the newest value.
func (p panel) now(expr string) panel {
	p = p.expr(expr, "")
	p.Targets[0].Instant = true
	return p
}

func sensorNow() []panel {
	return []panel{
		number("Sensors up", "Sensors whose metrics Prometheus can read.", "short").now(`count(dnsmonster_sensor_build_info{` + instances + `}) or vector(0)`),
		number("Messages per second", "DNS messages per second that all chosen sensors see, over the last minutes.", "mps").now(`sum(rate(dnsmonster_sensor_ledger_in_total{ledger="message",` + instances + `}[$__rate_interval]))`),
		number("Lost in the chosen time", "Packets and records that were lost, by any cause, in the chosen time.", "short").above(1, "red").now(`sum(increase(dnsmonster_sensor_ledger_outcomes_total{` + lost + `,` + instances + `}[$__range]))`),
		number("Oldest record", "How long the oldest record of all has waited for its destination.", "s").above(60, "orange").above(300, "red").now(`max(dnsmonster_sensor_output_oldest_undelivered_seconds{` + instances + `})`),
		number("Waiting now", "Records that wait for a destination, in memory and in the spool.", "short").now(`sum(dnsmonster_sensor_ledger_held{ledger="delivery",` + instances + `})`),
		number("Failed parts", "Parts of sensors that have ended for good: each has an error in the sensor's log, and works again after a restart.", "short").above(1, "red").now(`sum(dnsmonster_sensor_failures_total{` + instances + `})`),
	}
}

func sensorIn() []panel {
	return []panel{
		row("Capture"),
		lines("Packets seen", "Packets per second that reach the capture program, by hook, and those of them that it gave to the sensor.", "pps", false).expr(
			`sum by (instance, part) (rate(dnsmonster_sensor_ledger_in_total{ledger="kernel",`+instances+`}[$__rate_interval]))`, "{{instance}} {{part}} seen",
			`sum by (instance, part) (rate(dnsmonster_sensor_ledger_outcomes_total{ledger="kernel",outcome="delivered",`+instances+`}[$__rate_interval]))`, "{{instance}} {{part}} taken"),
		lines("DNS messages", "DNS messages per second that each sensor finds in the packets, and those of them that are malformed.", "mps", false).expr(
			`sum by (instance) (rate(dnsmonster_sensor_ledger_in_total{ledger="message",`+instances+`}[$__rate_interval]))`, "{{instance}}",
			`sum by (instance) (rate(dnsmonster_sensor_meter_total{ledger="message",meter="malformed",`+instances+`}[$__rate_interval]))`, "{{instance}} malformed"),
		lines("Share of packets lost", "Share of the packets that the capture program chose but had no room for. If it is not 0, see docs/capturing.md.", "percentunit", false).expr(
			`dnsmonster_sensor_capture_loss_ratio{`+instances+`}`, "{{instance}}"),
		lines("Losses", "Packets and records per second that are lost, by cause. Causes without a loss are not shown.", "cps", true).expr(
			`sum by (instance, ledger, part, outcome) (rate(dnsmonster_sensor_ledger_outcomes_total{`+lost+`,`+instances+`}[$__rate_interval])) > 0`, "{{instance}} {{ledger}} {{part}} {{outcome}}",
			`sum by (instance, part) (rate(dnsmonster_sensor_meter_total{ledger="kernel",meter="overlong",`+instances+`}[$__rate_interval])) > 0`, "{{instance}} kernel {{part}} overlong"),
		lines("Left out on purpose", "Packets and records per second that are left out as configured: samples, duplicates, domain lists.", "cps", true).expr(
			`sum by (instance, ledger, part, outcome) (rate(dnsmonster_sensor_ledger_outcomes_total{outcome=~"sampled_out|duplicate|skipped|dropped|malformed_dropped",`+instances+`}[$__rate_interval])) > 0`, "{{instance}} {{ledger}} {{part}} {{outcome}}"),
		lines("Not accounted for", "What entered a step, and neither left it nor waits in it. It is 0 at rest; while the sensor works, it is what is under way.", "short", false).expr(
			`dnsmonster_sensor_ledger_unaccounted{`+instances+`}`, "{{instance}} {{ledger}} {{part}}"),
	}
}

func sensorOut() []panel {
	return []panel{
		row("Outputs"),
		lines("Records delivered", "Records per second that each destination has acknowledged.", "recps", false).expr(
			`sum by (instance, part) (rate(dnsmonster_sensor_ledger_outcomes_total{ledger="delivery",outcome="delivered",`+instances+`}[$__rate_interval]))`, "{{instance}} {{part}}"),
		lines("Age of the oldest record", "How long the oldest record has waited for its destination. Normally it is at most the batch delay plus the time of a write.", "s", false).expr(
			`dnsmonster_sensor_output_oldest_undelivered_seconds{`+instances+`}`, "{{instance}} {{output}}"),
		lines("Records waiting", "Records that wait for a destination: in the queue, in a batch, and in the spool.", "short", false).expr(
			`dnsmonster_sensor_ledger_held{ledger="delivery",`+instances+`}`, "{{instance}} {{part}}"),
		lines("Spool", "Size of the spool on the disk, and its limit.", "bytes", false).expr(
			`dnsmonster_sensor_spool_bytes{`+instances+`}`, "{{instance}} {{output}}",
			`dnsmonster_sensor_spool_limit_bytes{`+instances+`}`, "{{instance}} {{output}} limit"),
		lines("Records per batch", "Average number of records in a batch that a destination has acknowledged.", "short", false).expr(
			`rate(dnsmonster_sensor_output_batch_rows_sum{`+instances+`}[$__rate_interval]) / (rate(dnsmonster_sensor_output_batch_rows_count{`+instances+`}[$__rate_interval]) > 0)`, "{{instance}} {{output}}"),
		lines("Retries", "Batches per second that a destination did not take at first.", "ops", false).expr(
			`sum by (instance, part) (rate(dnsmonster_sensor_meter_total{ledger="delivery",meter="retries",`+instances+`}[$__rate_interval]))`, "{{instance}} {{part}}"),
	}
}

func sensorProcess() []panel {
	sensors := "{" + instances + "} * on (instance, job) group_left () dnsmonster_sensor_build_info"
	versions := table("Versions", "Version and name of each sensor.").sized(24, 6).now(`dnsmonster_sensor_build_info{` + instances + `}`)
	versions.Targets[0].Format = "table"
	return []panel{
		row("Process"),
		lines("Processors used", "Processors that the sensor's process keeps busy. The capture program's work in the kernel is not among it.", "short", false).expr(
			`rate(process_cpu_seconds_total{`+instances+`}[$__rate_interval]) * on (instance, job) group_left () dnsmonster_sensor_build_info`, "{{instance}}"),
		lines("Memory", "Memory of the sensor's process.", "bytes", false).expr(`process_resident_memory_bytes`+sensors, "{{instance}}"),
		versions,
	}
}
