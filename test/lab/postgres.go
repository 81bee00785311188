//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres is a database server for one test, on the loopback address. It does not
// sync: a power failure would lose its data.
type Postgres struct {
	Dir  string
	Addr string // host:port
	cred *syscall.Credential
}

// StartPostgres starts a new server, and stops it at the end of the test. Where
// PostgreSQL is not installed the test is skipped; in CI that is a failure. The
// superuser postgres needs no password; other users need one over TCP.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	if _, err := postgresTool("initdb"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("PostgreSQL is not installed: %v", err)
		}
		t.Skipf("PostgreSQL is not installed (apt-get install postgresql): %v", err)
	}
	dir, err := os.MkdirTemp("", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &Postgres{Dir: filepath.Join(dir, "data")}
	if err := p.init(dir); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	return p
}

// StartStandby starts a server that replicates p, and takes no rows until Promote.
func (p *Postgres) StartStandby(t testing.TB) *Postgres {
	t.Helper()
	dir, err := os.MkdirTemp("", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Postgres{Dir: filepath.Join(dir, "data"), cred: p.cred}
	if err := s.own(dir); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(p.Addr)
	if err := p.tool("pg_basebackup", "-D", s.Dir, "-h", host, "-p", port, "-U", "postgres", "-R", "-X", "stream", "--checkpoint=fast", "--no-sync"); err != nil {
		t.Fatal(err)
	}
	if err := s.listen(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	return s
}

// Promote makes a standby take rows.
func (p *Postgres) Promote() error { return p.tool("pg_ctl", "promote", "-w", "-D", p.Dir) }

// UseTLS turns on TLS with a certificate for 127.0.0.1 and db.example.org, signed by
// ca. The server accepts client certificates signed by ca too.
func (p *Postgres) UseTLS(t testing.TB, ca *Authority) {
	t.Helper()
	cert, key := ca.Issue("server", "127.0.0.1", "db.example.org")
	for name, from := range map[string]string{"server.crt": cert, "server.key": key, "root.crt": ca.File} {
		content, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(p.Dir, name), content, 0o600)
		}
		if err == nil {
			err = p.own(filepath.Join(p.Dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Append("postgresql.conf", "ssl=on\nssl_ca_file='root.crt'\n"); err != nil {
		t.Fatal(err)
	}
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
}

// Rules replaces the server's pg_hba.conf, except for the superuser's rules.
func (p *Postgres) Rules(t testing.TB, rules string) {
	t.Helper()
	text := superuserRules + rules + "host all all 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(p.Dir, "pg_hba.conf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
}

const superuserRules = "local all all trust\nhost all,replication postgres 127.0.0.1/32 trust\n"

// postgresTool finds a program of the server, in PATH or where Debian puts it.
func postgresTool(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) == 0 {
		return "", fmt.Errorf("no %s in PATH or /usr/lib/postgresql", name)
	}
	return found[len(found)-1], nil
}

func (p *Postgres) init(dir string) error {
	if os.Getuid() == 0 { // the server refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		p.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	if err := p.own(dir); err != nil {
		return err
	}
	if err := p.tool("initdb", "-D", p.Dir, "-U", "postgres", "--auth=trust", "--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C"); err != nil {
		return err
	}
	const settings = "listen_addresses='127.0.0.1'\nfsync=off\nmax_connections=50\nshared_buffers=64MB\nlog_min_messages=fatal\n"
	if err := p.Append("postgresql.conf", settings); err != nil {
		return err
	}
	if err := p.listen(dir); err != nil {
		return err
	}
	const rules = superuserRules + "host all all 127.0.0.1/32 scram-sha-256\n"
	return os.WriteFile(filepath.Join(p.Dir, "pg_hba.conf"), []byte(rules), 0o644)
}

// own makes the server's user the owner of a file or folder.
func (p *Postgres) own(path string) error {
	if p.cred == nil {
		return nil
	}
	return os.Chown(path, int(p.cred.Uid), int(p.cred.Gid))
}

// listen chooses a free port.
func (p *Postgres) listen(socketDir string) error {
	port, err := freePort("tcp")
	if err != nil {
		return err
	}
	p.Addr = fmt.Sprintf("127.0.0.1:%d", port)
	return p.Append("postgresql.conf", fmt.Sprintf("port=%d\nunix_socket_directories='%s'\n", port, socketDir))
}

// Append adds lines to one of the server's files.
func (p *Postgres) Append(file, text string) error {
	f, err := os.OpenFile(filepath.Join(p.Dir, file), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// tool runs a program of the server as the server's user.
func (p *Postgres) tool(name string, args ...string) error {
	path, err := postgresTool(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.cred}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out.String())
	}
	return nil
}

// Start starts a server that is stopped, and waits until it answers.
func (p *Postgres) Start() error {
	return p.tool("pg_ctl", "start", "-w", "-t", "120", "-D", p.Dir, "-l", filepath.Join(p.Dir, "log"))
}

// Stop shuts the server down in order; it closes its clients' connections.
func (p *Postgres) Stop() error { return p.tool("pg_ctl", "stop", "-w", "-m", "fast", "-D", p.Dir) }

// Kill stops the server at once, as a crash would; its next start recovers.
func (p *Postgres) Kill() error {
	return p.tool("pg_ctl", "stop", "-w", "-m", "immediate", "-D", p.Dir)
}

// Reload makes the server read its files again.
func (p *Postgres) Reload() error { return p.tool("pg_ctl", "reload", "-D", p.Dir) }

// URL is the address of the database postgres for a user. addr is Addr, or that of a
// proxy.
func (p *Postgres) URL(addr, user string) string {
	return "postgres://" + user + "@" + addr + "/postgres?sslmode=disable"
}

// Exec runs statements as the superuser.
func (p *Postgres) Exec(t testing.TB, sql string) {
	t.Helper()
	p.do(t, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.PgConn().Exec(ctx, sql).ReadAll()
		return err
	})
}

// Strings returns the first column of a query's rows, as text.
func (p *Postgres) Strings(t testing.TB, sql string) (list []string) {
	t.Helper()
	p.do(t, func(ctx context.Context, c *pgx.Conn) error {
		results, err := c.PgConn().Exec(ctx, sql).ReadAll()
		if err != nil {
			return err
		}
		for _, row := range results[len(results)-1].Rows {
			list = append(list, string(row[0]))
		}
		return nil
	})
	return list
}

// Int returns the one number that a query gives.
func (p *Postgres) Int(t testing.TB, sql string) int {
	t.Helper()
	list := p.Strings(t, sql)
	if len(list) != 1 {
		t.Fatalf("%s: %d rows, want 1", sql, len(list))
	}
	n, err := strconv.Atoi(list[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (p *Postgres) do(t testing.TB, f func(context.Context, *pgx.Conn) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, p.URL(p.Addr, "postgres"))
	if err == nil {
		defer c.Close(ctx)
		err = f(ctx, c)
	}
	if err != nil {
		t.Fatal(err)
	}
}
