// SPDX-License-Identifier: Apache-2.0

package openhands_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/berthrun/berth/spec"
	"github.com/berthrun/berth/spec/openhands"
)

// read fails the test on an error.
func read(t *testing.T, in openhands.Input) *openhands.Result {
	t.Helper()
	got, err := openhands.Read(in)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	checkSources(t, got)
	return got
}

// problems fails the test when there is no error.
func problems(t *testing.T, in openhands.Input) openhands.Problems {
	t.Helper()
	got, err := openhands.Read(in)
	ps, ok := errors.AsType[openhands.Problems](err)
	if !ok || len(ps) == 0 || got != nil {
		t.Fatalf("Read = %+v, %v; want Problems", got, err)
	}
	return ps
}

func warnings(got *openhands.Result) []string {
	var out []string
	for _, n := range got.Warnings {
		out = append(out, n.String())
	}
	return out
}

func TestReadNothing(t *testing.T) {
	for name, in := range map[string]openhands.Input{
		"zero":           {},
		"other programs": input(map[string]string{"PATH": "/bin", "WORKSPACE": "/jenkins", "WORKSPACE_TMP": "/jenkins@tmp", "SANDBOXED": "1", "HOME": "/"}, ""),
		"empty values":   input(map[string]string{"SANDBOX_VOLUMES": "", "SANDBOX_USER_ID": "", "RUNTIME": "", "SANDBOX_NONSENSE": ""}, ""),
		"blank volumes":  input(map[string]string{"SANDBOX_VOLUMES": "  "}, ""),
		"empty tables":   input(nil, "[core]\n[sandbox]\n"),
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, in)
			if diff := cmp.Diff(&openhands.Result{Spec: &spec.Sandbox{}, Sources: map[spec.Path]string{}}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// mainJob is the example of the issue.
func TestReadMainJob(t *testing.T) {
	got := read(t, input(map[string]string{
		"SANDBOX_VOLUMES": "/home/ann/project:/workspace:rw,/usr/share/doc:/data:ro",
		"SANDBOX_USER_ID": "1000",
	}, ""))
	want := &openhands.Result{
		Spec: &spec.Sandbox{
			Mounts:  []spec.Mount{bind("/home/ann/project", "/workspace", spec.ModeRW), bind("/usr/share/doc", "/data", spec.ModeRO)},
			User:    spec.User{As: "1000:100"},
			Process: spec.Process{Workdir: "/workspace"},
		},
		Sources: map[spec.Path]string{
			"mounts[0]": "SANDBOX_VOLUMES", "mounts[0].mode": "SANDBOX_VOLUMES",
			"mounts[1]": "SANDBOX_VOLUMES", "mounts[1].mode": "SANDBOX_VOLUMES",
			"process.workdir": "SANDBOX_VOLUMES", "user.as": "SANDBOX_USER_ID",
		},
		Hints: openhands.Hints{Workspace: &openhands.Workspace{Source: "/home/ann/project", Target: "/workspace", Explicit: true}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWorkspaceOfVolumes(t *testing.T) {
	tests := map[string]struct {
		volumes string
		want    openhands.Workspace
		workdir string
	}{
		"not first":      {"/data:/data:ro,/home/user/mydir:/workspace:rw,/models:/models:ro", openhands.Workspace{Mount: 1, Source: "/home/user/mydir", Target: "/workspace", Explicit: true}, "/workspace"},
		"none":           {"/data:/data:ro,/models:/models:ro", openhands.Workspace{Source: "/data", Target: "/data"}, ""},
		"below":          {"/path1:/workspace/path1,/path2:/workspace/path2:ro", openhands.Workspace{Source: "/path1", Target: "/workspace/path1"}, ""},
		"volume":         {"work:/workspace", openhands.Workspace{Source: "work", Target: "/workspace", Explicit: true}, "/workspace"},
		"slash at end":   {"/a:/workspace/", openhands.Workspace{Source: "/a", Target: "/workspace", Explicit: true}, "/workspace"},
		"read-only":      {"/tmp/test:/workspace:ro", openhands.Workspace{Source: "/tmp/test", Target: "/workspace", Explicit: true}, "/workspace"},
		"other first":    {"cache:/cache,.:/workspace", openhands.Workspace{Mount: 1, Source: dir, Target: "/workspace", Explicit: true}, "/workspace"},
		"workspace-like": {"/a:/workspaces", openhands.Workspace{Source: "/a", Target: "/workspaces"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := read(t, input(map[string]string{"SANDBOX_VOLUMES": tt.volumes}, ""))
			if diff := cmp.Diff(&tt.want, got.Hints.Workspace); diff != "" {
				t.Errorf("workspace (-want +got):\n%s", diff)
			}
			if got.Spec.Process.Workdir != tt.workdir {
				t.Errorf("workdir %q, want %q", got.Spec.Process.Workdir, tt.workdir)
			}
			if len(got.Warnings) > 0 {
				t.Errorf("warnings: %v", got.Warnings)
			}
		})
	}
}

// TestWorkspaceKeys replays what OpenHands' finalize_config makes of the
// deprecated keys.
func TestWorkspaceKeys(t *testing.T) {
	tests := map[string]struct {
		env     map[string]string
		source  string // "" for no mount
		target  string
		by      string
		workdir string
		warn    map[string]string // key -> part of its only warning
	}{
		"base": {
			env:    map[string]string{"WORKSPACE_BASE": "/home/user/project"},
			source: "/home/user/project", target: "/workspace", by: "WORKSPACE_BASE", workdir: "WORKSPACE_BASE",
			warn: map[string]string{"WORKSPACE_BASE": "use SANDBOX_VOLUMES=/home/user/project:/workspace:rw instead"},
		},
		"relative base": {
			env:    map[string]string{"WORKSPACE_BASE": "workspace/../src"},
			source: dir + "/src", target: "/workspace", by: "WORKSPACE_BASE", workdir: "WORKSPACE_BASE",
			warn: map[string]string{"WORKSPACE_BASE": "use SANDBOX_VOLUMES=" + dir + "/src:/workspace:rw instead"},
		},
		"home": {
			env:    map[string]string{"WORKSPACE_BASE": "~"},
			source: home, target: "/workspace", by: "WORKSPACE_BASE", workdir: "WORKSPACE_BASE",
			warn: map[string]string{"WORKSPACE_BASE": home + ":/workspace:rw"},
		},
		"mount path wins over base": {
			env:    map[string]string{"WORKSPACE_BASE": "/opt/workspace_base", "WORKSPACE_MOUNT_PATH": "/srv/p"},
			source: "/srv/p", target: "/workspace", by: "WORKSPACE_MOUNT_PATH", workdir: "WORKSPACE_MOUNT_PATH",
			warn: map[string]string{
				"WORKSPACE_BASE":       "use SANDBOX_VOLUMES=/srv/p:/workspace:rw instead (WORKSPACE_MOUNT_PATH wins over it)",
				"WORKSPACE_MOUNT_PATH": "use SANDBOX_VOLUMES=/srv/p:/workspace:rw instead",
			},
		},
		"in sandbox": {
			env:    map[string]string{"WORKSPACE_MOUNT_PATH": "/srv/p", "WORKSPACE_MOUNT_PATH_IN_SANDBOX": "/code/"},
			source: "/srv/p", target: "/code", by: "WORKSPACE_MOUNT_PATH", workdir: "WORKSPACE_MOUNT_PATH_IN_SANDBOX",
			warn: map[string]string{
				"WORKSPACE_MOUNT_PATH":            "use SANDBOX_VOLUMES=/srv/p:/code:rw instead",
				"WORKSPACE_MOUNT_PATH_IN_SANDBOX": "use SANDBOX_VOLUMES=/srv/p:/code:rw instead",
			},
		},
		"rewrite": {
			env:    map[string]string{"WORKSPACE_BASE": "/home/user/project", "WORKSPACE_MOUNT_REWRITE": "/home/user:/sandbox"},
			source: "/sandbox/project", target: "/workspace", by: "WORKSPACE_MOUNT_REWRITE", workdir: "WORKSPACE_MOUNT_REWRITE",
			warn: map[string]string{
				"WORKSPACE_BASE":          "use SANDBOX_VOLUMES=/sandbox/project:/workspace:rw instead",
				"WORKSPACE_MOUNT_REWRITE": "use SANDBOX_VOLUMES=/sandbox/project:/workspace:rw instead",
			},
		},
		"rewrite wins over mount path and takes the working directory": {
			env:    map[string]string{"WORKSPACE_MOUNT_PATH": "/srv/p", "WORKSPACE_MOUNT_REWRITE": "/home/ann:/mnt"},
			source: "/mnt/project", target: "/workspace", by: "WORKSPACE_MOUNT_REWRITE", workdir: "WORKSPACE_MOUNT_REWRITE",
			warn: map[string]string{
				"WORKSPACE_MOUNT_PATH":    "(WORKSPACE_MOUNT_REWRITE wins over it)",
				"WORKSPACE_MOUNT_REWRITE": "use SANDBOX_VOLUMES=/mnt/project:/workspace:rw instead",
			},
		},
		"rewrite everywhere": {
			env:    map[string]string{"WORKSPACE_BASE": "/a/x/a", "WORKSPACE_MOUNT_REWRITE": "/a:/b"},
			source: "/b/x/b", target: "/workspace", by: "WORKSPACE_MOUNT_REWRITE", workdir: "WORKSPACE_MOUNT_REWRITE",
			warn: map[string]string{"WORKSPACE_BASE": "/b/x/b", "WORKSPACE_MOUNT_REWRITE": "/b/x/b"},
		},
		"rewrite of nothing": {
			env:    map[string]string{"WORKSPACE_BASE": "/a", "WORKSPACE_MOUNT_REWRITE": "/x:/y"},
			source: "/a", target: "/workspace", by: "WORKSPACE_BASE", workdir: "WORKSPACE_BASE",
			warn: map[string]string{"WORKSPACE_BASE": "/a:/workspace:rw", "WORKSPACE_MOUNT_REWRITE": `"/x" is not in "/a", so nothing was rewritten`},
		},
		"rewrite alone": {
			env:  map[string]string{"WORKSPACE_MOUNT_REWRITE": "/x:/y"},
			warn: map[string]string{"WORKSPACE_MOUNT_REWRITE": "without a folder to mount it has no effect; use SANDBOX_VOLUMES="},
		},
		"in sandbox alone": {
			env:  map[string]string{"WORKSPACE_MOUNT_PATH_IN_SANDBOX": "/code"},
			warn: map[string]string{"WORKSPACE_MOUNT_PATH_IN_SANDBOX": "use SANDBOX_VOLUMES=/my/dir:/code:rw instead"},
		},
		"a path that the shell would split": {
			env:    map[string]string{"WORKSPACE_BASE": "/my files/it's"},
			source: "/my files/it's", target: "/workspace", by: "WORKSPACE_BASE", workdir: "WORKSPACE_BASE",
			warn: map[string]string{"WORKSPACE_BASE": `SANDBOX_VOLUMES='/my files/it'\''s:/workspace:rw'`},
		},
		"a path that SANDBOX_VOLUMES cannot hold": {
			env:    map[string]string{"WORKSPACE_BASE": "/a,b:c"},
			source: "/a,b:c", target: "/workspace", by: "WORKSPACE_BASE", workdir: "WORKSPACE_BASE",
			warn: map[string]string{"WORKSPACE_BASE": "use a spec file with a mount of \"/a,b:c\""},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := read(t, input(tt.env, ""))
			if tt.source == "" {
				if len(got.Spec.Mounts) > 0 || got.Spec.Process.Workdir != "" || got.Hints.Workspace != nil {
					t.Errorf("unexpected mount: %+v", got.Spec)
				}
			} else {
				if diff := cmp.Diff([]spec.Mount{bind(tt.source, tt.target, spec.ModeRW)}, got.Spec.Mounts); diff != "" {
					t.Errorf("mounts (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(&openhands.Workspace{Source: tt.source, Target: tt.target, Explicit: true}, got.Hints.Workspace); diff != "" {
					t.Errorf("workspace (-want +got):\n%s", diff)
				}
				if got.Spec.Process.Workdir != tt.target || got.Sources["process.workdir"] != tt.workdir || got.Sources["mounts[0]"] != tt.by {
					t.Errorf("workdir %q, sources %v", got.Spec.Process.Workdir, got.Sources)
				}
			}
			if len(got.Warnings) != len(tt.warn) {
				t.Errorf("warnings %q, want %d", warnings(got), len(tt.warn))
			}
			for _, n := range got.Warnings {
				if want, ok := tt.warn[n.Key]; !ok || n.Code != openhands.NoticeDeprecated || !strings.Contains(n.Message, want) {
					t.Errorf("warning %q (%s), want %q", n, n.Code, want)
				}
			}
		})
	}
}

func TestWorkspaceKeysRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		env map[string]string
		key string
	}{
		"other home":          {map[string]string{"WORKSPACE_BASE": "~bob"}, "WORKSPACE_BASE"},
		"windows":             {map[string]string{"WORKSPACE_BASE": `C:\x`}, "WORKSPACE_BASE"},
		"relative target":     {map[string]string{"WORKSPACE_BASE": "/a", "WORKSPACE_MOUNT_PATH_IN_SANDBOX": "code"}, "WORKSPACE_MOUNT_PATH_IN_SANDBOX"},
		"target up":           {map[string]string{"WORKSPACE_BASE": "/a", "WORKSPACE_MOUNT_PATH_IN_SANDBOX": "/a/../b"}, "WORKSPACE_MOUNT_PATH_IN_SANDBOX"},
		"target root":         {map[string]string{"WORKSPACE_MOUNT_PATH_IN_SANDBOX": "/"}, "WORKSPACE_MOUNT_PATH_IN_SANDBOX"},
		"target of berth":     {map[string]string{"WORKSPACE_BASE": "/a", "WORKSPACE_MOUNT_PATH_IN_SANDBOX": "/proc/x"}, "WORKSPACE_MOUNT_PATH_IN_SANDBOX"},
		"rewrite form":        {map[string]string{"WORKSPACE_BASE": "/a", "WORKSPACE_MOUNT_REWRITE": "/a"}, "WORKSPACE_MOUNT_REWRITE"},
		"rewrite too long":    {map[string]string{"WORKSPACE_BASE": "/a", "WORKSPACE_MOUNT_REWRITE": "/a:/b:/c"}, "WORKSPACE_MOUNT_REWRITE"},
		"rewrite of nothing":  {map[string]string{"WORKSPACE_BASE": "/a", "WORKSPACE_MOUNT_REWRITE": ":/c"}, "WORKSPACE_MOUNT_REWRITE"},
		"rewrite to relative": {map[string]string{"WORKSPACE_BASE": "/a/b", "WORKSPACE_MOUNT_REWRITE": "/a:c"}, "WORKSPACE_MOUNT_REWRITE"},
	} {
		t.Run(name, func(t *testing.T) {
			ps := problems(t, input(tt.env, ""))
			if len(ps) != 1 || ps[0].Key != tt.key {
				t.Errorf("problems %v, want one about %s", ps, tt.key)
			}
		})
	}
}

func TestVolumesWinOverWorkspaceKeys(t *testing.T) {
	old := map[string]string{
		"WORKSPACE_BASE": "~nobody/bad", "WORKSPACE_MOUNT_PATH": "/b", "WORKSPACE_MOUNT_PATH_IN_SANDBOX": "bad", "WORKSPACE_MOUNT_REWRITE": "bad",
	}
	for name, in := range map[string]openhands.Input{
		"variable":               input(merge(old, map[string]string{"SANDBOX_VOLUMES": "/data:/data:ro"}), ""),
		"config.toml":            input(old, "[sandbox]\nvolumes = '/data:/data:ro'\n"),
		"old keys in the file":   input(map[string]string{"SANDBOX_VOLUMES": "/data:/data:ro"}, "[core]\nworkspace_base = '~nobody'\nworkspace_mount_path = 'x'\nworkspace_mount_path_in_sandbox = 'x'\nworkspace_mount_rewrite = 'x'\n"),
		"everything in the file": input(nil, "[core]\nworkspace_base = '~nobody'\nworkspace_mount_path = 'x'\nworkspace_mount_path_in_sandbox = 'x'\nworkspace_mount_rewrite = 'x'\n[sandbox]\nvolumes = '/data:/data:ro'\n"),
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, in)
			if diff := cmp.Diff([]spec.Mount{bind("/data", "/data", spec.ModeRO)}, got.Spec.Mounts); diff != "" {
				t.Errorf("mounts (-want +got):\n%s", diff)
			}
			if len(got.Warnings) != 4 {
				t.Fatalf("warnings %q, want one for each old key", warnings(got))
			}
			for _, n := range got.Warnings {
				if n.Code != openhands.NoticeOverridden || !strings.Contains(n.Message, "is set and wins") {
					t.Errorf("warning %q (%s)", n, n.Code)
				}
			}
		})
	}
}

func TestUser(t *testing.T) {
	tests := map[string]struct {
		env    map[string]string
		uid    int
		gid    int
		want   string
		source string
		warn   string // key of the only warning
		bad    string // key of the only problem
	}{
		"caller's own uid":         {env: map[string]string{"SANDBOX_USER_ID": "1000"}, want: "1000:100", source: "SANDBOX_USER_ID"},
		"another uid":              {env: map[string]string{"SANDBOX_USER_ID": "501"}, want: "501", source: "SANDBOX_USER_ID"},
		"white space":              {env: map[string]string{"SANDBOX_USER_ID": " 501 "}, want: "501", source: "SANDBOX_USER_ID"},
		"large uid":                {env: map[string]string{"SANDBOX_USER_ID": "4294967294"}, want: "4294967294", source: "SANDBOX_USER_ID"},
		"root":                     {env: map[string]string{"SANDBOX_USER_ID": "0"}, want: "0", source: "SANDBOX_USER_ID"},
		"root by root":             {env: map[string]string{"SANDBOX_USER_ID": "0"}, uid: -2, want: "0:0", source: "SANDBOX_USER_ID"},
		"group":                    {env: map[string]string{"SANDBOX_USER_ID": "1000", "SANDBOX_GROUP_ID": "7"}, want: "1000:7", source: "SANDBOX_GROUP_ID, SANDBOX_USER_ID"},
		"group alone":              {env: map[string]string{"SANDBOX_GROUP_ID": "7"}, want: "1000:7", source: "SANDBOX_GROUP_ID"},
		"group alone, no uid here": {env: map[string]string{"SANDBOX_GROUP_ID": "7"}, uid: -1, bad: "SANDBOX_GROUP_ID"},
		"not openhands":            {env: map[string]string{"RUN_AS_OPENHANDS": "false"}, want: "0", source: "RUN_AS_OPENHANDS"},
		"not openhands, group":     {env: map[string]string{"RUN_AS_OPENHANDS": "0", "SANDBOX_GROUP_ID": "7"}, want: "0:7", source: "RUN_AS_OPENHANDS, SANDBOX_GROUP_ID"},
		"not openhands, uid":       {env: map[string]string{"RUN_AS_OPENHANDS": "false", "SANDBOX_USER_ID": "5"}, want: "5", source: "SANDBOX_USER_ID", warn: "RUN_AS_OPENHANDS"},
		"not openhands, uid 0":     {env: map[string]string{"RUN_AS_OPENHANDS": "false", "SANDBOX_USER_ID": "0"}, want: "0", source: "SANDBOX_USER_ID"},
		"openhands":                {env: map[string]string{"RUN_AS_OPENHANDS": "true"}},
		"runtime uid":              {env: map[string]string{"RUNTIME_UID": "5"}, want: "5", source: "RUNTIME_UID"},
		"runtime uid, same":        {env: map[string]string{"RUNTIME_UID": "5", "SANDBOX_USER_ID": "5"}, want: "5", source: "SANDBOX_USER_ID"},
		"runtime uid loses":        {env: map[string]string{"RUNTIME_UID": "5", "SANDBOX_USER_ID": "6"}, want: "6", source: "SANDBOX_USER_ID", warn: "RUNTIME_UID"},
		"negative":                 {env: map[string]string{"SANDBOX_USER_ID": "-1"}, bad: "SANDBOX_USER_ID"},
		"not a number":             {env: map[string]string{"SANDBOX_USER_ID": "ann"}, bad: "SANDBOX_USER_ID"},
		"too large":                {env: map[string]string{"SANDBOX_USER_ID": "4294967295"}, bad: "SANDBOX_USER_ID"},
		"much too large":           {env: map[string]string{"SANDBOX_USER_ID": "99999999999999999999"}, bad: "SANDBOX_USER_ID"},
		"fraction":                 {env: map[string]string{"SANDBOX_USER_ID": "1000.0"}, bad: "SANDBOX_USER_ID"},
		"pair":                     {env: map[string]string{"SANDBOX_USER_ID": "1000:1000"}, bad: "SANDBOX_USER_ID"},
		"group too large":          {env: map[string]string{"SANDBOX_GROUP_ID": "4294967295"}, bad: "SANDBOX_GROUP_ID"},
		"root's name":              {env: map[string]string{"RUNTIME_USERNAME": "root"}, bad: "RUNTIME_USERNAME"},
		"root's name, uid":         {env: map[string]string{"RUNTIME_USERNAME": "root", "SANDBOX_USER_ID": "5"}, bad: "RUNTIME_USERNAME"},
		"root's name, root":        {env: map[string]string{"RUNTIME_USERNAME": "root", "RUN_AS_OPENHANDS": "false"}, want: "0", source: "RUN_AS_OPENHANDS"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := input(tt.env, "")
			switch tt.uid {
			case -1:
				in.UID, in.GID = -1, -1
			case -2:
				in.UID, in.GID = 0, 0
			}
			if tt.bad != "" {
				if ps := problems(t, in); len(ps) != 1 || ps[0].Key != tt.bad {
					t.Errorf("problems %v, want one about %s", ps, tt.bad)
				}
				return
			}
			got := read(t, in)
			if got.Spec.User.As != tt.want || got.Sources["user.as"] != tt.source {
				t.Errorf("user %q by %q, want %q by %q", got.Spec.User.As, got.Sources["user.as"], tt.want, tt.source)
			}
			if tt.warn == "" && len(got.Warnings) > 0 || tt.warn != "" && (len(got.Warnings) != 1 || got.Warnings[0].Key != tt.warn) {
				t.Errorf("warnings %q, want one about %q", warnings(got), tt.warn)
			}
		})
	}
}

func TestImage(t *testing.T) {
	agent := map[string]string{"AGENT_SERVER_IMAGE_REPOSITORY": "x/y", "AGENT_SERVER_IMAGE_TAG": "1"}
	for name, tt := range map[string]struct {
		env    map[string]string
		config string
		want   string
		warn   []string
	}{
		"runtime wins":                    {env: map[string]string{"SANDBOX_RUNTIME_CONTAINER_IMAGE": "r", "SANDBOX_BASE_CONTAINER_IMAGE": "b"}, want: "r", warn: []string{"SANDBOX_BASE_CONTAINER_IMAGE"}},
		"runtime of the file wins":        {env: map[string]string{"SANDBOX_BASE_CONTAINER_IMAGE": "b"}, config: "[sandbox]\nruntime_container_image='r'\n", want: "r", warn: []string{"SANDBOX_BASE_CONTAINER_IMAGE"}},
		"variable over file":              {env: map[string]string{"SANDBOX_BASE_CONTAINER_IMAGE": "b"}, config: "[sandbox]\nbase_container_image='f'\n", want: "b"},
		"agent server over base":          {env: merge(agent, map[string]string{"SANDBOX_BASE_CONTAINER_IMAGE": "b"}), want: "x/y:1", warn: []string{"SANDBOX_BASE_CONTAINER_IMAGE"}},
		"runtime over agent server":       {env: merge(agent, map[string]string{"SANDBOX_RUNTIME_CONTAINER_IMAGE": "r"}), want: "r", warn: []string{"AGENT_SERVER_IMAGE_REPOSITORY", "AGENT_SERVER_IMAGE_TAG"}},
		"dependencies with a ready image": {env: map[string]string{"SANDBOX_RUNTIME_CONTAINER_IMAGE": "r", "SANDBOX_RUNTIME_EXTRA_DEPS": "pip install\nnumpy"}, want: "r", warn: []string{"SANDBOX_RUNTIME_EXTRA_DEPS"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, input(tt.env, tt.config))
			var keys []string
			for _, n := range got.Warnings {
				keys = append(keys, n.Key)
			}
			if got.Spec.Image.Ref != tt.want || !slices.Equal(keys, tt.warn) {
				t.Errorf("image %q, warnings %q; want %q, %q", got.Spec.Image.Ref, warnings(got), tt.want, tt.warn)
			}
		})
	}
	for name := range agent {
		ps := problems(t, input(map[string]string{name: agent[name]}, ""))
		if len(ps) != 1 || ps[0].Key != name || ps[0].Code != spec.CodeRequired {
			t.Errorf("%s alone: %v", name, ps)
		}
	}
}

func TestEnvironmentOfTheSandbox(t *testing.T) {
	got := read(t, input(map[string]string{
		"SANDBOX_ENV_A":                    "1",
		"SANDBOX_ENV_B":                    "1",
		"SANDBOX_ENV_C":                    "",
		"SANDBOX_ENV_lower":                "x",
		"SANDBOX_ENV_GIT_AUTHOR_NAME":      "Other",
		"SANDBOX_ENV_DEBUG":                "true",
		"OH_AGENT_SERVER_ENV":              `{"B": "2", "D": "2"}`,
		"SANDBOX_RUNTIME_STARTUP_ENV_VARS": `{'D': '3', 'E': 'a=b'}`,
		"GIT_USER_NAME":                    "Ann",
		"DEBUG":                            "1",
	}, ""))
	want := map[string]string{
		"A": "1", "B": "2", "C": "", "D": "3", "E": "a=b", "lower": "x", "DEBUG": "true",
		"GIT_AUTHOR_NAME": "Other", "GIT_COMMITTER_NAME": "Ann",
	}
	if diff := cmp.Diff(want, got.Spec.Process.Env); diff != "" {
		t.Errorf("env (-want +got):\n%s", diff)
	}
	for path, source := range map[spec.Path]string{
		spec.Path("process.env").Key("B"):                  "OH_AGENT_SERVER_ENV",
		spec.Path("process.env").Key("D"):                  "SANDBOX_RUNTIME_STARTUP_ENV_VARS",
		spec.Path("process.env").Key("GIT_COMMITTER_NAME"): "GIT_USER_NAME",
		spec.Path("process.env").Key("GIT_AUTHOR_NAME"):    "SANDBOX_ENV_GIT_AUTHOR_NAME",
	} {
		if got.Sources[path] != source {
			t.Errorf("source of %s is %q, want %q", path, got.Sources[path], source)
		}
	}
	wantWarnings := []string{
		"GIT_USER_NAME: SANDBOX_ENV_GIT_AUTHOR_NAME sets GIT_AUTHOR_NAME in the sandbox too and wins",
		"SANDBOX_ENV_B: OH_AGENT_SERVER_ENV sets B in the sandbox too and wins",
		"OH_AGENT_SERVER_ENV: SANDBOX_RUNTIME_STARTUP_ENV_VARS sets D in the sandbox too and wins",
	}
	if diff := cmp.Diff(wantWarnings, warnings(got)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}

	for name, env := range map[string]map[string]string{
		"no name":        {"SANDBOX_ENV_": "x"},
		"space in name":  {"SANDBOX_ENV_A B": "x"},
		"NUL":            {"SANDBOX_RUNTIME_STARTUP_ENV_VARS": `{"A": "\u0000"}`},
		"equals in name": {"SANDBOX_RUNTIME_STARTUP_ENV_VARS": `{"A=B": "x"}`},
		"empty name":     {"OH_AGENT_SERVER_ENV": `{"": "x"}`},
		"boolean":        {"SANDBOX_RUNTIME_STARTUP_ENV_VARS": `{"A": true}`},
		"twice":          {"SANDBOX_RUNTIME_STARTUP_ENV_VARS": `{"A": "1", "A": "2"}`},
		"too long":       {"SANDBOX_ENV_A": strings.Repeat("x", 1<<17)},
	} {
		t.Run(name, func(t *testing.T) {
			ps := problems(t, input(env, ""))
			if _, ok := env[ps[0].Key]; len(ps) != 1 || !ok {
				t.Errorf("problems %v, want one about %v", ps, slices.Collect(maps.Keys(env)))
			}
		})
	}
}

func TestNetwork(t *testing.T) {
	got := read(t, input(map[string]string{"SANDBOX_USE_HOST_NETWORK": "true", "SANDBOX_VSCODE_PORT": "4000", "SANDBOX_ADDITIONAL_NETWORKS": "[]"}, ""))
	if len(got.Spec.Binding.Ports) > 0 || len(got.Warnings) != 1 || got.Warnings[0].Key != "SANDBOX_VSCODE_PORT" || got.Warnings[0].Code != openhands.NoticeOverridden {
		t.Errorf("ports %v, warnings %q; want no port and one warning", got.Spec.Binding.Ports, warnings(got))
	}
	for name, tt := range map[string]struct {
		networks, key string
		host          string
	}{
		"with host network": {`['db']`, "SANDBOX_ADDITIONAL_NETWORKS", "true"},
		"twice":             {`['db', 'db']`, "SANDBOX_ADDITIONAL_NETWORKS", ""},
		"empty name":        {`['']`, "SANDBOX_ADDITIONAL_NETWORKS", ""},
		"space":             {`['a b']`, "SANDBOX_ADDITIONAL_NETWORKS", ""},
		"a mode":            {`['host']`, "SANDBOX_ADDITIONAL_NETWORKS", ""},
	} {
		t.Run(name, func(t *testing.T) {
			ps := problems(t, input(map[string]string{"SANDBOX_ADDITIONAL_NETWORKS": tt.networks, "SANDBOX_USE_HOST_NETWORK": tt.host}, ""))
			if len(ps) != 1 || ps[0].Key != tt.key || tt.host != "" && !strings.Contains(ps[0].Message, "remove this or SANDBOX_USE_HOST_NETWORK") {
				t.Errorf("problems %v, want one about %s", ps, tt.key)
			}
		})
	}
	for _, address := range []string{"localhost", "1.2.3", "127.0.0.1:80", "[::1]", "fe80::1%eth0", "*"} {
		if ps := problems(t, input(map[string]string{"SANDBOX_RUNTIME_BINDING_ADDRESS": address}, "")); ps[0].Key != "SANDBOX_RUNTIME_BINDING_ADDRESS" {
			t.Errorf("%s: %v", address, ps)
		}
	}
	for _, address := range []string{"127.0.0.1", "0.0.0.0", "::", "::1"} {
		if got := read(t, input(map[string]string{"SANDBOX_RUNTIME_BINDING_ADDRESS": address}, "")); got.Spec.Binding.Address != address {
			t.Errorf("%s became %s", address, got.Spec.Binding.Address)
		}
	}
}

func TestDevices(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		want []string
		warn string
	}{
		"list without gpu":  {map[string]string{"SANDBOX_CUDA_VISIBLE_DEVICES": "0"}, nil, "SANDBOX_CUDA_VISIBLE_DEVICES"},
		"list, gpu off":     {map[string]string{"SANDBOX_CUDA_VISIBLE_DEVICES": "0", "SANDBOX_ENABLE_GPU": "false"}, nil, "SANDBOX_CUDA_VISIBLE_DEVICES"},
		"all in the list":   {map[string]string{"SANDBOX_CUDA_VISIBLE_DEVICES": "1, all", "SANDBOX_ENABLE_GPU": "1"}, []string{"nvidia.com/gpu=all"}, ""},
		"twice":             {map[string]string{"SANDBOX_CUDA_VISIBLE_DEVICES": "2,2", "SANDBOX_ENABLE_GPU": "1"}, []string{"nvidia.com/gpu=2"}, ""},
		"uuid and slice":    {map[string]string{"SANDBOX_CUDA_VISIBLE_DEVICES": "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,0:1", "SANDBOX_ENABLE_GPU": "1"}, []string{"nvidia.com/gpu=0:1", "nvidia.com/gpu=GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"}, ""},
		"kvm and gpu":       {map[string]string{"SANDBOX_KVM_ENABLED": "1", "SANDBOX_ENABLE_GPU": "1"}, []string{"nvidia.com/gpu=all", "/dev/kvm"}, ""},
		"none of them":      {map[string]string{"SANDBOX_KVM_ENABLED": "0", "SANDBOX_ENABLE_GPU": "0"}, nil, ""},
		"overlays for none": {map[string]string{"SANDBOX_VOLUME_OVERLAYS": "/o"}, nil, "SANDBOX_VOLUME_OVERLAYS"},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, input(tt.env, ""))
			if diff := cmp.Diff(tt.want, got.Spec.Security.Devices); diff != "" {
				t.Errorf("devices (-want +got):\n%s", diff)
			}
			if tt.warn == "" && len(got.Warnings) > 0 || tt.warn != "" && (len(got.Warnings) != 1 || got.Warnings[0].Key != tt.warn) {
				t.Errorf("warnings %q, want one about %q", warnings(got), tt.warn)
			}
		})
	}
}

func TestOverlays(t *testing.T) {
	env := map[string]string{"SANDBOX_VOLUMES": "/a:/b:overlay,/c:/d,/e:/f:overlay:z", "SANDBOX_VOLUME_OVERLAYS": "over"}
	uppers := func(got *openhands.Result) []string {
		var out []string
		for _, m := range got.Spec.Mounts {
			out = append(out, m.Upper)
		}
		return out
	}
	if got, want := uppers(read(t, input(env, ""))), []string{dir + "/over/0/upper", "", dir + "/over/2/upper"}; !slices.Equal(got, want) {
		t.Errorf("uppers %q, want %q", got, want)
	}
	in := input(env, "")
	in.Name = "one"
	if got, want := uppers(read(t, in)), []string{dir + "/over/one/0/upper", "", dir + "/over/one/2/upper"}; !slices.Equal(got, want) {
		t.Errorf("uppers of a named sandbox %q, want %q", got, want)
	}
	for _, name := range []string{"..", "a/b", "/"} {
		in.Name = name
		if ps := problems(t, in); ps[0].Key != "SANDBOX_VOLUME_OVERLAYS" {
			t.Errorf("name %q: %v", name, ps)
		}
	}
	delete(env, "SANDBOX_VOLUME_OVERLAYS")
	got := read(t, input(env, ""))
	if want := []string{"", "", ""}; !slices.Equal(uppers(got), want) || got.Spec.Mounts[0].Mode != spec.ModeOverlay {
		t.Errorf("without the variable: %+v", got.Spec.Mounts)
	}
	for _, overlays := range []string{"/a", "/", "~bob", `C:\x`} {
		env["SANDBOX_VOLUME_OVERLAYS"] = overlays
		if overlays == "/a" {
			env["SANDBOX_VOLUMES"] = "/a/x:/a:ro,/a/1:/b:overlay" // the upper would be in its own lower
		}
		if overlays == "/" {
			env["SANDBOX_VOLUMES"] = "/:/b:overlay"
		}
		if ps := problems(t, input(env, "")); ps[0].Key != "SANDBOX_VOLUME_OVERLAYS" {
			t.Errorf("%s: %v", overlays, ps)
		}
	}
}

func TestMountVariables(t *testing.T) {
	got := read(t, input(map[string]string{
		"SANDBOX_VOLUMES":                     "/z:/z",
		"OH_SANDBOX_MOUNTS_10_HOST_PATH":      "cache",
		"OH_SANDBOX_MOUNTS_10_CONTAINER_PATH": "/cache",
		"OH_SANDBOX_MOUNTS_2_HOST_PATH":       " ~/x ",
		"OH_SANDBOX_MOUNTS_2_CONTAINER_PATH":  "/workspace",
		"OH_SANDBOX_MOUNTS_2_MODE":            "ro",
	}, ""))
	want := []spec.Mount{bind("/z", "/z", spec.ModeRW), bind(home+"/x", "/workspace", spec.ModeRO), volume("cache", "/cache", spec.ModeRW)}
	if diff := cmp.Diff(want, got.Spec.Mounts); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
	if got.Sources["mounts[1].mode"] != "OH_SANDBOX_MOUNTS_2_MODE" || got.Hints.Workspace.Mount != 1 {
		t.Errorf("sources %v, workspace %+v", got.Sources, got.Hints.Workspace)
	}
	for name, tt := range map[string]struct {
		env map[string]string
		key string
	}{
		"no host":      {map[string]string{"OH_SANDBOX_MOUNTS_0_CONTAINER_PATH": "/b"}, "OH_SANDBOX_MOUNTS_0_CONTAINER_PATH"},
		"no container": {map[string]string{"OH_SANDBOX_MOUNTS_0_HOST_PATH": "/b"}, "OH_SANDBOX_MOUNTS_0_HOST_PATH"},
		"only mode":    {map[string]string{"OH_SANDBOX_MOUNTS_0_MODE": "ro"}, "OH_SANDBOX_MOUNTS_0_MODE"},
		"duplicate":    {map[string]string{"SANDBOX_VOLUMES": "/a:/b", "OH_SANDBOX_MOUNTS_0_HOST_PATH": "/c", "OH_SANDBOX_MOUNTS_0_CONTAINER_PATH": "/b"}, "OH_SANDBOX_MOUNTS_0_CONTAINER_PATH"},
		"reserved":     {map[string]string{"SANDBOX_VOLUMES": "/a:/dev/x"}, "SANDBOX_VOLUMES"},
	} {
		t.Run(name, func(t *testing.T) {
			if ps := problems(t, input(tt.env, "")); len(ps) != 1 || ps[0].Key != tt.key {
				t.Errorf("problems %v, want one about %s", ps, tt.key)
			}
		})
	}
}

func TestRuntime(t *testing.T) {
	for _, name := range []string{"docker", "eventstream", "Docker"} {
		if got := read(t, input(map[string]string{"RUNTIME": name}, "")); got.Hints.Backend != (openhands.Hint[string]{Value: "docker", Source: "RUNTIME"}) {
			t.Errorf("%s: %+v", name, got.Hints)
		}
	}
	for name, says := range map[string]string{
		"local": "no sandbox at all", "cli": "no sandbox at all", "process": "no sandbox at all", "remote": "--host",
		"kubernetes": "--backend containerd", "podman": "--backend podman", "daytona": "daytona", "my.module.Runtime": "my.module.Runtime",
	} {
		ps := problems(t, input(map[string]string{"RUNTIME": name}, ""))
		if len(ps) != 1 || ps[0].Key != "RUNTIME" || !strings.Contains(ps[0].Message, says) {
			t.Errorf("%s: %v; want it to say %q", name, ps, says)
		}
		ps = problems(t, input(nil, "[core]\nruntime = '"+name+"'\n"))
		if len(ps) != 1 || ps[0].Key != "core.runtime" || ps[0].Line != 2 {
			t.Errorf("%s in the file: %v", name, ps)
		}
	}
	kind := map[string]string{"OH_SANDBOX_KIND": "openhands.app_server.sandbox.docker_sandbox_service.DockerSandboxServiceInjector", "RUNTIME": "remote"}
	got := read(t, input(kind, ""))
	if got.Hints.Backend.Source != "OH_SANDBOX_KIND" || len(got.Warnings) != 1 || got.Warnings[0].Key != "RUNTIME" {
		t.Errorf("kind: %+v, %q", got.Hints, warnings(got))
	}
	for _, name := range []string{"RemoteSandboxServiceInjector", "ProcessSandboxServiceInjector", "MySandboxServiceInjector"} {
		if ps := problems(t, input(map[string]string{"OH_SANDBOX_KIND": name}, "")); ps[0].Key != "OH_SANDBOX_KIND" {
			t.Errorf("%s: %v", name, ps)
		}
	}
}

func TestSmallRules(t *testing.T) {
	t.Run("close delay of a kept sandbox", func(t *testing.T) {
		got := read(t, input(map[string]string{"SANDBOX_CLOSE_DELAY": "15", "SANDBOX_KEEP_RUNTIME_ALIVE": "true"}, ""))
		if got.Spec.Life.IdleTimeout != 0 || len(got.Warnings) != 1 || got.Warnings[0].Key != "SANDBOX_CLOSE_DELAY" {
			t.Errorf("%+v, %q", got.Spec.Life, warnings(got))
		}
	})
	t.Run("DEBUG of another program", func(t *testing.T) {
		got := read(t, input(map[string]string{"DEBUG": "express:*"}, ""))
		if got.Spec.Process.Env != nil || len(got.Warnings) != 1 || got.Warnings[0].Key != "DEBUG" {
			t.Errorf("%v, %q", got.Spec.Process.Env, warnings(got))
		}
	})
	t.Run("alias", func(t *testing.T) {
		got := read(t, input(map[string]string{"SANDBOX_REMOTE_RUNTIME_CLASS": "gvisor", "OH_SANDBOX_RUNTIME_CLASS": "sysbox"}, ""))
		if got.Spec.Security.Runtime != "runsc" || len(got.Warnings) != 1 || got.Warnings[0].Key != "OH_SANDBOX_RUNTIME_CLASS" {
			t.Errorf("%q, %q", got.Spec.Security.Runtime, warnings(got))
		}
		got = read(t, input(map[string]string{"SANDBOX_USE_HOST_NETWORK": "false", "AGENT_SERVER_USE_HOST_NETWORK": "false"}, ""))
		if len(got.Warnings) > 0 || got.Spec.Network.Mode != "" {
			t.Errorf("same values: %q", warnings(got))
		}
	})
	t.Run("models in one line", func(t *testing.T) {
		got := read(t, input(map[string]string{"LLM_MODEL": "m", "LLM_API_KEY": "k", "LLM_BASE_URL": "u"}, ""))
		if len(got.Warnings) != 1 || got.Warnings[0].Key != "LLM_API_KEY, LLM_BASE_URL, LLM_MODEL" {
			t.Errorf("%q", warnings(got))
		}
	})
	t.Run("None is not set", func(t *testing.T) {
		got := read(t, input(map[string]string{"SANDBOX_DOCKER_RUNTIME_KWARGS": "None", "SANDBOX_ADDITIONAL_NETWORKS": "null"}, ""))
		if len(got.Warnings) > 0 || len(got.Sources) > 0 {
			t.Errorf("%q, %v", warnings(got), got.Sources)
		}
	})
	t.Run("booleans", func(t *testing.T) {
		for text, want := range map[string]bool{"true": true, "True": true, "1": true, " TRUE ": true, "false": false, "FALSE": false, "0": false} {
			if got := read(t, input(map[string]string{"SANDBOX_USE_HOST_NETWORK": text}, "")); (got.Spec.Network.Mode == spec.NetHost) != want {
				t.Errorf("%q: mode %q", text, got.Spec.Network.Mode)
			}
		}
		for _, text := range []string{"yes", "no", "on", "off", "t", "2", "-1", "truee"} {
			_ = problems(t, input(map[string]string{"SANDBOX_USE_HOST_NETWORK": text}, ""))
		}
	})
}

func TestUnknownVariables(t *testing.T) {
	got := read(t, input(map[string]string{
		"SANDBOX_VOLUME":      "/a:/b",
		"SANDBOX_MEMORY":      "1g",
		"SANDBOX_RUNTIME":     "docker",
		"OH_SANDBOX_FOO":      "x",
		"WORKSPACE_MOUNTPATH": "/a",
		"WORKSPACE_TMP":       "/b",
	}, ""))
	want := map[string]string{
		"SANDBOX_VOLUME":      "did you mean SANDBOX_VOLUMES?",
		"SANDBOX_MEMORY":      "SANDBOX_ENV_MEMORY would set MEMORY",
		"SANDBOX_RUNTIME":     "did you mean RUNTIME?",
		"OH_SANDBOX_FOO":      "no such variable",
		"WORKSPACE_MOUNTPATH": "did you mean WORKSPACE_MOUNT_PATH?",
	}
	if len(got.Warnings) != len(want) {
		t.Errorf("warnings %q, want %d", warnings(got), len(want))
	}
	for _, n := range got.Warnings {
		if says := want[n.Key]; says == "" || n.Code != openhands.NoticeUnknown || !strings.Contains(n.Message, says) {
			t.Errorf("warning %q (%s), want %q", n, n.Code, says)
		}
	}
	if len(got.Sources) > 0 {
		t.Errorf("set something: %v", got.Sources)
	}
}

// realConfig is a config.toml as users of OpenHands have it.
const realConfig = `# my settings
[core]
workspace_base = "./workspace"
max_iterations = 500
default_agent = "CodeActAgent"
file_store_path = "/tmp/file_store"
jwt_secret = "s"
debug = true

[llm]
model = "m"
api_key = "k"
sandbox = "no"

[llm.cheap]
model = "x"

[agent.CodeActAgent]
enable_jupyter = true

[security]
confirmation_mode = false

[sandbox]
timeout = 60
user_id = 1001
base_container_image = "debian:12"
use_host_network = false
keep_runtime_alive = true

[sandbox.runtime_startup_env_vars]
FOO = "bar"
"A.B" = "c"

[kubernetes]
namespace = "x"

[mcp]
sse_servers = [{ url = "http://x" }]
`

func TestConfigFile(t *testing.T) {
	for name, text := range map[string]string{
		"unix":    realConfig,
		"windows": "\xef\xbb\xbf" + strings.ReplaceAll(realConfig, "\n", "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			in := input(map[string]string{"SANDBOX_USER_ID": "1002", "SANDBOX_TIMEOUT": ""}, text)
			in.ConfigName = "/etc/oh.toml"
			got := read(t, in)
			want := &spec.Sandbox{
				Image:   spec.Image{Ref: "debian:12"},
				User:    spec.User{As: "1002"},
				Mounts:  []spec.Mount{bind(dir+"/workspace", "/workspace", spec.ModeRW)},
				Process: spec.Process{Workdir: "/workspace", Env: map[string]string{"FOO": "bar", "A.B": "c", "DEBUG": "true"}},
			}
			if diff := cmp.Diff(want, got.Spec); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if !got.Hints.KeepAlive.Value || got.Hints.ActionTimeout.Value.String() != "1m0s" || got.Hints.ActionTimeout.Source != "/etc/oh.toml: sandbox.timeout" {
				t.Errorf("hints %+v", got.Hints)
			}
			if got.Sources["image.ref"] != "/etc/oh.toml: sandbox.base_container_image" || got.Sources["user.as"] != "SANDBOX_USER_ID" {
				t.Errorf("sources %v", got.Sources)
			}
			wantWarnings := []string{"/etc/oh.toml:3: core.workspace_base: deprecated; use SANDBOX_VOLUMES=" + dir + "/workspace:/workspace:rw instead"}
			if diff := cmp.Diff(wantWarnings, warnings(got)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigFileForms(t *testing.T) {
	for name, text := range map[string]string{
		"dotted":     "sandbox.platform = 'linux/arm64'\nsandbox.use_host_network = true\n",
		"inline":     "sandbox = { platform = 'linux/arm64', use_host_network = true }\n",
		"texts":      "[sandbox]\nplatform = 'linux/arm64'\nuse_host_network = 'True'\n",
		"quoted":     "[\"sandbox\"]\n'platform' = \"linux\\u002farm64\"\n\"use_host_network\" = true\n",
		"white case": "[ sandbox ]\nplatform='linux/arm64' # x\nuse_host_network=true",
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, input(nil, text))
			if got.Spec.Image.Platform != "linux/arm64" || got.Spec.Network.Mode != spec.NetHost {
				t.Errorf("spec %+v", got.Spec)
			}
		})
	}
}

func TestConfigFileRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string // whole lines
	}{
		"syntax":      {"[sandbox]\ntimeout = \n", []string{"config.toml:2: not valid TOML: "}},
		"not TOML":    {"INVALID TOML CONTENT", []string{"config.toml:1: not valid TOML: "}},
		"key twice":   {"[sandbox]\ntimeout = 1\ntimeout = 2\n", []string{"config.toml:3: not valid TOML: "}},
		"table twice": {"[sandbox]\n[core]\n[sandbox]\n", []string{"config.toml:3: not valid TOML: "}},
		"unknown keys": {
			"[core]\nmax_iteration = 3\n[sandbox]\n\nvolume = '/a:/b'\ninvalid_field_in_sandbox = 'test'\n",
			[]string{
				"config.toml:2: core.max_iteration: OpenHands has no such key in [core]; did you mean max_iterations?",
				"config.toml:5: sandbox.volume: OpenHands has no such key in [sandbox]; did you mean volumes?",
				"config.toml:6: sandbox.invalid_field_in_sandbox: OpenHands has no such key in [sandbox]; remove it",
			},
		},
		"other table":     {"[core]\nvolumes = '/a:/b'\n", []string{"config.toml:2: core.volumes: OpenHands has no such key in [core]; it belongs in [sandbox]"}},
		"variable name":   {"[sandbox]\nSANDBOX_VOLUMES = '/a:/b'\n", []string{"config.toml:2: sandbox.SANDBOX_VOLUMES: OpenHands has no such key in [sandbox]; here it is written volumes"}},
		"upper case":      {"[sandbox]\nVolumes = '/a:/b'\n", []string{"config.toml:2: sandbox.Volumes: OpenHands has no such key in [sandbox]; here it is written volumes"}},
		"no table":        {"x = 1\nvolumes = '/a:/b'\n", []string{"config.toml:2: volumes: the key stands outside its table and would have no effect; move it below [sandbox]"}},
		"table's case":    {"\n[Sandbox]\nvolumes = '/a:/b'\n", []string{"config.toml:2: Sandbox: names of tables are in lower case, and OpenHands would skip this one; write [sandbox]"}},
		"array of tables": {"[[sandbox]]\nvolumes = '/a:/b'\n", []string{"config.toml:1: sandbox: want one table, written [sandbox], and this is an array"}},
		"no table at all": {"core = 3\n", []string{"config.toml:1: core: want one table, written [core], and this is an integer"}},
		"wrong types": {
			"[sandbox]\nvolumes = ['/a:/b']\nuser_id = 'ann'\nuse_host_network = 'yes'\ntimeout = 1.5\nadditional_networks = 'x'\nruntime_startup_env_vars = { A = 1979-05-27 }\n",
			[]string{
				"config.toml:3: sandbox.user_id: \"ann\" is a text; write a number from 0 to 4294967294",
				"config.toml:5: sandbox.timeout: this is a float; write a number from 1 to 2147483647",
				"config.toml:4: sandbox.use_host_network: \"yes\" is a text; write true or false",
				"config.toml:6: sandbox.additional_networks: this is a text and not a list; write [\"one\", \"two\"]",
				"config.toml:2: sandbox.volumes: this is an array; write a text in quotes",
				"config.toml:7: sandbox.runtime_startup_env_vars: the value of \"A\" is a number; write it as a text in quotes",
			},
		},
		"volumes": {"[sandbox]\nvolumes = '''\n/a:/b:xx,nothing'''\n", []string{"config.toml:2: sandbox.volumes: entry 1 ", "config.toml:2: sandbox.volumes: entry 2 "}},
	} {
		t.Run(name, func(t *testing.T) {
			ps := problems(t, input(nil, tt.text))
			var got []string
			for i, p := range ps {
				line := p.Error()
				if i < len(tt.want) && strings.HasSuffix(tt.want[i], " ") && strings.HasPrefix(line, tt.want[i]) {
					line = tt.want[i]
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnknownTables(t *testing.T) {
	got := read(t, input(nil, "x = 1\n[sandbx]\nvolumes = '/a:/b'\n[default]\nLLM_MODEL = 'GPT-4'\n"))
	want := []string{
		"config.toml:1: x: OpenHands has no such table, and nothing in it was read",
		"config.toml:2: sandbx: OpenHands has no such table, and nothing in it was read; did you mean [sandbox]?",
		"config.toml:4: default: OpenHands has no such table, and nothing in it was read",
	}
	if diff := cmp.Diff(want, warnings(got)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// TestEveryProblemAtOnce: one run tells everything, in the order of the table.
func TestEveryProblemAtOnce(t *testing.T) {
	in := input(map[string]string{
		"SANDBOX_USER_ID": "x", "SANDBOX_VOLUMES": "/a,/b", "RUNTIME": "local", "SANDBOX_PLATFORM": "arm",
		"OH_AGENT_SERVER_ENV": "{", "SANDBOX_KVM_ENABLED": "maybe",
	}, "[sandbox]\nnonsense = 1\n")
	want := []string{"SANDBOX_PLATFORM", "SANDBOX_USER_ID", "SANDBOX_VOLUMES", "SANDBOX_VOLUMES", "RUNTIME", "SANDBOX_KVM_ENABLED", "OH_AGENT_SERVER_ENV", "sandbox.nonsense"}
	_, err := openhands.Read(in)
	for range 20 {
		ps := problems(t, in)
		var keys []string
		for _, p := range ps {
			keys = append(keys, p.Key)
		}
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if ps.Error() != err.Error() {
			t.Fatalf("two runs differ:\n%v\n%v", err, ps)
		}
	}
	if p, ok := errors.AsType[*openhands.Problem](err); !ok || p.Key != want[0] {
		t.Errorf("errors.As finds %v", p)
	}
}

// TestNothingIsIgnored sets random keys and looks for a trace of each.
func TestNothingIsIgnored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		env := map[string]string{}
		var config [2]strings.Builder
		var expect []string
		inFile := map[string]bool{}
		for _, ref := range rapid.SliceOfNDistinct(rapid.SampledFrom(reference), 1, 8, func(r refKey) string { return r.env }).Draw(t, "keys") {
			maps.Copy(env, ref.with)
			for name := range ref.with {
				expect = append(expect, name)
			}
			text := ref.valid
			if rapid.IntRange(0, 4).Draw(t, "bad") == 0 && ref.invalid != "" {
				text = ref.invalid
			}
			if ref.toml != "" && ref.tomlValid == "" && text == ref.valid && !inFile[ref.toml] && rapid.Bool().Draw(t, "file") {
				inFile[ref.toml] = true
				table, name, _ := strings.Cut(ref.toml, ".")
				k := &config[0]
				if table == "sandbox" {
					k = &config[1]
				}
				value := text
				if !strings.ContainsAny(text[:1], "[{") && text != "true" && text != "false" {
					value = fmt.Sprintf("%q", text)
				}
				fmt.Fprintf(k, "%s = %s\n", name, value)
				expect = append(expect, ref.toml)
				continue
			}
			env[ref.env] = text
			expect = append(expect, ref.env)
		}
		in := input(env, "[core]\n"+config[0].String()+"[sandbox]\n"+config[1].String())
		got, err := openhands.Read(in)
		var trace []string
		if err != nil {
			ps, ok := errors.AsType[openhands.Problems](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			for _, p := range ps {
				if p.Key == "" {
					t.Fatalf("problem about nothing: %v", p)
				}
				if p.Code == "" || p.Message == "" {
					t.Fatalf("incomplete problem %+v", p)
				}
			}
			return
		}
		checkSources(t, got)
		for _, n := range got.Warnings {
			trace = append(trace, n.Key)
		}
		for _, source := range got.Sources {
			trace = append(trace, source)
		}
		trace = append(trace, got.Hints.Backend.Source, got.Hints.KeepAlive.Source, got.Hints.ActionTimeout.Source)
		for _, name := range expect {
			found := slices.ContainsFunc(trace, func(s string) bool {
				return slices.ContainsFunc(strings.Split(s, ", "), func(part string) bool {
					return part == name || strings.HasSuffix(part, ": "+name)
				})
			})
			switch {
			case found:
			case name == "DOCKER_HOST":
			case env[name] != "" && !strings.Contains(name, ".") && overshadowed(name, env):
			case strings.Contains(name, ".") && overshadowedKey(name, env):
			default:
				t.Fatalf("%s left no trace in %q\nenv %q\n%s", name, trace, env, in.Config)
			}
		}
	})
}

// overshadowed knows the variables that say what another one says too.
func overshadowed(name string, env map[string]string) bool {
	switch name {
	case "RUNTIME": // OH_SANDBOX_KIND says docker too
		return env["OH_SANDBOX_KIND"] != ""
	case "OH_SANDBOX_RESOURCE_FACTOR", "OH_SANDBOX_RUNTIME_CLASS", "AGENT_SERVER_USE_HOST_NETWORK", "SANDBOX_HOST_PORT", "SANDBOX_CONTAINER_URL_PATTERN":
		return true // the same value by its other name
	case "RUN_AS_OPENHANDS":
		return env["SANDBOX_USER_ID"] != "" || env["RUNTIME_UID"] != ""
	}
	return false
}

// overshadowedKey says whether a variable wins over a key of the file.
func overshadowedKey(name string, env map[string]string) bool {
	for _, k := range openhands.Keys() {
		if k.TOML != name {
			continue
		}
		for _, variable := range append([]string{k.Env}, k.Aliases...) {
			if env[variable] != "" {
				return true
			}
		}
		return overshadowed(k.Env, env)
	}
	return false
}

// checkRead is what holds for every input.
func checkRead(t *testing.T, in openhands.Input) {
	got, err := openhands.Read(in)
	if err != nil {
		ps, ok := errors.AsType[openhands.Problems](err)
		if !ok || len(ps) == 0 || got != nil {
			t.Fatalf("Read = %v, %v", got, err)
		}
		for _, p := range ps {
			if p.Message == "" || p.Code == "" || p.Key == "" && p.File == "" {
				t.Errorf("incomplete problem %+v", *p)
			}
			if p.File != "" && p.Line == 0 {
				t.Errorf("no line: %+v", *p)
			}
		}
	} else {
		checkSources(t, got)
		for _, n := range got.Warnings {
			if n.Key == "" || n.Code == "" || n.Message == "" || n.File != "" && n.Line == 0 {
				t.Errorf("incomplete warning %+v", n)
			}
		}
		checkMounts(t, "", got.Spec.Mounts)
	}
	again, errAgain := openhands.Read(in)
	if diff := cmp.Diff(got, again); diff != "" || fmt.Sprint(err) != fmt.Sprint(errAgain) {
		t.Errorf("two runs differ: %v, %v\n%s", err, errAgain, diff)
	}
}

func FuzzReadEnv(f *testing.F) {
	for _, ref := range reference {
		f.Add(ref.env + "=" + ref.valid)
		f.Add(ref.env + "=" + ref.invalid + "\x00SANDBOX_VOLUMES=/a:/b:overlay\x00WORKSPACE_BASE=x")
	}
	f.Fuzz(func(t *testing.T, block string) {
		env := map[string]string{}
		for entry := range strings.SplitSeq(block, "\x00") {
			if name, text, ok := strings.Cut(entry, "="); ok {
				env[name] = text
			}
		}
		checkRead(t, input(env, ""))
	})
}

func FuzzReadTOML(f *testing.F) {
	f.Add([]byte(realConfig))
	f.Add([]byte("sandbox.volumes = '/a:/b'\ncore = { runtime = 'docker' }\n[[x]]\n[x.y]\n\"\" = 1\n"))
	f.Add([]byte("\xef\xbb\xbf[sandbox]\r\nuser_id = 0x10\r\nclose_delay = 1_0\r\n"))
	f.Add([]byte("[sandbox.runtime_startup_env_vars]\nA = '''\nx'''\n[sandbox.docker_runtime_kwargs.a.b]\n"))
	f.Fuzz(func(t *testing.T, config []byte) {
		checkRead(t, input(nil, string(config)))
	})
}

func ExampleRead() {
	got, err := openhands.Read(openhands.Input{
		Environ: map[string]string{"SANDBOX_USER_ID": "1000", "WORKSPACE_BASE": "."},
		Config:  []byte("[sandbox]\nruntime_container_image = \"debian:12\"\n"),
		Home:    "/home/ann", Dir: "/home/ann/project", UID: 1000, GID: 1000,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(got.Spec.Image.Ref, got.Spec.User.As, got.Spec.Mounts[0].Source)
	fmt.Println(got.Sources["image.ref"])
	for _, w := range got.Warnings {
		fmt.Println("warning:", w)
	}
	// Output:
	// debian:12 1000:1000 /home/ann/project
	// config.toml: sandbox.runtime_container_image
	// warning: WORKSPACE_BASE: deprecated; use SANDBOX_VOLUMES=/home/ann/project:/workspace:rw instead
}

func ExampleKeys() {
	for _, k := range openhands.Keys() {
		if k.Disposition == openhands.Refused {
			fmt.Println(k.Env, k.TOML)
		}
	}
	// Output:
	// SANDBOX_RUNTIME_EXTRA_DEPS sandbox.runtime_extra_deps
	// SANDBOX_DOCKER_RUNTIME_KWARGS sandbox.docker_runtime_kwargs
}
