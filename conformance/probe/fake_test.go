// SPDX-License-Identifier: Apache-2.0

package probe_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berthrun/berth/conformance/probe"
)

// refuses answers every operation with ENOSYS.
type refuses struct{}

const nosys = probe.Errno("ENOSYS")

func (refuses) Self() (probe.Self, error)                  { return probe.Self{}, nosys }
func (refuses) Environ() []string                          { return nil }
func (refuses) Terminal(int) (probe.Terminal, error)       { return probe.Terminal{}, nil }
func (refuses) SetEcho(int, bool) error                    { return probe.Errno("ENOTTY") }
func (refuses) Limits() ([]probe.Limit, error)             { return nil, nosys }
func (refuses) Cgroup() (probe.Cgroup, error)              { return probe.Cgroup{}, nosys }
func (refuses) Lstat(string) (probe.Stat, error)           { return probe.Stat{}, nosys }
func (refuses) ReadFile(string, int) ([]byte, error)       { return nil, nosys }
func (refuses) Touch(string) error                         { return nosys }
func (refuses) Mkdir(string, uint32) error                 { return nosys }
func (refuses) Remove(string) error                        { return nosys }
func (refuses) Rename(string, string) error                { return nosys }
func (refuses) Link(string, string) error                  { return nosys }
func (refuses) Symlink(string, string) error               { return nosys }
func (refuses) Chmod(string, uint32) error                 { return nosys }
func (refuses) Chown(string, int, int) error               { return nosys }
func (refuses) ReadDir(string, int) ([]string, error)      { return nil, nosys }
func (refuses) CopySelf(string) (int64, error)             { return 0, nosys }
func (refuses) Statfs(string) (probe.Statfs, error)        { return probe.Statfs{}, nosys }
func (refuses) Mounts() ([]probe.Mount, error)             { return nil, nosys }
func (refuses) TryMount(string) error                      { return nosys }
func (refuses) TryRemount(string) error                    { return nosys }
func (refuses) Processes() ([]probe.ProcessEntry, error)   { return nil, nosys }
func (refuses) Kill(int, string) error                     { return nosys }
func (refuses) Die(string) error                           { return nosys }
func (refuses) Syscall(string) error                       { return nosys }
func (refuses) Sleep(context.Context, time.Duration) error { return nosys }
func (refuses) OpenFiles(int) (probe.Files, error)         { return probe.Files{}, nosys }
func (refuses) Interfaces() ([]probe.Interface, error)     { return nil, nosys }
func (refuses) Routes() ([]probe.Route, error)             { return nil, nosys }
func (refuses) Mknod(string, probe.NodeKind, uint32, uint32) error {
	return nosys
}
func (refuses) WriteFile(string, []byte, probe.WriteMode, uint32) (int, error) {
	return 0, nosys
}
func (refuses) Exec(context.Context, string, []string, int) (probe.Exec, error) {
	return probe.Exec{}, nosys
}
func (refuses) Notify([]string) (<-chan string, func()) { return nil, func() {} }
func (refuses) UseMemory(context.Context, int64, bool) (probe.Memory, error) {
	return probe.Memory{}, nosys
}
func (refuses) UsePIDs(context.Context, int) (probe.Pids, error) { return probe.Pids{}, nosys }
func (refuses) UseCPU(context.Context, time.Duration, int) (probe.CPU, error) {
	return probe.CPU{}, nosys
}
func (refuses) Orphan(context.Context, int, time.Duration) (probe.Orphans, error) {
	return probe.Orphans{}, nosys
}
func (refuses) Dial(context.Context, probe.DialRequest) (probe.Dial, error) {
	return probe.Dial{}, nosys
}
func (refuses) Listen(context.Context, string, string, []byte) (string, error) { return "", nosys }
func (refuses) Resolve(context.Context, string) ([]string, error)              { return nil, nosys }

// model is a System with no operating system behind it: a map of files and a channel of signals.
type model struct {
	refuses
	env     []string
	mu      sync.Mutex
	files   map[string]string
	full    int // bytes that all files may have; 0 is no bound
	signals chan string
	died    string
}

var _ probe.System = (*model)(nil)

func newModel() *model {
	return &model{
		env:     []string{"HOME=/home/app", "USER=app", "ODD=\xff", "HOME=/last"},
		files:   map[string]string{"/etc/passwd": "root:x:0:0::/root:\nbroken\napp:x:7:8:App:/home/app:/bin/sh\n", "/etc/group": "grp:x:8:\n", "/ro/x": "1"},
		signals: make(chan string),
	}
}

func (m *model) Self() (probe.Self, error) {
	return probe.Self{PID: 1, UID: 7, EUID: 7, GID: 8, EGID: 8, Groups: []int{8, 9}, Umask: 0o22, Cwd: "/work", Hostname: "box",
		Status: probe.Status{CapBounding: []string{"CAP_CHOWN"}, NoNewPrivs: true, Seccomp: 2, Threads: 1}}, nil
}

func (m *model) Environ() []string { return m.env }

func (m *model) Terminal(fd int) (probe.Terminal, error) {
	return probe.Terminal{TTY: fd == 0, Rows: 24 * (1 - min(fd, 1)), Cols: 80 * (1 - min(fd, 1))}, nil
}

func (m *model) ReadFile(path string, limit int) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.files[path]
	if !ok {
		return nil, probe.Errno("ENOENT")
	}
	return []byte(data[:min(len(data), limit)]), nil
}

func (m *model) WriteFile(path string, data []byte, mode probe.WriteMode, perm uint32) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if strings.HasPrefix(path, "/ro/") {
		return 0, probe.Errno("EROFS")
	}
	old := ""
	if mode == probe.Append {
		old = m.files[path]
	}
	if m.full > 0 && len(old)+len(data) > m.full {
		data = data[:m.full-len(old)]
		m.files[path] = old + string(data)
		return len(data), probe.Errno("ENOSPC")
	}
	m.files[path] = old + string(data)
	return len(data), nil
}

func (m *model) ReadDir(path string, limit int) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		if rest, ok := strings.CutPrefix(name, path+"/"); ok && len(names) < limit {
			names = append(names, rest)
		}
	}
	return names, nil
}

func (m *model) Notify([]string) (<-chan string, func()) { return m.signals, func() {} }

func (m *model) Die(signal string) error { m.died = signal; return nil }

func (m *model) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (m *model) Syscall(name string) error {
	if name == "mount" {
		return nil
	}
	return probe.Errno("EPERM")
}
