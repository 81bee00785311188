//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The tables: dnsmonster's 17 columns, and our own.
const (
	theirs = "theirs"
	ours   = "ours"
)

// sends are the jobs against a server that discards. The first is not one: it says what
// everything before the output costs.
var sends = []job{
	{name: "null output", args: []string{"--nulloutputtype", "1"}},
	{name: "17 columns", args: into(theirs)},
	{name: "17 columns, FullQuery", args: into(theirs, "--clickhousesavefullquery")},
	{name: "our layout", args: into(ours)},
	{name: "17 columns, two processors", args: append(into(theirs), "--gomaxprocs", "2")},
}

// codecs are sent through a counter of bytes.
var codecs = []job{
	{name: "17 columns, none", args: into(theirs, "--clickhousecompression", "none")},
	{name: "17 columns, lz4", args: into(theirs, "--clickhousecompression", "lz4")},
	{name: "17 columns, zstd", args: into(theirs, "--clickhousecompression", "zstd")},
	{name: "our layout, none", args: into(ours, "--clickhousecompression", "none")},
	{name: "our layout, lz4", args: into(ours, "--clickhousecompression", "lz4")},
	{name: "our layout, zstd", args: into(ours, "--clickhousecompression", "zstd")},
}

func into(database string, more ...string) []string {
	return append([]string{"--clickhouseoutputtype", "1", "--clickhousedatabase", database}, more...)
}

// batch is the default of clickhousebatchsize.
const batch = 100_000

const peer = "clickhouse-go"

// inserts measures the ClickHouse output.
type inserts struct {
	fileOptions
	tools   string
	engine  *engine
	capture traffic
	rows    string // the CSV for the loops
	number  int    // of rows
	of      map[string]series
	wire    map[string]int64 // bytes of one round
}

func benchClickHouse(ctx context.Context, args []string) (err error) {
	m := &inserts{of: make(map[string]series), wire: make(map[string]int64)}
	flags := flag.NewFlagSet("bench clickhouse", flag.ExitOnError)
	flags.StringVar(&m.sensor, "sensor", "./dnsmonster-sensor", "the `binary` to measure")
	flags.StringVar(&m.cache, "captures", filepath.Join("build", "captures"), "`folder` for the capture; an existing one is used")
	flags.StringVar(&m.tools, "tools", filepath.Join("build", "tools"), "`folder` of chproxy, libchdb.so and loops")
	flags.IntVar(&m.rounds, "rounds", 5, "`number` of rounds for the medians")
	flags.StringVar(&m.doc, "doc", "", "also insert the figures into this `page`, between its markers")
	flags.StringVar(&m.report, "report", filepath.Join("build", "bench-clickhouse.md"), "`file` for the figures")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if m.capture, err = smallCapture(ctx, m.cache); err != nil {
		return err
	}
	if m.engine, err = startEngine(ctx, m.tools); err != nil {
		return err
	}
	defer m.engine.stop()
	if err := m.prepare(ctx); err != nil {
		return err
	}
	for round := range m.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, m.rounds)
		if err := m.round(ctx); err != nil {
			return err
		}
	}
	return keep(m.markdown(), m.report, m.doc, "make bench-clickhouse")
}

// prepare creates the tables, and writes the rows for the loops.
func (m *inserts) prepare(ctx context.Context) error {
	for database, layout := range map[string]string{theirs: "dnsmonster", ours: "sensor"} {
		if _, err := measure(ctx, m.sensor, "clickhouse", "init", "--layout", layout, "--clickhouseaddress", m.engine.address, "--clickhousedatabase", database); err != nil {
			return err
		}
	}
	m.rows = filepath.Join(m.engine.dir, "rows.csv")
	f, err := os.Create(m.rows)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.CommandContext(ctx, m.sensor, "replay", m.capture.path, "--stdoutoutputtype", "1", "--stdoutoutputformat", "csv")
	cmd.Stdout = f
	return cmd.Run()
}

func (m *inserts) round(ctx context.Context) error {
	if err := m.engine.discard(true); err != nil {
		return err
	}
	for i, j := range sends {
		address := m.engine.address
		if i == 0 {
			address = ""
		}
		if err := m.send(ctx, j.name, address, j.args); err != nil {
			return err
		}
	}
	if err := m.loop(ctx, peer, peer); err != nil {
		return err
	}
	for _, j := range codecs {
		c, err := count(m.engine.address)
		if err != nil {
			return err
		}
		err = m.send(ctx, j.name, c.Addr().String(), j.args)
		c.Close()
		if err != nil {
			return err
		}
		m.wire[j.name] = c.bytes.Load()
	}
	return m.store(ctx)
}

// The jobs that store.
const (
	stored     = "the sensor"
	storedLoop = "a ch-go loop"
)

// store measures what reaches the engine: the time of the whole process, and of the loop.
func (m *inserts) store(ctx context.Context) error {
	if err := m.engine.discard(false); err != nil {
		return err
	}
	for _, run := range []func() error{
		func() error { return m.loop(ctx, storedLoop, "ch-go") },
		func() error { return m.send(ctx, stored, m.engine.address, into(theirs)) },
	} {
		if err := m.engine.post("/?database="+theirs, "TRUNCATE TABLE DNS_LOG"); err != nil {
			return err
		}
		if err := run(); err != nil {
			return err
		}
	}
	return nil
}

// send measures one run of the sensor with one worker, on one processor unless the job says
// otherwise: threads that share a core, as two virtual processors often do, delay each other,
// and the null output has only one.
func (m *inserts) send(ctx context.Context, name, address string, args []string) error {
	args = append([]string{"replay", m.capture.path, "--workers", "1"}, args...)
	if !slices.Contains(args, "--gomaxprocs") {
		args = append(args, "--gomaxprocs", "1")
	}
	if address != "" {
		args = append(args, "--clickhouseaddress", address)
	}
	s, err := measure(ctx, m.sensor, args...)
	if err != nil {
		return err
	}
	if written := inWritten.FindStringSubmatch(s.log); written != nil {
		n, err := strconv.Atoi(strings.ReplaceAll(written[1], ",", ""))
		if err != nil {
			return err
		}
		if m.number > 0 && n != m.number {
			return fmt.Errorf("%s: %d rows, want %d", name, n, m.number)
		}
		m.number = n
	}
	m.of[name] = append(m.of[name], s)
	return nil
}

var inWritten = regexp.MustCompile(`(?m)^ *clickhouse: ([0-9,]+) written`)

// loop measures inserts with one of the libraries.
func (m *inserts) loop(ctx context.Context, name, library string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(m.tools, "loops"), library, m.engine.address, theirs, m.rows, strconv.Itoa(batch))
	cmd.Stderr, cmd.Env = os.Stderr, append(os.Environ(), "GOMAXPROCS=1")
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("run %v: %w", cmd.Args, err)
	}
	var c struct{ CPU, Wall float64 }
	if err := json.Unmarshal(out, &c); err != nil {
		return err
	}
	begin := finished(cmd, time.Duration(c.Wall*float64(time.Second)), "")
	begin.cpu = c.CPU
	m.of[name] = append(m.of[name], begin)
	return nil
}

func (m *inserts) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nMedians of %d rounds, the programs in turn; %d rows of the small capture in batches of %d, one worker on one processor unless the line says otherwise, no compression. CPU seconds are user and system time.\n", machine(m.sensor), m.rounds, m.number, batch)
	b.WriteString("\n| to a server that discards | CPU s (least - most) | rows per CPU second | of the null output's rate | memory beyond the file |\n|---|---|---|---|---|\n")
	null := m.of[sends[0].name].cpu()
	for _, j := range sends {
		s := m.of[j.name]
		fmt.Fprintf(&b, "| %s | %s | %s | %.0f %% | %d MiB |\n", j.name, spreadText(s), m.rate(s), 100*null/s.cpu(), max(0, s.rss()-m.capture.size)>>20)
	}
	s := m.of[peer]
	fmt.Fprintf(&b, "| a %s batch loop, 17 columns, without decoding | %s | %s | %.0f %% | |\n", peer, spreadText(s), m.rate(s), 100*null/s.cpu())
	b.WriteString("\n| compression | MB for a million rows | CPU s for a million rows (least - most) |\n|---|---|---|\n")
	million := 1e6 / float64(m.number)
	for _, j := range codecs {
		least, most := m.of[j.name].spread()
		fmt.Fprintf(&b, "| %s | %.1f | %.2f (%.2f - %.2f) |\n", j.name, float64(m.wire[j.name])*million/1e6, m.of[j.name].cpu()*million, least*million, most*million)
	}
	sensor, loop := m.of[stored], m.of[storedLoop]
	b.WriteString("\n| into ClickHouse's engine, dnsmonster's tables and views | wall-clock time, s | rows per second |\n|---|---|---|\n")
	for _, name := range []string{stored, storedLoop} {
		fmt.Fprintf(&b, "| %s | %.2f | %.2f M |\n", name, m.of[name].wall(), float64(m.number)/m.of[name].wall()/1e6)
	}
	fmt.Fprintf(&b, "\nThe sensor, which also starts, reads the file and decodes, reaches %.0f %% of the loop's rate.\n", 100*loop.wall()/sensor.wall())
	return b.String()
}

func (m *inserts) rate(s series) string { return fmt.Sprintf("%.2f M", float64(m.number)/s.cpu()/1e6) }

func spreadText(s series) string {
	least, most := s.spread()
	return fmt.Sprintf("%.2f (%.2f - %.2f)", s.cpu(), least, most)
}
