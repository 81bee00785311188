package dns

import "strings"

// Kind is the wire format of a field of record data.
type Kind uint8

// Kinds. Their order is a promise: first numbers, then single values, then lists.
const (
	KindU8         Kind = iota
	KindU16             //
	KindU32             //
	KindU48             //
	KindU64             //
	KindLen8            // a number that is also the length, or the form, of a later field
	KindLen16           // likewise
	KindName            // a domain name
	KindString          // a character string
	KindText            // the rest of the data, shown as it is
	KindHex             // the rest of the data
	KindBase64          // the rest of the data
	KindSizedHex        // as long as its KindLen says
	KindSizedB64        // likewise
	KindSizedB32        // likewise
	KindIPv4            //
	KindIPv6            //
	KindGateway         // an address, a name or nothing: its KindLen says which (RFC 4025 section 2.3, RFC 8777 section 4.2.3)
	KindStrings         // from here on lists, which take the rest of the data
	KindNames           //
	KindTypes           // of NSEC
	KindOptions         // of EDNS
	KindParameters      // of SVCB
	KindPrefixes        // of APL
)

var kinds = map[string]Kind{
	"u8": KindU8, "u16": KindU16, "u32": KindU32, "u48": KindU48, "u64": KindU64, "len8": KindLen8, "len16": KindLen16,
	"name": KindName, "string": KindString, "text": KindText, "hex": KindHex, "base64": KindBase64,
	"sizedhex": KindSizedHex, "sizedbase64": KindSizedB64, "sizedbase32": KindSizedB32,
	"ipv4": KindIPv4, "ipv6": KindIPv6, "gateway": KindGateway, "strings": KindStrings, "names": KindNames,
	"types": KindTypes, "options": KindOptions, "parameters": KindParameters, "prefixes": KindPrefixes,
}

// Field is a part of record data.
type Field struct {
	Name string // in miekg/dns
	Kind Kind
	Must bool // the data must not end before it
}

// recordData is the one table of types: for each known one its mnemonic and its
// fields, under the names that miekg/dns gives them. Data may end before any field
// but one with a "!": fields that are missing are zero.
var recordData = map[uint16]string{
	1:  "A A:ipv4",
	2:  "NS Ns:name",
	3:  "MD Md:name",
	4:  "MF Mf:name",
	5:  "CNAME Target:name",
	6:  "SOA Ns:name Mbox:name Serial:u32 Refresh:u32 Retry:u32 Expire:u32 Minttl:u32",
	7:  "MB Mb:name",
	8:  "MG Mg:name",
	9:  "MR Mr:name",
	10: "NULL Data:text",
	12: "PTR Ptr:name",
	13: "HINFO Cpu:string Os:string",
	14: "MINFO Rmail:name Email:name",
	15: "MX Preference:u16 Mx:name",
	16: "TXT Txt:strings",
	17: "RP Mbox:name Txt:name",
	18: "AFSDB Subtype:u16 Hostname:name",
	19: "X25 PSDNAddress:string",
	20: "ISDN Address:string SubAddress:string",
	21: "RT Preference:u16 Host:name",
	23: "NSAP-PTR Ptr:name",
	24: "SIG TypeCovered:u16 Algorithm:u8 Labels:u8 OrigTtl:u32 Expiration:u32 Inception:u32 KeyTag:u16 " +
		"SignerName:name Signature:base64",
	25: "KEY Flags:u16 Protocol:u8 Algorithm:u8 PublicKey:base64",
	26: "PX Preference:u16 Map822:name Mapx400:name",
	27: "GPOS Longitude:string Latitude:string Altitude:string",
	28: "AAAA AAAA:ipv6",
	29: "LOC Version:u8 Size:u8 HorizPre:u8 VertPre:u8 Latitude:u32 Longitude:u32 Altitude:u32",
	30: "NXT NextDomain:name TypeBitMap:types",
	31: "EID Endpoint:hex",
	32: "NIMLOC Locator:hex",
	33: "SRV Priority:u16 Weight:u16 Port:u16 Target:name",
	35: "NAPTR Order:u16 Preference:u16 Flags:string Service:string Regexp:string Replacement:name",
	36: "KX Preference:u16 Exchanger:name",
	37: "CERT Type:u16 KeyTag:u16 Algorithm:u8 Certificate:base64",
	39: "DNAME Target:name",
	41: "OPT Option:options",
	42: "APL Prefixes:prefixes",
	43: "DS KeyTag:u16 Algorithm:u8 DigestType:u8 Digest:hex",
	44: "SSHFP Algorithm:u8 Type:u8 FingerPrint:hex",
	45: "IPSECKEY Precedence:u8 GatewayType:len8 Algorithm:u8 Gateway:gateway PublicKey:base64",
	46: "RRSIG TypeCovered:u16 Algorithm:u8 Labels:u8 OrigTtl:u32 Expiration:u32 Inception:u32 KeyTag:u16 " +
		"SignerName:name Signature:base64",
	47: "NSEC NextDomain:name TypeBitMap:types",
	48: "DNSKEY Flags:u16 Protocol:u8 Algorithm:u8 PublicKey:base64",
	49: "DHCID Digest:base64",
	50: "NSEC3 Hash:u8 Flags:u8 Iterations:u16 SaltLength:len8 Salt:sizedhex !HashLength:len8 " +
		"NextDomain:sizedbase32 TypeBitMap:types",
	51: "NSEC3PARAM Hash:u8 Flags:u8 Iterations:u16 SaltLength:len8 Salt:sizedhex",
	52: "TLSA Usage:u8 Selector:u8 MatchingType:u8 Certificate:hex",
	53: "SMIMEA Usage:u8 Selector:u8 MatchingType:u8 Certificate:hex",
	55: "HIP HitLength:len8 PublicKeyAlgorithm:u8 PublicKeyLength:len16 Hit:sizedhex !PublicKey:sizedbase64 " +
		"RendezvousServers:names",
	56:  "NINFO ZSData:strings",
	57:  "RKEY Flags:u16 Protocol:u8 Algorithm:u8 PublicKey:base64",
	58:  "TALINK PreviousName:name NextName:name",
	59:  "CDS KeyTag:u16 Algorithm:u8 DigestType:u8 Digest:hex",
	60:  "CDNSKEY Flags:u16 Protocol:u8 Algorithm:u8 PublicKey:base64",
	61:  "OPENPGPKEY PublicKey:base64",
	62:  "CSYNC Serial:u32 Flags:u16 TypeBitMap:types",
	63:  "ZONEMD Serial:u32 Scheme:u8 Hash:u8 Digest:hex",
	64:  "SVCB Priority:u16 Target:name Value:parameters",
	65:  "HTTPS Priority:u16 Target:name Value:parameters",
	99:  "SPF Txt:strings",
	100: "UINFO Uinfo:string",
	101: "UID Uid:u32",
	102: "GID Gid:u32",
	104: "NID Preference:u16 NodeID:u64",
	105: "L32 Preference:u16 Locator32:ipv4",
	106: "L64 Preference:u16 Locator64:u64",
	107: "LP Preference:u16 Fqdn:name",
	108: "EUI48 Address:u48",
	109: "EUI64 Address:u64",
	128: "NXNAME",
	249: "TKEY Algorithm:name Inception:u32 Expiration:u32 Mode:u16 Error:u16 KeySize:len16 Key:sizedhex " +
		"!OtherLen:len16 OtherData:sizedhex",
	250: "TSIG Algorithm:name TimeSigned:u48 Fudge:u16 MACSize:len16 MAC:sizedhex !OrigId:u16 Error:u16 " +
		"OtherLen:len16 OtherData:sizedhex",
	255:   "ANY",
	256:   "URI Priority:u16 Weight:u16 Target:text",
	257:   "CAA Flag:u8 Tag:string Value:text",
	258:   "AVC Txt:strings",
	260:   "AMTRELAY Precedence:u8 GatewayType:len8 Gateway:gateway",
	261:   "RESINFO Txt:strings",
	32768: "TA KeyTag:u16 Algorithm:u8 DigestType:u8 Digest:hex",
	32769: "DLV KeyTag:u16 Algorithm:u8 DigestType:u8 Digest:hex",
}

// rrType is a line of recordData.
type rrType struct {
	name   string
	fields []Field // nil: unknown
}

// Low types are in an array: nearly all types in use are low.
var lowTypes, highTypes = func() (low [256 + 16]rrType, high map[uint16]*rrType) {
	high = map[uint16]*rrType{}
	set := func(rrtype uint16, t rrType) {
		if int(rrtype) < len(low) {
			low[rrtype] = t
		} else {
			high[rrtype] = &t
		}
	}
	for rrtype, text := range recordData {
		name, fields, _ := strings.Cut(text, " ")
		t := rrType{name, []Field{}}
		for f := range strings.FieldsSeq(fields) {
			t.fields = append(t.fields, newField(f))
		}
		set(rrtype, t)
	}
	for rrtype, name := range dataless {
		set(rrtype, rrType{name: name})
	}
	return low, high
}()

var unknownType rrType

// typeOf never returns nil.
func typeOf(rrtype uint16) *rrType {
	if int(rrtype) < len(lowTypes) {
		return &lowTypes[rrtype]
	}
	if t := highTypes[rrtype]; t != nil {
		return t
	}
	return &unknownType
}

func newField(text string) Field {
	name, kindName, _ := strings.Cut(text, ":")
	k, known := kinds[kindName]
	if !known {
		panic("dns: unknown kind of field " + kindName)
	}
	return Field{strings.TrimPrefix(name, "!"), k, name[0] == '!'}
}

// FieldsOf returns the fields of a type's data, in wire order. Data of an unknown
// type have none, and are just bytes (RFC 3597).
func FieldsOf(rrtype uint16) (fields []Field, known bool) {
	fields = typeOf(rrtype).fields
	return fields, fields != nil
}

// KnownTypes returns the types that FieldsOf knows, in no particular order.
func KnownTypes() (types []uint16) {
	for rrtype := range recordData {
		types = append(types, rrtype)
	}
	return types
}
