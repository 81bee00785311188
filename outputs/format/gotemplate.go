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

// TemplateRecord is the value that a template gets: dnsmonster's eleven fields.
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

// parseTemplate parses a template and runs it once, to find fields that do not exist
// and endless recursion.
func parseTemplate(text string) (*recordTemplate, error) {
	t, err := template.New("record").Parse(cmp.Or(text, "{{.}}"))
	if err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	r := &recordTemplate{t, slices.ContainsFunc(t.Templates(), func(t *template.Template) bool { return t.Tree != nil && readsDNS(t.Root) })}
	guardTemplate(t)
	err = newTemplate(r, Options{}).execute(&event.Event{Message: make([]byte, dns.HeaderLen)})
	if err != nil && (strings.Contains(err.Error(), "can't evaluate field") || strings.Contains(err.Error(), "maximum template depth")) { // other errors may depend on the message
		return nil, fmt.Errorf("try template: %w", err)
	}
	return r, nil
}

// recordTemplate is a template after guardTemplate.
type recordTemplate struct {
	*template.Template
	dns bool // it may read the message
}

// readsDNS reports whether a part of a template may read the field DNS, alone or
// with the whole record.
func readsDNS(node parse.Node) bool {
	switch n := node.(type) {
	case *parse.ListNode:
		return n != nil && slices.ContainsFunc(n.Nodes, readsDNS)
	case *parse.ActionNode:
		return readsDNS(n.Pipe)
	case *parse.PipeNode:
		return n != nil && slices.ContainsFunc(n.Cmds, func(c *parse.CommandNode) bool { return slices.ContainsFunc(c.Args, readsDNS) })
	case *parse.IfNode:
		return readsDNS(n.Pipe) || readsDNS(n.List) || readsDNS(n.ElseList)
	case *parse.RangeNode:
		return readsDNS(n.Pipe) || readsDNS(n.List) || readsDNS(n.ElseList)
	case *parse.WithNode:
		return readsDNS(n.Pipe) || readsDNS(n.List) || readsDNS(n.ElseList)
	case *parse.TemplateNode:
		return readsDNS(n.Pipe)
	case *parse.FieldNode:
		return n.Ident[0] == "DNS"
	case *parse.VariableNode: // $ is the record; other variables hold the result of a pipe
		return n.Ident[0] == "$" && (len(n.Ident) == 1 || n.Ident[1] == "DNS")
	case *parse.TextNode, *parse.CommentNode, *parse.NumberNode, *parse.StringNode, *parse.BoolNode, *parse.NilNode,
		*parse.IdentifierNode, *parse.BreakNode, *parse.ContinueNode:
		return false
	}
	return true // the record itself, and unknown nodes
}

// goTemplate is the only format that decodes messages, if the template reads them,
// and the only one that allocates and can fail.
type goTemplate struct {
	template *recordTemplate
	loc      *time.Location
	run      *template.Template // template with the functions of guard
	guard    guard
	buf      limitedBuffer
	why      error // why the last record was refused
}

func newTemplate(t *recordTemplate, o Options) *goTemplate {
	g := &goTemplate{template: t, loc: cmp.Or(o.Location, time.UTC)}
	g.run = template.Must(t.Clone()).Funcs(g.guard.functions()) // Clone never fails on text templates
	return g
}

// Append appends e's record and a line end, or nothing if the template fails.
func (g *goTemplate) Append(dst []byte, e *event.Event) []byte {
	if g.why = g.execute(e); g.why != nil {
		return dst
	}
	return append(append(dst, g.buf.Bytes()...), '\n')
}

// Refused returns why the last record was not written.
func (g *goTemplate) Refused() error { return g.why }

// execute writes the record into buf.
func (g *goTemplate) execute(e *event.Event) error {
	g.buf.Reset()
	r := newTemplateRecord(e, g.loc, g.template.dns)
	g.guard.rawTabs = hasRawTab(&r)
	return g.run.Execute(&g.buf, r)
}

// maxTemplateText is the longest record.
const maxTemplateText = 16 << 20

type limitedBuffer struct{ bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxTemplateText {
		return 0, fmt.Errorf("the template makes more than %d MiB of one record", maxTemplateText>>20)
	}
	return b.Buffer.Write(p)
}

// newTemplateRecord makes a record, whose DNS is empty unless withDNS is set.
func newTemplateRecord(e *event.Event, loc *time.Location, withDNS bool) TemplateRecord {
	var m mdns.Msg
	if withDNS {
		m, _ = decode(e, hasHugeList)
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

// hasHugeList reports whether a record has a longer list than honest ones have. The
// library prints a list in quadratic time, so that one record of 64 KiB could take
// minutes.
func hasHugeList(rr mdns.RR) bool {
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
