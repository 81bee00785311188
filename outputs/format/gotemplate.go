package format

import (
	"bytes"
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"text/template"
	"time"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// TemplateRecord is what a template sees: dnsmonster's eleven fields.
type TemplateRecord struct {
	Timestamp    time.Time
	DNS          mdns.Msg
	IPVersion    uint8
	SrcIP        net.IP
	SrcPort      uint16
	DstIP        net.IP
	DstPort      uint16
	Protocol     string
	PacketLength int
	Identity     string
	Version      string
}

// parseTemplate reads a template and tries it once, which finds fields that do
// not exist.
func parseTemplate(text string) (*template.Template, error) {
	t, err := template.New("record").Parse(cmp.Or(text, "{{.}}"))
	if err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	e := event.Event{Message: make([]byte, dns.HeaderLen)}
	err = t.Execute(new(bytes.Buffer), newTemplateRecord(&e, time.UTC))
	if err != nil && strings.Contains(err.Error(), "can't evaluate field") { // others may depend on the message
		return nil, fmt.Errorf("try template: %w", err)
	}
	return t, nil
}

// goTemplate is the one format that decodes messages, and allocates.
type goTemplate struct {
	template *template.Template
	loc      *time.Location
	buf      bytes.Buffer
}

func newTemplate(t *template.Template, o Options) *goTemplate {
	return &goTemplate{template: t, loc: cmp.Or(o.Location, time.UTC)}
}

// Append appends e's record and a line end. Where the template fails on a
// message, its line ends there: no message is without a line.
func (g *goTemplate) Append(dst []byte, e *event.Event) []byte {
	g.buf.Reset()
	// A template that fails has written what it could, and says nothing more of
	// use: it fails for what the message is, such as one without an answer.
	_ = g.template.Execute(&g.buf, newTemplateRecord(e, g.loc))
	return append(append(dst, g.buf.Bytes()...), '\n')
}

func newTemplateRecord(e *event.Event, loc *time.Location) TemplateRecord {
	m, _ := decode(e)
	return TemplateRecord{
		Timestamp:    time.Unix(0, e.Time).In(loc),
		DNS:          m,
		IPVersion:    e.IPVersion(),
		SrcIP:        netIP(e.Src.Addr()),
		SrcPort:      e.Src.Port(),
		DstIP:        netIP(e.Dst.Addr()),
		DstPort:      e.Dst.Port(),
		Protocol:     e.Proto.String(),
		PacketLength: e.Length(),
		Identity:     string(e.Identity),
		Version:      string(e.Version),
	}
}

func netIP(a netip.Addr) net.IP { return net.IP(a.AsSlice()) }
