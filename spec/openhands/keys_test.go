// SPDX-License-Identifier: Apache-2.0

package openhands_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/spec"
	"github.com/berthrun/berth/spec/openhands"
)

// refKey is one key of OpenHands as its reference lists it, with what a valid
// and an invalid value have to lead to. The list is written by hand and does
// not come from the package: a key that is missing there fails the test.
type refKey struct {
	env  string // a variable, for a pattern one that matches
	toml string // table.key, or empty
	def  string // OpenHands' default

	// valid is a value in a variable, with the other variables that it needs.
	valid string
	with  map[string]string
	// tomlValid is the same value in config.toml, where that is written
	// otherwise.
	tomlValid string
	// What valid leads to: a partial spec (JSON), hints, or a message of this
	// code.
	spec   string
	hints  func(*openhands.Hints) bool
	notice openhands.NoticeCode
	code   spec.Code
	says   string // part of the message

	// invalid is a value that must be refused; empty when every text is valid.
	invalid string
	badCode spec.Code
}

const (
	notHonoured = openhands.NoticeNotHonoured
	deprecated  = openhands.NoticeDeprecated
	badValue    = spec.CodeInvalid
	outOfRange  = spec.CodeOutOfRange
	unsupported = spec.CodeUnsupported
	unknown     = spec.CodeUnknownValue
)

var reference = []refKey{
	// Table [sandbox].
	{env: "SANDBOX_REMOTE_RUNTIME_API_URL", toml: "sandbox.remote_runtime_api_url", def: "http://localhost:8000", valid: "http://localhost:8000", notice: notHonoured, says: "hosted runtime API"},
	{env: "SANDBOX_API_KEY", toml: "sandbox.api_key", valid: "k3y-s3cr3t", notice: notHonoured, says: "hosted runtime API"},
	{env: "SANDBOX_REMOTE_RUNTIME_INIT_TIMEOUT", toml: "sandbox.remote_runtime_init_timeout", def: "180", valid: "180", notice: notHonoured, says: "hosted runtime API", invalid: "soon", badCode: badValue},
	{env: "SANDBOX_REMOTE_RUNTIME_API_TIMEOUT", toml: "sandbox.remote_runtime_api_timeout", def: "180", valid: "10", notice: notHonoured, says: "hosted runtime API", invalid: "0", badCode: outOfRange},
	{env: "SANDBOX_REMOTE_RUNTIME_ENABLE_RETRIES", toml: "sandbox.remote_runtime_enable_retries", def: "true", valid: "true", notice: notHonoured, says: "hosted runtime API", invalid: "yes", badCode: badValue},
	{env: "SANDBOX_REMOTE_RUNTIME_CLASS", toml: "sandbox.remote_runtime_class", valid: "gvisor", spec: `{"security":{"runtime":"runsc"}}`, invalid: "runc", badCode: unknown},
	{env: "SANDBOX_REMOTE_RUNTIME_RESOURCE_FACTOR", toml: "sandbox.remote_runtime_resource_factor", def: "1", valid: "4", notice: notHonoured, says: "resources.memory", invalid: "3", badCode: badValue},
	{env: "SANDBOX_KEEP_RUNTIME_ALIVE", toml: "sandbox.keep_runtime_alive", def: "false", valid: "true", hints: func(h *openhands.Hints) bool { return h.KeepAlive.Value }, invalid: "on", badCode: badValue},
	{env: "SANDBOX_PAUSE_CLOSED_RUNTIMES", toml: "sandbox.pause_closed_runtimes", def: "true", valid: "true", notice: notHonoured, says: "pauses", invalid: "2", badCode: badValue},
	{env: "SANDBOX_CLOSE_DELAY", toml: "sandbox.close_delay", def: "3600", valid: "300", spec: `{"life":{"idleTimeout":"5m0s"}}`, invalid: "0", badCode: outOfRange},
	{env: "SANDBOX_RM_ALL_CONTAINERS", toml: "sandbox.rm_all_containers", def: "false", valid: "true", notice: notHonoured, says: "berth rm", invalid: "all", badCode: badValue},
	{env: "SANDBOX_LOCAL_RUNTIME_URL", toml: "sandbox.local_runtime_url", def: "http://localhost", valid: "http://host.docker.internal", notice: notHonoured, says: "SANDBOX_RUNTIME_BINDING_ADDRESS"},
	{env: "SANDBOX_BASE_CONTAINER_IMAGE", toml: "sandbox.base_container_image", def: "nikolaik/python-nodejs:python3.12-nodejs22", valid: "custom_image", spec: `{"image":{"ref":"custom_image"}}`, invalid: "two words", badCode: badValue},
	{env: "SANDBOX_RUNTIME_CONTAINER_IMAGE", toml: "sandbox.runtime_container_image", valid: "debian:12", spec: `{"image":{"ref":"debian:12"}}`, invalid: "--privileged", badCode: badValue},
	{env: "SANDBOX_RUNTIME_EXTRA_DEPS", toml: "sandbox.runtime_extra_deps", valid: "pip install numpy", code: unsupported, says: "SANDBOX_RUNTIME_CONTAINER_IMAGE"},
	{env: "SANDBOX_RUNTIME_EXTRA_BUILD_ARGS", toml: "sandbox.runtime_extra_build_args", valid: `["--network=host"]`, notice: notHonoured, says: "derived image", invalid: `"--network=host"`, badCode: badValue},
	{env: "SANDBOX_FORCE_REBUILD_RUNTIME", toml: "sandbox.force_rebuild_runtime", def: "false", valid: "1", notice: notHonoured, says: "derived image", tomlValid: "true", invalid: "-1", badCode: badValue},
	{env: "SANDBOX_PLATFORM", toml: "sandbox.platform", valid: "linux/arm64/v8", spec: `{"image":{"platform":"linux/arm64/v8"}}`, invalid: "arm64", badCode: badValue},
	{env: "SANDBOX_USER_ID", toml: "sandbox.user_id", def: "the caller's uid", valid: "1001", spec: `{"user":{"as":"1001"}}`, invalid: "4294967295", badCode: outOfRange},
	{env: "SANDBOX_TIMEOUT", toml: "sandbox.timeout", def: "120", valid: "120", hints: func(h *openhands.Hints) bool { return h.ActionTimeout.Value.String() == "2m0s" }, invalid: "2m", badCode: badValue},
	{env: "SANDBOX_ENABLE_AUTO_LINT", toml: "sandbox.enable_auto_lint", def: "false", valid: "true", spec: `{"process":{"env":{"ENABLE_AUTO_LINT":"true"}}}`, invalid: "y", badCode: badValue},
	{env: "SANDBOX_INITIALIZE_PLUGINS", toml: "sandbox.initialize_plugins", def: "true", valid: "true", notice: notHonoured, says: "plugins", invalid: "none", badCode: badValue},
	{env: "SANDBOX_USE_HOST_NETWORK", toml: "sandbox.use_host_network", def: "false", valid: "true", spec: `{"network":{"mode":"host"}}`, invalid: "host", badCode: badValue},
	{env: "SANDBOX_ADDITIONAL_NETWORKS", toml: "sandbox.additional_networks", def: "[]", valid: `["db", "cache"]`, spec: `{"network":{"additional":[{"name":"db"},{"name":"cache"}]}}`, invalid: "db,cache", badCode: badValue},
	{env: "SANDBOX_RUNTIME_BINDING_ADDRESS", toml: "sandbox.runtime_binding_address", def: "0.0.0.0", valid: "0.0.0.0", spec: `{"binding":{"address":"0.0.0.0"}}`, invalid: "localhost", badCode: badValue},
	{env: "SANDBOX_VSCODE_PORT", toml: "sandbox.vscode_port", valid: "41234", spec: `{"binding":{"ports":[{"name":"vscode","protocol":"tcp","containerPort":41234,"hostPort":41234}]}}`, invalid: "65536", badCode: outOfRange},
	{env: "SANDBOX_VOLUMES", toml: "sandbox.volumes", valid: "/data:/data:ro", spec: `{"mounts":[{"type":"bind","source":"/data","target":"/data","mode":"ro"}]}`, hints: func(h *openhands.Hints) bool {
		return *h.Workspace == openhands.Workspace{Source: "/data", Target: "/data"}
	}, invalid: "/data", badCode: spec.CodeRequired},
	{env: "SANDBOX_ENABLE_GPU", toml: "sandbox.enable_gpu", def: "false", valid: "true", spec: `{"security":{"devices":["nvidia.com/gpu=all"]}}`, invalid: "all", badCode: badValue},
	{env: "SANDBOX_CUDA_VISIBLE_DEVICES", toml: "sandbox.cuda_visible_devices", valid: "1,0", with: map[string]string{"SANDBOX_ENABLE_GPU": "true"}, spec: `{"security":{"devices":["nvidia.com/gpu=0","nvidia.com/gpu=1"]}}`, invalid: "0,,1", badCode: badValue},
	{env: "SANDBOX_DOCKER_RUNTIME_KWARGS", toml: "sandbox.docker_runtime_kwargs", valid: `{"privileged": True, "mem_limit": "2g"}`, tomlValid: `{ privileged = true, mem_limit = "2g" }`, code: unsupported, says: `"mem_limit" is resources.memory`, invalid: "privileged", badCode: badValue},
	{env: "SANDBOX_RUNTIME_STARTUP_ENV_VARS", toml: "sandbox.runtime_startup_env_vars", def: "{}", valid: `{'A': 'b c'}`, tomlValid: `{ A = "b c" }`, spec: `{"process":{"env":{"A":"b c"}}}`, invalid: `{"A": 1}`, badCode: badValue},
	{env: "SANDBOX_BROWSERGYM_EVAL_ENV", toml: "sandbox.browsergym_eval_env", valid: "miniwob", notice: notHonoured, says: "evaluation"},
	{env: "SANDBOX_SELECTED_REPO", toml: "sandbox.selected_repo", valid: "a/b", notice: notHonoured, says: "clones nothing"},
	{env: "SANDBOX_TRUSTED_DIRS", toml: "sandbox.trusted_dirs", def: "[]", valid: `["/home/ann"]`, notice: notHonoured, says: "policy", invalid: "[1]", badCode: badValue},

	// Table [core].
	{env: "RUNTIME", toml: "core.runtime", def: "docker", valid: "eventstream", hints: func(h *openhands.Hints) bool { return h.Backend.Value == "docker" }, invalid: "local", badCode: unsupported},
	{env: "WORKSPACE_BASE", toml: "core.workspace_base", valid: "./workspace", spec: `{"mounts":[{"type":"bind","source":"/home/ann/project/workspace","target":"/workspace","mode":"rw"}],"process":{"workdir":"/workspace"}}`, notice: deprecated, says: "SANDBOX_VOLUMES=/home/ann/project/workspace:/workspace:rw", hints: func(h *openhands.Hints) bool { return h.Workspace.Explicit }, invalid: "~bob/x", badCode: badValue},
	{env: "WORKSPACE_MOUNT_PATH", toml: "core.workspace_mount_path", valid: "/srv/p", spec: `{"mounts":[{"type":"bind","source":"/srv/p","target":"/workspace","mode":"rw"}],"process":{"workdir":"/workspace"}}`, notice: deprecated, says: "SANDBOX_VOLUMES=/srv/p:/workspace:rw", hints: func(h *openhands.Hints) bool { return h.Workspace.Explicit }, invalid: `C:\p`, badCode: unsupported},
	{env: "WORKSPACE_MOUNT_PATH_IN_SANDBOX", toml: "core.workspace_mount_path_in_sandbox", def: "/workspace", valid: "/code", with: map[string]string{"WORKSPACE_BASE": "/srv/p"}, spec: `{"mounts":[{"type":"bind","source":"/srv/p","target":"/code","mode":"rw"}],"process":{"workdir":"/code"}}`, notice: deprecated, says: "SANDBOX_VOLUMES=/srv/p:/code:rw", hints: func(h *openhands.Hints) bool { return h.Workspace.Target == "/code" }, invalid: "code", badCode: badValue},
	{env: "WORKSPACE_MOUNT_REWRITE", toml: "core.workspace_mount_rewrite", valid: "/home/user:/sandbox", with: map[string]string{"WORKSPACE_BASE": "/home/user/project"}, spec: `{"mounts":[{"type":"bind","source":"/sandbox/project","target":"/workspace","mode":"rw"}],"process":{"workdir":"/workspace"}}`, notice: deprecated, says: "SANDBOX_VOLUMES=/sandbox/project:/workspace:rw", hints: func(h *openhands.Hints) bool { return h.Workspace.Source == "/sandbox/project" }, invalid: "/home/user", badCode: badValue},
	{env: "RUN_AS_OPENHANDS", toml: "core.run_as_openhands", def: "true", valid: "false", spec: `{"user":{"as":"0"}}`, invalid: "root", badCode: badValue},
	{env: "ENABLE_BROWSER", toml: "core.enable_browser", def: "true", valid: "true", notice: notHonoured, says: "browser", invalid: "chromium", badCode: badValue},
	{env: "INIT_GIT_IN_EMPTY_WORKSPACE", toml: "core.init_git_in_empty_workspace", def: "false", valid: "1", tomlValid: "true", notice: notHonoured, says: "git init", invalid: "10", badCode: badValue},
	{env: "GIT_USER_NAME", toml: "core.git_user_name", def: "openhands", valid: "Ann B", spec: `{"process":{"env":{"GIT_AUTHOR_NAME":"Ann B","GIT_COMMITTER_NAME":"Ann B"}}}`, invalid: "a\nb", badCode: badValue},
	{env: "GIT_USER_EMAIL", toml: "core.git_user_email", def: "openhands@all-hands.dev", valid: "a@b.example", spec: `{"process":{"env":{"GIT_AUTHOR_EMAIL":"a@b.example","GIT_COMMITTER_EMAIL":"a@b.example"}}}`, invalid: "a\xff", badCode: badValue},
	{env: "DEBUG", toml: "core.debug", def: "false", valid: "TRUE", tomlValid: "true", spec: `{"process":{"env":{"DEBUG":"true"}}}`},
	{env: "CACHE_DIR", toml: "core.cache_dir", def: "/tmp/cache", valid: "/tmp/cache", notice: notHonoured, says: "own server"},

	// Variables without a key.
	{env: "SANDBOX_ENV_FOO", valid: "b=r\n", spec: `{"process":{"env":{"FOO":"b=r\n"}}}`, invalid: "\xff", badCode: badValue},
	{env: "SANDBOX_VOLUME_OVERLAYS", valid: "~/over", with: map[string]string{"SANDBOX_VOLUMES": "/a:/b:overlay"}, spec: `{"mounts":[{"type":"bind","source":"/a","target":"/b","mode":"overlay","upper":"/home/ann/over/0/upper"}]}`, hints: func(h *openhands.Hints) bool { return h.Workspace != nil }, invalid: "~bob", badCode: badValue},
	{env: "SANDBOX_GROUP_ID", def: "root", valid: "1002", with: map[string]string{"SANDBOX_USER_ID": "1001"}, spec: `{"user":{"as":"1001:1002"}}`, invalid: "-1", badCode: outOfRange},
	{env: "RUNTIME_USERNAME", valid: "ann", spec: `{"user":{"name":"ann"}}`, invalid: "Ann B", badCode: badValue},
	{env: "RUNTIME_UID", valid: "600000000", spec: `{"user":{"as":"600000000"}}`, invalid: "0x10", badCode: badValue},
	{env: "SU_TO_USER", def: "true", valid: "false", notice: notHonoured, says: "SANDBOX_ENV_SU_TO_USER"},
	{env: "DOCKER_HOST_ADDR", valid: "10.0.0.1", notice: notHonoured, says: "SANDBOX_RUNTIME_BINDING_ADDRESS"},
	{env: "DOCKER_HOST", valid: "unix:///run/x.sock", spec: `{}`},
	{env: "DEBUG_RUNTIME", valid: "1", notice: notHonoured, says: "berth logs"},
	{env: "OH_RUNTIME_RUNTIME_IMAGE_REPO", def: "ghcr.io/openhands/runtime", valid: "example.com/r", notice: notHonoured, says: "derived image"},
	{env: "NO_CHANGE_TIMEOUT_SECONDS", def: "10", valid: "30", notice: notHonoured, says: "SANDBOX_ENV_NO_CHANGE_TIMEOUT_SECONDS"},
	{env: "INIT_PLUGIN_TIMEOUT", def: "120", valid: "30", notice: notHonoured, says: "SANDBOX_ENV_INIT_PLUGIN_TIMEOUT"},
	{env: "RUNTIME_MAX_MEMORY_GB", valid: "3", notice: notHonoured, says: "resources.memory"},
	{env: "RUNTIME_MEMORY_MONITOR", valid: "1", notice: notHonoured, says: "SANDBOX_ENV_RUNTIME_MEMORY_MONITOR"},
	{env: "SESSION_API_KEY", valid: "k3y-s3cr3t", notice: notHonoured, says: "SANDBOX_ENV_SESSION_API_KEY"},
	{env: "RUNTIME_ID", valid: "x", notice: notHonoured, says: "SANDBOX_ENV_RUNTIME_ID"},
	{env: "RUNTIME_URL", valid: "http://x", notice: notHonoured, says: "SANDBOX_ENV_RUNTIME_URL"},
	{env: "VSCODE_PORT", valid: "40000", notice: notHonoured, says: "SANDBOX_VSCODE_PORT"},
	{env: "WORK_PORT_1", valid: "12000", notice: notHonoured, says: "SANDBOX_ENV_WORK_PORT_1"},
	{env: "WORK_PORT_2", valid: "12001", notice: notHonoured, says: "SANDBOX_ENV_WORK_PORT_2"},
	{env: "APP_PORT_1", valid: "50000", notice: notHonoured, says: "SANDBOX_ENV_APP_PORT_1"},
	{env: "APP_PORT_2", valid: "55000", notice: notHonoured, says: "SANDBOX_ENV_APP_PORT_2"},
	{env: "INSTALL_THIRD_PARTY_RUNTIMES", valid: "true", notice: notHonoured, says: "own server"},
	{env: "NO_SETUP", valid: "true", notice: notHonoured, says: "own server"},
	{env: "RUNTIME_URL_PATTERN", valid: "https://{runtime_id}.x", notice: notHonoured, says: "hosted runtime API"},
	{env: "RUNTIME_ROUTING_MODE", valid: "path", notice: notHonoured, says: "hosted runtime API"},

	// Variables of the app server.
	{env: "OH_SANDBOX_KIND", valid: "DockerSandboxServiceInjector", hints: func(h *openhands.Hints) bool { return h.Backend.Value == "docker" }, invalid: "ProcessSandboxServiceInjector", badCode: unsupported},
	{env: "OH_SANDBOX_API_URL", valid: "http://x", notice: notHonoured, says: "hosted runtime API"},
	{env: "OH_SANDBOX_API_KEY", valid: "k3y-s3cr3t", notice: notHonoured, says: "hosted runtime API"},
	{env: "OH_SANDBOX_POLLING_INTERVAL", def: "15", valid: "15", notice: notHonoured, says: "hosted runtime API", invalid: "x", badCode: badValue},
	{env: "OH_SANDBOX_RESOURCE_FACTOR", def: "1", valid: "2", notice: notHonoured, says: "resources.memory", invalid: "9", badCode: outOfRange},
	{env: "OH_SANDBOX_RUNTIME_CLASS", valid: "sysbox", spec: `{"security":{"runtime":"sysbox-runc"}}`, invalid: "none", badCode: unknown},
	{env: "OH_SANDBOX_START_SANDBOX_TIMEOUT", def: "120", valid: "60", notice: notHonoured, says: "hosted runtime API", invalid: "-5", badCode: outOfRange},
	{env: "OH_SANDBOX_MAX_NUM_SANDBOXES", def: "10 (remote), 5 (docker)", valid: "5", notice: notHonoured, says: "count", invalid: "many", badCode: badValue},
	{env: "OH_SANDBOX_CONTAINER_URL_PATTERN", def: "http://localhost:{port}", valid: "http://x:{port}", notice: notHonoured, says: "URL"},
	{env: "OH_SANDBOX_HOST_PORT", def: "3000", valid: "3000", notice: notHonoured, says: "own server", invalid: "70000", badCode: outOfRange},
	{env: "OH_SANDBOX_CONTAINER_NAME_PREFIX", valid: "x-", notice: notHonoured, says: "label"},
	{env: "OH_SANDBOX_MOUNTS_0_HOST_PATH", valid: "/a", with: map[string]string{"OH_SANDBOX_MOUNTS_0_CONTAINER_PATH": "/b"}, spec: `{"mounts":[{"type":"bind","source":"/a","target":"/b","mode":"rw"}]}`, hints: func(h *openhands.Hints) bool { return h.Workspace != nil }, invalid: "a/b", badCode: badValue},
	{env: "OH_SANDBOX_MOUNTS_0_CONTAINER_PATH", valid: "/b", with: map[string]string{"OH_SANDBOX_MOUNTS_0_HOST_PATH": "/a"}, spec: `{"mounts":[{"type":"bind","source":"/a","target":"/b","mode":"rw"}]}`, hints: func(h *openhands.Hints) bool { return h.Workspace != nil }, invalid: "b", badCode: badValue},
	{env: "OH_SANDBOX_MOUNTS_0_MODE", def: "rw", valid: "ro", with: map[string]string{"OH_SANDBOX_MOUNTS_0_HOST_PATH": "/a", "OH_SANDBOX_MOUNTS_0_CONTAINER_PATH": "/b"}, spec: `{"mounts":[{"type":"bind","source":"/a","target":"/b","mode":"ro"}]}`, hints: func(h *openhands.Hints) bool { return h.Workspace != nil }, invalid: "rx", badCode: unknown},
	{env: "OH_SANDBOX_HEALTH_CHECK_PATH", def: "/health", valid: "/health", notice: notHonoured, says: "life.health"},
	{env: "OH_SANDBOX_SPEC_KIND", valid: "x", notice: notHonoured, says: "spec file"},
	{env: "OH_SANDBOX_SPEC_DEFAULT_SPEC_NAME", valid: "x", notice: notHonoured, says: "spec file"},
	{env: "SANDBOX_HOST_PORT", def: "3000", valid: "3000", notice: notHonoured, says: "own server", invalid: "0", badCode: outOfRange},
	{env: "SANDBOX_CONTAINER_URL_PATTERN", def: "http://localhost:{port}", valid: "http://x:{port}", notice: notHonoured, says: "URL"},
	{env: "SANDBOX_STARTUP_GRACE_SECONDS", def: "15", valid: "15", notice: notHonoured, says: "own server", invalid: "-1", badCode: outOfRange},
	{env: "AGENT_SERVER_IMAGE_REPOSITORY", valid: "ghcr.io/openhands/agent-server", with: map[string]string{"AGENT_SERVER_IMAGE_TAG": "latest-python"}, spec: `{"image":{"ref":"ghcr.io/openhands/agent-server:latest-python"}}`, invalid: "a b", badCode: badValue},
	{env: "AGENT_SERVER_IMAGE_TAG", valid: "1.2", with: map[string]string{"AGENT_SERVER_IMAGE_REPOSITORY": "x/y"}, spec: `{"image":{"ref":"x/y:1.2"}}`, invalid: "a:b", badCode: badValue},
	{env: "AGENT_SERVER_USE_HOST_NETWORK", def: "false", valid: "true", spec: `{"network":{"mode":"host"}}`, invalid: "enabled", badCode: badValue},
	{env: "SANDBOX_KVM_ENABLED", def: "false", valid: "true", spec: `{"security":{"devices":["/dev/kvm"]}}`, invalid: "kvm", badCode: badValue},
	{env: "OH_AGENT_SERVER_ENV", valid: `{"A": "k3y-s3cr3t"}`, spec: `{"process":{"env":{"A":"k3y-s3cr3t"}}}`, invalid: `{"A": k3y-s3cr3t}`, badCode: badValue},
	{env: "LLM_API_KEY", valid: "k3y-s3cr3t", notice: notHonoured, says: "SANDBOX_ENV_LLM_"},
	{env: "LMNR_PROJECT_API_KEY", valid: "k3y-s3cr3t", notice: notHonoured, says: "SANDBOX_ENV_LMNR_"},
	{env: "OH_WEB_URL", valid: "https://x", notice: notHonoured, says: "own server"},
	{env: "WEB_HOST", valid: "x", notice: notHonoured, says: "own server"},
	{env: "OH_PERSISTENCE_DIR", def: "~/.openhands", valid: "/x", notice: notHonoured, says: "own server"},
}

// beyond are keys that the package knows and the reference does not list: of
// newer versions, or further names.
var beyond = []string{"SANDBOX_GPU_BASE_CONTAINER_IMAGE", "SANDBOX_BASE_IMAGE_GPU", "ENABLE_AUTO_LINT"}

// input is an Input as most tests want it.
func input(env map[string]string, config string) openhands.Input {
	return openhands.Input{Environ: env, Config: []byte(config), Home: home, Dir: dir, UID: 1000, GID: 100}
}

// keyOf returns the entry of Keys that a variable belongs to.
func keyOf(t *testing.T, env string) openhands.Key {
	t.Helper()
	for _, k := range openhands.Keys() {
		if k.Env == env || slices.Contains(k.Aliases, env) {
			return k
		}
		before, after, pattern := strings.Cut(k.Env, "<")
		if _, rest, _ := strings.Cut(after, ">"); pattern && strings.HasPrefix(env, before) && strings.HasSuffix(env, rest) {
			return k
		}
	}
	t.Fatalf("Keys has no %s", env)
	return openhands.Key{}
}

func merge(ms ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range ms {
		maps.Copy(out, m)
	}
	return out
}

// TestReferenceIsComplete compares the hand-written list with Keys, both ways.
func TestReferenceIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, ref := range reference {
		if seen[ref.env] {
			t.Errorf("%s is in the list twice", ref.env)
		}
		seen[ref.env] = true
		k := keyOf(t, ref.env)
		if k.Env == ref.env && k.TOML != ref.toml {
			t.Errorf("%s: key of config.toml is %q, want %q", ref.env, k.TOML, ref.toml)
		}
		if k.Default != ref.def {
			t.Errorf("%s: default %q, want %q", ref.env, k.Default, ref.def)
		}
		want := openhands.Warned
		switch {
		case ref.code != "":
			want = openhands.Refused
		case ref.spec != "" || ref.hints != nil:
			want = openhands.Honoured
		}
		if k.Disposition != want {
			t.Errorf("%s: disposition %q, want %q", ref.env, k.Disposition, want)
		}
	}
	for _, name := range beyond {
		seen[name] = true
	}
	for _, k := range openhands.Keys() {
		for _, name := range append([]string{k.Env}, k.Aliases...) {
			prefix, _, pattern := strings.Cut(name, "<")
			if !seen[name] && !(pattern && slices.ContainsFunc(reference, func(r refKey) bool { return strings.HasPrefix(r.env, prefix) })) {
				t.Errorf("no case for %s", name)
			}
		}
		if k.Note == "" || k.Type == "" || k.Section == "" {
			t.Errorf("%s: incomplete: %+v", k.Env, k)
		}
		if fields := strings.Count(string(k.Path), "") - 1; k.Disposition == openhands.Honoured && fields == 0 && k.Hint == "" && k.Env != "DOCKER_HOST" {
			t.Errorf("%s is honoured as nothing", k.Env)
		}
		if k.Secret && k.Type != openhands.String && k.Type != openhands.Table {
			t.Errorf("%s is secret, and messages quote a value of type %s", k.Env, k.Type)
		}
		if k.Disposition != openhands.Honoured && (k.Path != "" || k.Hint != "") {
			t.Errorf("%s is %s and has a field", k.Env, k.Disposition)
		}
	}
}

// TestEachKey gives each key a valid and an invalid value, in a variable and
// in config.toml.
func TestEachKey(t *testing.T) {
	for _, ref := range reference {
		key := keyOf(t, ref.env)
		t.Run(ref.env, func(t *testing.T) {
			env := merge(ref.with, map[string]string{ref.env: ref.valid})
			ref.check(t, input(env, ""), ref.env, "", ref.env)

			env[ref.env] = ""
			if strings.HasPrefix(ref.env, "SANDBOX_ENV_") {
				return // may be empty
			}
			got, err := openhands.Read(input(env, ""))
			if problems, ok := errors.AsType[openhands.Problems](err); ok {
				// Something that needs the key, as each mount variable does.
				for _, p := range problems {
					if p.Key == ref.env {
						t.Errorf("empty value: %v", err)
					}
				}
			} else {
				for path, source := range got.Sources {
					if source == ref.env {
						t.Errorf("empty value set %s", path)
					}
				}
				for _, n := range got.Warnings {
					if n.Key == ref.env {
						t.Errorf("empty value: %s", n)
					}
				}
			}
		})
		if ref.invalid != "" {
			t.Run(ref.env+"/invalid", func(t *testing.T) {
				env := merge(ref.with, map[string]string{ref.env: ref.invalid})
				if ref.env == "WORKSPACE_MOUNT_PATH_IN_SANDBOX" || ref.env == "WORKSPACE_MOUNT_REWRITE" {
					env["WORKSPACE_BASE"] = "/srv/p"
				}
				_ = wantProblem(t, input(env, ""), ref.env, "", 0, ref.badCode)
			})
		}
		if ref.toml == "" {
			continue
		}
		table, name, _ := strings.Cut(ref.toml, ".")
		t.Run(ref.toml, func(t *testing.T) {
			value := ref.tomlValid
			if value == "" {
				value = ref.valid
				if key.Type == openhands.String {
					value = strconv.Quote(value)
				}
			}
			config := "# a comment\n[" + table + "]\n" + name + " = " + value + "\n"
			ref.check(t, input(ref.with, config), ref.toml, "config.toml", "config.toml: "+ref.toml)

			empty := input(ref.with, "["+table+"]\n"+name+" = \"\"\n")
			if got, err := openhands.Read(empty); err != nil {
				t.Errorf("empty value: %v", err)
			} else if slices.Contains(slices.Collect(maps.Values(got.Sources)), "config.toml: "+ref.toml) {
				t.Errorf("empty value was honoured: %v", got.Sources)
			}
		})
		t.Run(ref.toml+"/invalid", func(t *testing.T) {
			wrong := map[openhands.Type]string{
				openhands.String: "12", openhands.Boolean: "3.5", openhands.Integer: "true",
				openhands.List: `"x"`, openhands.Table: "[1]",
			}[key.Type]
			config := "\n\n[" + table + "]\n\n" + name + " = " + wrong + "\n"
			_ = wantProblem(t, input(ref.with, config), ref.toml, "config.toml", 5, spec.CodeInvalid)
			if ref.invalid == "" || key.Type == openhands.Table || key.Type == openhands.List || !json.Valid([]byte(strconv.Quote(ref.invalid))) {
				return
			}
			config = "[" + table + "]\n" + name + " = " + strconv.Quote(ref.invalid) + "\n"
			env := merge(ref.with)
			if strings.HasPrefix(ref.env, "WORKSPACE_MOUNT_") && ref.env != "WORKSPACE_MOUNT_PATH" {
				env["WORKSPACE_BASE"] = "/srv/p"
			}
			_ = wantProblem(t, input(env, config), ref.toml, "config.toml", 2, ref.badCode)
		})
	}
}

// check reads an input in which one key has its valid value.
func (ref refKey) check(t *testing.T, in openhands.Input, name, file, source string) {
	t.Helper()
	got, err := openhands.Read(in)
	if ref.code != "" {
		p := wantProblem(t, in, name, file, 0, ref.code)
		if !strings.Contains(p.Message, ref.says) {
			t.Errorf("problem %q does not say %q", p, ref.says)
		}
		return
	}
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	var want spec.Sandbox
	if ref.spec != "" {
		if err := json.Unmarshal([]byte(ref.spec), &want); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(&want, got.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	checkSources(t, got)
	if ref.spec != "" && ref.spec != "{}" && !strings.Contains(strings.Join(slices.Collect(maps.Values(got.Sources)), "\n"), source) {
		t.Errorf("no field has the source %q: %v", source, got.Sources)
	}
	if ref.hints != nil {
		if !ref.hints(&got.Hints) {
			t.Errorf("hints are %+v", got.Hints)
		}
	} else if got.Hints != (openhands.Hints{}) {
		t.Errorf("unexpected hints %+v", got.Hints)
	}
	var about []openhands.Notice
	for _, n := range got.Warnings {
		if n.Key == name {
			about = append(about, n)
		} else if _, other := ref.with[n.Key]; !other {
			t.Errorf("unexpected warning %s", n)
		}
	}
	switch {
	case ref.notice == "" && len(about) > 0:
		t.Errorf("unexpected warning %s", about[0])
	case ref.notice != "" && (len(about) != 1 || about[0].Code != ref.notice || about[0].File != file || !strings.Contains(about[0].Message, ref.says)):
		t.Errorf("warnings %v; want one about %s in %q with code %q that says %q", about, name, file, ref.notice, ref.says)
	}
	for _, n := range got.Warnings {
		if strings.Contains(n.String(), "k3y-s3cr3t") {
			t.Errorf("warning shows a secret: %s", n)
		}
		if file != "" && n.Key == name && n.Line != 3 {
			t.Errorf("warning has line %d, want 3", n.Line)
		}
	}
}

// wantProblem reads an input that has one bad value and returns the problem.
func wantProblem(t *testing.T, in openhands.Input, name, file string, line int, code spec.Code) *openhands.Problem {
	t.Helper()
	got, err := openhands.Read(in)
	if got != nil {
		t.Errorf("a result besides the error: %+v", got)
	}
	problems, ok := errors.AsType[openhands.Problems](err)
	if !ok {
		t.Fatalf("error is %v; want Problems about %s", err, name)
	}
	if strings.Contains(err.Error(), "k3y-s3cr3t") {
		t.Errorf("error shows a secret: %v", err)
	}
	for _, p := range problems {
		if p.Key != name {
			continue
		}
		if p.Code != code || p.File != file || (line != 0 && p.Line != line) {
			t.Errorf("problem is %+v; want code %q, file %q, line %d", *p, code, file, line)
		}
		if p.Message == "" || !strings.HasPrefix(err.Error(), p.Error()) && !strings.Contains(err.Error(), "\n"+p.Error()) {
			t.Errorf("error %q does not print %q", err, p)
		}
		return p
	}
	t.Fatalf("problems %v; want one about %s", err, name)
	return nil
}

// checkSources compares the sources with the fields that are set.
func checkSources(t interface {
	Helper()
	Errorf(string, ...any)
}, got *openhands.Result) {
	t.Helper()
	set := slices.Concat(spec.SetFields(got.Spec), spec.Overlay(&spec.Sandbox{}, got.Spec))
	for _, path := range set {
		if got.Sources[path] == "" {
			t.Errorf("%s is set and has no source", path)
		}
	}
	for path := range got.Sources {
		if !slices.Contains(set, path) {
			t.Errorf("%s has a source and is not set", path)
		}
	}
	complete := spec.Clone(got.Spec)
	complete.Image.Ref = "debian"
	if err := spec.Validate(complete); err != nil {
		t.Errorf("the spec is not valid: %v", err)
	}
}

func TestKeysIsACopy(t *testing.T) {
	first := openhands.Keys()
	for i := range first {
		first[i].Env = "X"
		for j := range first[i].Aliases {
			first[i].Aliases[j] = "X"
		}
		for j := range first[i].Harmless {
			first[i].Harmless[j] = "X"
		}
	}
	for _, k := range openhands.Keys() {
		if k.Env == "X" || slices.Contains(k.Aliases, "X") || slices.Contains(k.Harmless, "X") {
			t.Fatalf("a change reached the table: %+v", k)
		}
	}
}

// TestHarmless: a value that asks for what happens anyway passes silently.
func TestHarmless(t *testing.T) {
	count := 0
	for _, k := range openhands.Keys() {
		for _, value := range k.Harmless {
			count++
			got, err := openhands.Read(input(map[string]string{k.Env: value}, ""))
			if err != nil {
				t.Errorf("%s=%s: %v", k.Env, value, err)
			} else if len(got.Warnings) > 0 || len(got.Sources) > 0 {
				t.Errorf("%s=%s: warnings %v, sources %v", k.Env, value, got.Warnings, got.Sources)
			}
		}
	}
	if count < 10 {
		t.Errorf("only %d values tried", count)
	}
}
