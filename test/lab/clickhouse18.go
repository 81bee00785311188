//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// ClickHouse18Options are what Debian's old server can have. The zero value is a server
// without TLS.
type ClickHouse18Options struct {
	TLS *Authority // signs a certificate for 127.0.0.1 and db.example.org
}

// StartClickHouse18 starts Debian's clickhouse-server 18.16 for one test. Where it is not
// installed the test is skipped; in CI that is a failure. Its users are default without a
// password, sensor with the password secret, reader (secret) who may only read, and
// confined (secret) who may use no database but default.
func StartClickHouse18(t testing.TB, o ClickHouse18Options) *ClickHouse {
	t.Helper()
	Need(t, "clickhouse-server")
	c := newClickHouse18(t, freePorts18(t), o, "")
	c.Start(t)
	t.Cleanup(c.Kill)
	return c
}

// ports18 are where a server listens.
type ports18 struct{ native, secure, http, interserver int }

func freePorts18(t testing.TB) ports18 {
	return ports18{FreePort(t, "tcp"), FreePort(t, "tcp"), FreePort(t, "tcp"), FreePort(t, "tcp")}
}

// newClickHouse18 writes the files of a server. more is put into its configuration.
func newClickHouse18(t testing.TB, p ports18, o ClickHouse18Options, more string) *ClickHouse {
	t.Helper()
	dir := tempDir(t, "clickhouse")
	c := &ClickHouse{
		Addr: fmt.Sprintf("127.0.0.1:%d", p.native), HTTPAddr: fmt.Sprintf("127.0.0.1:%d", p.http), Dir: dir, Database: "default",
	}
	if o.TLS != nil {
		c.TLSAddr = fmt.Sprintf("127.0.0.1:%d", p.secure)
		cert, key := o.TLS.Issue("clickhouse", "127.0.0.1", "db.example.org")
		more += fmt.Sprintf("<tcp_port_secure>%d</tcp_port_secure>", p.secure) +
			"<openSSL><server><certificateFile>" + cert + "</certificateFile><privateKeyFile>" + key + "</privateKeyFile>" +
			"<verificationMode>none</verificationMode><disableProtocols>sslv2,sslv3</disableProtocols></server></openSSL>"
	}
	config := fmt.Sprintf(config18, p.http, p.native, p.interserver, more)
	for name, text := range map[string]string{"config.xml": strings.ReplaceAll(config, "@DIR@", dir), "users.xml": users18} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	c.command = func() *exec.Cmd {
		cmd := exec.Command(find("clickhouse-server"), "--config-file="+filepath.Join(dir, "config.xml"))
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{}
		return cmd
	}
	return c
}

const config18 = `<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><log>@DIR@/log/server.log</log><errorlog>@DIR@/log/err.log</errorlog></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>%d</http_port>
  <tcp_port>%d</tcp_port>
  <interserver_http_port>%d</interserver_http_port>
  <interserver_http_host>127.0.0.1</interserver_http_host>
  <max_connections>64</max_connections>
  <mark_cache_size>67108864</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <path>@DIR@/data/</path>
  <tmp_path>@DIR@/tmp/</tmp_path>
  <user_files_path>@DIR@/user_files/</user_files_path>
  <format_schema_path>@DIR@/format/</format_schema_path>
  <users_config>@DIR@/users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <timezone>UTC</timezone>
  %s
</yandex>
`

const users18 = `<?xml version="1.0"?>
<yandex>
  <profiles>
    <default><max_memory_usage>4000000000</max_memory_usage><background_pool_size>4</background_pool_size><background_schedule_pool_size>4</background_schedule_pool_size></default>
    <reader><readonly>1</readonly></reader>
  </profiles>
  <users>
    <default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default>
    <sensor><password>secret</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></sensor>
    <reader><password>secret</password><networks><ip>127.0.0.1</ip></networks><profile>reader</profile><quota>default</quota></reader>
    <confined><password>secret</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota><allow_databases><database>default</database></allow_databases></confined>
  </users>
  <quotas><default></default></quotas>
</yandex>
`
