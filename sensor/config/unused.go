package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Advice returns all warnings about the values.
func Advice(v *Values) []string {
	return slices.Concat(v.Warnings, Deprecated(v), unused(v))
}

// destinationWords are the placeholders of options that say where an output sends its
// records. A proxy is not such a destination.
var destinationWords = []string{"FOLDER", "URL", "URI", "HOST:PORT", "ADDRESS", "ID"}

// output returns the output that an option belongs to, by its section; "" for none.
func (o *Option) output() string {
	name, _ := strings.CutSuffix(o.Section, "_output")
	if name == o.Section {
		return ""
	}
	return name
}

// IsDestination reports whether an option says where an output sends its records.
func (o *Option) IsDestination() bool {
	return o.output() != "" && slices.Contains(destinationWords, o.Placeholder) && !strings.HasSuffix(o.Name, "proxy")
}

func (v *Values) isDestination(o *Value) bool {
	if o.SecretOf != "" {
		return v.Get(o.SecretOf).IsDestination()
	}
	return o.IsDestination()
}

// isOn reports whether an output is switched on. If none is, stdout is on, except for the
// command run.
func (v *Values) isOn(output string) bool {
	if kind := v.Get(output + "outputtype"); kind == nil || kind.String() != "0" {
		return true // an output without a type is always on
	}
	return output == "stdout" && v.Get("devname") == nil && !v.anyOn()
}

func (v *Values) anyOn(types ...string) bool {
	return slices.ContainsFunc(v.list, func(o Value) bool {
		return strings.HasSuffix(o.Name, "outputtype") && o.output() != "" && o.String() != "0" && (types == nil || slices.Contains(types, o.String()))
	})
}

// Unreachable returns an error for each destination on the command line whose output is
// off. In a file or variable that is only a warning: a file may keep options for later.
// A default destination is accepted if the type is on the line, too: some command lines
// have every option.
func Unreachable(v *Values) error {
	var errs []error
	for i := range v.list {
		o := &v.list[i]
		if o.Origin.Layer != CommandLine || o.fromFile != "" || o.String() == "" || !v.isDestination(o) || v.isOn(o.output()) {
			continue
		}
		if kind := v.Get(o.output() + "outputtype"); o.changed() || kind.Origin.Layer != CommandLine {
			if o.isPending() {
				errs = append(errs, fmt.Errorf("--%s: "+lacksOutput, o.Name, o.output()))
				continue
			}
			errs = append(errs, fmt.Errorf("--%s: output %s is off: switch it on with --%soutputtype=1", o.Name, o.output(), o.output()))
		}
	}
	return errors.Join(errs...)
}

const lacksOutput = "this build has no output %s"

// unused warns about options that have no effect because of other options.
func unused(v *Values) (warnings []string) {
	off := make(map[string][]string) // by output
	for i := range v.list {
		o := &v.list[i]
		if !o.changed() || o.fromFile != "" {
			continue
		}
		warn := func(why string) {
			warnings = append(warnings, o.Name+" has no effect: "+why+" (from "+o.Origin.String()+")")
		}
		if output := o.output(); output != "" && !v.isOn(output) && !strings.HasSuffix(o.Name, "outputtype") {
			destination := v.isDestination(o)
			switch {
			case destination && o.Origin.Layer != CommandLine && o.isPending():
				warn(fmt.Sprintf(lacksOutput, output))
			case destination && o.Origin.Layer != CommandLine: // on the command line it is an error
				warn("output " + output + " is off: " + output + "outputtype=1 switches it on")
			case !destination && o.Origin.Layer > InFile:
				off[output] = append(off[output], o.Name)
			}
		} else if why := v.whyUnused(o); why != "" {
			warn(why)
		}
	}
	for _, o := range v.list {
		if names := off[o.output()]; names != nil && strings.HasSuffix(o.Name, "outputtype") {
			verb := " have"
			if len(names) == 1 {
				verb = " has"
			}
			warnings = append(warnings, strings.Join(names, ", ")+verb+" no effect: output "+o.output()+" is off")
		}
	}
	return warnings
}

// dependent lists options that count only with certain values of others.
type dependent struct {
	options string
	counts  condition
	why     string // they do not
}

var dependents = []dependent{
	{"port tunnelport defragmb tcpmb gctime", func(v *Values) bool { return !readsFrames(v) }, "dnstap brings messages without packets"},
	{"mode useafpacket afpacketbuffersizemb wait samplemode ringmb snaplen fragmentquota decap nopromiscuous speed ordered noetherframe", either(lacks("dnstapsocket"), is("dnstapsocket", "")), "dnstapsocket names the input"},
	{"dnstapdial dnstappermission dnstapgroup dnstapcafile dnstapcertfile dnstapkeyfile", readsFrames, "there is no dnstapsocket"},
	{"dnstappermission", isNot("dnstapdial", "true"), "dnstapdial means that the servers make the sockets"},
	{"dnstaptypes dnstapboth", either(lacks("devname"), is("devname", "")), "devname names an interface"},
	{"dedupwindow", is("dedup", "true"), "dedup is off"},
	{"samplemode", isNot("sampleratio", "1:1"), "sampleratio is 1:1"},
	{"maskecs", either(isNot("masksize4", "32"), isNot("masksize6", "128")), "no address is masked"},
	{"skipdomainsfile", hasType("2", "4"), "no output has type 2 or 4"},
	{"allowdomainsfile", hasType("3", "4"), "no output has type 3 or 4"},
	{"skipdomainsrefreshinterval", isNot("skipdomainsfile", ""), "there is no skipdomainsfile"},
	{"allowdomainsrefreshinterval", isNot("allowdomainsfile", ""), "there is no allowdomainsfile"},
	{"domainmatch", either(isNot("skipdomainsfile", ""), isNot("allowdomainsfile", "")), "there is no list of domains"},
	{"spoolmb spoolfreemb", isNot("spooldir", ""), "there is no spooldir"},
	{"fileoutputrotatecron fileoutputcompress", isNot("fileoutputrotatecount", "0"), "fileoutputrotatecount=0 means no rotation"},
	{"csvip", writesCSV, "no output writes CSV"},
	{"metricstatsdagent", either(isUnset("metricendpointtype"), is("metricendpointtype", "statsd")), "metricendpointtype names another endpoint"},
	{"metricprometheusendpoint", either(isUnset("metricendpointtype"), is("metricendpointtype", "prometheus")), "metricendpointtype names another endpoint"},
	{"metricstderrformat", is("metricendpointtype", "stderr"), "no metrics go to stderr"},
	{"mode useafpacket afpacketbuffersizemb wait ringmb snaplen fragmentquota decap nopromiscuous", either(lacks("pcapfile"), is("pcapfile", "")), "pcapfile names a file"},
	{"speed", either(lacks("devname"), is("devname", "")), "devname names an interface"},
	{"ordered", either(lacks("devname"), is("devname", "")), "devname names an interface"},
	{"workers", unordered, orderedWorkers},
	{"noetherframe", either(lacks("devname"), is("devname", "")), "devname names an interface"},
	{"writesecrets", isNot("writeconfig", ""), "there is no writeconfig"},
}

// unordered reports whether numbers of workers count. A capture from interfaces is never
// ordered.
var unordered = either(lacks("ordered"), isNot("ordered", "true"), isNot("devname", ""))

const orderedWorkers = "ordered means one worker, and one for each output"

// dependentsOf returns the dependent options of an output.
func dependentsOf(output string) []dependent {
	kind := output + "outputformat"
	return []dependent{
		{output + "outputgotemplate", is(kind, "gotemplate"), kind + " is not gotemplate"},
		{output + "workers " + output + "outputworkers " + output + "workercount " + output + "outputworkercount", unordered, orderedWorkers},
	}
}

// whyUnused returns why an option has no effect because of others, "" if it has one.
func (v *Values) whyUnused(o *Value) string {
	dependents := dependents
	if output := o.output(); output != "" {
		dependents = slices.Concat(dependents, dependentsOf(output))
	}
	for _, d := range dependents {
		if slices.Contains(strings.Fields(d.options), o.Name) && !d.counts(v) {
			return d.why
		}
	}
	return ""
}

// writesCSV also counts stdout if it is on because no output is.
func writesCSV(v *Values) bool {
	return slices.ContainsFunc(v.list, func(o Value) bool {
		return strings.HasSuffix(o.Name, "outputformat") && strings.HasPrefix(o.String(), "csv") && v.isOn(o.output())
	})
}
