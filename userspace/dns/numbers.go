package dns

// The numbers of DNS and their names in zone files, as IANA assigns them
// (https://www.iana.org/assignments/dns-parameters). The names of types that have
// record data are in recordData.

// Types that some code treats differently from others.
const (
	TypeA        = 1
	TypeNS       = 2
	TypeCNAME    = 5
	TypeSOA      = 6
	TypeNULL     = 10
	TypeSIG      = 24
	TypeAAAA     = 28
	TypeLOC      = 29
	TypeOPT      = 41
	TypeIPSECKEY = 45
	TypeRRSIG    = 46
	TypeEUI48    = 108
	TypeEUI64    = 109
	TypeTKEY     = 249
	TypeTSIG     = 250
	TypeAMTRELAY = 260
)

// dataless are the names of types without record data: most are of questions only.
var dataless = map[uint16]string{
	0: "None", 34: "ATMA", 103: "UNSPEC", 251: "IXFR", 252: "AXFR", 253: "MAILB", 254: "MAILA", 65535: "Reserved",
}

// Classes.
const (
	ClassIN   = 1
	ClassCH   = 3
	ClassHS   = 4
	ClassNONE = 254
	ClassANY  = 255
)

// Opcodes.
const (
	OpcodeQuery  = 0
	OpcodeUpdate = 5
	OpcodeDSO    = 6 // DNS Stateful Operations; the highest that is assigned
)

// EDNS options that miekg/dns knows.
const (
	OptionLLQ         = 1
	OptionUL          = 2
	OptionNSID        = 3
	OptionESU         = 4
	OptionDAU         = 5
	OptionDHU         = 6
	OptionN3U         = 7
	OptionSubnet      = 8 // client subnet, RFC 7871 section 6
	OptionExpire      = 9
	OptionCookie      = 10
	OptionKeepalive   = 11
	OptionPadding     = 12
	OptionEDE         = 15 // extended DNS error
	OptionReporting   = 18
	OptionZoneVersion = 19
)

// Address families, in client subnets and APL.
const (
	FamilyNone = 0
	FamilyIPv4 = 1
	FamilyIPv6 = 2
)

// SVCB parameters.
const (
	ParamMandatory     = 0
	ParamALPN          = 1
	ParamNoDefaultALPN = 2
	ParamPort          = 3
	ParamIPv4Hint      = 4
	ParamECH           = 5
	ParamIPv6Hint      = 6
	ParamDoHPath       = 7
	ParamOHTTP         = 8
	ParamReserved      = 65535
)

// Forms of a KindGateway field, which a KindLen field before it names.
const (
	GatewayIPv4 = 1
	GatewayIPv6 = 2
	GatewayName = 3
)

var (
	opcodeNames = [...]string{"QUERY", "IQUERY", "STATUS", "", "NOTIFY", "UPDATE", "DSO"}
	rcodeNames  = [...]string{
		"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI",
		16: "BADSIG", 17: "BADKEY", 18: "BADTIME", 19: "BADMODE", 20: "BADNAME", 21: "BADALG", 22: "BADTRUNC", 23: "BADCOOKIE",
	}
)

// TypeName is a type's mnemonic, "" if it has none.
func TypeName(rrtype uint16) string { return typeOf(rrtype).name }

// ClassName is a class's mnemonic, "" if it has none.
func ClassName(class uint16) string {
	switch class {
	case ClassIN:
		return "IN"
	case ClassCH:
		return "CH"
	case ClassHS:
		return "HS"
	case ClassNONE:
		return "NONE"
	case ClassANY:
		return "ANY"
	}
	return ""
}

// OpcodeName is an opcode's mnemonic, "" if it is not assigned.
func OpcodeName(opcode uint8) string {
	if int(opcode) < len(opcodeNames) {
		return opcodeNames[opcode]
	}
	return ""
}

// RcodeName is the mnemonic of a response code of twelve bits, "" if it is not
// assigned.
func RcodeName(rcode uint16) string {
	if int(rcode) < len(rcodeNames) {
		return rcodeNames[rcode]
	}
	return ""
}
