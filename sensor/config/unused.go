package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Advice is all that the user should know of the values though it is no error.
func Advice(v *Values) []string {
	return slices.Concat(v.Warnings, Deprecated(v), unused(v))
}

// destinationWords are what the options that say where an output's records go
// ask for. A proxy is on the way there and not where they go.
var destinationWords = []string{"FOLDER", "URL", "URI", "HOST:PORT", "ID"}

// output is the output that an option belongs to, by its section; "" for none.
func (o *Option) output() string {
	name, _ := strings.CutSuffix(o.Section, "_output")
	if name == o.Section {
		return ""
	}
	return name
}

// IsDestination tells whether an option says where an output's records go.
func (o *Option) IsDestination() bool {
	return o.output() != "" && slices.Contains(destinationWords, o.Placeholder) && !strings.HasSuffix(o.Name, "proxy")
}

func (v *Values) isDestination(o *Value) bool {
	if o.SecretOf != "" {
		return v.Get(o.SecretOf).IsDestination()
	}
	return o.IsDestination()
}

// isOn tells whether an output is switched on. Records go to stdout where none is,
// but for run.
func (v *Values) isOn(output string) bool {
	if kind := v.Get(output + "outputtype"); kind == nil || kind.String() != "0" {
		return true // without a type it cannot be off
	}
	return output == "stdout" && v.Get("devname") == nil && !v.anyOn()
}

func (v *Values) anyOn(types ...string) bool {
	return slices.ContainsFunc(v.list, func(o Value) bool {
		return strings.HasSuffix(o.Name, "outputtype") && o.output() != "" && o.String() != "0" && (types == nil || slices.Contains(types, o.String()))
	})
}

// String is the value of an option that is no list.
func (v *Value) String() string { return strings.Join(v.Text, " ") }

// changed tells whether somebody has set the option to another value than its
// default: files that dnsmonster has written hold every option.
func (v *Value) changed() bool {
	return v.Origin.Layer != Default && !slices.Equal(v.Text, v.Default) && v.String() != ""
}

// Unreachable says which destinations on the command line get nothing since their
// output is off. Elsewhere that is a warning: a file may keep what it has for later.
// A default says nothing where the type is there, too: some lines have every option.
func Unreachable(v *Values) error {
	var errs []error
	for i := range v.list {
		o := &v.list[i]
		if o.Origin.Layer != CommandLine || o.fromFile != "" || o.String() == "" || !v.isDestination(o) || v.isOn(o.output()) {
			continue
		}
		if kind := v.Get(o.output() + "outputtype"); o.changed() || kind.Origin.Layer != CommandLine {
			errs = append(errs, fmt.Errorf("--%s: the output %s is off: switch it on with --%soutputtype=1", o.Name, o.output(), o.output()))
		}
	}
	return errors.Join(errs...)
}

// unused warns of options that have no effect as others are set.
func unused(v *Values) (warnings []string) {
	off := make(map[string][]string) // by output
	for i := range v.list {
		o := &v.list[i]
		if !o.changed() || o.fromFile != "" {
			continue
		}
		why := v.pointless(o)
		switch output := o.output(); {
		case output != "" && !v.isOn(output) && !strings.HasSuffix(o.Name, "outputtype"):
			why = ""
			if v.isDestination(o) && o.Origin.Layer != CommandLine {
				why = "the output " + output + " is off: " + output + "outputtype=1 switches it on"
			} else if !v.isDestination(o) && o.Origin.Layer > InFile {
				off[output] = append(off[output], o.Name)
			}
		}
		if why != "" {
			warnings = append(warnings, o.Name+" has no effect: "+why+" (from "+o.Origin.String()+")")
		}
	}
	for _, o := range v.list {
		if names := off[o.output()]; names != nil && strings.HasSuffix(o.Name, "outputtype") {
			warnings = append(warnings, "no effect, since the output "+o.output()+" is off: "+strings.Join(names, ", "))
		}
	}
	return warnings
}

// dependent is an option that counts only where others are set.
type dependent struct {
	options string
	counts  func(*Values) bool
	why     string // it does not
}

var dependents = []dependent{
	{"dedupwindow", is("dedup", "true"), "dedup is off"},
	{"samplemode", isNot("sampleratio", "1:1"), "sampleratio is 1:1"},
	{"maskecs", either(isNot("masksize4", "32"), isNot("masksize6", "128")), "no address is masked"},
	{"skipdomainsfile", typed("2", "4"), "no output has type 2 or 4"},
	{"allowdomainsfile", typed("3", "4"), "no output has type 3 or 4"},
	{"skipdomainsrefreshinterval", isNot("skipdomainsfile", ""), "there is no skipdomainsfile"},
	{"allowdomainsrefreshinterval", isNot("allowdomainsfile", ""), "there is no allowdomainsfile"},
	{"domainmatch", either(isNot("skipdomainsfile", ""), isNot("allowdomainsfile", "")), "there is no list of domains"},
	{"spoolmb spoolfreemb", isNot("spooldir", ""), "there is no spooldir"},
	{"fileoutputrotatecron fileoutputcompress", isNot("fileoutputrotatecount", "0"), "fileoutputrotatecount=0 means no rotation"},
	{"csvip", writesCSV, "no output writes CSV"},
	{"metricstatsdagent", either(isUnset("metricendpointtype"), is("metricendpointtype", "statsd")), "metricendpointtype names another one"},
	{"metricprometheusendpoint", either(isUnset("metricendpointtype"), is("metricendpointtype", "prometheus")), "metricendpointtype names another one"},
	{"metricstderrformat", is("metricendpointtype", "stderr"), "no metrics go to stderr"},
	{"mode ringmb snaplen fragmentquota decap nopromiscuous", either(lacks("pcapfile"), is("pcapfile", "")), "pcapfile names a file"},
	{"speed", either(lacks("devname"), is("devname", "")), "devname names an interface"},
	{"ordered", either(lacks("devname"), is("devname", "")), "devname names an interface"},
	{"workers", inAnyOrder, inOrder},
	{"noetherframe", either(lacks("devname"), is("devname", "")), "the kernel says what frames of an interface start with"},
	{"writesecrets", isNot("writeconfig", ""), "there is no writeconfig"},
}

// inAnyOrder is what numbers of workers need: to capture from interfaces is in no order.
var inAnyOrder = either(lacks("ordered"), isNot("ordered", "true"), isNot("devname", ""))

const inOrder = "ordered means one worker, and one for each output"

// dependentsOf are those of every output that has such options.
func dependentsOf(output string) []dependent {
	kind := output + "outputformat"
	return []dependent{
		{output + "outputgotemplate", is(kind, "gotemplate"), kind + " is not gotemplate"},
		{output + "workers " + output + "outputworkers " + output + "workercount " + output + "outputworkercount", inAnyOrder, inOrder},
	}
}

// pointless says why an option does not count as others are set; "" where it does.
func (v *Values) pointless(o *Value) string {
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

func isUnset(option string) func(*Values) bool {
	return func(v *Values) bool { o := v.Get(option); return o == nil || o.Origin.Layer == Default }
}

// lacks reports whether the command has no such option.
func lacks(option string) func(*Values) bool {
	return func(v *Values) bool { return v.Get(option) == nil }
}

// writesCSV looks at stdout as well where that stands in for want of an output.
func writesCSV(v *Values) bool {
	return slices.ContainsFunc(v.list, func(o Value) bool {
		return strings.HasSuffix(o.Name, "outputformat") && strings.HasPrefix(o.String(), "csv") && v.isOn(o.output())
	})
}
