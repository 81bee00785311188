//go:build linux

package psql

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
)

// TestEndpoints: unambiguous endpoints are accepted, others refused at once, with how
// to write them.
func TestEndpoints(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		o := parsed(t, "--psqloutputtype", "1", "--psqlendpoint", text)
		_, err := o.Settings()
		got := ""
		if err != nil {
			got = err.Error()
		} else if d, err := o.destination(); err != nil {
			t.Errorf("%s: %v", text, err)
		} else {
			c := d.servers[0]
			for _, name := range poolParameters {
				if value, ok := c.RuntimeParams[name]; ok {
					t.Errorf("%s: the server is sent %s=%s", text, name, value)
				}
			}
			got = fmt.Sprintf("%s %s %s", strings.Join(d.names, ","), c.Password, c.Database)
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	f("postgres://me:Hush@db.example.org:5433/dns", "db.example.org:5433 Hush dns")
	f("postgres://me:Hu:sh?#x@db.example.org/dns", "db.example.org:5432 Hu:sh?#x dns")
	f("postgres://me:Hu%40s%2Fh%25@[2001:db8::1],b:5433/dns?sslmode=disable", "[2001:db8::1]:5432,b:5433 Hu@s/h% dns")
	f("postgres://me@%2Fvar%2Frun%2Fpostgresql/dns", "/var/run/postgresql:5432  dns")
	f("postgres://me@/dns?host=/var/run/postgresql&application_name=a@b", "/var/run/postgresql:5432  dns")
	f("postgres://me@h/dns?pool_max_conns=10&default_query_exec_mode=exec", "h:5432  dns")
	f(" postgres://me:Hush@h/dns\n", "h:5432 Hush dns")
	f("host=db.example.org,::1 user=me password=Hu@s/h dbname=dns", "db.example.org:5432,[::1]:5432 Hu@s/h dns")
	f(`host=h user=me password='Hu s\'h' dbname=dns`, `h:5432 Hu s'h dns`)
	certainty, form, keywords := "psqlendpoint: it is not certain", "psqlendpoint: not of the form postgres://", "psqlendpoint: not of the form host="
	f("postgres://me:Hu@sh@127.0.0.1/dns", certainty)
	f("postgres://me:Hu/sh@127.0.0.1/dns", "psqlendpoint: a port is a number")
	f("postgres://me:12/sh@127.0.0.1/dns", form)
	f("postgres://me:12/x?sh@127.0.0.1/dns", form)
	f("postgres://me:12/x?sh=a@127.0.0.1/dns", form)
	f("postgres://me:Hu%sh@127.0.0.1/dns", form)
	f("postgres://me:Hu%00sh@127.0.0.1/dns", form)
	f("postgres://me:Hu sh@127.0.0.1/dns", form)
	f("postgres://me:Hush@h/dns/more", form)
	f("postgres://me:Hush@h/dns?sslmode", form)
	f("postgres://me:Hush@2001:db8::1:5432/dns", "psqlendpoint: write an IPv6 address in brackets, such as [2001:db8::1]:5432")
	f("postgres://me:Hush@2001:db8::1/dns", "psqlendpoint: write an IPv6 address in brackets")
	f("postgres://me:Hush@h:0/dns", "psqlendpoint: a port is a number from 1 to 65535")
	f("mysql://me:Hush@h/dns", form)
	f("host=me:Hush@h dbname=dns", certainty)
	f("host=me@h dbname=dns", certainty)
	f("host=db:5432 dbname=dns", "psqlendpoint: not a host name or address")
	f("host=[::1] dbname=dns", "psqlendpoint: not a host name or address")
	f("host=h password=Hu sh dbname=dns", keywords)
	f("host=h password='Hu'sh dbname=dns", keywords)
	f("host=h password='Hush dbname=dns", keywords)
}

// allOutput is everything that an output and its commands say about an endpoint. They
// get no further than a port at which nothing listens.
func allOutput(t *testing.T, text string) string {
	t.Helper()
	o := parsed(t, "--psqloutputtype", "1", "--psqlendpoint", text)
	log := logTo(o)
	out := &bytes.Buffer{}
	_, err := o.Settings()
	fmt.Fprintln(out, err)
	d, err := o.destination()
	if err != nil {
		return out.String() + err.Error()
	}
	for i, p := range d.servers {
		if p.Host != "127.0.0.1" || p.Port != 1 {
			fmt.Fprintln(out, "would ask", d.names[i])
			return out.String()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	fmt.Fprintln(out, o.Check(ctx), o.Admin().Check(ctx, out), o.Admin().Init(ctx, out))
	return out.String() + log.String()
}

// leaked finds four or more characters of a mark in a text.
func leaked(text, mark string) string {
	for i := range len(mark) - 3 {
		if strings.Contains(text, mark[i:i+4]) {
			return mark[i : i+4]
		}
	}
	return ""
}

// secretMarks are the parts of secrets between the special characters of an endpoint.
var secretMarks = []string{"ZQXJ", "KWVY", "XQZW", "JVKQ", "WZYX"}

// TestUserInformationNeverLeaks tries random endpoints of all forms, valid and
// invalid.
func TestUserInformationNeverLeaks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	secret := func() string {
		text := ""
		for range 1 + r.IntN(4) {
			text += pick(secretMarks...) + pick("", "", "@", "%", "/", ":", "?", "#", "12", "[", "]", ",", "=", "&", " ", "'", `\`, `"`, "`", "%zz", "%40", ":5432/")
		}
		return text
	}
	for i := range 1500 {
		at := pick("127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1,127.0.0.1:1", "[::1", "::1")
		text := ""
		switch user := pick("sensor", secret()); i % 4 {
		case 0:
			text = pick("postgres", "postgresql") + "://" + user + ":" + secret() + "@" + at + pick("", "/", "/dns", "/dns?sslmode=disable", "/dns?sslmode=odd")
		case 1:
			text = "postgres://" + secret() + "@" + at + "/dns?sslmode=" + pick("disable", "prefer", "verify-full")
		case 2:
			text = "host=" + strings.TrimSuffix(at, ":1") + " port=1 user=" + user + " password=" + pick(secret(), "'"+secret()+"'") + pick("", " dbname=dns")
		case 3:
			text = "postgres://" + at + "/dns?user=" + user + "&password=" + secret() + pick("", "&sslmode=disable")
		}
		log := allOutput(t, text)
		for _, mark := range secretMarks {
			if part := leaked(log, mark); part != "" {
				t.Fatalf("%s: shows %s:\n%s", text, part, log)
			}
		}
	}
}

func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{"ZQXJ@ZQXJ", "ZQXJ%ZQXJ", "12/ZQXJ", "12?ZQXJ=a", "ZQXJ' ZQXJ", "%5AZQXJ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		if !strings.Contains(secret, "ZQXJ") {
			secret = "ZQXJ" + secret + "ZQXJ"
		}
		for _, text := range []string{"postgres://u:" + secret + "@127.0.0.1:1/d", "postgres://" + secret + "@127.0.0.1:1/d", "host=127.0.0.1 port=1 password=" + secret, "host=127.0.0.1 port=1 password='" + secret + "'"} {
			if log := allOutput(t, text); leaked(log, "ZQXJ") != "" {
				t.Errorf("%q: shown:\n%s", text, log)
			}
		}
	})
}

// TestLoginErrors: what is said about a user that the server rejects, and which of
// several attempts it is about.
func TestLoginErrors(t *testing.T) {
	tls, clear := protected(t), postgres(t)
	newRole(t, clear, "novice")
	root := "&sslrootcert=" + authority.File
	const correct = "correct user and password in --psqlendpoint"
	f := func(addr, user, query, want string, not ...string) {
		t.Helper()
		o := parsed(t, "--psqloutputtype", "1", "--psqlendpoint", "postgres://"+user+":KWVY@"+addr+"/postgres?"+query, "--psqltable", newTable())
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		var out bytes.Buffer
		err := o.Check(ctx)
		o.Admin().Check(ctx, &out)
		all := fmt.Sprint(err, "\n", out.String())
		if err == nil || strings.Count(all, want) != 2 {
			t.Errorf("%s at %s with %s: lacks %s:\n%s", user, addr, query, want, all)
		}
		for _, n := range append(not, "KWVY", user, "disable", "allow", "sslmode=prefer", "skiptls", "give up") {
			if strings.Contains(all, n) {
				t.Errorf("%s at %s with %s: says %s:\n%s", user, addr, query, n, all)
			}
		}
	}
	for _, mode := range []string{"", "sslmode=prefer", "sslmode=allow", "sslmode=disable"} {
		f(clear.Addr, "novice", mode, correct, "TLS", "SSL", "certificate")
	}
	f(clear.Addr, "stranger", "", correct, "TLS", "SSL", "certificate")
	for _, mode := range []string{"sslmode=require", "sslmode=verify-ca" + root, "sslmode=verify-full" + root} {
		f(clear.Addr, "novice", mode, "the server has no TLS, which sslmode in --psqlendpoint requires: enable it there", correct)
		f(tls.Addr, "sealed", mode, correct, "requires")
	}
	other := "&sslrootcert=" + lab.NewAuthority(t).File
	for _, mode := range []string{"sslmode=verify-ca", "sslmode=verify-full"} {
		f(tls.Addr, "sealed", mode+other, "set the CA certificate that signs the server's certificate with sslrootcert=FILE in --psqlendpoint")
	}
	f("localhost"+strings.TrimPrefix(tls.Addr, "127.0.0.1"), "sealed", "sslmode=verify-full"+root, "use the name in --psqlendpoint that the server's certificate has")
	all, err := reach(t, clear.Addr, "novice", "XQZW=1")
	if err == nil || !strings.Contains(all, `unrecognized configuration parameter "********"`) || strings.Contains(all, "XQZW") {
		t.Errorf("a parameter that may be a part of a password: %v\n%s", err, all)
	}
}
