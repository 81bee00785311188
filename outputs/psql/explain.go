package psql

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/outputs"
)

// explain adds to an error what mends it, and marks those that somebody has to
// mend as permanent. c may be nil where the connection stands.
func (o *Output) explain(c *pgconn.Config, err error) error {
	way, permanent := o.way(c, err)
	if way != "" {
		err = fmt.Errorf("%w: %s", err, way)
	}
	if permanent {
		err = outputs.Permanent(err)
	}
	return err
}

func (o *Output) way(c *pgconn.Config, err error) (way string, permanent bool) {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return o.wayOf(c, pg)
	}
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return "the server has no TLS: say sslmode=disable or sslmode=prefer in --psqlendpoint", true
	case errors.As(err, &unknown):
		return "name the certificate that signs the server's with sslrootcert=FILE in --psqlendpoint, or give up the check with sslmode=require or --skiptlsverification", true
	case errors.As(err, &host), errors.As(err, &invalid):
		return "put the server's certificate right, or say sslmode=verify-ca, sslmode=require or --skiptlsverification", true
	}
	return "", false
}

func (o *Output) wayOf(c *pgconn.Config, pg *pgconn.PgError) (way string, permanent bool) {
	user, database := "this user", "this database"
	if c != nil {
		user, database = c.User, c.Database
	}
	switch pg.Code {
	case "28P01", "28000":
		if strings.Contains(pg.Message, "no encryption") || strings.Contains(pg.Message, "SSL off") {
			return "the server wants TLS, or has no rule for this host in pg_hba.conf: say sslmode=require in --psqlendpoint", true
		}
		return "put user and password of --psqlendpoint right", true
	case "3D000":
		return "CREATE DATABASE " + database + ", or name another one in --psqlendpoint", true
	case "3F000":
		id, _ := o.identifier()
		return "CREATE SCHEMA " + plain(id[:1]) + ", or name another one with --psqltable", true
	case "42501":
		return "as owner: GRANT the right to " + user + ", or make the tables with `dnsmonster-sensor postgres init`", true
	case "42P01":
		return "make the table again with `dnsmonster-sensor postgres init`", false
	}
	return "", false
}
