package format

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode/utf8"

	mdns "github.com/miekg/dns"
)

// Templates write what a packet holds into lines that people and programs trust. So
// a template's own text stands as it is, and what comes from data has its control
// characters, and bytes that are no UTF-8, as \DDD, the way of zone files. Which is
// which is known when the template is read: guardTemplate puts a call of printFunc
// behind each action whose text comes from data, and a call of formatFunc or dataFunc
// around data that printf, or print and println, mix with the template's own text.

const (
	printFunc  = "_print"  // for what an action prints
	formatFunc = "_format" // for an argument of printf
	dataFunc   = "_data"   // for an argument of print or println
)

// guardTemplate rewrites t, and all templates that it defines. It runs then only
// with guard.functions.
func guardTemplate(t *template.Template) {
	var roots []parse.Node
	for _, t := range t.Templates() {
		if t.Tree != nil {
			roots = append(roots, t.Root)
		}
	}
	own := ownVariables(roots)
	for _, root := range roots {
		eachPipe(root, func(p *parse.PipeNode, holder parse.Node) {
			own.wrap(p)
			if _, prints := holder.(*parse.ActionNode); prints && len(p.Decl) == 0 && !own.pipe(p) {
				p.Cmds = append(p.Cmds, call(printFunc, p.Pos))
			}
		})
	}
}

func call(name string, pos parse.Pos, args ...parse.Node) *parse.CommandNode {
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pos, Args: append([]parse.Node{parse.NewIdentifier(name).SetPos(pos)}, args...)}
}

// eachPipe calls f for the pipe of every node below n, with the node.
func eachPipe(n parse.Node, f func(p *parse.PipeNode, holder parse.Node)) {
	branch := func(b *parse.BranchNode) {
		f(b.Pipe, n)
		eachPipe(b.List, f)
		if b.ElseList != nil {
			eachPipe(b.ElseList, f)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, n := range n.Nodes {
			eachPipe(n, f)
		}
	case *parse.ActionNode:
		f(n.Pipe, n)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			f(n.Pipe, n)
		}
	}
}

// own are the variables that hold nothing but the template's own text, whatever is
// assigned to them.
type own map[string]bool

func ownVariables(roots []parse.Node) own {
	vars := own{}
	assignments := func(f func(name string, p *parse.PipeNode, holder parse.Node)) {
		for _, root := range roots {
			eachPipe(root, func(p *parse.PipeNode, holder parse.Node) {
				for _, v := range p.Decl {
					f(v.Ident[0], p, holder)
				}
			})
		}
	}
	assignments(func(name string, _ *parse.PipeNode, _ parse.Node) { vars[name] = true })
	for changed := true; changed; {
		changed = false
		assignments(func(name string, p *parse.PipeNode, holder parse.Node) {
			_, element := holder.(*parse.RangeNode)
			if vars[name] && (element || !vars.pipe(p)) {
				vars[name], changed = false, true
			}
		})
	}
	return vars
}

// pipe tells whether the template's own text is all that p gives, once wrap has
// been there.
func (o own) pipe(p *parse.PipeNode) bool {
	before := true
	for i, c := range p.Cmds {
		before = o.command(c, i > 0, before)
	}
	return before
}

// command is pipe for one command, which takes the result of the one before.
func (o own) command(c *parse.CommandNode, takes, before bool) bool {
	args := before
	for _, a := range c.Args[1:] {
		args = args && o.argument(a)
	}
	switch first := c.Args[0].(type) {
	case *parse.IdentifierNode:
		if mixes(first.Ident) {
			return first.Ident != "printf" || o.format(c, takes, before)
		}
		return args
	case *parse.FieldNode:
		return args && laidOut(first.Ident)
	case *parse.VariableNode:
		return args && (o.argument(first) || first.Ident[0] == "$" && laidOut(first.Ident[1:]))
	}
	return o.argument(c.Args[0])
}

// laidOut tells whether a time is written as a layout says that stands beside it.
func laidOut(fields []string) bool {
	return len(fields) > 1 && fields[0] == "Timestamp" && fields[len(fields)-1] == "Format"
}

func (o own) argument(n parse.Node) bool {
	switch n := n.(type) {
	case *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.NilNode:
		return true
	case *parse.VariableNode:
		return len(n.Ident) == 1 && o[n.Ident[0]]
	case *parse.PipeNode:
		return o.pipe(n)
	}
	return false
}

// mixes tells the functions that put data into the template's own text.
func mixes(function string) bool {
	return function == "printf" || function == "print" || function == "println"
}

// format tells whether the format of a printf is the template's own.
func (o own) format(c *parse.CommandNode, takes, before bool) bool {
	if len(c.Args) > 1 {
		return o.argument(c.Args[1])
	}
	return takes && before
}

// wrap puts dataFunc around what comes from data, where it is mixed.
func (o own) wrap(p *parse.PipeNode) {
	var cmds []*parse.CommandNode
	before := true
	for i, c := range p.Cmds {
		for _, a := range c.Args {
			if nested, ok := a.(*parse.PipeNode); ok {
				o.wrap(nested)
			}
		}
		if first, ok := c.Args[0].(*parse.IdentifierNode); ok && mixes(first.Ident) && o.command(c, i > 0, before) {
			bare, around := bareArguments(c), dataFunc
			if first.Ident == "printf" {
				around = formatFunc
			}
			for k, a := range c.Args[1:] {
				if !o.argument(a) && !bare[k-1] {
					c.Args[k+1] = &parse.PipeNode{NodeType: parse.NodePipe, Pos: a.Position(), Cmds: []*parse.CommandNode{call(around, a.Position(), a)}}
				}
			}
			if !before && !bare[len(c.Args)-2] {
				cmds = append(cmds, call(around, c.Pos))
			}
		}
		cmds = append(cmds, c)
		before = o.command(c, i > 0, before)
	}
	p.Cmds = cmds
}

// directive is one of a format, up to its verb.
var directive = regexp.MustCompile(`(?s)%[-+# 0]*(\*|\d+)?(?:\.(\*|\d+)?)?(.|$)`)

// bareArguments tells, by their places behind the format of a printf, the arguments
// of which it shows no text: their type (%T), or a width. fmt has to see those as
// they are.
func bareArguments(c *parse.CommandNode) map[int]bool {
	if c.Args[0].String() != "printf" || len(c.Args) < 2 {
		return nil
	}
	format, ok := c.Args[1].(*parse.StringNode)
	if !ok {
		return nil
	}
	bare, place := map[int]bool{}, 0
	for _, d := range directive.FindAllStringSubmatch(format.Text, -1) {
		for _, width := range d[1:3] {
			if width == "*" {
				bare[place] = true
				place++
			}
		}
		switch d[3] {
		case "%":
			continue
		case "[": // the places are in another order
			return nil
		}
		bare[place] = d[3] == "T"
		place++
	}
	return bare
}

// guard is what an encoder's functions know of the record at hand.
type guard struct {
	rawTabs bool // a tab in text may come from data
}

func (g *guard) functions() template.FuncMap {
	return template.FuncMap{printFunc: g.print, formatFunc: g.datum, dataFunc: g.data}
}

// print gives what text/template prints of v, escaped.
func (g *guard) print(v reflect.Value) (string, error) {
	for v.Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem()
	}
	pointer := v
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	switch {
	case implements(v.Type()):
	case v.CanAddr() && implements(reflect.PointerTo(v.Type())):
		v = v.Addr()
	case v.Kind() == reflect.Chan || v.Kind() == reflect.Func:
		return "", fmt.Errorf("can't print a value of type %s", pointer.Type())
	}
	return visible(fmt.Sprint(v.Interface()), g.tabs(v.Interface())), nil
}

func implements(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[error]()) || t.Implements(reflect.TypeFor[fmt.Stringer]())
}

// data gives a value that print shows as v, with the text escaped. It puts spaces
// between values that are no strings.
func (g *guard) data(v reflect.Value) any {
	if s, ok := v.Interface().(string); ok {
		return dataText(s)
	}
	return g.datum(v)
}

type dataText string

// Format formats the text as fmt does.
func (d dataText) Format(s fmt.State, verb rune) {
	fmt.Fprint(s, visible(fmt.Sprintf(fmt.FormatString(s, verb), string(d)), false))
}

// datum gives a value that is formatted as v, with the text escaped.
func (g *guard) datum(v reflect.Value) datum {
	value := v.Interface()
	return func(s fmt.State, verb rune) {
		tabs := (verb == 'v' || verb == 's') && g.tabs(value)
		fmt.Fprint(s, visible(fmt.Sprintf(fmt.FormatString(s, verb), value), tabs))
	}
}

// datum is a function so that there is nothing to see where fmt does not ask it, as for
// the verbs p and w.
type datum func(s fmt.State, verb rune)

// Format formats the value as fmt does.
func (d datum) Format(s fmt.State, verb rune) { d(s, verb) }

// tabs tells whether the tabs in the text of v are miekg/dns' own: it has them
// between the parts of a record.
func (g *guard) tabs(v any) bool {
	if g.rawTabs {
		return false
	}
	t := reflect.TypeOf(v)
	switch t.Kind() {
	case reflect.Struct, reflect.Pointer:
		return true
	case reflect.Slice:
		return t.Elem().Kind() == reflect.Interface || t.Elem().Kind() == reflect.Struct
	}
	return false
}

// hasRawTab tells whether a text that is printed as it stands holds a tab.
func hasRawTab(r *TemplateRecord) bool {
	raw := strings.ContainsRune(r.Identity, '\t') || strings.ContainsRune(r.Version, '\t')
	for _, list := range [...][]mdns.RR{r.DNS.Answer, r.DNS.Ns, r.DNS.Extra} {
		for _, rr := range list {
			switch rr := rr.(type) {
			case *mdns.NULL:
				raw = raw || strings.ContainsRune(rr.Data, '\t')
			case *mdns.OPT:
				for _, o := range rr.Option {
					raw = raw || strings.ContainsRune(optionText(o), '\t')
				}
			}
		}
	}
	return raw
}

// optionText is the text of an option that is printed as it stands.
func optionText(o mdns.EDNS0) string {
	switch o := o.(type) {
	case *mdns.EDNS0_NSID:
		id, _ := hex.DecodeString(o.Nsid)
		return string(id)
	case *mdns.EDNS0_ESU:
		return o.Uri
	case *mdns.EDNS0_EDE:
		return o.ExtraText
	case *mdns.EDNS0_ZONEVERSION:
		return o.Version
	}
	return ""
}

// visible gives s with control characters, and bytes that are no UTF-8, as \DDD,
// byte by byte; tabs are left where that is asked for.
func visible(s string, tabs bool) string {
	var b []byte
	start := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r >= ' ' && r < 0x7f || r > 0x9f && (r != utf8.RuneError || n > 1) || r == '\t' && tabs {
			i += n
			continue
		}
		b = append(b, s[start:i]...)
		for end := i + n; i < end; i++ {
			b = append(b, '\\', '0'+s[i]/100, '0'+s[i]/10%10, '0'+s[i]%10)
		}
		start = i
	}
	if start == 0 {
		return s
	}
	return string(append(b, s[start:]...))
}
