//go:build linux

package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"dnsmonster-sensor/test/chproxy/fault"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/outputtest"
)

// TestConformance uses a server that is short of memory, loses answers after it has stored
// the data, hangs, and refuses a row by a constraint.
func TestConformance(t *testing.T) {
	c := lab.StartChDB(t, lab.ChDBOptions{})
	var databases atomic.Int64
	outputtest.Run(t, func(ct outputtest.T) *outputtest.Target {
		c.SetFaults(t)
		database := fmt.Sprintf("conformance%d", databases.Add(1))
		o := created(t, c, database, false)
		c.Exec(t, "SYSTEM STOP MERGES "+database+".DNS_LOG")
		o.doubtPeriod = 0
		if err := o.Check(context.Background()); err != nil {
			ct.Fatalf("%v", err)
		}
		return &outputtest.Target{
			Output:   o,
			Want:     rowsOf,
			Received: func() []string { return rowsIn(t, c, database) },
			Fail: func(n int) {
				list := []fault.Fault{{Times: 1, At: fault.Stored, Do: fault.Close}}
				if n > 1 {
					list = append(list, fault.Fault{Times: n - 1, At: fault.Header, Do: fault.Exception, Code: 241, Message: "Memory limit (total) exceeded"})
				}
				c.SetFaults(t, list...)
			},
			Hang: func() func() {
				c.SetFaults(t, fault.Fault{At: fault.Data, Do: fault.Hang})
				return func() { c.SetFaults(t) }
			},
			Refuse: func(want string) {
				name := strings.Split(want, "|")[13]
				c.Exec(t, "ALTER TABLE "+database+".DNS_LOG ADD CONSTRAINT never CHECK lower(hex(Question)) != '"+name+"'")
			},
		}
	})
}
