//go:build linux

package lab

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/testlog"
)

// ZooKeeper is Debian's ZooKeeper, one process, on the loopback address.
type ZooKeeper struct {
	Addr string // host:port
	Log  testlog.Log

	port int
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
}

const zooKeeperJar = "/usr/share/java/zookeeper.jar"

// StartZooKeeper starts a ZooKeeper for one test. Where it is not installed the test is
// skipped; in CI that is a failure.
func StartZooKeeper(t testing.TB) *ZooKeeper {
	t.Helper()
	Need(t, "java")
	if _, err := os.Stat(zooKeeperJar); err != nil {
		missing(t, "ZooKeeper is not installed (packaging/dev/install-tools.sh test does that): "+err.Error())
	}
	z := &ZooKeeper{port: FreePort(t, "tcp"), dir: tempDir(t, "zookeeper")}
	z.Addr = fmt.Sprintf("127.0.0.1:%d", z.port)
	config := fmt.Sprintf("dataDir=%s/data\nclientPort=%d\nclientPortAddress=127.0.0.1\ntickTime=1000\nadmin.enableServer=false\n"+
		"4lw.commands.whitelist=srvr\nforceSync=no\nmaxClientCnxns=0\n", z.dir, z.port)
	if err := os.WriteFile(filepath.Join(z.dir, "zoo.cfg"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	z.Start(t)
	t.Cleanup(z.Kill)
	return z
}

// Start starts it with the data that it has, and waits until it answers.
func (z *ZooKeeper) Start(t testing.TB) {
	t.Helper()
	z.cmd = exec.Command(find("java"), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Dzookeeper.jmx.log4j.disable=true",
		"-cp", zooKeeperJar, "org.apache.zookeeper.server.ZooKeeperServerMain", filepath.Join(z.dir, "zoo.cfg"))
	z.cmd.Dir, z.cmd.Stdout, z.cmd.Stderr = z.dir, &z.Log, &z.Log
	if err := startTied(z.cmd); err != nil {
		t.Fatal(err)
	}
	z.done = make(chan struct{})
	cmd, done := z.cmd, z.done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	await.True(t, "ZooKeeper answers", z.answers, &z.Log)
}

// answers asks whether it serves requests.
func (z *ZooKeeper) answers() bool {
	c, err := net.DialTimeout("tcp", z.Addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(c, "srvr"); err != nil {
		return false
	}
	answer, _ := io.ReadAll(c)
	return strings.HasPrefix(string(answer), "Zookeeper version")
}

// Kill ends it at once. Its data stays.
func (z *ZooKeeper) Kill() {
	_ = z.cmd.Process.Kill()
	<-z.done
}
