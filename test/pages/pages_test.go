//go:build linux

package pages

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"dnsmonster-sensor/sensor/cli"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/program"
)

// TestMain: the machines of pages start this binary as the sensor.
func TestMain(m *testing.M) { program.Main(m, cli.Main) }

const root = "../.."

// totals count what TestPages did.
type totals struct {
	sync.Mutex
	pages, ran, compared, made, repeated int
	skipped                              []string
	alike                                sync.Map // commands that ran on one of the pages
}

// TestPages runs the commands of each page. Captures to the terminal that stand on several
// pages run once; in make test-all they run on each.
func TestPages(t *testing.T) {
	files, err := Files(root)
	if err != nil {
		t.Fatal(err)
	}
	var all totals
	t.Run("page", func(t *testing.T) {
		for _, name := range files {
			p, err := Read(root, name)
			if err != nil {
				t.Error(err)
				continue
			}
			if len(p.Steps) == 0 {
				continue
			}
			t.Run(strings.TrimSuffix(name, ".md"), func(t *testing.T) {
				t.Parallel()
				p.run(t, &all)
			})
		}
	})
	if !t.Failed() && all.pages >= 20 && (all.ran < 100 || all.compared < 5) {
		t.Errorf("only %d commands ran, and %d were compared", all.ran, all.compared)
	}
	slices.Sort(all.skipped)
	t.Logf("%d pages: %d commands ran, %d of them compared with what their page shows; %d more did the same as one of these; %d targets of make exist; %d commands skipped:\n%s",
		all.pages, all.ran, all.compared, all.repeated, all.made, len(all.skipped), strings.Join(all.skipped, "\n"))
}

var (
	makes    = regexp.MustCompile(`^(?:sudo )?((?:[A-Z]+=\S+ )*)make(?: ([^#]*))?(?:#.*)?$`)
	asksCode = regexp.MustCompile(`^echo .*\$\?`)
)

// run runs a page's steps. A machine is made for the first command that needs one.
func (p *Page) run(t *testing.T, all *totals) {
	var m *machine
	ran, compared, made, repeated := 0, 0, 0, 0
	var skipped []string
	for i, s := range p.Steps {
		target := makes.FindStringSubmatch(s.Command)
		switch {
		case target != nil: // make test cannot run inside make test
			made++
			cmd := exec.Command("bash", "-c", target[1]+"make -n "+target[2])
			cmd.Dir = root
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s:%d: %s: make does not know how: %v\n%s", p.Name, s.Line, s.Command, err, out)
			}
			continue
		case s.Skip != "":
			skipped = append(skipped, p.Name+": "+s.Skip+": "+strings.SplitN(s.Command+s.Path, "\n", 2)[0])
			continue
		}
		if name := s.alike(); name != "" && !tier.Full() {
			if _, done := all.alike.LoadOrStore(name, true); done {
				repeated++
				continue
			}
		}
		if m == nil {
			m = newMachine(t, root, p)
		}
		if s.Path != "" {
			m.write(t, s.Path, []byte(s.Text))
			continue
		}
		// A page that asks for the exit status of a command shows it.
		asked := i+1 < len(p.Steps) && asksCode.MatchString(p.Steps[i+1].Command)
		if wrong := m.perform(t, p.Name, s, !asked); wrong != "" {
			t.Errorf("%s:%d: $ %s\n%s", p.Name, s.Line, s.Command, wrong)
		}
		ran++
		if s.Compare {
			compared++
		}
	}
	all.Lock()
	defer all.Unlock()
	all.pages++
	all.ran += ran
	all.compared += compared
	all.made += made
	all.repeated += repeated
	all.skipped = append(all.skipped, skipped...)
}
