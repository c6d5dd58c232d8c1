// SPDX-License-Identifier: Apache-2.0

package openhands

import (
	"regexp"
	"slices"
	"strings"

	"github.com/berthrun/berth/spec"
)

// Disposition says what [Read] does with a key.
type Disposition string

// The dispositions.
const (
	// Honoured: the value becomes a field of the spec or one of the [Hints].
	Honoured Disposition = "honoured"
	// Warned: a set value gives a [Notice] by name and changes nothing else.
	Warned Disposition = "warned"
	// Refused: a set value is a [Problem] by name.
	Refused Disposition = "refused"
)

// Section groups the keys as OpenHands does.
type Section string

// The sections.
const (
	// SectionSandbox: table [sandbox], variables SANDBOX_*.
	SectionSandbox Section = "sandbox"
	// SectionCore: table [core], variables named like the key.
	SectionCore Section = "core"
	// SectionEnvironment: variables without a key in config.toml.
	SectionEnvironment Section = "environment"
	// SectionAppServer: variables of the newer app server.
	SectionAppServer Section = "app-server"
)

// Type says how a key's value is written.
type Type string

// The types. Lists and tables are JSON or Python literals in a variable and
// TOML values in config.toml.
const (
	String  Type = "string"
	Boolean Type = "boolean"
	Integer Type = "integer"
	List    Type = "list"
	Table   Type = "table"
)

// Key is one setting of OpenHands.
type Key struct {
	// Env is the variable; a part in angle brackets stands for any text
	// ("SANDBOX_ENV_<NAME>") or number ("<N>").
	Env string
	// Aliases are further variables with the same meaning, in falling
	// precedence after Env.
	Aliases []string
	// TOML is the key in config.toml, such as "sandbox.volumes", or empty.
	TOML    string
	Section Section
	Type    Type
	// Default is what OpenHands uses when the key is not set; empty for none.
	Default string
	// Disposition says what happens to a set value.
	Disposition Disposition
	// Path is the field of the spec that an honoured key sets, and Hint the
	// field of [Hints]; at most one is not empty.
	Path spec.Path
	Hint string
	// Harmless are values of a warned or refused key that ask for what
	// happens anyway: they pass without a word.
	Harmless []string
	// Secret values appear in no message of this package and should not in
	// another: no key that is secret has a form that a message would quote.
	Secret bool
	// Note says what happens, or why not and what to do. It is the text of the
	// warning or the refusal.
	Note string
}

// rule is a key and what it does.
type rule struct {
	Key
	// match recognises the variables of a key with a placeholder.
	match *regexp.Regexp
	// least and most bound an integer; 0, 0 is no bound.
	least, most int64
	// check says what is wrong with a text that has the right type, or "".
	check func(string) string
	// apply honours a value. Keys without it are warned about or refused.
	apply func(*reader, *value)
	// refuse says whether a refused key's value really is one; nil: always.
	refuse func(*reader, *value) bool
}

// Keys returns every key that this package knows, in a fixed order. The
// caller owns the result.
func Keys() []Key {
	out := make([]Key, len(rules))
	for i, r := range rules {
		out[i] = r.Key
		out[i].Aliases = slices.Clone(r.Aliases)
		out[i].Harmless = slices.Clone(r.Harmless)
	}
	return out
}

// foreignCore are keys of [core] that are about OpenHands' agent and server
// and not about the sandbox. They are accepted, as are the tables in
// foreignTables, and not read.
var foreignCore = []string{
	"cli_multiline_input", "confirmation_mode", "conversation_max_age_seconds", "daytona_api_key", "daytona_api_url",
	"daytona_target", "default_agent", "disable_color", "e2b_api_key", "enable_cli_session", "enable_default_condenser",
	"file_store", "file_store_path", "file_store_web_hook_batch", "file_store_web_hook_headers",
	"file_store_web_hook_url", "file_uploads_allowed_extensions", "file_uploads_max_file_size_mb",
	"file_uploads_restrict_file_types", "jwt_secret", "max_budget_per_task", "max_concurrent_conversations",
	"max_iterations", "mcp_host", "modal_api_token_id", "modal_api_token_secret", "replay_trajectory_path",
	"runloop_api_key", "save_screenshots_in_trajectory", "save_trajectory_path", "search_api_key",
	"security_analyzer", "trajectories_path",
}

// Texts that several keys share.
const (
	noteRemote = "it is for a hosted runtime API, and berth calls none: it starts the sandbox itself; remove it"
	noteBuild  = "it is for building a derived image, and berth builds none; remove it"
	noteInside = "OpenHands reads it inside the sandbox, and it is not handed in by itself; set SANDBOX_ENV_%s for that"
	noteServer = "it is for OpenHands' own server and says nothing about the sandbox; remove it"
	noteGiven  = "berth decides this for each sandbox; to put a value into the sandbox all the same, set SANDBOX_ENV_%s"
)

func inside(name string) string { return strings.Replace(noteInside, "%s", name, 1) }
func given(name string) string  { return strings.Replace(noteGiven, "%s", name, 1) }

// The table. Its order is the order of the documentation, of warnings and of
// errors. Sections 5.1 to 5.4 of the protocol notes are the reference.
var rules = slices.Concat(sandboxRules, coreRules, environmentRules, appServerRules)

var sandboxRules = sandboxTable([]rule{
	{Key: Key{TOML: "remote_runtime_api_url", Type: String, Default: "http://localhost:8000", Note: noteRemote}},
	{Key: Key{TOML: "api_key", Type: String, Secret: true, Note: noteRemote}},
	{Key: Key{TOML: "remote_runtime_init_timeout", Type: Integer, Default: "180", Note: noteRemote}, least: 1},
	{Key: Key{TOML: "remote_runtime_api_timeout", Type: Integer, Default: "180", Note: noteRemote}, least: 1},
	{Key: Key{TOML: "remote_runtime_enable_retries", Type: Boolean, Default: "true", Note: noteRemote}},
	{Key: Key{TOML: "remote_runtime_class", Aliases: []string{"OH_SANDBOX_RUNTIME_CLASS"}, Type: String, Disposition: Honoured, Path: "security.runtime",
		Note: "`gvisor` is the runtime runsc, `sysbox` is sysbox-runc; without it, the engine's default runtime"},
		apply: applyRuntimeClass},
	{Key: Key{TOML: "remote_runtime_resource_factor", Aliases: []string{"OH_SANDBOX_RESOURCE_FACTOR"}, Type: Integer, Default: "1", Harmless: []string{"1"},
		Note: "it multiplies the limits of a hosted runtime API, which berth does not know; set resources.cpus and resources.memory (--cpus, --memory)"},
		least: 1, most: 8, check: checkFactor},
	{Key: Key{TOML: "keep_runtime_alive", Type: Boolean, Default: "false", Disposition: Honoured, Hint: "KeepAlive",
		Note: "true: the sandbox stays when the client goes, and close_delay does not apply"},
		apply: func(r *reader, v *value) { r.res.Hints.KeepAlive = Hint[bool]{v.bool, v.source} }},
	{Key: Key{TOML: "pause_closed_runtimes", Type: Boolean, Default: "true", Harmless: []string{"false"},
		Note: "only a hosted runtime API pauses what a client has left; berth stops it, or leaves it running with SANDBOX_KEEP_RUNTIME_ALIVE=true; remove it"}},
	{Key: Key{TOML: "close_delay", Type: Integer, Default: "3600", Disposition: Honoured, Path: "life.idleTimeout",
		Note: "seconds without use until the sandbox is stopped; at least 1, because 0 means at once to OpenHands and never to a spec"},
		least: 1, most: maxSeconds, apply: applyCloseDelay},
	{Key: Key{TOML: "rm_all_containers", Type: Boolean, Default: "false", Harmless: []string{"false"},
		Note: "berth ends only the sandbox that it is asked to end; remove others by name with berth rm"}},
	{Key: Key{TOML: "local_runtime_url", Type: String, Default: "http://localhost", Harmless: []string{"http://localhost"},
		Note: "berth reaches a sandbox without a URL; the address of a published port is SANDBOX_RUNTIME_BINDING_ADDRESS, and berth port prints it"}},
	{Key: Key{TOML: "base_container_image", Type: String, Default: "nikolaik/python-nodejs:python3.12-nodejs22", Disposition: Honoured, Path: "image.ref",
		Note: "the image runs as it is, no image is derived from it; used when no runtime_container_image is set"},
		check: checkImage, apply: noApply},
	{Key: Key{TOML: "runtime_container_image", Type: String, Disposition: Honoured, Path: "image.ref",
		Note: "the image of the sandbox; wins over every other key that names one"},
		check: checkImage, apply: noApply},
	{Key: Key{TOML: "gpu_base_container_image", Aliases: []string{"SANDBOX_BASE_IMAGE_GPU"}, Type: String,
		Note: "berth does not change the image when a GPU is asked for; name it in SANDBOX_RUNTIME_CONTAINER_IMAGE"}},
	{Key: Key{TOML: "runtime_extra_deps", Type: String, Disposition: Refused,
		Note: "it is a step of an image build, and berth builds none, so that the dependencies would be missing; put them into an image and name that in SANDBOX_RUNTIME_CONTAINER_IMAGE (then this key has no effect, as in OpenHands, and is a warning)"},
		refuse: func(r *reader, _ *value) bool { return r.get("SANDBOX_RUNTIME_CONTAINER_IMAGE") == nil }},
	{Key: Key{TOML: "runtime_extra_build_args", Type: List, Harmless: []string{"[]"}, Note: noteBuild}},
	{Key: Key{TOML: "force_rebuild_runtime", Type: Boolean, Default: "false", Harmless: []string{"false"}, Note: noteBuild}},
	{Key: Key{TOML: "platform", Type: String, Disposition: Honoured, Path: "image.platform", Note: "os/arch[/variant], such as linux/arm64"},
		check: checkPlatform, apply: func(r *reader, v *value) { r.set("image.platform", v, &r.res.Spec.Image.Platform, v.str) }},
	{Key: Key{TOML: "user_id", Type: Integer, Default: "the caller's uid", Disposition: Honoured, Path: "user.as",
		Note: "the uid of the process, with SANDBOX_GROUP_ID as its group; the caller's own uid keeps the caller's own group"},
		most: maxID, apply: noApply},
	{Key: Key{TOML: "timeout", Type: Integer, Default: "120", Disposition: Honoured, Hint: "ActionTimeout",
		Note: "seconds that one action of an agent may take; it does not end the sandbox"},
		least: 1, most: maxSeconds, apply: func(r *reader, v *value) { r.res.Hints.ActionTimeout = Hint[spec.Duration]{seconds(v.int), v.source} }},
	{Key: Key{TOML: "enable_auto_lint", Aliases: []string{"ENABLE_AUTO_LINT"}, Type: Boolean, Default: "false", Disposition: Honoured, Path: "process.env",
		Note: "true sets ENABLE_AUTO_LINT=true in the sandbox"},
		apply: func(r *reader, v *value) { r.flag("ENABLE_AUTO_LINT", v) }},
	{Key: Key{TOML: "initialize_plugins", Type: Boolean, Default: "true", Harmless: []string{"false"},
		Note: "OpenHands' plugins are started by OpenHands; berth starts none"}},
	{Key: Key{TOML: "use_host_network", Aliases: []string{"AGENT_SERVER_USE_HOST_NETWORK"}, Type: Boolean, Default: "false", Disposition: Honoured, Path: "network.mode",
		Note: "true is the network mode host: no port is published then; policy may forbid it"},
		apply: noApply},
	{Key: Key{TOML: "additional_networks", Type: List, Default: "[]", Disposition: Honoured, Path: "network.additional",
		Note: "names of networks that are joined besides; not together with use_host_network"},
		apply: applyNetworks},
	{Key: Key{TOML: "runtime_binding_address", Type: String, Default: "0.0.0.0", Disposition: Honoured, Path: "binding.address",
		Note: "IP address for published ports; without it 127.0.0.1, where OpenHands would listen on every interface"},
		check: checkAddress, apply: func(r *reader, v *value) { r.set("binding.address", v, &r.res.Spec.Binding.Address, v.str) }},
	{Key: Key{TOML: "vscode_port", Type: Integer, Disposition: Honoured, Path: "binding.ports",
		Note: "a port named vscode with this number in the sandbox and on the host"},
		least: 1, most: 65535, apply: applyVSCodePort},
	{Key: Key{TOML: "volumes", Type: String, Disposition: Honoured, Path: "mounts",
		Note: "`HOST:CONTAINER[:MODE]`, separated by commas; see [Volumes](#volumes)"},
		apply: noApply},
	{Key: Key{TOML: "enable_gpu", Type: Boolean, Default: "false", Disposition: Honoured, Path: "security.devices",
		Note: "true is the CDI device nvidia.com/gpu=all, or those in cuda_visible_devices"},
		apply: applyGPU},
	{Key: Key{TOML: "cuda_visible_devices", Type: String, Disposition: Honoured, Path: "security.devices",
		Note: "indexes or UUIDs separated by commas; each is a device nvidia.com/gpu=N; only with enable_gpu"},
		check: checkGPUs, apply: applyGPUList},
	{Key: Key{TOML: "docker_runtime_kwargs", Type: Table, Disposition: Refused, Harmless: []string{"{}"},
		Note: "it hands any setting to one engine past the spec and past policy; use the fields of a spec"}},
	{Key: Key{TOML: "runtime_startup_env_vars", Type: Table, Default: "{}", Disposition: Honoured, Path: "process.env",
		Note: "variables of the sandbox, names and texts; wins over SANDBOX_ENV_<NAME>"},
		apply: noApply},
	{Key: Key{TOML: "browsergym_eval_env", Type: String, Note: "it is for OpenHands' evaluation, which berth does not run; remove it"}},
	{Key: Key{TOML: "selected_repo", Type: String, Note: "berth clones nothing; clone the repository on the host and mount it with SANDBOX_VOLUMES"}},
	{Key: Key{TOML: "trusted_dirs", Type: List, Default: "[]", Harmless: []string{"[]"},
		Note: "it is a list of OpenHands' command line; which folders may be mounted is said by berth's policy"}},
})

var coreRules = coreTable([]rule{
	{Key: Key{TOML: "runtime", Type: String, Default: "docker", Disposition: Honoured, Hint: "Backend",
		Note: "`docker` and `eventstream` are the backend docker; `local`, `cli` and `process` (no sandbox at all), `remote`, `kubernetes` and others are refused"},
		apply: applyRuntime},
	{Key: Key{TOML: "workspace_base", Type: String, Disposition: Honoured, Path: "mounts",
		Note: "deprecated: the folder that is mounted at /workspace; use SANDBOX_VOLUMES, which wins"}, apply: noApply},
	{Key: Key{TOML: "workspace_mount_path", Type: String, Disposition: Honoured, Path: "mounts",
		Note: "deprecated: the same folder as the engine sees it; wins over workspace_base"}, apply: noApply},
	{Key: Key{TOML: "workspace_mount_path_in_sandbox", Type: String, Default: "/workspace", Disposition: Honoured, Path: "mounts",
		Note: "deprecated: where it is mounted"}, apply: noApply},
	{Key: Key{TOML: "workspace_mount_rewrite", Type: String, Disposition: Honoured, Path: "mounts",
		Note: "deprecated: FROM:TO, the folder is workspace_base with FROM replaced by TO"}, apply: noApply},
	{Key: Key{TOML: "run_as_openhands", Type: Boolean, Default: "true", Disposition: Honoured, Path: "user.as",
		Note: "false is uid 0, unless user_id names another; true changes nothing"}, apply: noApply},
	{Key: Key{TOML: "enable_browser", Type: Boolean, Default: "true", Harmless: []string{"false"},
		Note: "the browser belongs to OpenHands' own server; berth starts none"}},
	{Key: Key{TOML: "init_git_in_empty_workspace", Type: Boolean, Default: "false", Harmless: []string{"false"},
		Note: "berth writes nothing into a mounted folder; run git init there"}},
	{Key: Key{TOML: "git_user_name", Type: String, Default: "openhands", Disposition: Honoured, Path: "process.env",
		Note: "sets GIT_AUTHOR_NAME and GIT_COMMITTER_NAME, which git prefers to user.name of any configuration file"},
		apply: func(r *reader, v *value) { r.env(v, v.str, "GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME") }},
	{Key: Key{TOML: "git_user_email", Type: String, Default: "openhands@all-hands.dev", Disposition: Honoured, Path: "process.env",
		Note: "sets GIT_AUTHOR_EMAIL and GIT_COMMITTER_EMAIL"},
		apply: func(r *reader, v *value) { r.env(v, v.str, "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL") }},
	{Key: Key{TOML: "debug", Type: Boolean, Default: "false", Disposition: Honoured, Path: "process.env",
		Note: "true sets DEBUG=true in the sandbox; other programs use a variable DEBUG too, so a value that is no boolean is only a warning there"},
		apply: func(r *reader, v *value) { r.flag("DEBUG", v) }},
	{Key: Key{TOML: "cache_dir", Type: String, Default: "/tmp/cache", Note: noteServer}},
})

var environmentRules = environmentTable(SectionEnvironment, []rule{
	{Key: Key{Env: "SANDBOX_ENV_<NAME>", Type: String, Disposition: Honoured, Path: "process.env", Secret: true,
		Note: "the variable NAME of the sandbox, spelled as it is; may be empty"},
		match: regexp.MustCompile(`^SANDBOX_ENV_(.*)$`), apply: noApply},
	{Key: Key{Env: "SANDBOX_VOLUME_OVERLAYS", Type: String, Disposition: Honoured, Path: "mounts[].upper",
		Note: "folder below which overlay mounts keep what is written; without it berth keeps it until the sandbox is removed (OpenHands drops such a mount)"},
		apply: noApply},
	{Key: Key{Env: "SANDBOX_GROUP_ID", Type: Integer, Default: "root", Disposition: Honoured, Path: "user.as",
		Note: "the gid of the process; with no uid given, of the caller's uid"}, most: maxID, apply: noApply},
	{Key: Key{Env: "RUNTIME_USERNAME", Type: String, Disposition: Honoured, Path: "user.name",
		Note: "the login name of the uid; root only with uid 0"}, check: checkUserName, apply: noApply},
	{Key: Key{Env: "RUNTIME_UID", Type: Integer, Disposition: Honoured, Path: "user.as",
		Note: "as SANDBOX_USER_ID, which wins"}, most: maxID, apply: noApply},
	{Key: Key{Env: "SU_TO_USER", Type: String, Default: "true", Note: inside("SU_TO_USER")}},
	{Key: Key{Env: "DOCKER_HOST_ADDR", Type: String,
		Note: "berth builds no URL from it; the address of published ports is SANDBOX_RUNTIME_BINDING_ADDRESS"}},
	{Key: Key{Env: "DOCKER_HOST", Type: String, Disposition: Honoured,
		Note: "the docker backend reads it itself, as every docker client does; it is no part of a spec"}, apply: noApply},
	{Key: Key{Env: "DEBUG_RUNTIME", Type: String, Note: "use berth logs -f to follow what the sandbox prints"}},
	{Key: Key{Env: "OH_RUNTIME_RUNTIME_IMAGE_REPO", Type: String, Default: "ghcr.io/openhands/runtime", Note: noteBuild}},
	{Key: Key{Env: "NO_CHANGE_TIMEOUT_SECONDS", Type: String, Default: "10", Note: inside("NO_CHANGE_TIMEOUT_SECONDS")}},
	{Key: Key{Env: "INIT_PLUGIN_TIMEOUT", Type: String, Default: "120", Note: inside("INIT_PLUGIN_TIMEOUT")}},
	{Key: Key{Env: "RUNTIME_MAX_MEMORY_GB", Type: String,
		Note: inside("RUNTIME_MAX_MEMORY_GB") + ", or resources.memory (--memory) for a limit that holds"}},
	{Key: Key{Env: "RUNTIME_MEMORY_MONITOR", Type: String, Note: inside("RUNTIME_MEMORY_MONITOR")}},
	{Key: Key{Env: "SESSION_API_KEY", Type: String, Secret: true, Note: given("SESSION_API_KEY")}},
	{Key: Key{Env: "RUNTIME_ID", Type: String, Note: given("RUNTIME_ID")}},
	{Key: Key{Env: "RUNTIME_URL", Type: String, Note: given("RUNTIME_URL")}},
	{Key: Key{Env: "VSCODE_PORT", Type: String,
		Note: given("VSCODE_PORT") + "; to publish it, set SANDBOX_VSCODE_PORT"}},
	{Key: Key{Env: "WORK_PORT_1", Type: String, Note: given("WORK_PORT_1")}},
	{Key: Key{Env: "WORK_PORT_2", Type: String, Note: given("WORK_PORT_2")}},
	{Key: Key{Env: "APP_PORT_1", Type: String, Note: given("APP_PORT_1")}},
	{Key: Key{Env: "APP_PORT_2", Type: String, Note: given("APP_PORT_2")}},
	{Key: Key{Env: "INSTALL_THIRD_PARTY_RUNTIMES", Type: String, Note: noteServer}},
	{Key: Key{Env: "NO_SETUP", Type: String, Note: noteServer}},
	{Key: Key{Env: "RUNTIME_URL_PATTERN", Type: String, Note: noteRemote}},
	{Key: Key{Env: "RUNTIME_ROUTING_MODE", Type: String, Note: noteRemote}},
})

var appServerRules = environmentTable(SectionAppServer, []rule{
	{Key: Key{Env: "OH_SANDBOX_KIND", Type: String, Disposition: Honoured, Hint: "Backend",
		Note: "DockerSandboxServiceInjector is the backend docker; the kinds for a hosted API and for plain processes are refused; wins over RUNTIME"},
		apply: applyKind},
	{Key: Key{Env: "OH_SANDBOX_API_URL", Type: String, Note: noteRemote}},
	{Key: Key{Env: "OH_SANDBOX_API_KEY", Type: String, Secret: true, Note: noteRemote}},
	{Key: Key{Env: "OH_SANDBOX_POLLING_INTERVAL", Type: Integer, Default: "15", Note: noteRemote}, least: 1},
	{Key: Key{Env: "OH_SANDBOX_START_SANDBOX_TIMEOUT", Type: Integer, Default: "120", Note: noteRemote}, least: 1},
	{Key: Key{Env: "OH_SANDBOX_MAX_NUM_SANDBOXES", Type: Integer, Default: "10 (remote), 5 (docker)",
		Note: "berth does not count sandboxes nor pause one for another"}, least: 1},
	{Key: Key{Env: "OH_SANDBOX_CONTAINER_URL_PATTERN", Aliases: []string{"SANDBOX_CONTAINER_URL_PATTERN"}, Type: String, Default: "http://localhost:{port}",
		Note: "berth builds no URL from it; the address of published ports is SANDBOX_RUNTIME_BINDING_ADDRESS"}},
	{Key: Key{Env: "OH_SANDBOX_HOST_PORT", Aliases: []string{"SANDBOX_HOST_PORT"}, Type: Integer, Default: "3000", Note: noteServer}, least: 1, most: 65535},
	{Key: Key{Env: "OH_SANDBOX_CONTAINER_NAME_PREFIX", Type: String, Note: "berth names containers itself and finds them by label; --name names a sandbox"}},
	{Key: Key{Env: "OH_SANDBOX_MOUNTS_<N>_HOST_PATH", Type: String, Disposition: Honoured, Path: "mounts",
		Note: "a mount like one of SANDBOX_VOLUMES, after those"},
		match: mountVariable("HOST_PATH"), apply: noApply},
	{Key: Key{Env: "OH_SANDBOX_MOUNTS_<N>_CONTAINER_PATH", Type: String, Disposition: Honoured, Path: "mounts",
		Note: "its container path"}, match: mountVariable("CONTAINER_PATH"), apply: noApply},
	{Key: Key{Env: "OH_SANDBOX_MOUNTS_<N>_MODE", Type: String, Default: "rw", Disposition: Honoured, Path: "mounts[].mode",
		Note: "its mode, as in SANDBOX_VOLUMES"}, match: mountVariable("MODE"), apply: noApply},
	{Key: Key{Env: "OH_SANDBOX_HEALTH_CHECK_PATH", Type: String, Default: "/health", Note: "berth learns from its own init that a sandbox is ready; life.health of a spec describes a check"}},
	{Key: Key{Env: "OH_SANDBOX_SPEC_<NAME>", Type: String, Note: "specs of OpenHands' app server are not read; write a spec file"},
		match: regexp.MustCompile(`^OH_SANDBOX_SPEC_(.+)$`)},
	{Key: Key{Env: "SANDBOX_STARTUP_GRACE_SECONDS", Type: Integer, Default: "15", Note: noteServer}, most: maxSeconds},
	{Key: Key{Env: "AGENT_SERVER_IMAGE_REPOSITORY", Type: String, Disposition: Honoured, Path: "image.ref",
		Note: "with AGENT_SERVER_IMAGE_TAG the image, when no runtime_container_image is set; one without the other is an error"},
		check: checkImage, apply: noApply},
	{Key: Key{Env: "AGENT_SERVER_IMAGE_TAG", Type: String, Disposition: Honoured, Path: "image.ref",
		Note: "its tag"}, check: checkTag, apply: noApply},
	{Key: Key{Env: "SANDBOX_KVM_ENABLED", Type: Boolean, Default: "false", Disposition: Honoured, Path: "security.devices",
		Note: "true is the device /dev/kvm; policy may forbid it"}, apply: applyKVM},
	{Key: Key{Env: "OH_AGENT_SERVER_ENV", Type: Table, Disposition: Honoured, Path: "process.env", Secret: true,
		Note: "variables of the sandbox; wins over SANDBOX_ENV_<NAME>, and runtime_startup_env_vars wins over it"}, apply: noApply},
	{Key: Key{Env: "LLM_<NAME>", Type: String, Secret: true, Note: "OpenHands hands it to its agent server; berth keeps keys of models out of a sandbox; set SANDBOX_ENV_LLM_<NAME> to hand it in"},
		match: regexp.MustCompile(`^LLM_(.+)$`)},
	{Key: Key{Env: "LMNR_<NAME>", Type: String, Secret: true, Note: "OpenHands hands it to its agent server; berth keeps keys out of a sandbox; set SANDBOX_ENV_LMNR_<NAME> to hand it in"},
		match: regexp.MustCompile(`^LMNR_(.+)$`)},
	{Key: Key{Env: "OH_WEB_URL", Type: String, Note: noteServer}},
	{Key: Key{Env: "WEB_HOST", Type: String, Note: noteServer}},
	{Key: Key{Env: "OH_PERSISTENCE_DIR", Type: String, Default: "~/.openhands", Note: noteServer}},
})

// sandboxTable, coreTable and environmentTable fill in what follows from the
// section.
func sandboxTable(rs []rule) []rule {
	for i := range rs {
		rs[i].Env = "SANDBOX_" + strings.ToUpper(rs[i].TOML)
		rs[i].TOML = "sandbox." + rs[i].TOML
	}
	return environmentTable(SectionSandbox, rs)
}

func coreTable(rs []rule) []rule {
	for i := range rs {
		rs[i].Env = strings.ToUpper(rs[i].TOML)
		rs[i].TOML = "core." + rs[i].TOML
	}
	return environmentTable(SectionCore, rs)
}

func environmentTable(section Section, rs []rule) []rule {
	for i := range rs {
		rs[i].Section = section
		if rs[i].Disposition == "" {
			rs[i].Disposition = Warned
		}
	}
	return rs
}

func mountVariable(part string) *regexp.Regexp {
	return regexp.MustCompile(`^OH_SANDBOX_MOUNTS_([0-9]{1,4})_` + part + `$`)
}

// tableOf returns the table that has a key of this name, or "".
func tableOf(key string) string {
	for _, r := range rules {
		if table, name, ok := strings.Cut(r.TOML, "."); ok && name == key {
			return table
		}
	}
	return ""
}
