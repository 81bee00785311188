package table

import "dnsmonster-sensor/outputs/columns"

// field is a value that a table can have a column for.
type field struct {
	columns.Named
	typ string // the type that holds all its values
}

// fields are dnsmonster's columns, in its order, and then our own.
var fields = []field{
	{columns.PacketTime.As("PacketTime"), "DateTime64(6)"},
	{columns.IndexTime.As("IndexTime"), "DateTime64(3)"},
	{columns.Server.As("Server"), "LowCardinality(String)"},
	{columns.IPVersion.As("IPVersion"), "UInt8"},
	{columns.SrcIP.As("SrcIP"), "IPv6"},
	{columns.DstIP.As("DstIP"), "IPv6"},
	{columns.Protocol.As("Protocol"), "LowCardinality(String)"},
	{columns.Response.As("QR"), "UInt8"},
	{columns.Opcode.As("OpCode"), "UInt8"},
	{columns.QClass.As("Class"), "UInt16"},
	{columns.QType.As("Type"), "UInt16"},
	{columns.EDNS.As("Edns0Present"), "UInt8"},
	{columns.DO.As("DoBit"), "UInt8"},
	{columns.FullRecord.As("FullQuery"), "String"},
	{columns.Rcode.As("ResponseCode"), "UInt16"},
	{columns.QName.As("Question"), "String"},
	{columns.Length.As("Size"), "UInt32"},

	{columns.SrcPort.As("SrcPort"), "UInt16"},
	{columns.DstPort.As("DstPort"), "UInt16"},
	{columns.Direction.As("Direction"), "LowCardinality(String)"},
	{columns.Interface.As("Interface"), "LowCardinality(String)"},
	{columns.VLAN.As("VLAN"), "UInt16"},
	{columns.Tunnel.As("Tunnel"), "LowCardinality(String)"},
	{columns.SampleRate.As("Weight"), "Float64"},
	{columns.MessageID.As("MessageID"), "UInt16"},
	{columns.Authoritative.As("Authoritative"), "UInt8"},
	{columns.Truncated.As("Truncated"), "UInt8"},
	{columns.RecursionDesired.As("RecursionDesired"), "UInt8"},
	{columns.RecursionAvailable.As("RecursionAvailable"), "UInt8"},
	{columns.AuthenticData.As("AuthenticatedData"), "UInt8"},
	{columns.CheckingDisabled.As("CheckingDisabled"), "UInt8"},
	{columns.Questions.As("QuestionCount"), "UInt16"},
	{columns.Answers.As("AnswerCount"), "UInt16"},
	{columns.Authorities.As("AuthorityCount"), "UInt16"},
	{columns.Additionals.As("AdditionalCount"), "UInt16"},
	{columns.AnswerName.As("AnswerName"), "Array(String)"},
	{columns.AnswerType.As("AnswerType"), "Array(UInt16)"},
	{columns.AnswerTTL.As("AnswerTTL"), "Array(UInt32)"},
	{columns.AnswerData.As("AnswerData"), "Array(String)"},
	{columns.EDNSUDPSize.As("EdnsSize"), "UInt16"},
	{columns.ClientSubnet.As("ClientSubnet"), "String"},
	{columns.ExtendedErrors.As("ExtendedErrors"), "Array(UInt16)"},
	{columns.Identity.As("Identity"), "LowCardinality(String)"},
	{columns.Version.As("Version"), "LowCardinality(String)"},
	{columns.QueryTime.As("QueryTime"), "DateTime64(6)"},
	{columns.ResponseTime.As("ResponseTime"), "DateTime64(6)"},
	{columns.CaptureCut.As("CaptureCut"), "UInt32"},
	{columns.Malformed.As("Malformed"), "String"},
}

// Dnsmonster is how many of Columns dnsmonster's table has: the first ones.
const Dnsmonster = 17

// Columns returns the columns that tables can have, under their names.
func Columns() (list []columns.Named) {
	for _, f := range fields {
		list = append(list, f.Named)
	}
	return list
}

// literal is a text as SQL.
func literal(s string) string { return quote(s, '\'') }

// identifier is a name as SQL.
func identifier(s string) string { return quote(s, '`') }

func quote(s string, mark byte) string {
	b := []byte{mark}
	for i := range len(s) {
		if s[i] == mark || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return string(append(b, mark))
}
