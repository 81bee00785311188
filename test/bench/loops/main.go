// Loops inserts rows into dnsmonster's 17 columns as a program does that is written in the
// usual way with one of ClickHouse's own libraries for Go. CSV of `dnsmonster-sensor replay`
// comes in; the cost of the inserts goes out, as JSON. Rows are in memory before time is
// taken, so decoding packets costs nothing here.
//
// It is a module of its own: nothing else of the project needs clickhouse-go.
//
//	loops clickhouse-go|ch-go ADDRESS DATABASE ROWS.csv BATCH
package main

import (
	"context"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// row is a row as a program has it before it inserts it.
type row struct {
	time, index        time.Time
	server, question   string
	src, dst           netip.Addr
	protocol           string
	class, qtype, size uint16
	ipVersion, qr      uint8
	opcode, rcode      uint8
	edns, do           uint8
}

// loops insert batches of rows.
var loops = map[string]func(ctx context.Context, address, database string, batches [][]row) error{
	"clickhouse-go": clickhouseGo,
	"ch-go":         chGo,
}

// cost is what goes out.
type cost struct {
	Rows int     `json:"rows"`
	CPU  float64 `json:"cpu"`  // seconds, user and system
	Wall float64 `json:"wall"` // seconds
}

func main() {
	c, err := run(os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "loops:", err)
		os.Exit(1)
	}
}

func run(args []string) (c cost, err error) {
	if len(args) != 5 || loops[args[0]] == nil {
		return c, errors.New("usage: loops clickhouse-go|ch-go ADDRESS DATABASE ROWS.csv BATCH")
	}
	batch, err := strconv.Atoi(args[4])
	if err != nil || batch < 1 {
		return c, fmt.Errorf("%q is not a number of rows", args[4])
	}
	rows, err := read(args[3])
	if err != nil {
		return c, fmt.Errorf("read %s: %w", args[3], err)
	}
	batches := slices.Collect(slices.Chunk(rows, batch))
	runtime.GC()
	cpu, begin := used(), time.Now()
	err = loops[args[0]](context.Background(), args[1], args[2], batches)
	return cost{Rows: len(rows), CPU: used() - cpu, Wall: time.Since(begin).Seconds()}, err
}

// used is the CPU time of the process so far.
func used() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails for no process that exists
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// read reads the CSV.
func read(path string) (rows []row, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil {
		return nil, err
	}
	at := make(map[string]int)
	for i, name := range head {
		at[name] = i
	}
	for {
		fields, err := r.Read()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		number := func(name string) int {
			n, wrong := strconv.Atoi(fields[at[name]])
			err = errors.Join(err, wrong)
			return n
		}
		v := row{
			time:   time.Date(number("Year"), time.Month(number("Month")), number("Day"), number("Hour"), number("Minute"), number("Second"), number("Ns"), time.UTC),
			index:  time.Now(),
			server: fields[at["Server"]], question: fields[at["Question"]], protocol: protocols[fields[at["Protocol"]]],
			class: uint16(number("Class")), qtype: uint16(number("Type")), size: uint16(number("Size")),
			ipVersion: uint8(number("IPVersion")), qr: uint8(number("Qr")), opcode: uint8(number("OpCode")), rcode: uint8(number("ResponseCode")),
			edns: uint8(number("Edns0Present")), do: uint8(number("DoBit")),
		}
		v.src, v.dst = address(uint64(number("SrcIP")), v.ipVersion), address(uint64(number("DstIP")), v.ipVersion)
		if err != nil {
			return nil, err
		}
		rows = append(rows, v)
	}
}

var protocols = map[string]string{"6": "tcp", "17": "udp"}

// address makes an address of a number in the CSV, which has of an IPv6 address the first
// half.
func address(n uint64, version uint8) netip.Addr {
	var b [16]byte
	if version == 4 {
		b[10], b[11] = 0xff, 0xff
		binary.BigEndian.PutUint32(b[12:], uint32(n))
	} else {
		binary.BigEndian.PutUint64(b[:], n)
	}
	return netip.AddrFrom16(b)
}
