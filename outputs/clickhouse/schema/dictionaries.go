package schema

import (
	"fmt"
	"strings"

	"dnsmonster-sensor/userspace/dns"
)

// dictionary gives numbers of the protocol their names.
type dictionary struct {
	name  string
	about string
	last  int
	of    func(int) string // "": no name
}

// dictionaries have the names, the key and the attribute that dnsmonster's dashboards
// use: dictGetString('dns_type', 'Name', toUInt64(Type)).
var dictionaries = []dictionary{
	{"dns_class", "classes", 1<<16 - 1, func(n int) string { return dns.ClassName(uint16(n)) }},
	{"dns_opcode", "opcodes", 15, func(n int) string { return dns.OpcodeName(uint8(n)) }},
	{"dns_response", "response codes", 1<<12 - 1, func(n int) string { return dns.RcodeName(uint16(n)) }},
	{"dns_type", "types", 1<<16 - 1, func(n int) string { return dns.TypeName(uint16(n)) }},
}

// dictionaries creates the dictionaries. Their rows are within the statement, so there is
// no file to install on each server, and no table to fill. The server reads them in its own
// process, but as a user, who has no password here: everybody can read a statement. By
// default that is the user default. Many servers have no such user, or one with a password.
func (o Options) dictionaries(add adder) {
	user := ""
	if o.DictionaryUser != "" {
		user = "USER " + literal(o.DictionaryUser) + " "
	}
	for _, d := range dictionaries {
		query := "SELECT toUInt64(splitByChar(' ', line)[1]) AS Id, splitByChar(' ', line)[2] AS Name FROM (SELECT arrayJoin(splitByChar(',', '" + d.rows() + "')) AS line)"
		add(d.name, "CREATE DICTIONARY IF NOT EXISTS %s%s\n(\n    Id UInt64,\n    Name String DEFAULT 'Invalid'\n)\nPRIMARY KEY Id\nSOURCE(CLICKHOUSE(%sQUERY %s))\nLAYOUT(FLAT())\nLIFETIME(0)",
			o.shared(d.name), o.onCluster(), user, doubled(query))
	}
}

func (d dictionary) rows() string {
	var rows []string
	for n := range d.last + 1 {
		if name := d.of(n); name != "" {
			rows = append(rows, fmt.Sprintf("%d %s", n, name))
		}
	}
	return strings.Join(rows, ",")
}

// doubled quotes a text of this package, with its quotes doubled: easier to read than
// escaped ones.
func doubled(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
