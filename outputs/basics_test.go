package outputs_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/test/outputtest"
)

// basic is an output of Basics alone.
type basic struct{ outputs.Basics }

func (o *basic) Flags() []cli.Flag {
	flags := []cli.Flag{o.TypeFlag("DNSMONSTER_NEWOUTPUTTYPE", "for news"), o.WorkersFlag("DNSMONSTER_NEWOUTPUTWORKERS", 3, "`NUMBER` of workers")}
	flags = append(flags, o.BatchFlags("DNSMONSTER_NEWBATCHSIZE", 100, "`NUMBER` of records", "DNSMONSTER_NEWBATCHDELAY", 0)...)
	flags = append(flags, o.FormatFlags("DNSMONSTER_NEWOUTPUTFORMAT", "DNSMONSTER_NEWOUTPUTGOTEMPLATE")...)
	return append(flags, o.TimeoutFlag("DNSMONSTER_NEWTIMEOUT", 5*time.Second))
}

func (o *basic) Open(context.Context) (outputs.Writer, error) { return nil, nil }

var _ outputs.Output = (*basic)(nil)

// TestBasics: declared options are checked, and the error names the option; others have
// their defaults.
func TestBasics(t *testing.T) {
	f := func(problem string, want outputs.Settings, args ...string) {
		t.Helper()
		o := &basic{outputs.NewBasics("new")}
		outputtest.Options(t, o, args...)
		s, err := o.Settings()
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != problem || err == nil && s != want {
			t.Errorf("%q: %+v, %q, want %+v, %q", args, s, got, want, problem)
		}
	}
	usual := outputs.Settings{Workers: 3, BatchSize: 100, BatchSizeOption: "newbatchsize", Timeout: 5 * time.Second}
	f("", usual)
	f("", outputs.Settings{Type: outputs.Allow, Workers: 1, BatchSize: 1, BatchSizeOption: "newbatchsize", Timeout: time.Millisecond},
		"--newoutputtype=3", "--newoutputworkers=1", "--newbatchsize=1", "--newtimeout=1ms")
	f("", outputs.Settings{Workers: 3, BatchDelay: time.Minute, BatchSizeOption: "newbatchsize", Timeout: 5 * time.Second}, "--newbatchsize=7", "--newbatchdelay=1m")
	f("", usual, "--newoutputformat=gotemplate", "--newoutputgotemplate={{.SrcIP}}")
	f("newoutputtype: 5 is not one of 0 to 4", usual, "--newoutputtype=5")
	f("newoutputtype: -1 is not one of 0 to 4", usual, "--newoutputtype=-1")
	f("newoutputworkers: must be at least 1, not 0", usual, "--newoutputworkers=0")
	f("newbatchsize: must be at least 1, not 0", usual, "--newbatchsize=0")
	f("newbatchdelay: must be 0 or more, not -1ns", usual, "--newbatchdelay=-1ns")
	f("newtimeout: must be at least 1ms, not 999µs", usual, "--newtimeout=999us")
	f(`newoutputformat: unknown format "xml": use one of json, text, json-flat, json-ocsf, csv, csv_no_header, gotemplate`, usual, "--newoutputformat=xml")
	f("newoutputgotemplate: read template: template: record:1: unclosed action", usual, "--newoutputformat=gotemplate", "--newoutputgotemplate={{.SrcIP")

	f("newoutputworkers: must be at least 1, not 0\nnewbatchsize: must be at least 1, not -1\n"+`newoutputformat: unknown format "xml": use one of json, text, json-flat, json-ocsf, csv, csv_no_header, gotemplate`,
		usual, "--newoutputformat=xml", "--newoutputworkers=0", "--newbatchsize=-1")

	bare := outputs.NewBasics("bare")
	if s, err := bare.Settings(); err != nil || s != (outputs.Settings{Workers: 1}) || bare.Name() != "bare" || !bare.IsOff() {
		t.Errorf("without options: %+v, %v", s, err)
	}
	bare.Log().Error("is discarded; the logger is not nil")
}

// TestBasicsDeclare: options are named after their variables, and all are in the output's
// section.
func TestBasicsDeclare(t *testing.T) {
	o := &basic{outputs.NewBasics("new")}
	var names []string
	for _, f := range o.Flags() {
		names = append(names, f.Names()...)
		if section := f.(cli.CategorizableFlag).GetCategory(); section != "new_output" {
			t.Errorf("%s is in section [%s]", f.Names()[0], section)
		}
	}
	want := []string{"newoutputtype", "newoutputworkers", "newbatchsize", "newbatchdelay", "newoutputformat", "newoutputgotemplate", "newtimeout"}
	if !slices.Equal(names, want) {
		t.Errorf("options %q, want %q", names, want)
	}
	o.SetCommon(outputs.Common{Records: format.Options{Server: "s1"}})
	outputtest.Options(t, o, "--newoutputformat=csv")
	if f, err := o.RecordFormat(); err != nil || f.Name != "csv" || f.Header == "" {
		t.Errorf("records: %+v, %v", f, err)
	}
}
