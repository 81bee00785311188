package format

import (
	"fmt"
	"net/netip"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// ocsf writes DNS Activity events, class 4003 of the Open Cybersecurity Schema
// Framework (https://schema.ocsf.io/1.5.0/classes/dns_activity). As in the schema,
// the source is always the client and the destination the server, even in a response.
type ocsf struct {
	json   JSON
	server []byte // escaped
}

func newOCSF(o Options) *ocsf {
	return &ocsf{json: *newJSON(o), server: appendText(nil, o.Server)}
}

const (
	ocsfQuery = `{"activity_id":1,"activity_name":"Query","category_name":"Network Activity","category_uid":4,` +
		`"class_name":"DNS Activity","class_uid":4003,"severity":"Informational","severity_id":1,` +
		`"type_name":"DNS Activity: Query","type_uid":400301,"time":`
	ocsfResponse = `{"activity_id":2,"activity_name":"Response","category_name":"Network Activity","category_uid":4,` +
		`"class_name":"DNS Activity","class_uid":4003,"severity":"Informational","severity_id":1,` +
		`"type_name":"DNS Activity: Response","type_uid":400302,"time":`
	ocsfMetadata = `,"metadata":{"version":"1.5.0","product":{"name":"dnsmonster-sensor","vendor_name":"dnsmonster"},"log_name":"dns"`
)

// Append appends e's event.
func (o *ocsf) Append(dst []byte, e *event.Event) []byte {
	o.json.names.reset()
	d := &e.DNS
	millis := uint64(max(e.Time, 0) / 1e6)
	client, server, timeKey, start := e.Src, e.Dst, `,"query_time":`, ocsfQuery
	if d.Response() {
		client, server, timeKey, start = e.Dst, e.Src, `,"response_time":`, ocsfResponse
	}
	dst = appendUint(append(dst, start...), millis)
	dst = appendUint(append(dst, timeKey...), millis)
	if d.Response() && e.QueryTime > 0 {
		dst = appendUint(append(dst, `,"query_time":`...), uint64(e.QueryTime/1e6))
	}
	dst = append(dst, ocsfMetadata...)
	if len(o.server) > 0 {
		dst = append(append(append(dst, `,"log_provider":"`...), o.server...), '"')
	}
	dst = appendConnection(append(dst, '}'), e)
	dst = appendEndpoint(dst, `,"src_endpoint":{"ip":"`, client)
	dst = appendEndpoint(dst, `,"dst_endpoint":{"ip":"`, server)
	dst = o.appendQuery(dst, e)
	var bad dns.Malformed
	if d.Response() {
		dst, bad = o.appendAnswers(appendRcode(dst, d.Rcode()), e)
	} else {
		bad = d.Verdict(d.AnswersOf(e.Message))
	}
	dst = o.appendUnmapped(dst, e, client, server, bad)
	return append(dst, '}', '\n')
}

// appendEndpoint appends an endpoint, which the schema allows only with an address.
func appendEndpoint(dst []byte, key string, end netip.AddrPort) []byte {
	if !end.Addr().IsValid() {
		return dst
	}
	dst = append(appendAddr(append(dst, key...), end.Addr()), '"')
	if port := end.Port(); port != 0 {
		dst = appendUint(append(dst, `,"port":`...), uint64(port))
	}
	return append(dst, '}')
}

// appendPortAlone appends the port of an end without an address, which has no
// endpoint.
func appendPortAlone(dst []byte, key string, end netip.AddrPort) []byte {
	if end.Addr().IsValid() || end.Port() == 0 {
		return dst
	}
	return appendUint(append(dst, key...), uint64(end.Port()))
}

// ocsfOther is that of a carrier whose transport is unknown.
const ocsfOther = `,"protocol_name":"unknown","protocol_num":0,"protocol_ver_id":`

// ocsfProtocols are the texts for the IP protocol of each carrier. That of none has no name.
var ocsfProtocols = func() (texts [packet.Protos + 1]string) {
	for i := range texts {
		p := packet.Proto(i)
		if p == 0 {
			texts[i] = `,"protocol_ver_id":`
			continue
		}
		texts[i] = fmt.Sprintf(`,"protocol_name":"%s","protocol_num":%d,"protocol_ver_id":`, p.Transport(), p.IPNumber())
	}
	return texts
}()

// appendConnection appends connection_info. Its direction is that of the query, even
// in a response.
func appendConnection(dst []byte, e *event.Event) []byte {
	direction := e.Direction
	if e.DNS.Response() {
		switch direction {
		case packet.DirectionIn:
			direction = packet.DirectionOut
		case packet.DirectionOut:
			direction = packet.DirectionIn
		}
	}
	dst = append(dst, `,"connection_info":{"direction_id":`...)
	switch direction {
	case packet.DirectionIn:
		dst = append(dst, `1,"direction":"Inbound"`...)
	case packet.DirectionOut:
		dst = append(dst, `2,"direction":"Outbound"`...)
	default:
		dst = append(dst, `0,"direction":"Unknown"`...)
	}
	if int(e.Proto) < len(ocsfProtocols) {
		dst = append(dst, ocsfProtocols[e.Proto]...)
	} else {
		dst = append(dst, ocsfOther...)
	}
	return append(dst, '0'+e.IPVersion(), '}')
}

// ocsfOpcodes are the schema's captions of opcode_id.
var ocsfOpcodes = [...]string{"Query", "Inverse Query", "Status", "Reserved", "Notify", "Update", "DSO Message"}

// appendQuery appends the first question. Host names in the schema have no final dot.
func (o *ocsf) appendQuery(dst []byte, e *event.Event) []byte {
	d := &e.DNS
	if !d.HasQuestion {
		return dst
	}
	dst = append(dst, `,"query":{"hostname":"`...)
	start := len(dst)
	o.json.isolated.reset() // the final dot is removed: no later name may be copied from here
	dst, _ = o.json.isolated.append(dst, e.Message, dns.HeaderLen)
	if len(dst) > start+1 {
		dst = dst[:len(dst)-1]
	}
	dst = appendType(append(dst, `","type":"`...), d.QType)
	dst = appendClass(append(dst, `","class":"`...), d.QClass)
	if int(d.Opcode()) < len(ocsfOpcodes) {
		dst = appendUint(append(dst, `","opcode_id":`...), uint64(d.Opcode()))
		dst = append(append(append(dst, `,"opcode":"`...), ocsfOpcodes[d.Opcode()]...), '"')
	} else {
		dst = append(dst, `","opcode_id":99,"opcode":"Other"`...)
	}
	return append(appendUint(append(dst, `,"packet_uid":`...), uint64(d.ID)), '}')
}

// ocsfRcodeCaptions are the schema's captions of rcode_id.
var ocsfRcodeCaptions = [...]string{
	0: "NoError", 1: "FormError", 2: "ServError", 3: "NXDomain", 4: "NotImp", 5: "Refused", 6: "YXDomain", 7: "YXRRSet",
	8: "NXRRSet", 9: "NotAuth", 10: "NotZone", 11: "DSOTYPENI", 16: "BADSIG_VERS", 17: "BADKEY", 18: "BADTIME", 19: "BADMODE",
	20: "BADNAME", 21: "BADALG", 22: "BADTRUNC", 23: "BADCOOKIE", 24: "Unassigned", 25: "Reserved",
}

// appendRcode appends the response code. The schema has one number for all unassigned
// codes and one for all reserved ones; its other numbers are those of DNS.
func appendRcode(dst []byte, rcode uint16) []byte {
	id := rcode
	switch {
	case rcode >= 3841:
		id = 25
	case rcode >= 12 && rcode <= 15 || rcode >= 24:
		id = 24
	}
	dst = appendUint(append(dst, `,"rcode_id":`...), uint64(id))
	return append(append(append(dst, `,"rcode":"`...), ocsfRcodeCaptions[id]...), '"')
}

// flagIDs are the flags in the order of the schema's numbers, from 1.
var flagIDs = [...]uint16{dns.FlagAA, dns.FlagTC, dns.FlagRD, dns.FlagRA, dns.FlagAD, dns.FlagCD}

// appendAnswers appends the answers. It returns what is wrong with the message, or that
// answers were left out.
func (o *ocsf) appendAnswers(dst []byte, e *event.Event) ([]byte, dns.Malformed) {
	var r dns.Record
	answers := e.DNS.AnswersOf(e.Message)
	bad, limit, written := e.DNS.Verdict(answers), len(dst)+maxText(len(e.Message)), uint16(0)
	sep := byte('[')
	for records := answers; records.Next(&r); sep = ',' {
		if len(dst) > limit {
			bad = dns.Malformed{Section: dns.SectionAnswer, Fault: dns.FaultUnfolds, Index: written}
			break
		}
		written++
		if sep == '[' {
			dst = append(dst, `,"answers":`...)
		}
		dst = appendClass(append(append(dst, sep), `{"class":"`...), r.Class)
		dst = appendType(append(dst, `","type":"`...), r.Type)
		dst = appendUint(append(dst, `","ttl":`...), uint64(r.TTL))
		dst = o.json.appendPresented(append(dst, `,"rdata":"`...), e.Message[:r.End], r.Data, r.Type)
		dst = appendFlagIDs(append(dst, '"'), e.DNS.Flags)
		dst = append(appendUint(append(dst, `,"packet_uid":`...), uint64(e.DNS.ID)), '}')
	}
	if sep == '[' {
		return dst, bad
	}
	return append(dst, ']'), bad
}

func appendFlagIDs(dst []byte, flags uint16) []byte {
	sep := byte('[')
	for i, flag := range flagIDs {
		if flags&flag == 0 {
			continue
		}
		if sep == '[' {
			dst = append(dst, `,"flag_ids":`...)
		}
		dst = append(dst, sep, '1'+byte(i))
		sep = ','
	}
	if sep == '[' {
		return dst
	}
	return append(dst, ']')
}

// appendUnmapped appends what the schema has no attributes for.
func (o *ocsf) appendUnmapped(dst []byte, e *event.Event, client, server netip.AddrPort, m dns.Malformed) []byte {
	d := &e.DNS
	dst = appendUint(append(dst, `,"unmapped":{"length":`...), uint64(e.Length()))
	if e.Proto > event.TCP {
		dst = append(append(append(dst, `,"protocol":"`...), e.Proto.String()...), '"')
	}
	dst = appendPortAlone(dst, `,"src_port":`, client)
	dst = appendPortAlone(dst, `,"dst_port":`, server)
	if d.EDNS.Present {
		dst = appendUint(append(dst, `,"edns_udp_size":`...), uint64(d.EDNS.UDPSize))
		dst = appendBool(append(dst, `,"do":`...), d.EDNS.DO)
	}
	if len(e.Identity) > 0 {
		dst = append(appendText(append(dst, `,"identity":"`...), e.Identity), '"')
	}
	if len(e.Version) > 0 {
		dst = append(appendText(append(dst, `,"version":"`...), e.Version), '"')
	}
	if m.Yes() {
		dst = appendFlatMalformed(dst, m)
	}
	if e.CaptureCut > 0 {
		dst = appendUint(append(dst, `,"capture_cut":`...), uint64(e.CaptureCut))
	}
	return append(o.json.more.append(dst, e, true), '}')
}
