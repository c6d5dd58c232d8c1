// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultBase is where engines live unless Options say otherwise. It is on a
// disk that survives nothing, but not on a tmpfs, where overlay file systems
// and large images do badly.
const DefaultBase = "/var/tmp/berth-engines"

// state is what a later run must know to clean up after this one. Every name
// is written before the thing is made.
type state struct {
	BootID   string    `json:"bootId"`
	Netns    []string  `json:"netns"`
	Cgroup   string    `json:"cgroup"`
	Procs    []process `json:"procs"`
	MadeDirs []string  `json:"madeDirs"` // directories elsewhere that the daemons make and that were absent before
	Endpoint Endpoint  `json:"endpoint"`
}

func (s *state) write(dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, "state.json.new")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("write the engine's state: %w", err)
	}
	return os.Rename(tmp, filepath.Join(dir, "state.json"))
}

func readState(dir string) (*state, error) {
	b, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		return nil, err
	}
	s := new(state)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("read the engine's state: %w", err)
	}
	for _, name := range append(s.Netns, s.Cgroup) {
		if !ownName.MatchString(name) {
			return nil, fmt.Errorf("read the engine's state in %s: %q is no name of the harness: remove the directory by hand", dir, name)
		}
	}
	return s, nil
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// errOwned means that a living process holds the directory.
var errOwned = errors.New("its owner is alive")

// lockDir takes the directory's lock without waiting. The kernel drops it when
// the owner dies, however it dies.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the engine's directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", dir, errOwned)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// checkBase refuses a base that another user could have filled: what a state
// file names is killed and removed with the rights of root.
func checkBase(base string) error {
	var st unix.Stat_t
	if err := unix.Lstat(base, &st); err != nil {
		return fmt.Errorf("look at %s: %w", base, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("%s is not a directory that only this user can write: remove it or choose another base", base)
	}
	return nil
}

// CleanStale removes what engines below base left behind whose owner was
// killed, and says so on log. Engines with a living owner are not touched.
func CleanStale(ctx context.Context, base string, log io.Writer) error {
	if err := checkBase(base); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	dirs, err := filepath.Glob(filepath.Join(base, "*", "state.json"))
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range dirs {
		dir := filepath.Dir(d)
		lock, err := lockDir(dir)
		if errors.Is(err, errOwned) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			fmt.Fprintf(log, "engines: clean up after a run that was killed: %s\n", dir)
			err = cleanDir(ctx, dir)
			lock.Close()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("clean up %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// cleanDir ends and removes all that the state file in dir names, and then dir
// itself. The caller holds the lock. Whatever it cannot remove keeps the
// directory and the state file alive, so that the next call tries again.
func cleanDir(ctx context.Context, dir string) error {
	s, err := readState(dir)
	if errors.Is(err, os.ErrNotExist) {
		return removeData(dir)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if s.BootID == bootID() {
		if err := s.endProcesses(ctx, dir); err != nil {
			return err
		}
	}
	sockets := shimSockets(dir)
	var errs []error
	errs = append(errs, unmountBelow(dir))
	for _, sock := range sockets {
		if err := os.Remove(sock); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, removeCgroups(ctx, s.Cgroup))
	for _, ns := range s.Netns {
		errs = append(errs, removeNetns(ctx, ns))
	}
	for _, d := range s.MadeDirs {
		_ = os.Remove(d) // fails when it is in use by somebody else: then it is not ours to remove
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return removeData(dir)
}

// endGrace is how long a daemon may take to end. Its data is thrown away, so
// that a longer wait would gain nothing.
const endGrace = 5 * time.Second

// endProcesses ends dockerd, which stops its containers, then containerd, then
// whatever is left of shims, proxies and containers.
func (s *state) endProcesses(ctx context.Context, dir string) error {
	for _, p := range s.Procs {
		var tick func(time.Duration)
		if p.Name == "dockerd" {
			tick = func(waited time.Duration) {
				// dockerd gives each container its grace period. Nobody waits
				// for these any more.
				if waited > time.Second {
					for _, c := range cgroupProcs(s.Cgroup) {
						_ = c.signal(unix.SIGKILL)
					}
				}
			}
		}
		if err := p.end(endGrace, tick); err != nil {
			return err
		}
	}
	return killAll(ctx, func() []process {
		return append(cgroupProcs(s.Cgroup), marked(dir)...)
	})
}

// shimSockets returns the sockets of the engine's shims. They are in a
// directory that all containerds of a machine share, whatever their state
// directory; each shim notes the address of its own.
func shimSockets(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "cd-state", "io.containerd.runtime.v2.task", "*", "*", "address"))
	var out []string
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil {
			if sock, ok := strings.CutPrefix(string(b), "unix://"); ok && filepath.IsAbs(sock) {
				out = append(out, sock)
			}
		}
	}
	return out
}

// mountsBelow returns the mount points below dir, deepest last.
func mountsBelow(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 5 {
			continue
		}
		if point := unescape(fields[4]); strings.HasPrefix(point, dir+"/") {
			out = append(out, point)
		}
	}
	slices.Sort(out)
	return out, nil
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

func unmountBelow(dir string) error {
	points, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range slices.Backward(points) {
		if err := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

// removeData deletes dir. It refuses while anything is mounted below it:
// deleting through a bind mount would delete a user's files.
func removeData(dir string) error {
	points, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	if len(points) > 0 {
		return fmt.Errorf("remove %s: still mounted: %s", dir, strings.Join(points, ", "))
	}
	return os.RemoveAll(dir)
}

func removeCgroups(ctx context.Context, name string) error {
	for {
		var last error
		for _, d := range cgroupDirs(name) {
			if err := unix.Rmdir(d); err != nil && !errors.Is(err, unix.ENOENT) {
				last = fmt.Errorf("remove cgroup %s: %w", d, err)
			}
		}
		if last == nil {
			return nil
		}
		// The kernel releases a cgroup a moment after its last process.
		select {
		case <-ctx.Done():
			return last
		case <-time.After(20 * time.Millisecond):
		}
	}
}
