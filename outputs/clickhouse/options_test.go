//go:build linux

package clickhouse

import (
	"strings"
	"testing"

	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/test/outputtest"
)

// TestAddresses completes addresses, and refuses what is none.
func TestAddresses(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		o := New()
		outputtest.Options(t, o, append([]string{"--clickhouseoutputtype=1"}, args...)...)
		_, err := o.Settings()
		hosts, _ := o.set.hosts()
		if got := strings.Join(hosts, " "); err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %s, %v; want %s", args, got, err, want)
		}
	}
	f("localhost:9000")
	f("localhost:9000", "--clickhouseaddress=localhost")
	f("db.example.org:9440", "--clickhouseaddress= db.example.org ", "--clickhousesecure")
	f("192.0.2.1:9001 [2001:db8::1]:9000 [2001:db8::2]:9000", "--clickhouseaddress=192.0.2.1:9001", "--clickhouseaddress=2001:db8::1", "--clickhouseaddress=[2001:db8::2]")
	f("is there twice", "--clickhouseaddress=a:9000", "--clickhouseaddress=a")
	f("is a URL: write HOST:PORT", "--clickhouseaddress=http://a:8123")
	f("write HOST:PORT", "--clickhouseaddress=a:0")
	f("write HOST:PORT", "--clickhouseaddress=a:65536")
	f("write HOST:PORT", "--clickhouseaddress=:9000")
	f("write HOST:PORT", "--clickhouseaddress=user@a:9000")
	f("write HOST:PORT", "--clickhouseaddress=a:b:9000")
	f("clickhousecafile: is used only with TLS", "--clickhousecafile=/etc/hosts")
	f("clickhousetable: \"a.b\": name the table alone", "--clickhousetable=a.b")
	f("clickhousecompress: 3 is a level of LZ4, but clickhousecompression is zstd", "--clickhousecompress=3", "--clickhousecompression=zstd")
}

// TestCodec: the old number and the new name agree.
func TestCodec(t *testing.T) {
	f := func(want server.Compression, args ...string) {
		t.Helper()
		if o := newOutput(t, args...); o.set.codec() != want {
			t.Errorf("%v: %v, want %v", args, o.set.codec(), want)
		}
	}
	f(server.None)
	f(server.None, "--clickhousecompress=0")
	f(server.LZ4, "--clickhousecompress=9")
	f(server.LZ4, "--clickhousecompression=lz4")
	f(server.LZ4, "--clickhousecompression=lz4", "--clickhousecompress=1")
	f(server.ZSTD, "--clickhousecompression=zstd")
	f(server.None, "--clickhousecompression=none")
}
