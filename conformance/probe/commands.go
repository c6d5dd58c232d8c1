// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"
)

const (
	readDefault = 64 << 10  // bytes of read without LIMIT, and of dial's body
	readMax     = 1 << 20   // bytes of read at most
	execLimit   = 256 << 10 // bytes of each stream of exec
	listLimit   = 4096      // names of list
	lineLimit   = 64 << 10  // bytes of one line of echo
	fillChunk   = 1 << 20   // bytes of one write of fill
	dialTimeout = 2 * time.Second
	orphanLife  = 50 * time.Millisecond
	filePerm    = 0o666
	dirPerm     = 0o777
)

// command is one entry of the command table.
type command struct {
	name     string
	usage    string
	value    reflect.Type // nil for commands without a value
	raw      bool         // has no result
	standing bool         // stays in force for the rest of the chain
	handles  bool         // args[0] is a signal that Run must be told of
	parse    func(a *arguments) action
}

// commandList is the command table in the order of the package's comment, and commands the same by name.
var (
	commandList []*command
	commands    map[string]*command
)

// The table refers to Decode (suid decodes the output of another probe), which refers to the table;
// filling it here breaks that cycle.
func init() {
	commandList = table()
	commands = make(map[string]*command, len(commandList))
	for _, c := range commandList {
		commands[c.name] = c
	}
}

// reports builds a command whose value is printed when the operation was carried out.
func reports[T any](usage string, parse func(a *arguments) func(r *runner) (T, error)) *command {
	return entry[T](usage, parse, false)
}

// measures builds a command whose value is printed also when the operation was refused on the way.
func measures[T any](usage string, parse func(a *arguments) func(r *runner) (T, error)) *command {
	return entry[T](usage, parse, true)
}

func entry[T any](usage string, parse func(a *arguments) func(r *runner) (T, error), always bool) *command {
	return &command{
		name: firstWord(usage), usage: usage, value: reflect.TypeFor[T](),
		parse: func(a *arguments) action {
			run := parse(a)
			return func(r *runner) (any, error) {
				value, err := run(r)
				if err != nil && !always {
					return nil, err
				}
				return &value, err
			}
		},
	}
}

// acts builds a command without a value.
func acts(usage string, parse func(a *arguments) func(r *runner) error) *command {
	return &command{
		name: firstWord(usage), usage: usage,
		parse: func(a *arguments) action {
			run := parse(a)
			return func(r *runner) (any, error) { return nil, run(r) }
		},
	}
}

// streams builds a command that uses the streams itself and has no result.
func streams(usage string, parse func(a *arguments) func(r *runner) error) *command {
	c := acts(usage, parse)
	inner := c.parse
	c.raw = true
	c.parse = func(a *arguments) action {
		run := inner(a)
		return func(r *runner) (any, error) {
			if err := r.flush(); err != nil {
				return nil, err
			}
			return run(r)
		}
	}
	return c
}

// stands marks a command as standing.
func stands(c *command) *command { c.standing = true; return c }

// handles marks a command whose first argument is a signal to handle.
func handles(c *command) *command { c.handles = true; return c }

func firstWord(usage string) string {
	word, _, _ := strings.Cut(usage, " ")
	return word
}

func table() []*command {
	return []*command{
		reports("id", func(*arguments) func(*runner) (ID, error) { return (*runner).id }),
		reports("env [NAME…]", parseEnv),
		reports("args [ARG…]", func(a *arguments) func(*runner) (Args, error) {
			args := append([]string{}, a.rest()...)
			return func(*runner) (Args, error) { return Args{Args: args}, nil }
		}),
		reports("status", func(*arguments) func(*runner) (Status, error) {
			return func(r *runner) (Status, error) {
				self, err := r.sys.Self()
				return self.Status, err
			}
		}),
		reports("limits", func(*arguments) func(*runner) (Limits, error) {
			return func(r *runner) (Limits, error) {
				limits, err := r.sys.Limits()
				return Limits{Limits: limits}, err
			}
		}),
		reports("cgroup", func(*arguments) func(*runner) (Cgroup, error) {
			return func(r *runner) (Cgroup, error) { return r.sys.Cgroup() }
		}),
		reports("ps", func(*arguments) func(*runner) (Processes, error) {
			return func(r *runner) (Processes, error) {
				processes, err := r.sys.Processes()
				return Processes{Processes: processes}, err
			}
		}),
		reports("zombies", func(*arguments) func(*runner) (Zombies, error) {
			return func(r *runner) (Zombies, error) {
				processes, err := r.sys.Processes()
				count := 0
				for _, p := range processes {
					if p.State == "Z" {
						count++
					}
				}
				return Zombies{Count: count}, err
			}
		}),
		reports("tty", func(*arguments) func(*runner) (Terminals, error) { return (*runner).terminals }),

		reports("stat PATH", func(a *arguments) func(*runner) (Stat, error) {
			path := a.path("PATH")
			return func(r *runner) (Stat, error) { return r.sys.Lstat(path) }
		}),
		reports("read PATH [LIMIT]", parseRead),
		measures("write PATH DATA [MODE]", func(a *arguments) func(*runner) (Written, error) {
			path, data, perm := a.path("PATH"), a.text("DATA"), uint32(filePerm)
			if a.more() {
				perm = a.mode("MODE")
			}
			return write(path, data, Truncate, perm)
		}),
		measures("append PATH DATA", func(a *arguments) func(*runner) (Written, error) {
			return write(a.path("PATH"), a.text("DATA"), Append, filePerm)
		}),
		measures("fill PATH N", parseFill),
		acts("touch PATH", func(a *arguments) func(*runner) error {
			path := a.path("PATH")
			return func(r *runner) error { return r.sys.Touch(path) }
		}),
		acts("mkdir PATH [MODE]", func(a *arguments) func(*runner) error {
			path, perm := a.path("PATH"), uint32(dirPerm)
			if a.more() {
				perm = a.mode("MODE")
			}
			return func(r *runner) error { return r.sys.Mkdir(path, perm) }
		}),
		acts("remove PATH", func(a *arguments) func(*runner) error {
			path := a.path("PATH")
			return func(r *runner) error { return r.sys.Remove(path) }
		}),
		acts("rename OLD NEW", func(a *arguments) func(*runner) error {
			from, to := a.path("OLD"), a.path("NEW")
			return func(r *runner) error { return r.sys.Rename(from, to) }
		}),
		acts("link OLD NEW", func(a *arguments) func(*runner) error {
			from, to := a.path("OLD"), a.path("NEW")
			return func(r *runner) error { return r.sys.Link(from, to) }
		}),
		acts("symlink TARGET PATH", func(a *arguments) func(*runner) error {
			target, path := a.path("TARGET"), a.path("PATH")
			return func(r *runner) error { return r.sys.Symlink(target, path) }
		}),
		acts("chmod PATH MODE", func(a *arguments) func(*runner) error {
			path, mode := a.path("PATH"), a.mode("MODE")
			return func(r *runner) error { return r.sys.Chmod(path, mode) }
		}),
		acts("chown PATH UID GID", func(a *arguments) func(*runner) error {
			path := a.path("PATH")
			uid, gid := int(a.number("UID", -1, 1<<32-2)), int(a.number("GID", -1, 1<<32-2))
			return func(r *runner) error { return r.sys.Chown(path, uid, gid) }
		}),
		reports("list DIR", func(a *arguments) func(*runner) (Names, error) {
			path := a.path("DIR")
			return func(r *runner) (Names, error) {
				names, err := r.sys.ReadDir(path, listLimit+1)
				return Names{Names: names[:min(len(names), listLimit)], Truncated: len(names) > listLimit}, err
			}
		}),
		acts("mknod PATH c|b|p|s MAJ MIN", func(a *arguments) func(*runner) error {
			path := a.path("PATH")
			kind := NodeKind(a.oneOf("type", string(CharDevice), string(BlockDevice), string(FIFO), string(Socket)))
			major, minor := uint32(a.number("MAJ", 0, 1<<12-1)), uint32(a.number("MIN", 0, 1<<20-1))
			return func(r *runner) error { return r.sys.Mknod(path, kind, major, minor) }
		}),
		reports("statfs PATH", func(a *arguments) func(*runner) (Statfs, error) {
			path := a.path("PATH")
			return func(r *runner) (Statfs, error) { return r.sys.Statfs(path) }
		}),
		reports("mountinfo [PREFIX]", parseMountinfo),
		acts("mount TARGET", func(a *arguments) func(*runner) error {
			target := a.path("TARGET")
			return func(r *runner) error { return r.sys.TryMount(target) }
		}),
		acts("remount TARGET", func(a *arguments) func(*runner) error {
			target := a.path("TARGET")
			return func(r *runner) error { return r.sys.TryRemount(target) }
		}),

		reports("exec PATH [ARG…]", func(a *arguments) func(*runner) (Exec, error) {
			path := a.path("PATH")
			args := append([]string{path}, a.rest()...)
			return func(r *runner) (Exec, error) { return r.sys.Exec(r.ctx, path, args, execLimit) }
		}),
		measures("mkexec PATH", func(a *arguments) func(*runner) (Written, error) {
			path := a.path("PATH")
			return func(r *runner) (Written, error) {
				n, err := r.sys.CopySelf(path)
				return Written{Bytes: n}, err
			}
		}),
		reports("suid PATH", parseSuid),

		measures("memory N", func(a *arguments) func(*runner) (Memory, error) {
			n := a.size("N")
			return func(r *runner) (Memory, error) { return r.sys.UseMemory(r.ctx, n, false) }
		}),
		measures("memory-self N", func(a *arguments) func(*runner) (Memory, error) {
			n := a.size("N")
			return func(r *runner) (Memory, error) {
				if err := r.flush(); err != nil { // the probe may be killed in the middle
					return Memory{}, err
				}
				return r.sys.UseMemory(r.ctx, n, true)
			}
		}),
		measures("pids N", func(a *arguments) func(*runner) (Pids, error) {
			n := a.count("N")
			return func(r *runner) (Pids, error) { return r.sys.UsePIDs(r.ctx, n) }
		}),
		measures("cpu D [THREADS]", func(a *arguments) func(*runner) (CPU, error) {
			d, threads := a.duration("D"), 1
			if a.more() {
				threads = int(a.number("THREADS", 1, 64))
			}
			return func(r *runner) (CPU, error) {
				if err := r.flush(); err != nil {
					return CPU{}, err
				}
				return r.sys.UseCPU(r.ctx, d, threads)
			}
		}),
		measures("nofile N", func(a *arguments) func(*runner) (Files, error) {
			n := a.count("N")
			return func(r *runner) (Files, error) { return r.sys.OpenFiles(n) }
		}),
		measures("orphan N [D]", func(a *arguments) func(*runner) (Orphans, error) {
			n, d := a.count("N"), orphanLife
			if a.more() {
				d = a.duration("D")
			}
			return func(r *runner) (Orphans, error) { return r.sys.Orphan(r.ctx, n, d) }
		}),

		measures("dial NET ADDR [TIMEOUT [DATA]]", parseDial),
		stands(reports("listen NET ADDR [BODY]", func(a *arguments) func(*runner) (Listen, error) {
			network, address := a.endpoint()
			body := ""
			if a.more() {
				body = a.text("BODY")
			}
			return func(r *runner) (Listen, error) {
				actual, err := r.sys.Listen(r.ctx, network, address, []byte(body))
				return Listen{Address: actual}, err
			}
		})),
		reports("resolve NAME", func(a *arguments) func(*runner) (Addresses, error) {
			name := a.path("NAME")
			return func(r *runner) (Addresses, error) {
				addresses, err := r.sys.Resolve(r.ctx, name)
				return Addresses{Addresses: addresses}, err
			}
		}),
		reports("interfaces", func(*arguments) func(*runner) (Interfaces, error) {
			return func(r *runner) (Interfaces, error) {
				interfaces, err := r.sys.Interfaces()
				return Interfaces{Interfaces: interfaces}, err
			}
		}),
		reports("routes", func(*arguments) func(*runner) (Routes, error) {
			return func(r *runner) (Routes, error) {
				routes, err := r.sys.Routes()
				return Routes{Routes: routes}, err
			}
		}),
		reports("hosts", func(*arguments) func(*runner) (Hosts, error) {
			return func(r *runner) (Hosts, error) {
				data, err := r.sys.ReadFile("/etc/hosts", readMax)
				return Hosts{Hosts: parseHosts(data)}, err
			}
		}),
		reports("resolver", func(*arguments) func(*runner) (Resolver, error) {
			return func(r *runner) (Resolver, error) {
				data, err := r.sys.ReadFile("/etc/resolv.conf", readMax)
				return parseResolver(data), err
			}
		}),

		reports("syscall NAME", func(a *arguments) func(*runner) (Syscall, error) {
			name := a.oneOf("NAME", Syscalls()...)
			return func(r *runner) (Syscall, error) { return r.syscall(name) }
		}),
		reports("syscalls", func(*arguments) func(*runner) (SyscallList, error) {
			return func(r *runner) (SyscallList, error) {
				var list SyscallList
				for _, name := range Syscalls() {
					call, err := r.syscall(name)
					if err != nil {
						return list, err
					}
					list.Syscalls = append(list.Syscalls, call)
				}
				return list, nil
			}
		}),

		reports("sleep D", func(a *arguments) func(*runner) (Slept, error) {
			d := a.duration("D")
			return func(r *runner) (Slept, error) {
				if err := r.flush(); err != nil {
					return Slept{}, err
				}
				start := time.Now()
				err := r.sys.Sleep(r.ctx, d)
				return Slept{Duration: time.Since(start)}, err
			}
		}),
		stands(acts("hold", func(*arguments) func(*runner) error {
			return func(*runner) error { return nil }
		})),
		handles(stands(reports("trap SIG CODE", func(a *arguments) func(*runner) (Signal, error) {
			return dispose("trap", a, true)
		}))),
		handles(stands(reports("ignore SIG", func(a *arguments) func(*runner) (Signal, error) {
			return dispose("ignore", a, false)
		}))),
		acts("kill PID SIG", func(a *arguments) func(*runner) error {
			pid, name := int(a.number("PID", -1<<22, 1<<22)), a.signal()
			return func(r *runner) error { return r.sys.Kill(pid, name) }
		}),
		acts("kill-self SIG", func(a *arguments) func(*runner) error {
			name := a.signal()
			return func(r *runner) error {
				if err := r.flush(); err != nil {
					return err
				}
				if err := r.sys.Die(name); err != nil {
					return err
				}
				n, _ := SignalNumber(name)
				return exitRequest(128 + n)
			}
		}),
		streams("exit N", func(a *arguments) func(*runner) error {
			code := exitRequest(a.number("N", 0, 255))
			return func(*runner) error { return code }
		}),
		streams("out N", func(a *arguments) func(*runner) error {
			n := a.size("N")
			return func(r *runner) error { _, err := io.Copy(r.stdout, Pattern(n)); return err }
		}),
		streams("err N", func(a *arguments) func(*runner) error {
			n := a.size("N")
			return func(r *runner) error { _, err := io.Copy(r.stderr, Pattern(n)); return err }
		}),
		streams("lines N [D]", parseLines),
		streams("cat", func(*arguments) func(*runner) error {
			return func(r *runner) error { _, err := io.Copy(r.stdout, r.stdin); return err }
		}),
		streams("term", func(*arguments) func(*runner) error {
			return func(r *runner) error { _, err := io.WriteString(r.stdout, HostileText); return err }
		}),
		reports("sha", func(*arguments) func(*runner) (Digest, error) {
			return func(r *runner) (Digest, error) {
				hash := sha256.New()
				n, err := io.Copy(hash, r.stdin)
				return Digest{Bytes: n, SHA256: hex.EncodeToString(hash.Sum(nil))}, err
			}
		}),
		echo(),
	}
}

func (r *runner) id() (ID, error) {
	self, err := r.sys.Self()
	if err != nil {
		return ID{}, err
	}
	terminals, err := r.terminals()
	if err != nil {
		return ID{}, err
	}
	id := ID{
		UID: self.UID, EUID: self.EUID, GID: self.GID, EGID: self.EGID, Groups: self.Groups,
		Cwd: self.Cwd, Hostname: self.Hostname, PID: self.PID, PPID: self.PPID, Umask: self.Umask,
		Stdin: terminals.Stdin, Stdout: terminals.Stdout, Stderr: terminals.Stderr,
	}
	// An image without these files is normal; the ids then have no names.
	if data, err := r.sys.ReadFile("/etc/passwd", readMax); err == nil {
		if fields := lookupID(data, id.UID, 7); fields != nil {
			id.User, id.PasswdHome = fields[0], fields[5]
		}
	}
	if data, err := r.sys.ReadFile("/etc/group", readMax); err == nil {
		if fields := lookupID(data, id.GID, 4); fields != nil {
			id.Group = fields[0]
		}
	}
	for _, entry := range r.sys.Environ() {
		switch name, value, _ := strings.Cut(entry, "="); name {
		case "HOME":
			id.HomeEnv = value
		case "USER":
			id.UserEnv = value
		}
	}
	return id, nil
}

func (r *runner) terminals() (Terminals, error) {
	var t Terminals
	for fd, into := range []*Terminal{&t.Stdin, &t.Stdout, &t.Stderr} {
		terminal, err := r.sys.Terminal(fd)
		if err != nil {
			return t, err
		}
		*into = terminal
	}
	return t, nil
}

func (r *runner) syscall(name string) (Syscall, error) {
	err := r.sys.Syscall(name)
	var errno Errno
	if err != nil && !errors.As(err, &errno) {
		return Syscall{}, err
	}
	return Syscall{Name: name, Errno: errno}, nil
}

func parseEnv(a *arguments) func(*runner) (Env, error) {
	names := a.rest()
	return func(r *runner) (Env, error) {
		env := Env{Vars: []string{}, Missing: []string{}}
		found := map[string]bool{}
		for _, entry := range r.sys.Environ() {
			name, _, _ := strings.Cut(entry, "=")
			found[name] = true
			if len(names) == 0 || slices.Contains(names, name) {
				env.Vars = append(env.Vars, entry)
			}
		}
		for _, name := range names {
			if !found[name] {
				env.Missing = append(env.Missing, name)
			}
		}
		return env, nil
	}
}

func parseRead(a *arguments) func(*runner) (Content, error) {
	path, limit := a.path("PATH"), int64(readDefault)
	if a.more() {
		limit = a.size("LIMIT")
		if limit > readMax {
			a.fail("LIMIT %d is more than %d", limit, readMax)
		}
	}
	return func(r *runner) (Content, error) {
		data, err := r.sys.ReadFile(path, int(limit)+1)
		return Content{Data: data[:min(len(data), int(limit))], Truncated: len(data) > int(limit)}, err
	}
}

func write(path, data string, mode WriteMode, perm uint32) func(*runner) (Written, error) {
	return func(r *runner) (Written, error) {
		n, err := r.sys.WriteFile(path, []byte(data), mode, perm)
		return Written{Bytes: int64(n)}, err
	}
}

func parseFill(a *arguments) func(*runner) (Written, error) {
	path, n := a.path("PATH"), a.size("N")
	return func(r *runner) (Written, error) {
		var written Written
		chunk, err := io.ReadAll(Pattern(min(n, fillChunk)))
		if err != nil {
			return written, err
		}
		if _, err := r.sys.WriteFile(path, nil, Truncate, filePerm); err != nil {
			return written, err
		}
		for written.Bytes < n {
			if err := r.ctx.Err(); err != nil {
				return written, err
			}
			stored, err := r.sys.WriteFile(path, chunk[:min(n-written.Bytes, int64(len(chunk)))], Append, filePerm)
			written.Bytes += int64(stored)
			if err != nil {
				return written, err
			}
			if stored == 0 {
				return written, io.ErrShortWrite
			}
		}
		return written, nil
	}
}

func parseMountinfo(a *arguments) func(*runner) (Mounts, error) {
	prefix := ""
	if a.more() {
		prefix = a.path("PREFIX")
	}
	return func(r *runner) (Mounts, error) {
		all, err := r.sys.Mounts()
		mounts := Mounts{Mounts: []Mount{}}
		for _, m := range all {
			below := strings.HasPrefix(m.Target, strings.TrimSuffix(prefix, "/")+"/")
			if prefix == "" || m.Target == prefix || below {
				mounts.Mounts = append(mounts.Mounts, m)
			}
		}
		return mounts, err
	}
}

func parseSuid(a *arguments) func(*runner) (Suid, error) {
	path := a.path("PATH")
	return func(r *runner) (Suid, error) {
		run, err := r.sys.Exec(r.ctx, path, []string{path, "id", separator, "status"}, execLimit)
		if err != nil {
			return Suid{}, err
		}
		results, err := Decode(run.Stdout)
		if err == nil && len(results) != 2 {
			err = fmt.Errorf("%d results", len(results))
		}
		if err != nil {
			return Suid{}, fmt.Errorf("%s is no probe: exit code %d: %w", path, run.Code, err)
		}
		id, err := Value[ID](results[0])
		if err != nil {
			return Suid{}, err
		}
		status, err := Value[Status](results[1])
		return Suid{UID: id.UID, EUID: id.EUID, CapEffective: status.CapEffective}, err
	}
}

func parseDial(a *arguments) func(*runner) (Dial, error) {
	request := DialRequest{Limit: readDefault, Timeout: dialTimeout}
	request.Network, request.Address = a.endpoint()
	if a.more() {
		request.Timeout = a.duration("TIMEOUT")
	}
	if a.more() {
		request.Send = []byte(a.text("DATA"))
	}
	return func(r *runner) (Dial, error) { return r.sys.Dial(r.ctx, request) }
}

// dispose parses trap (which ends the probe) and ignore (which does not).
func dispose(name string, a *arguments, ends bool) func(*runner) (Signal, error) {
	d := disposition{command: name, args: append([]string{}, a.words...), ends: ends}
	signal := a.signal()
	if signal == "KILL" || signal == "STOP" {
		a.fail("no program can handle signal %s", signal)
	}
	if ends {
		d.code = int(a.number("CODE", 0, 255))
	}
	return func(r *runner) (Signal, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.signals[signal] = d
		return Signal{Signal: signal}, nil
	}
}

func parseLines(a *arguments) func(*runner) error {
	n, pause := a.count("N"), time.Duration(0)
	if a.more() {
		pause = a.duration("D")
	}
	return func(r *runner) error {
		for i := range n {
			if _, err := fmt.Fprintf(r.stdout, "out %d\n", i); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(r.stderr, "err %d\n", i); err != nil {
				return err
			}
			if pause == 0 {
				continue
			}
			if err := r.sys.Sleep(r.ctx, pause); err != nil {
				return err
			}
		}
		return nil
	}
}

// echo prints its results itself, one line each, while it reads.
func echo() *command {
	c := streams("echo", func(*arguments) func(*runner) error { return (*runner).echo })
	c.value = reflect.TypeFor[Echo]()
	return c
}

func (r *runner) echo() error {
	// A terminal would mix what is typed into the output. ENOTTY is the normal case.
	var errno Errno
	if err := r.sys.SetEcho(0, false); err != nil && !errors.As(err, &errno) {
		return err
	}
	if err := r.line(EchoReady, []byte{}); err != nil {
		return err
	}
	type input struct {
		text []byte
		err  error
	}
	lines := make(chan input)
	go func() {
		reader := bufio.NewReaderSize(r.stdin, lineLimit)
		for {
			text, err := reader.ReadSlice('\n')
			if errors.Is(err, bufio.ErrBufferFull) {
				err = nil // a longer line comes in pieces
			}
			select {
			case lines <- input{slices.Clone(text), err}:
			case <-r.ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-r.resized:
			if err := r.line(EchoResize, []byte{}); err != nil {
				return err
			}
		case in := <-lines:
			if len(in.text) > 0 {
				if err := r.line(EchoRead, []byte(strings.TrimRight(string(in.text), "\r\n"))); err != nil {
					return err
				}
			}
			if errors.Is(in.err, io.EOF) {
				return nil
			}
			if in.err != nil {
				return in.err
			}
		}
	}
}

func (r *runner) line(event EchoEvent, text []byte) error {
	terminal, err := r.sys.Terminal(0)
	if err != nil {
		return err
	}
	r.emit(Result{Command: "echo", Args: []string{}, Value: &Echo{Event: event, Text: text, Terminal: terminal}})
	return r.flush()
}
