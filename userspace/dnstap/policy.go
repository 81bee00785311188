package dnstap

import "fmt"

// Policy is what a server says of the policy that it applied to a message, such as a
// response policy zone. Absent fields are zero or nil.
type Policy struct {
	Type   []byte // text such as RPZ
	Rule   []byte // for RPZ: the owner of the rule, in wire format
	Action Action
	Match  Match
	Value  []byte // what matched: see Match
}

// Action is what the policy made the server do.
type Action uint32

var actionNames = [...]string{1: "NXDOMAIN", "NODATA", "PASS", "DROP", "TRUNCATE", "LOCAL_DATA"}

// String is the action's name in dnstap.proto, or its number.
func (a Action) String() string { return nameOf(uint32(a), actionNames[:]) }

// Match is which part of the message the rule matched.
type Match uint32

// What matched. The value is a name in wire format or an address of 4 or 16 bytes.
const (
	MatchQName      Match = 1 + iota // a name
	MatchClientIP                    // an address
	MatchResponseIP                  // an address
	MatchNSName                      // a name
	MatchNSIP                        // an address
)

var matchNames = [...]string{MatchQName: "QNAME", MatchClientIP: "CLIENT_IP", MatchResponseIP: "RESPONSE_IP", MatchNSName: "NS_NAME", MatchNSIP: "NS_IP"}

// String is the match's name in dnstap.proto, or its number.
func (m Match) String() string { return nameOf(uint32(m), matchNames[:]) }

func nameOf(n uint32, names []string) string {
	if uint64(n) < uint64(len(names)) && n > 0 {
		return names[n]
	}
	return fmt.Sprint(n)
}

// tellsAddress reports whether rule and value may be the address of a client or of a server,
// which masks hide. Addresses in answers are not masked. A match that this build does not
// know may be anything.
func (m Match) tellsAddress() bool {
	return m != MatchQName && m != MatchNSName && m != MatchResponseIP
}

// HTTPName is the name of a version of HTTP in dnstap.proto, or its number.
func HTTPName(version uint32) string { return nameOf(version, httpNames[:]) }

var httpNames = [...]string{1: "HTTP1", "HTTP2", "HTTP3"}

const (
	policyType   = 1
	policyRule   = 2
	policyAction = 3
	policyMatch  = 4
	policyValue  = 5
)

// Parse reads the policy of a Frame. Its slices point into data. Fields of a wrong kind are
// left out. ok is false if data is not protobuf; fields before the fault are read.
func (p *Policy) Parse(data []byte) (ok bool) {
	*p = Policy{}
	for len(data) > 0 {
		number, kind, value, varint, rest := cut(data)
		if data = rest; rest == nil {
			return false
		}
		if kind != policyKinds[number] {
			continue
		}
		switch number {
		case policyType:
			p.Type = value
		case policyRule:
			p.Rule = value
		case policyAction:
			p.Action = Action(varint)
		case policyMatch:
			p.Match = Match(varint)
		case policyValue:
			p.Value = value
		}
	}
	return true
}

// Append appends the policy as Parse reads it.
func (p *Policy) Append(dst []byte) []byte {
	dst = appendBytes(dst, policyType, p.Type)
	dst = appendBytes(dst, policyRule, p.Rule)
	dst = appendVarint(dst, policyAction, uint64(p.Action))
	dst = appendVarint(dst, policyMatch, uint64(p.Match))
	return appendBytes(dst, policyValue, p.Value)
}

// Mask removes from the policy what may be an address that masks hide.
func (p *Policy) Mask() {
	if p.Match.tellsAddress() {
		p.Rule, p.Value = nil, nil
	}
}
