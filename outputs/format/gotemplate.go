package format

import (
	"bytes"
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
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
func parseTemplate(text string) (*recordTemplate, error) {
	t, err := template.New("record").Parse(cmp.Or(text, "{{.}}"))
	if err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	e := event.Event{Message: make([]byte, dns.HeaderLen)}
	err = t.Execute(new(bytes.Buffer), newTemplateRecord(&e, time.UTC, true))
	if err != nil && strings.Contains(err.Error(), "can't evaluate field") { // others may depend on the message
		return nil, fmt.Errorf("try template: %w", err)
	}
	return &recordTemplate{t, slices.ContainsFunc(t.Templates(), func(t *template.Template) bool { return t.Tree != nil && asksForDNS(t.Root) })}, nil
}

// recordTemplate is a template, and whether it may look into the message.
type recordTemplate struct {
	*template.Template
	dns bool
}

// asksForDNS tells whether a part of a template names the field DNS, or hands on
// the whole record, of which that is a part.
func asksForDNS(node parse.Node) bool {
	switch n := node.(type) {
	case *parse.ListNode:
		return n != nil && slices.ContainsFunc(n.Nodes, asksForDNS)
	case *parse.ActionNode:
		return asksForDNS(n.Pipe)
	case *parse.PipeNode:
		return n != nil && slices.ContainsFunc(n.Cmds, func(c *parse.CommandNode) bool { return slices.ContainsFunc(c.Args, asksForDNS) })
	case *parse.IfNode:
		return asksForDNS(n.Pipe) || asksForDNS(n.List) || asksForDNS(n.ElseList)
	case *parse.RangeNode:
		return asksForDNS(n.Pipe) || asksForDNS(n.List) || asksForDNS(n.ElseList)
	case *parse.WithNode:
		return asksForDNS(n.Pipe) || asksForDNS(n.List) || asksForDNS(n.ElseList)
	case *parse.TemplateNode:
		return asksForDNS(n.Pipe)
	case *parse.FieldNode:
		return n.Ident[0] == "DNS"
	case *parse.VariableNode: // $ is the record; others hold what a pipe gave them
		return n.Ident[0] == "$" && (len(n.Ident) == 1 || n.Ident[1] == "DNS")
	case *parse.TextNode, *parse.CommentNode, *parse.NumberNode, *parse.StringNode, *parse.BoolNode, *parse.NilNode,
		*parse.IdentifierNode, *parse.BreakNode, *parse.ContinueNode:
		return false
	}
	return true // the record itself, and what is not known
}

// goTemplate is the one format that decodes messages, where the template asks
// for them, and allocates.
type goTemplate struct {
	template *recordTemplate
	loc      *time.Location
	buf      bytes.Buffer
}

func newTemplate(t *recordTemplate, o Options) *goTemplate {
	return &goTemplate{template: t, loc: cmp.Or(o.Location, time.UTC)}
}

// Append appends e's record and a line end. Where the template fails on a
// message, its line ends there: no message is without a line.
func (g *goTemplate) Append(dst []byte, e *event.Event) []byte {
	g.buf.Reset()
	// A template that fails has written what it could, and says nothing more of
	// use: it fails for what the message is, such as one without an answer.
	_ = g.template.Execute(&g.buf, newTemplateRecord(e, g.loc, g.template.dns))
	return append(append(dst, g.buf.Bytes()...), '\n')
}

// newTemplateRecord makes a record, with the message in it or without.
func newTemplateRecord(e *event.Event, loc *time.Location, withDNS bool) TemplateRecord {
	var m mdns.Msg
	if withDNS {
		m, _ = decode(e)
		m.Answer, m.Ns, m.Extra = untilEndless(m.Answer), untilEndless(m.Ns), untilEndless(m.Extra)
	}
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

// untilEndless leaves out the records from the first endless one on.
func untilEndless(list []mdns.RR) []mdns.RR {
	if i := slices.IndexFunc(list, endless); i >= 0 {
		return list[:i]
	}
	return list
}

// endless tells records with longer lists than anybody means to send. The
// library writes a list by adding to a text that it copies each time: one record
// of 64 KiB could take minutes.
func endless(rr mdns.RR) bool {
	const names, others = 64, 1024
	switch rr := rr.(type) {
	case *mdns.HIP:
		return len(rr.RendezvousServers) > names
	case *mdns.NSEC:
		return len(rr.TypeBitMap) > others
	case *mdns.NXT:
		return len(rr.TypeBitMap) > others
	case *mdns.NSEC3:
		return len(rr.TypeBitMap) > others
	case *mdns.CSYNC:
		return len(rr.TypeBitMap) > others
	case *mdns.APL:
		return len(rr.Prefixes) > others
	case *mdns.SVCB:
		return len(rr.Value) > others
	case *mdns.HTTPS:
		return len(rr.Value) > others
	case *mdns.OPT:
		return len(rr.Option) > others || slices.ContainsFunc(rr.Option, func(o mdns.EDNS0) bool {
			switch o := o.(type) {
			case *mdns.EDNS0_NSID:
				return len(o.Nsid) > others
			case *mdns.EDNS0_DAU:
				return len(o.AlgCode) > others
			case *mdns.EDNS0_DHU:
				return len(o.AlgCode) > others
			case *mdns.EDNS0_N3U:
				return len(o.AlgCode) > others
			}
			return false
		})
	}
	return false
}
