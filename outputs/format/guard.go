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

// Templates write data of packets into lines that people and programs trust. So in text
// that comes from data, control characters and bytes that are not UTF-8 are written as
// \DDD, as in zone files. Text of the template itself stays as it is. The two are told
// apart when the template is parsed: guardTemplate appends a call of printFunc to each
// action that prints data. Where printf, print or println mix data with text of the
// template, it wraps the data in a call of formatFunc or dataFunc.

const (
	printFunc  = "_print"  // for the value that an action prints
	formatFunc = "_format" // for an argument of printf
	dataFunc   = "_data"   // for an argument of print or println
)

// guardTemplate rewrites t and all templates that it defines. From then on t needs
// guard.functions.
func guardTemplate(t *template.Template) {
	var roots []parse.Node
	for _, t := range t.Templates() {
		if t.Tree != nil {
			roots = append(roots, t.Root)
		}
	}
	own := literalVariables(roots)
	for _, root := range roots {
		eachPipe(root, func(p *parse.PipeNode, holder parse.Node) {
			own.wrap(p)
			if _, prints := holder.(*parse.ActionNode); prints && len(p.Decl) == 0 && !own.literalPipe(p) {
				p.Cmds = append(p.Cmds, call(printFunc, p.Pos))
			}
		})
	}
}

func call(name string, pos parse.Pos, args ...parse.Node) *parse.CommandNode {
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pos, Args: append([]parse.Node{parse.NewIdentifier(name).SetPos(pos)}, args...)}
}

// eachPipe calls f with the pipe of every node below n, and with the node.
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

// literals are the variables that always hold text of the template itself.
type literals map[string]bool

func literalVariables(roots []parse.Node) literals {
	vars := literals{}
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
			if vars[name] && (element || !vars.literalPipe(p)) {
				vars[name], changed = false, true
			}
		})
	}
	return vars
}

// literalPipe reports whether p yields only text of the template itself, after wrap.
func (l literals) literalPipe(p *parse.PipeNode) bool {
	before := true
	for i, c := range p.Cmds {
		before = l.literalCommand(c, i > 0, before)
	}
	return before
}

// literalCommand is literalPipe for one command. If piped is set, the command takes the
// result of the one before it, for which literalCommand returned before.
func (l literals) literalCommand(c *parse.CommandNode, piped, before bool) bool {
	args := before
	for _, a := range c.Args[1:] {
		args = args && l.literalArgument(a)
	}
	switch first := c.Args[0].(type) {
	case *parse.IdentifierNode:
		if mixes(first.Ident) {
			return first.Ident != "printf" || l.literalFormat(c, piped, before)
		}
		return args
	case *parse.FieldNode:
		return args && isTimeFormat(first.Ident)
	case *parse.VariableNode:
		return args && (l.literalArgument(first) || first.Ident[0] == "$" && isTimeFormat(first.Ident[1:]))
	}
	return l.literalArgument(c.Args[0])
}

// isTimeFormat reports whether fields is a call of time.Time's Format.
func isTimeFormat(fields []string) bool {
	return len(fields) > 1 && fields[0] == "Timestamp" && fields[len(fields)-1] == "Format"
}

// literalArgument reports whether n is text of the template itself.
func (l literals) literalArgument(n parse.Node) bool {
	switch n := n.(type) {
	case *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.NilNode:
		return true
	case *parse.VariableNode:
		return len(n.Ident) == 1 && l[n.Ident[0]]
	case *parse.PipeNode:
		return l.literalPipe(n)
	}
	return false
}

// mixes reports whether a function mixes data with text of the template.
func mixes(function string) bool {
	return function == "printf" || function == "print" || function == "println"
}

// literalFormat reports whether the format of a printf is text of the template itself.
func (l literals) literalFormat(c *parse.CommandNode, piped, before bool) bool {
	if len(c.Args) > 1 {
		return l.literalArgument(c.Args[1])
	}
	return piped && before
}

// wrap wraps data that are mixed with text of the template in formatFunc or dataFunc.
func (l literals) wrap(p *parse.PipeNode) {
	var cmds []*parse.CommandNode
	before := true
	for i, c := range p.Cmds {
		for _, a := range c.Args {
			if nested, ok := a.(*parse.PipeNode); ok {
				l.wrap(nested)
			}
		}
		if first, ok := c.Args[0].(*parse.IdentifierNode); ok && mixes(first.Ident) && l.literalCommand(c, i > 0, before) {
			bare, wrapper := bareArguments(c), dataFunc
			if first.Ident == "printf" {
				wrapper = formatFunc
			}
			for k, a := range c.Args[1:] {
				if !l.literalArgument(a) && !bare[k-1] {
					c.Args[k+1] = &parse.PipeNode{NodeType: parse.NodePipe, Pos: a.Position(), Cmds: []*parse.CommandNode{call(wrapper, a.Position(), a)}}
				}
			}
			if !before && !bare[len(c.Args)-2] {
				cmds = append(cmds, call(wrapper, c.Pos))
			}
		}
		cmds = append(cmds, c)
		before = l.literalCommand(c, i > 0, before)
	}
	p.Cmds = cmds
}

// directive is a directive of a format, up to its verb.
var directive = regexp.MustCompile(`(?s)%[-+# 0]*(\*|\d+)?(?:\.(\*|\d+)?)?(.|$)`)

// bareArguments returns the indexes of the arguments of a printf whose text is not shown: it
// shows their type (%T), or uses them as a width. fmt needs those unwrapped. Index 0 is the
// argument after the format.
func bareArguments(c *parse.CommandNode) map[int]bool {
	if c.Args[0].String() != "printf" || len(c.Args) < 2 {
		return nil
	}
	format, ok := c.Args[1].(*parse.StringNode)
	if !ok {
		return nil
	}
	bare, index := map[int]bool{}, 0
	for _, d := range directive.FindAllStringSubmatch(format.Text, -1) {
		for _, width := range d[1:3] {
			if width == "*" {
				bare[index] = true
				index++
			}
		}
		switch d[3] {
		case "%":
			continue
		case "[": // explicit indexes: wrap all
			return nil
		}
		bare[index] = d[3] == "T"
		index++
	}
	return bare
}

// guard is the state of an encoder's functions.
type guard struct {
	rawTabs bool // a tab in the current record may come from data
}

func (g *guard) functions() template.FuncMap {
	return template.FuncMap{printFunc: g.print, formatFunc: g.datum, dataFunc: g.data}
}

// print returns what text/template prints for v, escaped.
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

// data returns a value that print and println show as v, escaped. It stays a string if
// v is one, since print separates other values by spaces.
func (g *guard) data(v reflect.Value) any {
	if s, ok := v.Interface().(string); ok {
		return dataText(s)
	}
	return g.datum(v)
}

type dataText string

// Format formats the text as fmt does, and escapes the result.
func (d dataText) Format(s fmt.State, verb rune) {
	fmt.Fprint(s, visible(fmt.Sprintf(fmt.FormatString(s, verb), string(d)), false))
}

// datum returns a value that is formatted as v, escaped.
func (g *guard) datum(v reflect.Value) datum {
	value := v.Interface()
	return func(s fmt.State, verb rune) {
		tabs := (verb == 'v' || verb == 's') && g.tabs(value)
		fmt.Fprint(s, visible(fmt.Sprintf(fmt.FormatString(s, verb), value), tabs))
	}
}

// datum is a function, so that verbs that bypass Format, like p and w, show no data.
type datum func(s fmt.State, verb rune)

// Format formats the value as fmt does, and escapes the result.
func (d datum) Format(s fmt.State, verb rune) { d(s, verb) }

// tabs reports whether the tabs in the text of v come from miekg/dns, which separates
// the parts of a record by them.
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

// hasRawTab reports whether a text of r that miekg/dns or fmt prints unescaped has a tab.
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

// optionText is the text in an option that miekg/dns prints unescaped.
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

// visible writes the bytes of control characters, and bytes that are not UTF-8, as
// \DDD. It leaves tabs if tabs is set.
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
