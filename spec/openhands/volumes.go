// SPDX-License-Identifier: Apache-2.0

package openhands

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/berthrun/berth/spec"
)

// volumeForm is what every refusal of an entry ends with.
const volumeForm = "want HOST:CONTAINER[:MODE], such as /my/dir:/workspace:rw"

// VolumeError is one entry of a list of volumes that cannot be used.
type VolumeError struct {
	// Entry is the entry as it was written, without the white space around it.
	Entry string
	// Index counts the entries from 0.
	Index int
	// Code is the kind of mistake.
	Code spec.Code
	// Reason says what is wrong with it.
	Reason string
}

// Error prints the entry, the reason and the form that was expected.
func (e *VolumeError) Error() string {
	return fmt.Sprintf("entry %d %q: %s; %s", e.Index+1, e.Entry, e.Reason, volumeForm)
}

// volumeName is what docker and podman both accept as the name of a volume;
// docker wants two characters at least, which also keeps a drive letter from
// being taken for a volume.
var volumeName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// ParseVolumes reads the value of SANDBOX_VOLUMES: entries of the form
// HOST:CONTAINER[:MODE], separated by commas. The command line uses it for its
// own volume flags too.
//
// HOST is an absolute path; or "~", "~/x" (below home), ".", "..", "./x",
// "../x" (below dir); or the name of a volume, also written volume:NAME. Paths
// are cleaned by their text alone, as OpenHands does; symbolic links are the
// business of whoever opens them. MODE is rw (the default), ro or overlay, and
// z or Z for the SELinux label, alone or after another mode (":ro:z").
//
// home and dir are absolute paths; an empty one is an error only for an entry
// that needs it. The result has Type, Source, Target, Mode and, for z and Z,
// SELinux set, in the order of the entries, with no target twice. On error the
// result is nil and the error joins one [*VolumeError] for each bad entry. An
// empty value is no entry at all.
func ParseVolumes(value string, home, dir string) ([]spec.Mount, error) {
	if strings.TrimSpace(value) == "" {
		return nil, nil
	}
	var (
		mounts []spec.Mount
		errs   []error
		seen   = map[string]string{}
	)
	for i, entry := range strings.Split(value, ",") {
		entry = strings.TrimSpace(entry)
		m, err := parseVolume(entry, home, dir)
		if err == nil {
			if first, ok := seen[m.Target]; ok {
				err = volumeErr(spec.CodeDuplicate, "container path %s is already the target of %q", m.Target, first)
			}
		}
		if err != nil {
			err.Entry, err.Index = entry, i
			errs = append(errs, err)
			continue
		}
		seen[m.Target] = entry
		mounts = append(mounts, m)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return mounts, nil
}

func volumeErr(code spec.Code, format string, args ...any) *VolumeError {
	return &VolumeError{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// parseVolume reads one entry that has no white space around it.
func parseVolume(entry, home, dir string) (spec.Mount, *VolumeError) {
	var m spec.Mount
	fail := func(code spec.Code, format string, args ...any) (spec.Mount, *VolumeError) {
		return spec.Mount{}, volumeErr(code, format, args...)
	}
	if entry == "" {
		return fail(spec.CodeRequired, "the entry is empty (a comma too many)")
	}
	if reason := unusableText(entry); reason != "" {
		return fail(spec.CodeInvalid, "%s", reason)
	}
	if isWindowsPath(entry) {
		return fail(spec.CodeUnsupported, "a drive letter or UNC path of Windows names no folder of this system (and a volume's name has two characters at least); write the path that it has here, such as /mnt/c/Users/me under WSL")
	}
	parts := strings.Split(entry, ":")
	if len(parts) == 1 {
		if _, known := modes[entry]; known {
			return fail(spec.CodeInvalid, "a comma separates mounts here, so several modes are joined by a colon, as in /my/dir:/data:ro:z")
		}
		return fail(spec.CodeRequired, "the container path is missing")
	}
	for i, p := range parts {
		if strings.TrimSpace(p) != p {
			return fail(spec.CodeInvalid, "there is white space around %q", p)
		}
		if p == "" {
			return fail(spec.CodeRequired, "the %s is empty", [...]string{"host part", "container path", "mode"}[min(i, 2)])
		}
	}

	// "volume:NAME:/path" is documented by OpenHands, but its own parser reads
	// a volume called "volume" there; "volume:/path" still means that.
	explicit := parts[0] == "volume" && len(parts) > 2 && !strings.HasPrefix(parts[1], "/")
	if explicit {
		parts = parts[1:]
	}
	host, target := parts[0], parts[1]

	switch {
	case !explicit && (strings.HasPrefix(host, "/") || strings.HasPrefix(host, "~") ||
		host == "." || host == ".." || strings.HasPrefix(host, "./") || strings.HasPrefix(host, "../")):
		source, err := resolveHost(host, home, dir)
		if err != nil {
			return fail(spec.CodeInvalid, "%s", err)
		}
		m.Type, m.Source = spec.MountBind, source
	case volumeName.MatchString(host):
		m.Type, m.Source = spec.MountVolume, host
	case !explicit && strings.Contains(host, "/"):
		return fail(spec.CodeInvalid, "host path %q is relative; write ./%s for a folder below the working directory", host, host)
	case !explicit && strings.HasPrefix(host, "."):
		return fail(spec.CodeInvalid, "%q is not the name of a volume; write ./%s for a folder below the working directory", host, host)
	default:
		return fail(spec.CodeInvalid, "%q is not the name of a volume (two or more of a-z, A-Z, 0-9, _, . and -, beginning with a letter or digit)", host)
	}

	clean, err := cleanTarget(target)
	if err != nil {
		return fail(spec.CodeInvalid, "%s", err)
	}
	m.Target = clean
	for _, p := range []string{m.Source, m.Target} {
		// "/a /" becomes "/a ", which nobody could write here.
		if strings.TrimSpace(p) != p {
			return fail(spec.CodeInvalid, "there is white space at the end of %q", p)
		}
	}

	for _, word := range parts[2:] {
		mode, ok := modes[word]
		switch {
		case !ok:
			return fail(spec.CodeUnknownValue, "unknown mode %q%s", word, modeHint(word))
		case mode.mode != "" && m.Mode != "", mode.label != "" && m.SELinux != "":
			return fail(spec.CodeConflict, "mode %q contradicts the one before it", word)
		}
		if mode.mode != "" {
			m.Mode = mode.mode
		} else {
			m.SELinux = mode.label
		}
	}
	if m.Mode == "" {
		m.Mode = spec.ModeRW
	}
	if m.Mode == spec.ModeOverlay && m.Type != spec.MountBind {
		return fail(spec.CodeConflict, "mode overlay needs a host folder, and %q is a volume", host)
	}
	return m, nil
}

// modes are the words that may follow the container path.
var modes = map[string]struct {
	mode  spec.MountMode
	label spec.SELinuxLabel
}{
	"rw":      {mode: spec.ModeRW},
	"ro":      {mode: spec.ModeRO},
	"overlay": {mode: spec.ModeOverlay},
	"z":       {label: spec.SELinuxShared},
	"Z":       {label: spec.SELinuxPrivate},
}

// modeHint says what to write instead of a mode that docker or podman know
// and this format does not.
func modeHint(word string) string {
	const known = " (known: rw, ro, overlay, z, Z)"
	switch {
	case strings.HasPrefix(word, "/"):
		return known + "; a path that contains a colon cannot be written here, use a spec file"
	case word == "O":
		return known + "; podman's O is written overlay"
	case modes[strings.ToLower(word)].mode != "":
		return known + "; modes are written in lower case"
	}
	return known
}

// isWindowsPath recognises a drive letter and a UNC path. No volume has a name
// of one letter, so nothing valid is lost.
func isWindowsPath(entry string) bool {
	if strings.HasPrefix(entry, `\\`) {
		return true
	}
	return len(entry) >= 2 && entry[1] == ':' && (entry[0]|0x20 >= 'a' && entry[0]|0x20 <= 'z')
}

// unusableText says why s cannot be part of a spec, or "". A spec is JSON in
// UTF-8: other bytes would be replaced in it and name another file.
func unusableText(s string) string {
	if !utf8.ValidString(s) {
		return "the text is not valid UTF-8"
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "the text has a control character in it"
	}
	return ""
}

// resolveHost makes a host path absolute and clean. Other words than those
// that [ParseVolumes] names are relative to dir here, as WORKSPACE_BASE has it.
func resolveHost(host, home, dir string) (string, error) {
	if reason := unusableText(host); reason != "" {
		return "", errors.New(reason)
	}
	base := ""
	switch {
	case strings.HasPrefix(host, "/"):
	case host == "~" || strings.HasPrefix(host, "~/"):
		if !strings.HasPrefix(home, "/") {
			return "", fmt.Errorf("%q needs a home directory, and HOME is not set to an absolute path", host)
		}
		base, host = home, host[1:]
	case strings.HasPrefix(host, "~"):
		return "", fmt.Errorf("%q names another user's home; write its absolute path", host)
	case !strings.HasPrefix(dir, "/"):
		return "", fmt.Errorf("%q is relative, and the working directory is not known; write an absolute path", host)
	default:
		base = dir
	}
	if reason := unusableText(base); reason != "" {
		return "", fmt.Errorf("the directory %q that it is relative to: %s", base, reason)
	}
	return filepath.Join(base, host), nil
}

// cleanTarget checks a path in the sandbox and returns its one clean form.
func cleanTarget(target string) (string, error) {
	switch {
	case !strings.HasPrefix(target, "/"):
		return "", fmt.Errorf("container path %q is not absolute", target)
	case strings.Contains(target+"/", "/../"):
		return "", fmt.Errorf("container path %q has .. in it; write the path that is meant", target)
	}
	clean := path.Clean(target)
	if clean == "/" {
		return "", fmt.Errorf("container path %q is the whole root file system", target)
	}
	return clean, nil
}
