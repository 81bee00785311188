package config

import "strings"

// Changes says which of the values that are set mean something else here than
// in dnsmonster 1.2.5, one sentence each. MIGRATING.md has the whole list.
func Changes(v *Values) []string {
	var list []string
	for _, c := range changes {
		if c.applies(v) {
			list = append(list, c.text)
		}
	}
	return list
}

type change struct {
	applies func(*Values) bool
	text    string
}

// set reports whether the user has given any of the options.
func set(names ...string) func(*Values) bool {
	return func(v *Values) bool {
		for _, n := range names {
			if o := v.Get(n); o != nil && o.Origin.Layer != Default {
				return true
			}
		}
		return false
	}
}

func setInFile(prefix string) func(*Values) bool {
	return func(v *Values) bool {
		for _, o := range v.All() {
			if o.Origin.Layer == InFile && strings.HasPrefix(o.Name, prefix) {
				return true
			}
		}
		return false
	}
}

// delayZero reports whether an output that is on sends by size alone.
func delayZero(kind, delay string) func(*Values) bool {
	return func(v *Values) bool {
		return v.Get(kind) != nil && v.String(kind) != "0" && v.Get(delay) != nil && v.String(delay) == "0s"
	}
}

var changes = []change{
	{setInFile("metric"), "[metric]: obeyed here; dnsmonster ignored this section of a file"},
	{func(v *Values) bool { return v.Get("filter") != nil && !IsDefaultFilter(v.String("filter")) },
		"filter: applies to files too; dnsmonster applied it to interfaces alone"},
	{func(v *Values) bool { o := v.Get("sampleratio"); return o != nil && v.String("sampleratio") != "1:1" },
		"sampleratio: keeps exactly a of every b packets that match (dnsmonster kept a+1); TCP and fragments are kept or left out by pair of addresses, so that messages stay whole"},
	{func(v *Values) bool { return v.Is("noetherframe") },
		"noetherframe: holds for files that call themselves Ethernet; others say what their packets start with"},
	{func(v *Values) bool {
		return v.Get("dnstapsocket") != nil && v.String("dnstapsocket") != "" && set("masksize4", "masksize6")(v)
	},
		"masksize4, masksize6: hold for dnstap too; dnsmonster ignored them there"},
	{func(v *Values) bool { return set("masksize4", "masksize6")(v) && v.Is("masksubnet") },
		"masksize4, masksize6: hold inside messages too (EDNS client subnet); --masksubnet=false leaves those as they are"},
	{func(v *Values) bool { return v.Is("dedup") },
		"dedup: looks at addresses, ports, IP id and payload within dedupwindow; dnsmonster compared whole frames, so that copies from two ports never matched, and forgot all at once"},
	{set("skipdomainsfile", "allowdomainsfile"),
		"skipdomainsfile, allowdomainsfile: a suffix matches whole labels (google.com. does not match notgoogle.com.); a list that does not load is an error at start"},
	{delayZero("clickhouseoutputtype", "clickhousedelay"), "clickhousedelay: with 0 a batch that is not full is sent after 1s all the same; dnsmonster waited for ever"},
	{delayZero("psqloutputtype", "psqlbatchdelay"), "psqlbatchdelay: with 0 a batch that is not full is sent after 1s all the same"},
	{delayZero("sentineloutputtype", "sentinelbatchdelay"), "sentinelbatchdelay: with 0 a batch that is not full is sent after 1s all the same"},
	{func(v *Values) bool { return v.Get("packetlimit") != nil && v.String("packetlimit") != "0" },
		"packetlimit: limits what each output keeps in memory; in dnsmonster some outputs did not know it"},
	{set("sentineloutputsharedkey", "sentineloutputcustomerid"),
		"sentineloutputsharedkey, sentineloutputcustomerid: Microsoft switched this interface off on 2026-09-14"},
	{set("metricprometheusendpoint", "metricendpointtype"),
		"metrics: have new names, dnsmonster_sensor_...; --metriclegacynames gives the old ones"},
}
