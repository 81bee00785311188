package clickhouse

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/outputs/secure"
)

// options say where the table is and how rows travel to it.
type options struct {
	addresses cli.StringSlice
	login     secure.Login
	database  string
	table     string
	cluster   string

	secure      bool
	tls         secure.TLS
	compress    uint
	compression string
	debug       bool

	fullQuery   bool
	useIdentity bool
	channelSize uint
}

// tableFlags are the options that the commands have, too.
func (s *options) tableFlags(section string) []cli.Flag {
	flags := []cli.Flag{
		&cli.StringSliceFlag{
			Category: section, Name: "clickhouseaddress", EnvVars: []string{"DNSMONSTER_CLICKHOUSEADDRESS"}, Value: cli.NewStringSlice("localhost:9000"), Destination: &s.addresses, KeepSpace: true,
			Usage: "`HOST:PORT` of a server's native protocol; repeat for several, the first that works is used. Without a port: 9000, or 9440 with TLS",
		},
	}
	flags = append(flags, s.login.Flags(section, "DNSMONSTER_CLICKHOUSEUSERNAME", "DNSMONSTER_CLICKHOUSEPASSWORD", "DNSMONSTER_CLICKHOUSEPASSWORDFILE")...)
	flags = append(flags,
		&cli.StringFlag{
			Category: section, Name: "clickhousedatabase", EnvVars: []string{"DNSMONSTER_CLICKHOUSEDATABASE"}, Value: "default", Destination: &s.database,
			Usage: "`DATABASE` of the tables",
		},
		&cli.StringFlag{
			Category: section, Name: "clickhousetable", EnvVars: []string{"DNSMONSTER_CLICKHOUSETABLE"}, Value: "DNS_LOG", Destination: &s.table,
			Usage: "`TABLE` of the records. Case matters",
		},
		&cli.StringFlag{
			Category: section, Name: "clickhousecluster", EnvVars: []string{"DNSMONSTER_CLICKHOUSECLUSTER"}, Destination: &s.cluster,
			Usage: "`NAME` of the cluster whose shards are written to, as in system.clusters. Empty: only the servers of clickhouseaddress",
		},
		&cli.BoolFlag{
			Category: section, Name: "clickhousesecure", EnvVars: []string{"DNSMONSTER_CLICKHOUSESECURE"}, Destination: &s.secure,
			Usage: "use TLS",
		},
	)
	return append(flags, s.tls.Flags(section, "DNSMONSTER_CLICKHOUSECAFILE", "DNSMONSTER_CLICKHOUSECERTFILE", "DNSMONSTER_CLICKHOUSEKEYFILE")...)
}

// writeFlags are the options of the sensor alone.
func (s *options) writeFlags(section string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Category: section, Name: "clickhousecompression", EnvVars: []string{"DNSMONSTER_CLICKHOUSECOMPRESSION"}, Destination: &s.compression,
			Usage: "`CODEC` of the connection: none, lz4 or zstd. Empty: lz4 if clickhousecompress is not 0, otherwise none",
		},
		&cli.UintFlag{
			Category: section, Name: "clickhousecompress", EnvVars: []string{"DNSMONSTER_CLICKHOUSECOMPRESS"}, Destination: &s.compress,
			Usage: "compress the connection with LZ4 if `LEVEL` is 1 to 9, which are all the same: ClickHouse's LZ4 has no levels. See clickhousecompression",
		},
		&cli.BoolFlag{
			Category: section, Name: "clickhousesavefullquery", EnvVars: []string{"DNSMONSTER_CLICKHOUSESAVEFULLQUERY"}, Destination: &s.fullQuery,
			Usage: "also store the whole record as JSON, in the column FullQuery",
		},
		&cli.BoolFlag{
			Category: section, Name: "clickhouseusednstapidentity", EnvVars: []string{"DNSMONSTER_CLICKHOUSEUSEDNSTAPIDENTITY"}, Destination: &s.useIdentity,
			Usage: "store the identity of dnstap messages, where they have one, as the name of the server",
		},
		&cli.BoolFlag{
			Category: section, Name: "clickhousedebug", EnvVars: []string{"DNSMONSTER_CLICKHOUSEDEBUG"}, Destination: &s.debug,
			Usage: "log each query and how long it took, without its data",
		},
		&cli.UintFlag{
			Category: section, Name: "clickhouseworkerchannelsize", EnvVars: []string{"DNSMONSTER_CLICKHOUSEWORKERCHANNELSIZE"}, Value: 100_000, Destination: &s.channelSize,
			Usage: "accepted for compatibility, no effect",
		},
	}
}

// wrongs collects what is wrong with options.
type wrongs []error

func (w *wrongs) addIf(wrong bool, text string, args ...any) {
	if wrong {
		*w = append(*w, fmt.Errorf(text, args...))
	}
}

// checkNames finds what is wrong with the names of database, table and cluster.
func (s *options) checkNames() error {
	var errs wrongs
	addIf := errs.addIf
	addIf(s.database == "", "clickhousedatabase: is empty: set the database of the tables, such as default")
	addIf(s.table == "", "clickhousetable: is empty: set the table of the records, such as DNS_LOG")
	addIf(strings.ContainsRune(s.table, '.'), "clickhousetable: %q: name the table alone, and its database with clickhousedatabase", s.table)
	for _, n := range []struct{ option, name string }{{"clickhousedatabase", s.database}, {"clickhousetable", s.table}, {"clickhousecluster", s.cluster}} {
		addIf(!isName(n.name), "%s: %q has a character that names in ClickHouse cannot have here: use letters, digits, '_' and '-'", n.option, n.name)
	}
	return errors.Join(errs...)
}

// check finds what is wrong with the options.
func (s *options) check() error {
	_, err := s.hosts()
	errs := wrongs{err, s.checkNames()}
	addIf := errs.addIf
	addIf(s.compress > 9, "clickhousecompress: %d is not one of 0 to 9", s.compress)
	addIf(!slices.Contains(codecs, s.compression), "clickhousecompression: %q is not one of none, lz4, zstd", s.compression)
	addIf(s.compression != "" && s.compression != "lz4" && s.compress != 0, "clickhousecompress: %d is a level of LZ4, but clickhousecompression is %s: leave one of them out", s.compress, s.compression)
	for _, o := range []struct{ option, value string }{{"clickhousecafile", s.tls.CAFile}, {"clickhousecertfile", s.tls.CertFile}, {"clickhousekeyfile", s.tls.KeyFile}} {
		addIf(o.value != "" && !s.secure, "%s: is used only with TLS: set clickhousesecure=true", o.option)
	}
	if s.secure {
		_, err := s.tls.Config("", false)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

var codecs = []string{"", "none", "lz4", "zstd"}

// isName reports whether a name is safe in every place of a statement, also within quotes
// within quotes. The names of real tables are.
func isName(s string) bool {
	for _, r := range s {
		if !(r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') {
			return false
		}
	}
	return true
}

// codec is the compression of the connection.
func (s *options) codec() server.Compression {
	switch {
	case s.compression == "zstd":
		return server.ZSTD
	case s.compression == "lz4" || s.compression == "" && s.compress > 0:
		return server.LZ4
	}
	return server.None
}

// hosts are the addresses, each with its port.
func (s *options) hosts() (list []string, err error) {
	port := "9000"
	if s.secure {
		port = "9440"
	}
	for _, text := range s.addresses.Value() {
		a, err := completeAddress(strings.TrimSpace(text), port)
		if err != nil {
			return nil, err
		}
		if slices.Contains(list, a) {
			return nil, fmt.Errorf("clickhouseaddress: %s is there twice", a)
		}
		list = append(list, a)
	}
	if len(list) == 0 {
		return nil, errors.New("clickhouseaddress: is empty: set HOST:PORT of a server")
	}
	return list, nil
}

// completeAddress checks HOST:PORT, and adds the port if it is missing.
func completeAddress(text, port string) (string, error) {
	const want = "write HOST:PORT of the native protocol, such as db.example.org:9000 or [2001:db8::1]:9000"
	switch {
	case text == "":
		return "", errors.New("clickhouseaddress: is empty: " + want)
	case strings.Contains(text, "://"):
		return "", fmt.Errorf("clickhouseaddress: %q is a URL: %s", text, want)
	case strings.Contains(text, ","):
		return "", fmt.Errorf("clickhouseaddress: %q: repeat the option for several addresses", text)
	case net.ParseIP(strings.Trim(text, "[]")) != nil:
		return net.JoinHostPort(strings.Trim(text, "[]"), port), nil
	case !strings.Contains(text, ":"):
		text += ":" + port
	}
	host, p, err := net.SplitHostPort(text)
	number, wrong := strconv.ParseUint(p, 10, 16)
	if err != nil || wrong != nil || number == 0 || host == "" || strings.ContainsAny(host, " /@") {
		return "", fmt.Errorf("clickhouseaddress: %q: %s", text, want)
	}
	return text, nil
}

// describe names the table and the servers.
func (s *options) describe() string {
	where := s.database + "." + s.table
	if s.cluster != "" {
		return where + " on cluster " + s.cluster
	}
	hosts, _ := s.hosts()
	return where + " at " + strings.Join(hosts, ", ")
}
