//go:build linux

package pages

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
)

// limit is how long a command may take on a busy machine.
const limit = time.Minute

// rounds is how many rounds of questions pass while a command captures, before Ctrl-C.
const rounds = 3

// patience is how many rounds pass at most if what the page shows does not appear.
const patience = 300

// await waits until the command ends.
func (m *machine) await(t *testing.T, what string, limit time.Duration) (text string, status int) {
	t.Helper()
	ended := false
	await.Within(limit, func() bool {
		text, status, ended = m.printed()
		return ended || m.dead()
	})
	if !ended {
		t.Fatalf("%s does not end:\n%s", what, text)
	}
	return text, status
}

// begin types a command.
func (m *machine) begin(t *testing.T, command string) {
	t.Helper()
	m.commands++
	file := fmt.Sprintf("/run/page/%d", m.commands)
	m.write(t, file, []byte(command+"\n"))
	if err := m.start(file); err != nil {
		t.Fatal(err)
	}
}

// do runs a command that is not the page's, and must succeed.
func (m *machine) do(t *testing.T, command string) {
	t.Helper()
	m.begin(t, command)
	if text, status := m.await(t, command, limit); status != 0 {
		t.Fatalf("%s: exit status %d:\n%s", command, status, text)
	}
	m.next()
}

var (
	counted = regexp.MustCompile(`\s(?:-c|--count)[ =]?\d`)
	live    = regexp.MustCompile(`dnsmonster-sensor (?:.*\s)?(?:attach|run|-{1,2}\w+)|^DNSMONSTER_.* dnsmonster-sensor|\btcpdump\b`)
	follows = regexp.MustCompile(`(?:^|[|;&] *|sudo )(?:tail -[fF]|watch )`)
	ifindex = regexp.MustCompile(`(?m)^ifindex:\s*(\d+)`)
	status  = regexp.MustCompile(`#.*\bexit status (\d)`)
)

// perform runs a page's command, with Ctrl-C once it has captured something, and returns
// what was wrong.
func (m *machine) perform(t *testing.T, page string, s Step, checkStatus bool) (wrong string) {
	t.Helper()
	begun := time.Now()
	before, shown, interrupted := withoutInterrupt(s.Shown)
	m.begin(t, s.Command)
	text, code := m.follow(t, s, before)
	m.next()
	printed := screen(text)
	if want, any := s.status(); checkStatus && !any && code != want {
		wrong = fmt.Sprintf("exit status %d, want %d\n", code, want)
	}
	if s.Compare {
		open := m.untilInterrupt(s) && !interrupted // the page shows how it begins
		if ok, reached := matches(shown, printed, open, s.Numbers); !ok {
			return wrong + difference(shown, printed, reached)
		}
	}
	if wrong != "" {
		return wrong + "printed was:\n" + excerpt(printed)
	}
	t.Logf("%s:%d, %s: $ %s\n%s", page, s.Line, time.Since(begun).Round(10*time.Millisecond), s.Command, excerpt(printed))
	return ""
}

// status is the exit status that the page promises. Where it shows an error of the sensor,
// any but 0 will do.
func (s Step) status() (want int, any bool) {
	if m := status.FindStringSubmatch(s.Command); m != nil {
		want, _ = strconv.Atoi(m[1])
		return want, false
	}
	for _, line := range s.Shown {
		if strings.HasPrefix(line, sensor+": ") && !strings.HasPrefix(line, sensor+": warning: ") {
			return 0, true
		}
	}
	return 0, follows.MatchString(s.Command)
}

// untilInterrupt reports whether a command runs until Ctrl-C.
func (m *machine) untilInterrupt(s Step) bool {
	return (live.MatchString(s.Command) && !counted.MatchString(s.Command) || follows.MatchString(s.Command)) && !strings.HasSuffix(s.Command, "&")
}

// leavesNothing matches captures to the terminal, after which a machine is as before.
var leavesNothing = regexp.MustCompile(`^(?:sudo )?(dnsmonster-sensor attach [^|>&;#]*?)\s*(?:#.*)?$`)

// alike is a name that a command shares with those that do the same on any page; empty
// if it has a place in the story of its page.
func (s Step) alike() string {
	m := leavesNothing.FindStringSubmatch(s.Command)
	if m == nil || s.Compare || strings.Contains(m[1], "output") || strings.Contains(m[1], "spool") {
		return ""
	}
	return m[1]
}

// follow waits until a command ends, and presses Ctrl-C where it must.
func (m *machine) follow(t *testing.T, s Step, before []string) (text string, code int) {
	t.Helper()
	end := time.Now().Add(limit)
	pressed := !m.untilInterrupt(s)
	for since := int64(-1); ; time.Sleep(50 * time.Millisecond) {
		text, code, ended := m.printed()
		switch {
		case ended:
			return text, code
		case m.dead():
			t.Fatalf("%s ended the shell (%v):\n%s", s.Command, m.why, text)
		case time.Now().After(end):
			t.Fatalf("%s does not end:\n%s", s.Command, text)
		case pressed || !m.capturing(s.Command) && !follows.MatchString(s.Command):
		case since < 0:
			since = m.asked.Load()
		case m.asked.Load() < since+rounds:
		default:
			if ok, _ := matches(before, screen(text), true, s.Numbers); ok || m.asked.Load() > since+patience {
				m.interrupt()
				pressed = true
			}
		}
	}
}

// capturing reports whether a command sees the machine's packets: the kernel knows links
// of the sensor's programs to both directions of an interface, or tcpdump's socket.
func (m *machine) capturing(command string) bool {
	for _, pid := range m.processes() {
		links := make(map[string]int) // by interface
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%s/fd/*", pid))
		for _, f := range files {
			if to, _ := os.Readlink(f); !strings.Contains(to, "bpf_link") {
				continue
			}
			info, _ := os.ReadFile(strings.Replace(f, "/fd/", "/fdinfo/", 1))
			if i := ifindex.FindSubmatch(info); i != nil {
				links[string(i[1])]++
			}
		}
		for _, n := range links {
			if n >= 2 {
				return true
			}
		}
	}
	if !strings.Contains(command, "tcpdump") {
		return false
	}
	sockets, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/packet", m.cmd.Process.Pid))
	return strings.Count(string(sockets), "\n") > 1
}

// processes are the ids of the shell's children and theirs.
func (m *machine) processes() (pids []string) {
	for queue := []string{strconv.Itoa(m.cmd.Process.Pid)}; len(queue) > 0; queue = queue[1:] {
		children, _ := filepath.Glob("/proc/" + queue[0] + "/task/*/children")
		for _, c := range children {
			list, _ := os.ReadFile(c)
			pids = append(pids, strings.Fields(string(list))...)
			queue = append(queue, strings.Fields(string(list))...)
		}
	}
	return pids
}
