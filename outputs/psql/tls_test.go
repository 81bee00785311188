//go:build linux

package psql

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/lab"
)

// protected is the server with TLS, and its users: open may connect either way, sealed
// only with TLS, clear only without TLS, badge only with a certificate.
func protected(t *testing.T) *lab.Postgres {
	t.Helper()
	p := second(t)
	p.Exec(t, `DO $$ BEGIN
		IF to_regrole('sealed') IS NULL THEN CREATE ROLE open LOGIN PASSWORD 'Hush-Hush'; CREATE ROLE sealed LOGIN PASSWORD 'Hush-Hush';
			CREATE ROLE clear LOGIN PASSWORD 'Hush-Hush'; CREATE ROLE badge LOGIN; CREATE ROLE lost LOGIN PASSWORD 'Hush-Hush'; GRANT CREATE ON SCHEMA public TO open, sealed, clear, badge; END IF; END $$`)
	const any = " 127.0.0.1/32 "
	p.Rules(t, "hostssl all sealed"+any+"scram-sha-256\nhostnossl all clear"+any+"scram-sha-256\nhostssl all badge"+any+"cert\nhost all sealed,clear,badge"+any+"reject\n")
	return p
}

// reach connects an output as query says and returns all of its messages.
func reach(t *testing.T, host, user, query string, args ...string) (all string, err error) {
	t.Helper()
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, "Hush-Hush"), Host: host, Path: "/postgres", RawQuery: query}
	o := parsed(t, append([]string{"--psqloutputtype", "1", "--psqlendpoint", u.String(), "--psqltable", newTable()}, args...)...)
	log := logTo(o)
	if _, err = o.Settings(); err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err = o.Check(ctx)
	}
	var out bytes.Buffer
	o.Admin().Check(context.Background(), &out)
	all = out.String() + log.String()
	if err != nil {
		all += err.Error()
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s %s: several lines: %v", user, query, err)
		}
	}
	if strings.Contains(all, "Hush") {
		t.Errorf("%s %s: shows a password: %s", user, query, all)
	}
	return all, err
}

// TestTLS connects in every mode, with good and bad certificates. What cannot work is
// one permanent error, with the option that repairs it.
func TestTLS(t *testing.T) {
	p := protected(t)
	_, port, _ := net.SplitHostPort(p.Addr)
	local := "localhost:" + port // a name that the certificate does not have
	root := "&sslrootcert=" + authority.File
	other := "&sslrootcert=" + lab.NewAuthority(t).File
	cert, key := authority.Issue("badge")
	badge := "&sslcert=" + cert + "&sslkey=" + key
	cert, key = lab.NewAuthority(t).Issue("badge")
	forged := "&sslcert=" + cert + "&sslkey=" + key
	plain := postgres(t).Addr

	f := func(host, user, query, want string) {
		t.Helper()
		all, err := reach(t, host, user, query)
		problem, fails := strings.CutPrefix(want, "error ")
		for range 20 { // the server's alert about a certificate can be lost: then it is only suspected
			if err == nil || !rejectedAfterHandshake(err) || !strings.Contains(all, problem) {
				break
			}
			all, err = reach(t, host, user, query)
		}
		if (err != nil) != fails || err != nil && !errors.Is(err, outputs.ErrPermanent) || !strings.Contains(all, problem) {
			t.Errorf("%s at %s with %s: error %v, want %q in\n%s", user, host, query, err, want, all)
		}
	}
	const checked, unchecked, none = "the server's certificate is checked", "certificate is not checked", "no TLS"
	f(p.Addr, "open", "sslmode=disable", none)
	f(p.Addr, "open", "sslmode=allow", none)
	f(p.Addr, "sealed", "sslmode=allow", unchecked)
	f(p.Addr, "open", "sslmode=prefer", unchecked)
	f(p.Addr, "open", "", unchecked)
	f(p.Addr, "clear", "sslmode=prefer", none)
	f(p.Addr, "sealed", "sslmode=require", unchecked)
	f(p.Addr, "open", "sslmode=require"+root, checked) // as in libpq: with a root certificate it is verify-ca
	f(p.Addr, "open", "sslmode=verify-ca"+root, checked)
	f(local, "open", "sslmode=verify-ca"+root, checked)
	f(p.Addr, "open", "sslmode=verify-full"+root, checked)
	f(p.Addr, "badge", "sslmode=verify-full"+root+badge, checked)

	f(p.Addr, "sealed", "sslmode=disable", "error the server requires TLS from this host, or has no rule for it in pg_hba.conf: set sslmode=require")
	f(plain, "postgres", "sslmode=require", "error the server has no TLS, which sslmode in --psqlendpoint requires: enable it there")
	f(plain, "postgres", "sslmode=verify-full"+root, "error the server has no TLS")
	f(p.Addr, "open", "sslmode=verify-full", "error set the CA certificate that signs the server's certificate with sslrootcert=FILE")
	f(p.Addr, "open", "sslmode=verify-ca"+other, "error set the CA certificate that signs the server's certificate with sslrootcert=FILE")
	f(p.Addr, "open", "sslmode=verify-full"+other, "error set the CA certificate that signs the server's certificate with sslrootcert=FILE")
	f(local, "open", "sslmode=verify-full"+root, "error use the name in --psqlendpoint that the server's certificate has")
	f(p.Addr, "badge", "sslmode=require", "error set a certificate with sslcert=FILE and sslkey=FILE")
	f(p.Addr, "badge", "sslmode=require"+forged, "error set it with sslcert=FILE and sslkey=FILE")
	f(p.Addr, "lost", "sslmode=require", "error let an administrator run the statements that `dnsmonster-sensor postgres sql --psqluser=lost` prints")
}

// Missing files and invalid values are wrong options.
func TestTLSOptions(t *testing.T) {
	f := func(query, want string) {
		t.Helper()
		all, err := reach(t, "db.example.org", "open", query)
		if err == nil || !strings.HasPrefix(err.Error(), "psqlendpoint: ") || !strings.Contains(all, want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
	missing := filepath.Join(t.TempDir(), "no.crt")
	f("sslmode=verify-full&sslrootcert="+missing, "open "+missing)
	f("sslmode=sometimes", "sslmode")
	f("sslmode=require&sslcert="+missing, "sslcert")
	f("target_session_attrs=any-thing", "target_session_attrs")
	garbage := filepath.Join(t.TempDir(), "garbage.crt")
	if err := os.WriteFile(garbage, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("sslmode=verify-full&sslrootcert="+garbage, "CA")
}

// --skiptlsverification disables the check in every mode.
func TestSkipVerification(t *testing.T) {
	p := protected(t)
	_, port, _ := net.SplitHostPort(p.Addr)
	for _, mode := range []string{"verify-ca", "verify-full"} {
		u := "postgres://open:Hush-Hush@localhost:" + port + "/postgres?sslmode=" + mode + "&sslrootcert=" + lab.NewAuthority(t).File
		o := parsed(t, "--psqloutputtype", "1", "--psqlendpoint", u, "--psqltable", newTable())
		o.SetCommon(outputs.Common{SkipVerify: true})
		if err := o.Check(context.Background()); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		var out bytes.Buffer
		if o.Admin().Check(context.Background(), &out); !strings.Contains(out.String(), "certificate is not checked") {
			t.Errorf("%s: is reported as checked:\n%s", mode, out.String())
		}
	}
}

// TestUnknownHost: an unknown host is named once, in one line, though there are two
// attempts.
func TestUnknownHost(t *testing.T) {
	f := func(want string, errs ...error) {
		t.Helper()
		if got := distinctLines(errs, strings.ToLower); got != want {
			t.Errorf("%q: said %q, want %q", errs, got, want)
		}
	}
	lookup, refused := errors.New("lookup h: no such host"), errors.New("refused")
	f("resolving: lookup h: no such host", fmt.Errorf("resolving: %w", errors.Join(lookup, lookup)))
	f("refused; lookup h: no such host", refused, lookup, refused)
	f(": fatal: one\ntwo (sqlstate )", &pgconn.PgError{Severity: ": FATAL", Message: "one\ntwo"}, errors.New(" "))
}

// TestMisuse: one permanent error with its repair.
func TestMisuse(t *testing.T) {
	p := postgres(t)
	newRole(t, p, "novice")
	f := func(uri, table, want string) {
		t.Helper()
		o := parsed(t, "--psqloutputtype", "1", "--psqlendpoint", uri, "--psqltable", table)
		err := o.Check(context.Background())
		if err == nil || !errors.Is(err, outputs.ErrPermanent) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Hush") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	table := newTable()
	at := "@" + p.Addr + "/postgres?sslmode=disable"
	f("postgres://novice:Hush"+at, table, "correct user and password in --psqlendpoint")
	f("postgres://nobody:Hush"+at, table, "correct user and password in --psqlendpoint")
	f("postgres://novice:Hush-Hush@"+p.Addr+"/nowhere?sslmode=disable", table, "CREATE DATABASE nowhere, or set another one in --psqlendpoint")
	f("postgres://novice:Hush-Hush"+at+"&search_path=nowhere", table, "set a schema with --psqltable=SCHEMA.TABLE")
	f("postgres://novice:Hush-Hush"+at, "nowhere."+table, "CREATE SCHEMA nowhere, or set another one with --psqltable")
	f("postgres://novice:Hush-Hush"+at, table, "let an administrator run the statements that `dnsmonster-sensor postgres sql --psqluser=novice` prints")
	wantAnswer(t, admin(t, p.URL(p.Addr, "postgres"), table, "").runInit, false)
	f("postgres://novice:Hush-Hush"+at, table, "no right to INSERT on table "+table+": as its owner: GRANT INSERT ON "+table+" TO novice")
	p.Exec(t, "GRANT INSERT ON "+table+" TO novice; GRANT SELECT, INSERT ON "+table+"_blocks TO novice")
	f("postgres://novice:Hush-Hush"+at, table, "as its owner: GRANT DELETE ON "+table+"_blocks TO novice")
	p.Exec(t, "CREATE TABLE "+table+"_shop (id integer)")
	f(p.URL(p.Addr, "postgres"), table+"_shop", "has no column packettime")
}

// Errors never show invalid endpoints.
func TestBrokenEndpointsNeverShown(t *testing.T) {
	for _, uri := range []string{
		"postgres://user:Hush@:x/", "postgres://user:Hush/Hush@db/x", "postgres://user:Hush%zz@db/x", "postgres://user:Hush@db:99999/x", "postgres://us er:Hush@db/x",
		"host=db user=x password=Hush sslmode=odd", "user=x password='Hush", "password=Hush Hush Hush", "Hush", "postgres://user:Hush#Hush@db:y/x", "postgres://user:Hush@[::1/x",
	} {
		o := parsed(t, "--psqloutputtype", "1", "--psqlendpoint", uri)
		if _, err := o.Settings(); err == nil || strings.Contains(err.Error(), "Hush") {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// A server that rejects our certificate after the handshake may end the connection
// before its alert is read.
func TestCertificateRejectedAfterHandshake(t *testing.T) {
	cert, key := lab.NewAuthority(t).Issue("server", "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	address := lab.Serve(t, func(conn net.Conn) {
		var request [8]byte // SSLRequest
		_, _ = io.ReadFull(conn, request[:])
		_, _ = conn.Write([]byte("S"))
		_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake()
		_ = conn.(*net.TCPConn).SetLinger(0) // closing it is a reset
	})
	all, err := reach(t, address, "badge", "sslmode=require")
	if err == nil || errors.Is(err, outputs.ErrPermanent) || !strings.Contains(all, "the server may not accept our certificate") {
		t.Errorf("error %v in\n%s", err, all)
	}
}

// Without a preceding handshake, a reset says nothing about certificates.
func TestResetBeforeTheHandshake(t *testing.T) {
	address := lab.Serve(t, func(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) })
	if all, err := reach(t, address, "open", "sslmode=require"); err == nil || strings.Contains(all, "certificate") {
		t.Errorf("error %v in\n%s", err, all)
	}
}
