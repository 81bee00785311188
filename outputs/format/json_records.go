package format

import (
	"encoding/binary"
	"strings"

	mdns "github.com/miekg/dns"
)

// kind is how a field stands on the wire and in JSON.
type kind uint8

const (
	kindU8         kind = iota
	kindU16             //
	kindU32             //
	kindU48             //
	kindU64             //
	kindLen8            // a number that is also the length, or the kind, of a later field
	kindLen16           // likewise
	kindName            // a domain name
	kindString          // a character string
	kindText            // what is left, as it stands
	kindHex             // what is left
	kindBase64          // what is left
	kindSizedHex        // as long as the kindLen says
	kindSizedB64        // likewise
	kindSizedB32        // likewise
	kindIPv4            //
	kindIPv6            //
	kindGateway         // two fields: an address and a name, of which the kindLen says which one is there
	firstList           // from here on what is left, as lists
	kindStrings    kind = iota - 1
	kindNames      kind = iota - 1
	kindTypes      kind = iota - 1 // of NSEC
	kindOptions    kind = iota - 1 // of EDNS
	kindParameters kind = iota - 1 // of SVCB
	kindPrefixes   kind = iota - 1 // of APL
)

var kinds = map[string]kind{
	"u8": kindU8, "u16": kindU16, "u32": kindU32, "u48": kindU48, "u64": kindU64, "len8": kindLen8, "len16": kindLen16,
	"name": kindName, "string": kindString, "text": kindText, "hex": kindHex, "base64": kindBase64,
	"sizedhex": kindSizedHex, "sizedbase64": kindSizedB64, "sizedbase32": kindSizedB32,
	"ipv4": kindIPv4, "ipv6": kindIPv6, "gateway": kindGateway, "strings": kindStrings, "names": kindNames,
	"types": kindTypes, "options": kindOptions, "parameters": kindParameters, "prefixes": kindPrefixes,
}

// layouts are the fields of record data, in the names that miekg/dns gives
// them. The data may end before any field but one with a "!": what is missing
// is zero then.
var layouts = map[uint16]string{
	mdns.TypeA:          "A:ipv4",
	mdns.TypeAAAA:       "AAAA:ipv6",
	mdns.TypeAFSDB:      "Subtype:u16 Hostname:name",
	mdns.TypeAMTRELAY:   "Precedence:u8 GatewayType:len8 Gateway:gateway",
	mdns.TypeANY:        "",
	mdns.TypeAPL:        "Prefixes:prefixes",
	mdns.TypeAVC:        "Txt:strings",
	mdns.TypeCAA:        "Flag:u8 Tag:string Value:text",
	mdns.TypeCDNSKEY:    "Flags:u16 Protocol:u8 Algorithm:u8 PublicKey:base64",
	mdns.TypeCDS:        "KeyTag:u16 Algorithm:u8 DigestType:u8 Digest:hex",
	mdns.TypeCERT:       "Type:u16 KeyTag:u16 Algorithm:u8 Certificate:base64",
	mdns.TypeCNAME:      "Target:name",
	mdns.TypeCSYNC:      "Serial:u32 Flags:u16 TypeBitMap:types",
	mdns.TypeDHCID:      "Digest:base64",
	mdns.TypeDLV:        "KeyTag:u16 Algorithm:u8 DigestType:u8 Digest:hex",
	mdns.TypeDNAME:      "Target:name",
	mdns.TypeDNSKEY:     "Flags:u16 Protocol:u8 Algorithm:u8 PublicKey:base64",
	mdns.TypeDS:         "KeyTag:u16 Algorithm:u8 DigestType:u8 Digest:hex",
	mdns.TypeEID:        "Endpoint:hex",
	mdns.TypeEUI48:      "Address:u48",
	mdns.TypeEUI64:      "Address:u64",
	mdns.TypeGID:        "Gid:u32",
	mdns.TypeGPOS:       "Longitude:string Latitude:string Altitude:string",
	mdns.TypeHINFO:      "Cpu:string Os:string",
	mdns.TypeHIP:        "HitLength:len8 PublicKeyAlgorithm:u8 PublicKeyLength:len16 Hit:sizedhex !PublicKey:sizedbase64 RendezvousServers:names",
	mdns.TypeHTTPS:      "Priority:u16 Target:name Value:parameters",
	mdns.TypeIPSECKEY:   "Precedence:u8 GatewayType:len8 Algorithm:u8 Gateway:gateway PublicKey:base64",
	mdns.TypeISDN:       "Address:string SubAddress:string",
	mdns.TypeKEY:        "Flags:u16 Protocol:u8 Algorithm:u8 PublicKey:base64",
	mdns.TypeKX:         "Preference:u16 Exchanger:name",
	mdns.TypeL32:        "Preference:u16 Locator32:ipv4",
	mdns.TypeL64:        "Preference:u16 Locator64:u64",
	mdns.TypeLOC:        "Version:u8 Size:u8 HorizPre:u8 VertPre:u8 Latitude:u32 Longitude:u32 Altitude:u32",
	mdns.TypeLP:         "Preference:u16 Fqdn:name",
	mdns.TypeMB:         "Mb:name",
	mdns.TypeMD:         "Md:name",
	mdns.TypeMF:         "Mf:name",
	mdns.TypeMG:         "Mg:name",
	mdns.TypeMINFO:      "Rmail:name Email:name",
	mdns.TypeMR:         "Mr:name",
	mdns.TypeMX:         "Preference:u16 Mx:name",
	mdns.TypeNAPTR:      "Order:u16 Preference:u16 Flags:string Service:string Regexp:string Replacement:name",
	mdns.TypeNID:        "Preference:u16 NodeID:u64",
	mdns.TypeNIMLOC:     "Locator:hex",
	mdns.TypeNINFO:      "ZSData:strings",
	mdns.TypeNS:         "Ns:name",
	mdns.TypeNSAPPTR:    "Ptr:name",
	mdns.TypeNSEC:       "NextDomain:name TypeBitMap:types",
	mdns.TypeNSEC3:      "Hash:u8 Flags:u8 Iterations:u16 SaltLength:len8 Salt:sizedhex !HashLength:len8 NextDomain:sizedbase32 TypeBitMap:types",
	mdns.TypeNSEC3PARAM: "Hash:u8 Flags:u8 Iterations:u16 SaltLength:len8 Salt:sizedhex",
	mdns.TypeNULL:       "Data:text",
	mdns.TypeNXNAME:     "",
	mdns.TypeNXT:        "NextDomain:name TypeBitMap:types",
	mdns.TypeOPENPGPKEY: "PublicKey:base64",
	mdns.TypeOPT:        "Option:options",
	mdns.TypePTR:        "Ptr:name",
	mdns.TypePX:         "Preference:u16 Map822:name Mapx400:name",
	mdns.TypeRESINFO:    "Txt:strings",
	mdns.TypeRKEY:       "Flags:u16 Protocol:u8 Algorithm:u8 PublicKey:base64",
	mdns.TypeRP:         "Mbox:name Txt:name",
	mdns.TypeRRSIG: "TypeCovered:u16 Algorithm:u8 Labels:u8 OrigTtl:u32 Expiration:u32 Inception:u32 KeyTag:u16 " +
		"SignerName:name Signature:base64",
	mdns.TypeRT: "Preference:u16 Host:name",
	mdns.TypeSIG: "TypeCovered:u16 Algorithm:u8 Labels:u8 OrigTtl:u32 Expiration:u32 Inception:u32 KeyTag:u16 " +
		"SignerName:name Signature:base64",
	mdns.TypeSMIMEA: "Usage:u8 Selector:u8 MatchingType:u8 Certificate:hex",
	mdns.TypeSOA:    "Ns:name Mbox:name Serial:u32 Refresh:u32 Retry:u32 Expire:u32 Minttl:u32",
	mdns.TypeSPF:    "Txt:strings",
	mdns.TypeSRV:    "Priority:u16 Weight:u16 Port:u16 Target:name",
	mdns.TypeSSHFP:  "Algorithm:u8 Type:u8 FingerPrint:hex",
	mdns.TypeSVCB:   "Priority:u16 Target:name Value:parameters",
	mdns.TypeTA:     "KeyTag:u16 Algorithm:u8 DigestType:u8 Digest:hex",
	mdns.TypeTALINK: "PreviousName:name NextName:name",
	mdns.TypeTKEY: "Algorithm:name Inception:u32 Expiration:u32 Mode:u16 Error:u16 KeySize:len16 Key:sizedhex " +
		"!OtherLen:len16 OtherData:sizedhex",
	mdns.TypeTLSA: "Usage:u8 Selector:u8 MatchingType:u8 Certificate:hex",
	mdns.TypeTSIG: "Algorithm:name TimeSigned:u48 Fudge:u16 MACSize:len16 MAC:sizedhex !OrigId:u16 Error:u16 " +
		"OtherLen:len16 OtherData:sizedhex",
	mdns.TypeTXT:    "Txt:strings",
	mdns.TypeUID:    "Uid:u32",
	mdns.TypeUINFO:  "Uinfo:string",
	mdns.TypeURI:    "Priority:u16 Weight:u16 Target:text",
	mdns.TypeX25:    "PSDNAddress:string",
	mdns.TypeZONEMD: "Serial:u32 Scheme:u8 Hash:u8 Digest:hex",
}

// field is one of a record's, ready to be written.
type field struct {
	kind kind
	must bool   // the data must not end before it
	name short  // `,"Name":` and, where the value is a string, its first quote
	zero string // the field where the data ends before it
}

// layout is a record type, ready to be written.
type layout struct {
	known  bool   // it is in layouts
	empty  string // what follows the header where there is no data at all
	fields []field
}

var (
	lowTypes  [256 + 16]layout // by number; all but a few are here
	highTypes = map[uint16]*layout{}
	noType    = newLayout("Rdata:hex")
)

func init() {
	for rrtype, text := range layouts {
		l := newLayout(text)
		l.known = true
		if int(rrtype) < len(lowTypes) {
			lowTypes[rrtype] = l
		} else {
			highTypes[rrtype] = &l
		}
	}
}

func newLayout(text string) (l layout) {
	for f := range strings.FieldsSeq(text) {
		name, kindName, _ := strings.Cut(f, ":")
		k, known := kinds[kindName]
		if !known {
			panic("format: no kind of field " + kindName)
		}
		l.fields = append(l.fields, newField(strings.TrimPrefix(name, "!"), k, name[0] == '!'))
	}
	for _, f := range l.fields {
		l.empty += f.zero
	}
	l.empty += "}"
	return l
}

func newField(name string, k kind, must bool) field {
	f := field{kind: k, must: must}
	start := `,"` + name + `":`
	switch {
	case k == kindGateway:
		start, f.zero = `,"GatewayAddr":"`, `,"GatewayAddr":"","GatewayHost":""`
	case k <= kindLen16:
		f.zero = start + "0"
	case k >= firstList:
		f.zero = start + "null"
	default:
		start += `"`
		f.zero = start + `"`
	}
	f.name = newShort(start)
	return f
}

func layoutOf(rrtype uint16) *layout {
	if int(rrtype) < len(lowTypes) {
		if l := &lowTypes[rrtype]; l.known {
			return l
		}
	} else if l := highTypes[rrtype]; l != nil {
		return l
	}
	return &noType
}

// appendRecord appends the record at off. It returns the offset behind it, or
// -1 where miekg/dns would refuse it; then what was appended is to be cut off.
func (j *JSON) appendRecord(dst, msg []byte, off int) ([]byte, int) {
	dst, off = j.appendHead(dst, msg, off)
	if off < 0 {
		return dst, -1
	}
	length := int(binary.BigEndian.Uint16(msg[off-2:]))
	end := off + length
	if end > len(msg) {
		return dst, -1
	}
	dst = append(appendUint(dst, uint64(length)), '}')
	l := layoutOf(binary.BigEndian.Uint16(msg[off-10:]))
	if length == 0 {
		return append(dst, l.empty...), end
	}
	dst, off = j.appendData(dst, msg[:end], off, l.fields)
	if off != end {
		return dst, -1
	}
	return append(dst, '}'), end
}

// appendHead appends a record's name, type, class and TTL, and the name of the
// field that comes then. It returns the offset behind the length of the data.
func (j *JSON) appendHead(dst, msg []byte, off int) ([]byte, int) {
	if len(msg)-off >= pointedHead && msg[off] >= 0xc0 {
		h := headOf(msg[off:])
		if h == j.previous {
			return append(dst, dst[j.previousAt:j.previousEnd]...), off + pointedHead
		}
		j.previous, j.previousAt = h, len(dst)
	} else {
		j.previous = head{}
	}
	dst = append(dst, `{"Hdr":{"Name":"`...)
	dst, off = j.names.append(dst, msg, off)
	if off < 0 || off+10 > len(msg) {
		return dst, -1
	}
	dst = j.heads.append(dst, binary.BigEndian.Uint64(msg[off:]))
	j.previousEnd = len(dst)
	return dst, off + 10
}

// head is a record's first bytes, where its name is a pointer, up to the length
// of the data: the records of a set have them in common. The zero value is no
// record's.
type head struct {
	name uint16
	kind uint64
}

const pointedHead = 12 // bytes of a head and the length of the data

func headOf(b []byte) head {
	return head{binary.BigEndian.Uint16(b), binary.BigEndian.Uint64(b[2:])}
}

// headTexts remembers what types, classes and TTLs look like: few of each are in
// use.
type headTexts [64]headText

type headText struct {
	kind uint64 // type, class and TTL as on the wire
	n    int    // 0: not used yet
	text [64]byte
}

// append appends what stands between a record's name and the length of its data.
func (t *headTexts) append(dst []byte, kind uint64) []byte {
	k := &t[kind*0x9e3779b97f4a7c15>>58]
	if k.kind != kind || k.n == 0 {
		k.set(kind)
	}
	dst = room(dst, len(k.text))
	at := len(dst)
	*(*[len(k.text)]byte)(dst[at : at+len(k.text)]) = k.text
	return dst[:at+k.n]
}

func (k *headText) set(kind uint64) {
	var room [2 * len(k.text)]byte // more than the text needs, as appendUint does
	text := appendUint(append(room[:0], `","Rrtype":`...), kind>>48)
	text = appendUint(append(text, `,"Class":`...), kind>>32&0xffff)
	text = appendUint(append(text, `,"Ttl":`...), kind&0xffffffff)
	k.kind, k.n = kind, copy(k.text[:], append(text, `,"Rdlength":`...)) // at most 59
}

// sizes hands what the kindLen fields of a record said to the later fields that
// they speak of, in turn.
type sizes struct {
	size      [2]int
	put, take int
}

func (s *sizes) push(n int) { s.size[s.put&1] = n; s.put++ }

func (s *sizes) pop() int { n := s.size[s.take&1]; s.take++; return n }

// appendData appends the fields of the data from off to the end of msg. It
// returns the offset that it came to, or -1.
func (j *JSON) appendData(dst, msg []byte, off int, fields []field) ([]byte, int) {
	var s sizes
	for i := range fields {
		f := &fields[i]
		if off == len(msg) && !f.must {
			for ; i < len(fields); i++ {
				dst = append(dst, fields[i].zero...)
			}
			return dst, off
		}
		dst = appendShort(dst, &f.name)
		switch {
		case f.kind <= kindLen16:
			dst, off = appendNumber(dst, msg, off, f.kind, &s)
		case f.kind < firstList:
			dst, off = j.appendString(dst, msg, off, f.kind, &s)
			dst = append(dst, '"')
		default:
			dst, off = j.appendList(dst, msg, off, f.kind)
		}
		if off < 0 {
			return dst, -1
		}
	}
	return dst, off
}

func appendNumber(dst, msg []byte, off int, k kind, s *sizes) ([]byte, int) {
	rest := msg[off:]
	switch k {
	case kindU8, kindLen8:
		if len(rest) < 1 {
			return dst, -1
		}
		if k == kindLen8 {
			s.push(int(rest[0]))
		}
		return appendUint(dst, uint64(rest[0])), off + 1
	case kindU16, kindLen16:
		if len(rest) < 2 {
			return dst, -1
		}
		v := binary.BigEndian.Uint16(rest)
		if k == kindLen16 {
			s.push(int(v))
		}
		return appendUint(dst, uint64(v)), off + 2
	case kindU32:
		if len(rest) < 4 {
			return dst, -1
		}
		return appendUint(dst, uint64(binary.BigEndian.Uint32(rest))), off + 4
	case kindU48:
		if len(rest) < 6 {
			return dst, -1
		}
		return appendUint(dst, uint64(binary.BigEndian.Uint16(rest))<<32|uint64(binary.BigEndian.Uint32(rest[2:]))), off + 6
	default:
		if len(rest) < 8 {
			return dst, -1
		}
		return appendUint(dst, binary.BigEndian.Uint64(rest)), off + 8
	}
}

// appendString appends what stands between the quotes.
func (j *JSON) appendString(dst, msg []byte, off int, k kind, s *sizes) ([]byte, int) {
	rest := msg[off:]
	switch k {
	case kindName:
		return j.names.append(dst, msg, off)
	case kindString:
		return appendCharString(dst, msg, off)
	case kindText:
		return appendText(dst, rest), len(msg)
	case kindHex:
		return appendHex(dst, rest), len(msg)
	case kindBase64:
		return appendBase64(dst, rest), len(msg)
	case kindIPv4:
		if len(rest) < 4 {
			return dst, -1
		}
		return appendIPv4(dst, rest), off + 4
	case kindIPv6:
		if len(rest) < 16 {
			return dst, -1
		}
		return appendIPv6(dst, rest), off + 16
	case kindGateway:
		return j.appendGateway(dst, msg, off, s.pop())
	}
	n := s.pop()
	if n > len(rest) {
		return dst, -1
	}
	switch k {
	case kindSizedB64:
		dst = appendBase64(dst, rest[:n])
	case kindSizedB32:
		dst = appendBase32(dst, rest[:n])
	default:
		dst = appendHex(dst, rest[:n])
	}
	return dst, off + n
}

func appendCharString(dst, msg []byte, off int) ([]byte, int) {
	if off >= len(msg) || off+1+int(msg[off]) > len(msg) {
		return dst, -1
	}
	end := off + 1 + int(msg[off])
	return appendZone(dst, msg[off+1:end], &inString), end
}

// appendGateway appends an address or a name, and what stands between the two
// fields (RFC 4025 section 2.3, RFC 8777 section 4.2.3).
func (j *JSON) appendGateway(dst, msg []byte, off, gateway int) ([]byte, int) {
	const middle = `","GatewayHost":"`
	switch uint8(gateway) {
	case mdns.IPSECGatewayIPv4:
		dst, off = j.appendString(dst, msg, off, kindIPv4, nil)
	case mdns.IPSECGatewayIPv6:
		dst, off = j.appendString(dst, msg, off, kindIPv6, nil)
	case mdns.IPSECGatewayHost:
		return j.names.append(append(dst, middle...), msg, off)
	}
	return append(dst, middle...), off
}
