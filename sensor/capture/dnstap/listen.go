package dnstap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os/user"
	"strconv"
	"time"

	"dnsmonster-sensor/outputs/oserror"
	"dnsmonster-sensor/outputs/safefs"
)

// listening is one address that listens.
type listening struct {
	net.Listener
	at     Address
	file   *safefs.Socket // removed at the end; nil: no file of ours
	passed bool           // by systemd
	gone   bool           // the file is: somebody has removed or replaced it
}

// lookAtFiles tells about sockets that no server can reach any more.
func (s *Source) lookAtFiles() {
	for _, l := range s.listeners {
		if l.file != nil && !l.gone && !l.file.Reachable() && !s.closed() { // the end removes files after it has closed the source
			l.gone = true
			s.options.Log.Warn("the socket's file was removed or replaced: no server can connect to it any more; restart the sensor", "address", l.at.String())
		}
	}
}

// end removes the socket, and takes no more connections than those that wait already.
func (l *listening) end() (err error) {
	if l.file != nil {
		err = l.file.Remove()
	}
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok && !l.passed {
		d.SetDeadline(time.Now().Add(lastAccept))
		return err
	}
	return errors.Join(err, l.Close())
}

// lastAccept is for connections that were made before the end and not accepted yet. Those
// to a passed socket wait there for the next sensor.
const lastAccept = 20 * time.Millisecond

// listen opens all addresses and accepts connections.
func (s *Source) listen(list []Address) (err error) {
	passed, err := passedSockets()
	if err != nil {
		return err
	}
	for _, a := range list {
		l, err := s.listenAt(a, passed)
		if err != nil {
			for _, l := range s.listeners {
				if l.file != nil {
					l.file.Remove()
				}
				l.Close()
			}
			return err
		}
		s.listeners = append(s.listeners, l)
	}
	for _, p := range passed {
		if !p.used {
			s.options.Log.Warn("systemd has passed a socket that no address names, and the sensor does not use it: add its address", "socket", p.address.String(), "name", p.name)
		}
	}
	for _, l := range s.listeners {
		s.running.Go(func() { s.accept(l) })
	}
	return nil
}

func (s *Source) listenAt(a Address, passed []*passedSocket) (*listening, error) {
	if p := find(passed, a); p != nil {
		l, err := net.FileListener(p.file)
		if err != nil {
			return nil, fmt.Errorf("cannot listen at %s, which systemd has passed: %w", a, err)
		}
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		p.used = true
		return &listening{Listener: l, at: a, passed: true}, nil
	}
	if a.Network == "unix" && !a.abstract() {
		group, err := groupID(s.options.Group)
		if err != nil {
			return nil, err
		}
		mode := s.options.Mode
		if mode == 0 {
			mode = defaultMode
		}
		l, err := safefs.ListenUnix(a.Where, mode, group)
		if err != nil {
			return nil, cannotListen(a, err)
		}
		return &listening{Listener: l, at: a, file: l}, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with this call
		select {
		case <-s.options.Stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	l, err := new(net.ListenConfig).Listen(ctx, a.dialed(), a.Where)
	if err != nil {
		return nil, cannotListen(a, err)
	}
	if t, ok := l.Addr().(*net.TCPAddr); ok {
		host, _, _ := net.SplitHostPort(a.Where)
		a.Where = net.JoinHostPort(host, strconv.Itoa(t.Port))
	}
	return &listening{Listener: l, at: a}, nil
}

// cannotListen says how to put it right.
func cannotListen(a Address, err error) error {
	var fix string
	var lookup *net.DNSError
	var path *fs.PathError
	switch {
	case errors.Is(err, safefs.ErrInUse), oserror.IsInUse(err):
		fix = ": another program, perhaps another sensor, listens there; stop it, or use another address"
	case oserror.IsForeignAddress(err):
		fix = ": this host does not have that address; use one of its own, or [::] for all"
	case oserror.IsDenied(err) && a.Network != "unix":
		fix = ": use a port above 1023, or give the sensor CAP_NET_BIND_SERVICE"
	case oserror.IsNotOwner(err) && a.Network == "unix":
		fix = ": only root, or a member of the group, can give a socket to a group"
	case oserror.IsDenied(err) && errors.As(err, &path) && path.Op == "connect":
		fix = ": the sensor's user may not connect to the socket that is there, so whether somebody listens on it cannot be seen; " +
			"remove it if it is left over, and give the owner the right to write with dnstappermission"
	case oserror.IsDenied(err), oserror.IsReadOnly(err):
		fix = ": the sensor's user must be allowed to write to the socket's folder"
	case errors.Is(err, fs.ErrNotExist):
		fix = ": make the folder first, or let systemd make it with RuntimeDirectory="
	case errors.As(err, &lookup):
		fix = ": use an address of this host, such as 127.0.0.1"
	}
	return fmt.Errorf("cannot listen at %s: %w%s", a, err, fix)
}

// groupID looks a group up; -1: none is wanted.
func groupID(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("dnstapgroup: there is no group %q for the socket: use a group of this host (getent group), or its number", name)
	}
	return strconv.Atoi(g.Gid)
}

// spareFiles are descriptors for everything else that the sensor does.
const spareFiles = 256

// maxConnections is how many connections the limit of open files allows, at most what the
// options say.
func maxConnections(o Options) int {
	want := o.MaxConnections
	if want <= 0 {
		want = DefaultConnections
	}
	if files, limited := allowFiles(uint64(want + spareFiles)); limited {
		have := max(int(files)-spareFiles, int(files)/2, 1)
		o.Log.Warn("the limit of open files allows fewer senders than usual: raise it with LimitNOFILE= or ulimit -n", "senders", have, "open_files", files)
		return have
	}
	return want
}

// accept takes connections until the listener is closed.
func (s *Source) accept(l *listening) {
	defer l.Close()
	for {
		raw, err := l.Accept()
		switch {
		case err == nil:
			s.take(raw, l.at)
		case s.closed():
			return
		default: // such as too many open files
			s.acceptFailed.Add(1)
			if more, ok := s.said.may("accept "+l.at.String(), time.Now()); ok {
				s.options.Log.Warn("a connection cannot be accepted", "address", l.at.String(), "error", err, "lines_left_out", more)
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-s.closing:
			}
		}
	}
}

// take serves a new connection on a goroutine of its own, or refuses it.
func (s *Source) take(raw net.Conn, at Address) {
	keepAlive(raw)
	c := s.add(raw, at)
	if c == nil {
		s.refused.Add(1)
		if !s.closed() {
			s.said.warn("refused", &conn{raw: raw, at: at}, fmt.Sprintf("a connection was refused, because %d are open, the most that are allowed", s.max))
		}
		raw.Close()
		return
	}
	s.running.Go(func() { s.serve(c) })
}

// keepAlive finds out, within two minutes, that a silent host is gone.
func keepAlive(raw net.Conn) {
	if t, ok := raw.(*net.TCPConn); ok {
		t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 60 * time.Second, Interval: 15 * time.Second, Count: 4})
	}
}
