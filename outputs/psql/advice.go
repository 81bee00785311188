package psql

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/secure"
)

// explain adds to an error how to repair it, and marks it as permanent if somebody has to
// repair it. c may be nil once the connection is established.
func (o *Output) explain(c *pgconn.Config, err error) error {
	if err == nil || errors.Is(err, outputs.ErrPermanent) {
		return err // explained already
	}
	advice, permanent := o.advice(c, err)
	if advice != "" {
		err = fmt.Errorf("%w: %s", err, advice)
	}
	if permanent {
		err = outputs.Permanent(err)
	}
	return err
}

func (o *Output) advice(c *pgconn.Config, err error) (advice string, permanent bool) {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return o.adviceForCode(c, pg)
	}
	if strings.Contains(err.Error(), noTLS) {
		return "the server has no TLS, which sslmode in --psqlendpoint requires: enable it there with ssl = on in postgresql.conf", true
	}
	if advice = secure.Advice(err, optionNames); advice != "" {
		return advice, true
	}
	if c != nil && c.TLSConfig != nil && rejectedAfterHandshake(err) {
		return "the server may not accept our certificate, or require one: set it with " + optionNames.Cert, false
	}
	return "", false
}

// optionNames are the parameters of the endpoint.
var optionNames = secure.OptionNames{
	CA: "sslrootcert=FILE in --psqlendpoint", Cert: "sslcert=FILE and sslkey=FILE in --psqlendpoint", Server: "--psqlendpoint",
}

// rejectedAfterHandshake reports whether the server may have refused our certificate after
// the TLS handshake.
func rejectedAfterHandshake(err error) bool {
	text := err.Error()
	return secure.MaybeCertificateRejected(err) && (strings.Contains(text, "startup message") || strings.Contains(text, "receive message"))
}

func (o *Output) adviceForCode(c *pgconn.Config, pg *pgconn.PgError) (advice string, permanent bool) {
	user, database := "this user", "this database"
	if c != nil {
		user, database = c.User, c.Database
	}
	switch pg.Code {
	case "28P01":
		return "correct user and password in --psqlendpoint", true
	case "28000":
		return loginAdvice(pg.Message), true
	case "42704":
		return "a parameter in --psqlendpoint is mistyped, or part of a password is not escaped or quoted", true
	case "3D000":
		return "CREATE DATABASE " + database + ", or set another one in --psqlendpoint", true
	case "3F000":
		id, _ := o.identifier()
		if len(id) < 2 {
			return "set a schema with --psqltable=SCHEMA.TABLE, or correct the search_path of user, database or --psqlendpoint", true
		}
		return "CREATE SCHEMA " + unquoted(id[:1]) + ", or set another one with --psqltable", true
	case "42501":
		return "as owner: GRANT the right to " + user + "; `dnsmonster-sensor postgres sql --psqluser=" + user + "` prints the statements", true
	case "42P01":
		return "create the table again with `dnsmonster-sensor postgres init`", false
	case "55P03":
		return "the table is locked: SELECT * FROM pg_locks WHERE granted shows which sessions hold locks", false
	}
	return "", false
}

// loginAdvice is advice for a user that the server rejects before it asks for a password.
func loginAdvice(message string) string {
	switch {
	case strings.Contains(message, "no encryption"), strings.Contains(message, "SSL off"):
		return "the server requires TLS from this host, or has no rule for it in pg_hba.conf: set sslmode=require in --psqlendpoint"
	case strings.Contains(message, "client certificate"):
		return "set a certificate with " + optionNames.Cert
	case strings.Contains(message, "no pg_hba.conf entry"):
		return "add a rule for this user, database and host to the server's pg_hba.conf"
	}
	return "correct the user in --psqlendpoint, or CREATE ROLE ... LOGIN"
}

// addressPrefix is how the library begins each line: 192.0.2.1:5432 (db.example.org).
var addressPrefix = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\S+ \(\S*\): `) })

// connectFailure shortens a connection error: it removes addresses, which the caller adds,
// and masks what the endpoint says about the user. Of several attempts, as with
// sslmode=prefer, it keeps those that give the reason.
func connectFailure(c *pgconn.Config, err error) error {
	var failed *pgconn.ConnectError
	if !errors.As(err, &failed) {
		return err
	}
	hide := masker(c)
	left := decisive(failed.Unwrap())
	text := distinctLines(left, func(line string) string {
		return hide(strings.TrimPrefix(addressPrefix().ReplaceAllString(line, ""), "dial error: "))
	})
	return &connectError{text, errors.Join(left...)}
}

// distinctLines joins the texts of several attempts in one line, each text once.
func distinctLines(errs []error, clean func(string) string) string {
	var lines []string
	for _, err := range errs {
		for _, line := range attempts(err) {
			line = clean(strings.TrimSpace(line))
			if line != "" && !slices.ContainsFunc(lines, func(s string) bool { return strings.HasSuffix(s, line) }) {
				lines = append(lines, line)
			}
		}
	}
	return strings.Join(lines, "; ")
}

// attempts splits an error into the texts of its attempts: the library resolves a name
// several times. A server's message is one text, even with line ends in it.
func attempts(err error) []string {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		return []string{err.Error()}
	}
	return strings.Split(err.Error(), "\n")
}

const noTLS = "server refused TLS connection"

// decisive returns the attempts that matter. A failure for lack of TLS is irrelevant
// if the user permits an attempt without TLS; and a server's answer to one attempt
// says more than why others did not get as far.
func decisive(err error) []error {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	var left []error
	for _, e := range all {
		var pg *pgconn.PgError
		if errors.As(e, &pg) && !strings.Contains(pg.Message, "no encryption") && !strings.Contains(pg.Message, "SSL off") {
			return []error{e}
		}
		if !strings.Contains(e.Error(), noTLS) {
			left = append(left, e)
		}
	}
	if left == nil {
		return all
	}
	return left
}

type connectError struct {
	text string
	err  error
}

func (e *connectError) Error() string { return e.text }
func (e *connectError) Unwrap() error { return e.err }
