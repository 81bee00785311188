package config

import (
	"slices"
	"strings"
)

// failUnknown records that the command has no option of this name, and which is probably
// meant.
func (r *resolver) failUnknown(g *Given) {
	if other := r.synonym(g.Name); other != "" {
		r.v.failed = append(r.v.failed, strings.Trim(other, "-"))
		if find(r.Known(), g.Name) != nil {
			r.fail("%s is not an option of %s%s", g.typed(), r.Command, suggestion("", other))
			return
		}
		r.fail("unknown option %s%s", g.typed(), suggestion("", other))
		return
	}
	if o := find(r.Known(), g.Name); o != nil {
		r.fail("%s is not an option of %s%s", g.typed(), r.Command, r.butOf(o.Name))
		return
	}
	if list := r.beginning(g.Name); len(list) > 1 {
		r.fail("unknown option %s: did you mean one of --%s?", g.typed(), strings.Join(list, ", --"))
		return
	} else if len(list) == 1 {
		r.v.failed = append(r.v.failed, list[0])
		r.fail("unknown option %s%s", g.typed(), suggestion("--", list[0]))
		return
	}
	if list := synonyms[g.Name]; list != nil {
		text := ""
		switch {
		case slices.Contains(list, "--read"):
			text = ": " + foreign["r"]
		case slices.Contains(list, "--interface"):
			text = ": " + foreign["i"]
		}
		r.fail("unknown option %s%s", g.typed(), text)
		return
	}
	nearest := nearestName(g.Name, r.names())
	if nearest == "" { // these are no options of a command, but all take them
		nearest = nearestName(g.Name, []string{"help", "version"})
	}
	if nearest != "" {
		r.v.failed = append(r.v.failed, nearest)
	}
	r.fail("unknown option %s%s", g.typed(), suggestion("--", nearest))
}

// butOf names the commands that have an option which this one lacks.
func (r *resolver) butOf(option string) string {
	if r.Owners == nil {
		return ""
	}
	if list := r.Owners(option); len(list) > 0 {
		last := len(list) - 1
		text := list[last]
		if last > 0 {
			text = strings.Join(list[:last], ", ") + " and " + text
		}
		return ", but of " + text
	}
	return ""
}

// synonym returns the option that another program's name for it means, "" if the command
// has none.
func (r *resolver) synonym(name string) string {
	for _, s := range synonyms[name] {
		plain, _, _ := strings.Cut(strings.TrimLeft(s, "-"), "=")
		if o := find(r.Options, plain); o != nil && !o.Hidden {
			return s
		}
	}
	return ""
}

// names are all names of the command's visible options.
func (r *resolver) names() (list []string) {
	for _, o := range r.Options {
		if !o.Hidden {
			list = append(append(list, o.Name), o.Aliases...)
		}
	}
	return list
}

// maxBeginning is how many options are named that begin with an abbreviation.
const maxBeginning = 4

// beginning returns the options of which a name is the beginning, if they are few.
func (r *resolver) beginning(name string) (list []string) {
	for _, o := range r.Options {
		if len(name) > 2 && strings.HasPrefix(o.Name, name) && !o.Hidden && o.SecretOf == "" {
			list = append(list, o.Name)
		}
	}
	if len(list) > maxBeginning {
		return nil
	}
	slices.Sort(list)
	return list
}

// foreign says what to do instead of an option of tcpdump. An empty text means that this
// program does by itself what the option asks for.
var foreign = map[string]string{
	"n": "", // names are never looked up
	"l": "", // lines are written at once
	"U": "",
	"q": "", // a line for each message is the short form

	"w": "records are not packets: write them with > FILE, or with --fileoutputtype=1 --fileoutputpath=FOLDER; packets are written by tcpdump itself",
	"e": "addresses of the link layer are not recorded",
	"D": "dnsmonster-sensor check lists the interfaces",
	"s": "use --snaplen=BYTES on attach; whole packets are read without it",
	"t": "records always have their time; -v shows the date in the text format",
	"x": "use --format=json, which has the whole message",
	"X": "use --format=json, which has the whole message",
	"A": "use --format=json, which has the whole message",
	"B": "use --ringmb=MEGABYTES on attach",
	"C": "use --fileoutputrotatecron and --fileoutputrotatecount, with --fileoutputtype=1; -c ends after a number of records",
	"G": "use --fileoutputrotatecron, with --fileoutputtype=1",
	"W": "use --fileoutputrotatecount, with --fileoutputtype=1",
	"z": "use --fileoutputcompress, with --fileoutputtype=1",
	"F": "this build has no filter expressions; --port chooses ports",
	"Q": "both directions are captured; a record says which message is a response",
	"i": "an interface is captured by: dnsmonster-sensor attach INTERFACE",
	"r": "a file is read by: dnsmonster-sensor replay FILE",
	"V": "name all files: dnsmonster-sensor replay FILE...",
	"I": "set up monitor mode with iw, then capture the interface as usual",
	"L": "the file or the interface says its link type",
	"y": "the file or the interface says its link type",
}

// failForeign answers a letter that is no option of the command.
func (r *resolver) failForeign(g *Given) {
	if g.Name == "i" || g.Name == "r" {
		r.v.failed = append(r.v.failed, "interface", "read")
	}
	switch text, known := foreign[g.Name]; {
	case known && text == "", g.Name == "s" && g.Value == "0":
	case g.Name == "p" && r.v.Get("promiscuous") == nil: // files have no such mode
	case g.Name == "p" && r.v.Is("promiscuous"):
		r.fail("-p and --promiscuous mean the opposite: leave one of them out")
	case g.Name == "p":
	case known && g.HasValue && g.Name == "s" && r.v.Get("snaplen") != nil:
		r.fail("-s is not an option of %s: use --snaplen=%s", r.Command, nameOrMask(g.Value))
	case known && g.HasValue && (g.Name == "i" || g.Name == "r"):
		r.fail("-%s is not an option of %s: %s", g.Name, r.Command, strings.NewReplacer("INTERFACE", nameOrMask(g.Value), "FILE", nameOrMask(g.Value)).Replace(text))
	case known:
		r.fail("-%s is not an option of %s: %s", g.Name, r.Command, text)
	default:
		r.fail("-%s is not an option of %s (see dnsmonster-sensor %s --help)", g.Name, r.Command, r.Command)
	}
}
