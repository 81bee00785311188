package format

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// TestTemplateFields: the fields are dnsmonster's, in its order: {{.}} prints them all.
func TestTemplateFields(t *testing.T) {
	want := []string{"Timestamp time.Time", "DNS dns.Msg", "IPVersion uint8", "SrcIP net.IP", "SrcPort uint16", "DstIP net.IP", "DstPort uint16",
		"Protocol string", "PacketLength int", "Identity string", "Version string"}
	var got []string
	for record, i := reflect.TypeFor[TemplateRecord](), 0; i < record.NumField(); i++ {
		got = append(got, record.Field(i).Name+" "+record.Field(i).Type.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("fields %q, want %q", got, want)
	}
}

func TestTemplates(t *testing.T) {
	m := query("www.example.org.")
	m.Response, m.Answer = true, []mdns.RR{&mdns.A{
		Hdr: mdns.RR_Header{Name: "www.example.org.", Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 60}, A: []byte{192, 0, 2, 7},
	}}
	e := eventOf(pack(t, m), 0)
	e.Identity, e.Version = []byte("ns1"), []byte("1.0")
	f := func(template, want string) {
		t.Helper()
		format, err := New("gotemplate", Options{Template: template})
		if err != nil {
			t.Errorf("%s: %v", template, err)
			return
		}
		if got := string(format.NewEncoder().Append(nil, e)); got != want+"\n" {
			t.Errorf("%s: %q, want %q", template, got, want)
		}
	}
	f("{{.Timestamp.Unix}} {{.Protocol}} {{.IPVersion}} {{.PacketLength}}", "1700000000 udp 4 64")
	f("{{.SrcIP}}:{{.SrcPort}} > {{.DstIP}}:{{.DstPort}}", "192.0.2.1:5353 > 192.0.2.53:53")
	f("{{.Identity}} {{.Version}}", "ns1 1.0")
	f("{{.DNS.Id}} {{(index .DNS.Question 0).Name}}", "7 www.example.org.")
	f("{{range .DNS.Answer}}{{.}}{{end}}", "www.example.org.\t60\tIN\tA\t192.0.2.7")
	f("", fmt.Sprintf("%v", newTemplateRecord(e, time.UTC, true)))
	f("{{.}}", fmt.Sprintf("%v", newTemplateRecord(e, time.UTC, true)))

	for template, problem := range map[string]string{
		"{{.Nothing}}":         "can't evaluate field Nothing",
		"{{.DNS.Nothing}}":     "can't evaluate field Nothing",
		"{{.SrcIP":             "unclosed action",
		"{{nosuchfunction 1}}": "not defined",
		"{{define `a`}}{{template `a` .}}{{end}}{{template `a` .}}": "maximum template depth",
	} {
		if _, err := New("gotemplate", Options{Template: template}); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: error %v, want %q", template, err, problem)
		}
	}
}

// TestTemplatesDecodeLazily: a message is decoded only for templates that can show
// part of it.
func TestTemplatesDecodeLazily(t *testing.T) {
	f := func(text string, want bool) {
		t.Helper()
		r, err := parseTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		if r.dns != want {
			t.Errorf("%s: decodes %t, want %t", text, r.dns, want)
		}
	}
	f("", true)
	f("{{.}}", true)
	f("{{.SrcIP}} {{.Timestamp.Unix}}", false)
	f("{{.DNS.Id}}", true)
	f("{{printf `%v` .}}", true)
	f("{{printf `%s` .SrcIP}} text", false)
	f("{{if eq .Protocol `udp`}}{{.SrcPort}}{{else}}-{{end}}", false)
	f("{{if eq .Protocol `udp`}}{{.SrcPort}}{{else}}{{.DNS.Id}}{{end}}", true)
	f("{{with .DNS}}x{{end}}", true)
	f("{{with .Identity}}{{$.SrcIP}}{{end}}", false)
	f("{{with .Identity}}{{$.DNS.Id}}{{end}}", true)
	f("{{with $}}{{end}}", true)
	f("{{$x := .}}{{$x.DNS.Id}}", true)
	f("{{(.).DNS}}", true)
	f("{{define `a`}}{{.DNS.Id}}{{end}}{{template `a` .}}", true)
	f("{{define `a`}}{{.SrcIP}}{{end}}{{.DstIP}}", false)
	f("{{/* .DNS */}}{{range $i, $c := .Version}}{{$i}}{{end}}", false)
}
