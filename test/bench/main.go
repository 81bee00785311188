//go:build linux

// Bench measures the sensor beside a reference, which does the same work in the plain
// way, with gopacket, miekg/dns and encoding/json. Captures come in; tables for
// docs/benchmarking.md go out. Nothing may import it. Its captures are recorded once by
// packaging/dev/make-captures.sh; its tests write small ones.
//
//	go run ./test/bench [options]             capture files: CPU seconds, ratios, memory
//	go run ./test/bench live [options]        an interface: CPU for each packet, highest rate without loss
//	go run ./test/bench latency [options]     how much later a server answers because it is watched
//	go run ./test/bench clickhouse [options]  into ClickHouse: CPU seconds, ratios, bytes on the wire
//	go run ./test/bench dnstap [options]      over a unix socket: CPU seconds, highest rate without loss
//	go run ./test/bench reference FILE        the reference itself, records to stdout
//	go run ./test/bench reference-live IFACE  the same behind AF_PACKET, until SIGINT
//
// Whole processes are measured, user and system time together: other load on the
// machine disturbs that less than wall-clock time.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	args := os.Args[1:]
	verb := ""
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		verb, args = args[0], args[1:]
	}
	if err := run(ctx, verb, args); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, verb string, args []string) error {
	switch verb {
	case "":
		return benchFiles(ctx, args)
	case "live":
		return benchLive(ctx, args)
	case "latency":
		return benchLatency(ctx, args)
	case "clickhouse":
		return benchClickHouse(ctx, args)
	case "dnstap":
		return benchDnstap(ctx, args)
	case "reference", "reference-live":
		if len(args) != 1 {
			return fmt.Errorf("%s: one argument is needed", verb)
		}
		if verb == "reference" {
			return referenceFile(args[0], os.Stdout)
		}
		return referenceLive(ctx, args[0], os.Stdout)
	}
	return fmt.Errorf("%q is not one of live, latency, clickhouse, dnstap, reference, reference-live", verb)
}
