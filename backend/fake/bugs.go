// SPDX-License-Identifier: Apache-2.0

package fake

import "slices"

// Bug is a defect that an engine can be made with, see [WithBug]. Each breaks one
// promise of the contract; everything else stays right.
type Bug string

// Mutant is a bug and the tests of package conformance that notice it.
type Mutant struct {
	Bug Bug
	// Text says what the engine does wrong.
	Text string
	// Kills are the ids of the tests that fail because of it.
	Kills []string
}

// Mutants lists every bug. The slice is the caller's.
func Mutants() []Mutant { return slices.Clone(mutants) }

// The bugs; [Mutants] says what each does.
const (
	BugAbsentImageMade      Bug = "absent-image-made"
	BugAbsentIsNil          Bug = "absent-is-nil"
	BugAbsentNetworkMade    Bug = "absent-network-made"
	BugAdditionalDropped    Bug = "additional-dropped"
	BugAliasesDropped       Bug = "aliases-dropped"
	BugAlwaysRoot           Bug = "always-root"
	BugArgsSplit            Bug = "args-split"
	BugAttachMisses         Bug = "attach-misses"
	BugAttachNoReplay       Bug = "attach-no-replay"
	BugBindReadOnly         Bug = "bind-read-only"
	BugBindStale            Bug = "bind-stale"
	BugBindsEverywhere      Bug = "binds-everywhere"
	BugCPUsIgnored          Bug = "cpus-ignored"
	BugCancelLeaves         Bug = "cancel-leaves"
	BugCapAddIgnored        Bug = "cap-add-ignored"
	BugCapDropIgnored       Bug = "cap-drop-ignored"
	BugCapsForAll           Bug = "caps-for-all"
	BugClaimMissing         Bug = "claim-missing"
	BugClaimWithoutFact     Bug = "claim-without-fact"
	BugCloseKills           Bug = "close-kills"
	BugCommitEmpty          Bug = "commit-empty"
	BugContextIgnored       Bug = "context-ignored"
	BugContextWrapped       Bug = "context-wrapped"
	BugCopyAbsentEmpty      Bug = "copy-absent-empty"
	BugCopyEscapes          Bug = "copy-escapes"
	BugCopyFollows          Bug = "copy-follows"
	BugCopyMakesDir         Bug = "copy-makes-dir"
	BugCopyModeLost         Bug = "copy-mode-lost"
	BugCopyNeedsRunning     Bug = "copy-needs-running"
	BugCopyOwnerLost        Bug = "copy-owner-lost"
	BugCopyReadOnly         Bug = "copy-read-only"
	BugCreateNotIdempotent  Bug = "create-not-idempotent"
	BugCreateStarts         Bug = "create-starts"
	BugCreatesCollide       Bug = "creates-collide"
	BugDevicesDropped       Bug = "devices-dropped"
	BugDigestIgnored        Bug = "digest-ignored"
	BugDiskIgnored          Bug = "disk-ignored"
	BugEngineRestartForgets Bug = "engine-restart-forgets"
	BugEngineRestartKills   Bug = "engine-restart-kills"
	BugEnvCut               Bug = "env-cut"
	BugEnvLeaked            Bug = "env-leaked"
	BugErrorsTwice          Bug = "errors-twice"
	BugExecArgsSplit        Bug = "exec-args-split"
	BugExecCodeLost         Bug = "exec-code-lost"
	BugExecContextKills     Bug = "exec-context-kills"
	BugExecEnvIgnored       Bug = "exec-env-ignored"
	BugExecOutputCut        Bug = "exec-output-cut"
	BugExecPaused           Bug = "exec-paused"
	BugExecStoppedKind      Bug = "exec-stopped-kind"
	BugExecStreamsSwapped   Bug = "exec-streams-swapped"
	BugExecUnconfined       Bug = "exec-unconfined"
	BugExecUserIgnored      Bug = "exec-user-ignored"
	BugExecWorkdirIgnored   Bug = "exec-workdir-ignored"
	BugExecsMixed           Bug = "execs-mixed"
	BugExitCodeLost         Bug = "exit-code-lost"
	BugExtensionIgnored     Bug = "extension-ignored"
	BugExtraGroups          Bug = "extra-groups"
	BugFailedStartPhase     Bug = "failed-start-phase"
	BugFileBindRefused      Bug = "file-bind-refused"
	BugFirstRefusalOnly     Bug = "first-refusal-only"
	BugFixedPortIgnored     Bug = "fixed-port-ignored"
	BugFollowIgnored        Bug = "follow-ignored"
	BugFollowIgnoresContext Bug = "follow-ignores-context"
	BugFollowNeverEnds      Bug = "follow-never-ends"
	BugForceIgnored         Bug = "force-ignored"
	BugForeignTouched       Bug = "foreign-touched"
	BugGIDDropped           Bug = "gid-dropped"
	BugGraceIgnored         Bug = "grace-ignored"
	BugGraceOfSpecIgnored   Bug = "grace-of-spec-ignored"
	BugGroupsDropped        Bug = "groups-dropped"
	BugHostAliasAlways      Bug = "host-alias-always"
	BugHostAliasDropped     Bug = "host-alias-dropped"
	BugHostDevices          Bug = "host-devices"
	BugHostModeApart        Bug = "host-mode-apart"
	BugHostPIDs             Bug = "host-pids"
	BugHostReachable        Bug = "host-reachable"
	BugImageConfigLost      Bug = "image-config-lost"
	BugImageEnvDropped      Bug = "image-env-dropped"
	BugImageFilesInvented   Bug = "image-files-invented"
	BugImageFilesUnbounded  Bug = "image-files-unbounded"
	BugImageGuessed         Bug = "image-guessed"
	BugImageSignalIgnored   Bug = "image-signal-ignored"
	BugImageUserIgnored     Bug = "image-user-ignored"
	BugInternalEgress       Bug = "internal-egress"
	BugInternalResolves     Bug = "internal-resolves"
	BugIsolatedPeers        Bug = "isolated-peers"
	BugKeepsNetRaw          Bug = "keeps-net-raw"
	BugLabelsLost           Bug = "labels-lost"
	BugLargeUIDCut          Bug = "large-uid-cut"
	BugLastLineLost         Bug = "last-line-lost"
	BugLedgerLine           Bug = "ledger-line"
	BugListFilterIgnored    Bug = "list-filter-ignored"
	BugListRunningOnly      Bug = "list-running-only"
	BugLoadGarbage          Bug = "load-garbage"
	BugLoadNothing          Bug = "load-nothing"
	BugLogsCut              Bug = "logs-cut"
	BugLogsNeverStarted     Bug = "logs-never-started"
	BugLogsNewestFirst      Bug = "logs-newest-first"
	BugLogsOfStarterOnly    Bug = "logs-of-starter-only"
	BugLogsText             Bug = "logs-text"
	BugMemoryIgnored        Bug = "memory-ignored"
	BugMemoryQuarter        Bug = "memory-quarter"
	BugMissingCommandCode   Bug = "missing-command-code"
	BugMissingCommandError  Bug = "missing-command-error"
	BugMissingSourceIgnored Bug = "missing-source-ignored"
	BugMountOrder           Bug = "mount-order"
	BugNameClash            Bug = "name-clash"
	BugNameLost             Bug = "name-lost"
	BugNamesUnknown         Bug = "names-unknown"
	BugNetworkCreateOnce    Bug = "network-create-once"
	BugNetworkKindIgnored   Bug = "network-kind-ignored"
	BugNetworkLeaked        Bug = "network-leaked"
	BugNetworkRemoveAbsent  Bug = "network-remove-absent"
	BugNetworkRemoveInUse   Bug = "network-remove-in-use"
	BugNetworksTouch        Bug = "networks-touch"
	BugNetworksUntold       Bug = "networks-untold"
	BugNeverKills           Bug = "never-kills"
	BugNoEgress             Bug = "no-egress"
	BugNoExecIgnored        Bug = "no-exec-ignored"
	BugNoFileIgnored        Bug = "no-file-ignored"
	BugNoFinishTime         Bug = "no-finish-time"
	BugNoHalfClose          Bug = "no-half-close"
	BugNoNewPrivsAlways     Bug = "no-new-privs-always"
	BugNoNewPrivsDropped    Bug = "no-new-privs-dropped"
	BugNoRestart            Bug = "no-restart"
	BugNoSeccomp            Bug = "no-seccomp"
	BugNoTTY                Bug = "no-tty"
	BugNoUserIsNobody       Bug = "no-user-is-nobody"
	BugNoVersion            Bug = "no-version"
	BugNoneHasNetwork       Bug = "none-has-network"
	BugNotFoundInternal     Bug = "not-found-internal"
	BugNotMasked            Bug = "not-masked"
	BugNotRecursive         Bug = "not-recursive"
	BugOOMUntold            Bug = "oom-untold"
	BugOneClient            Bug = "one-client"
	BugOnePort              Bug = "one-port"
	BugOverlayPlain         Bug = "overlay-plain"
	BugOverlayWritesThrough Bug = "overlay-writes-through"
	BugPauseIgnored         Bug = "pause-ignored"
	BugPauseStopped         Bug = "pause-stopped"
	BugPausedUntold         Bug = "paused-untold"
	BugPidsIgnored          Bug = "pids-ignored"
	BugPlanCreates          Bug = "plan-creates"
	BugPlanShowsEnv         Bug = "plan-shows-env"
	BugPlanVaries           Bug = "plan-varies"
	BugPlanWritesRequest    Bug = "plan-writes-request"
	BugPlatformIgnored      Bug = "platform-ignored"
	BugPlumbingListed       Bug = "plumbing-listed"
	BugPortAddressIgnored   Bug = "port-address-ignored"
	BugPortsDropped         Bug = "ports-dropped"
	BugPortsLeaked          Bug = "ports-leaked"
	BugPrivileged           Bug = "privileged"
	BugProbeLeaks           Bug = "probe-leaks"
	BugProcWritable         Bug = "proc-writable"
	BugProfileIgnored       Bug = "profile-ignored"
	BugPullAbsent           Bug = "pull-absent"
	BugPullDenied           Bug = "pull-denied"
	BugPullNothing          Bug = "pull-nothing"
	BugPullSilent           Bug = "pull-silent"
	BugPullUnreachable      Bug = "pull-unreachable"
	BugReadOnlyDropped      Bug = "read-only-dropped"
	BugRecordLost           Bug = "record-lost"
	BugRefusalHidesRest     Bug = "refusal-hides-rest"
	BugRefusalLeaves        Bug = "refusal-leaves"
	BugRefusesNothing       Bug = "refuses-nothing"
	BugRemovalUnwatched     Bug = "removal-unwatched"
	BugRemoveAbsent         Bug = "remove-absent"
	BugRemoveImageAbsent    Bug = "remove-image-absent"
	BugRemoveImageInUse     Bug = "remove-image-in-use"
	BugRemoveRunning        Bug = "remove-running"
	BugRemovesCollide       Bug = "removes-collide"
	BugResizeIgnored        Bug = "resize-ignored"
	BugRestartForgets       Bug = "restart-forgets"
	BugRootReadOnly         Bug = "root-read-only"
	BugRootWritable         Bug = "root-writable"
	BugRuntimeIgnored       Bug = "runtime-ignored"
	BugRuntimeRefused       Bug = "runtime-refused"
	BugSandboxLeaked        Bug = "sandbox-leaked"
	BugSecretsShown         Bug = "secrets-shown"
	BugSharedNoEgress       Bug = "shared-no-egress"
	BugShmIgnored           Bug = "shm-ignored"
	BugSignalCodeLost       Bug = "signal-code-lost"
	BugSignalLost           Bug = "signal-lost"
	BugSignalStopped        Bug = "signal-stopped"
	BugSinceIgnored         Bug = "since-ignored"
	BugStartTwice           Bug = "start-twice"
	BugStatsEmpty           Bug = "stats-empty"
	BugStatsStopped         Bug = "stats-stopped"
	BugStderrTailLost       Bug = "stderr-tail-lost"
	BugStderrUnlogged       Bug = "stderr-unlogged"
	BugStdinCut             Bug = "stdin-cut"
	BugStdinDropped         Bug = "stdin-dropped"
	BugStopOptionIgnored    Bug = "stop-option-ignored"
	BugStopReturnsEarly     Bug = "stop-returns-early"
	BugStopSignalIgnored    Bug = "stop-signal-ignored"
	BugStopTwice            Bug = "stop-twice"
	BugStreamsMerged        Bug = "streams-merged"
	BugStreamsSwapped       Bug = "streams-swapped"
	BugSubmountHidden       Bug = "submount-hidden"
	BugTTYLosesErrors       Bug = "tty-loses-errors"
	BugTTYSizeIgnored       Bug = "tty-size-ignored"
	BugTailIgnored          Bug = "tail-ignored"
	BugTailOffByOne         Bug = "tail-off-by-one"
	BugTakenPortIgnored     Bug = "taken-port-ignored"
	BugTakenPortInternal    Bug = "taken-port-internal"
	BugTargetNotMade        Bug = "target-not-made"
	BugTmpfsNeverExec       Bug = "tmpfs-never-exec"
	BugTmpfsNotWritable     Bug = "tmpfs-not-writable"
	BugTmpfsSizeIgnored     Bug = "tmpfs-size-ignored"
	BugUDPAsTCP             Bug = "udp-as-tcp"
	BugUnavailableInternal  Bug = "unavailable-internal"
	BugUnconfinedIgnored    Bug = "unconfined-ignored"
	BugVerbMissing          Bug = "verb-missing"
	BugVolumeForgets        Bug = "volume-forgets"
	BugVolumeLeaked         Bug = "volume-leaked"
	BugWaitIgnoresContext   Bug = "wait-ignores-context"
	BugWaitNeverStarted     Bug = "wait-never-started"
	BugWaitOnce             Bug = "wait-once"
	BugWorkdirIgnored       Bug = "workdir-ignored"
	BugWrongCapability      Bug = "wrong-capability"
	BugWrongOwner           Bug = "wrong-owner"
	BugWrongReadBack        Bug = "wrong-read-back"
)

var mutants = []Mutant{
	{BugAbsentImageMade, "creates from some other image when the one asked for is absent", []string{"image.create.absent-not-found"}},
	{BugAbsentIsNil, "inspects an absent sandbox without an error", []string{"errors.not-found.every-verb", "life.remove.absent-is-nil"}},
	{BugAbsentNetworkMade, "makes a network that a sandbox asks for and that is absent", []string{"cleanup.create.failure-leaves-nothing", "cleanup.suite.leaves-nothing", "network.named.absent"}},
	{BugAdditionalDropped, "joins no additional network", []string{"network.additional.joined"}},
	{BugAliasesDropped, "gives no aliases", []string{"network.additional.joined", "network.aliases.resolve"}},
	{BugAlwaysRoot, "runs everything as root", []string{"exec.user.of-sandbox", "security.capabilities.none-for-others", "user.caller.clash-with-image", "user.caller.folder-unchanged", "user.caller.uid-1000-owns-files", "user.caller.uid-1001-owns-files", "user.caller.uid-501-owns-files", "user.caller.uid-600000000-owns-files", "user.groups.give-access", "user.image.used", "user.number.cannot-read-others", "user.number.used"}},
	{BugArgsSplit, "joins the arguments with spaces and splits them again", []string{"spec.args.exact"}},
	{BugAttachMisses, "gives nothing to a client that attached before the start", []string{"attach.before-start.misses-nothing", "attach.client.several"}},
	{BugAttachNoReplay, "does not replay what was written before", []string{"attach.logs.replayed"}},
	{BugBindReadOnly, "makes every bind read-only", []string{"mount.bind.file", "mount.bind.read-write", "mount.rw.submount-writable"}},
	{BugBindStale, "does not see what the host makes in a bind later", []string{"mount.bind.same-on-host"}},
	{BugBindsEverywhere, "publishes ports on 0.0.0.0 and tells 127.0.0.1", []string{"binding.address.loopback-by-default"}},
	{BugCPUsIgnored, "does not bound processor time", []string{"resources.cpus.bite"}},
	{BugCancelLeaves, "leaves the sandbox of a cancelled create", []string{"life.create.cancelled"}},
	{BugCapAddIgnored, "adds no capability", []string{"security.capabilities.add", "security.capabilities.drop-all"}},
	{BugCapDropIgnored, "drops no capability", []string{"security.capabilities.drop", "security.capabilities.drop-all"}},
	{BugCapsForAll, "gives root's capabilities to every user", []string{"security.capabilities.none-for-others", "security.setuid.raises-nothing", "user.caller.folder-unchanged", "user.groups.give-access", "user.number.cannot-read-others"}},
	{BugClaimMissing, "makes no claim about a capability", []string{"probe.claims.complete", "stats.read.not-running", "stats.read.running"}},
	{BugClaimWithoutFact, "claims something by a fact that it does not have", []string{"probe.claims.complete"}},
	{BugCloseKills, "kills a further process when its client goes", []string{"exec.client.may-go"}},
	{BugCommitEmpty, "commits the image of the sandbox instead of its files", []string{"image.commit.root-file-system"}},
	{BugContextIgnored, "goes on when the context has ended", []string{"cleanup.suite.leaves-nothing", "errors.context.unwrapped", "life.create.cancelled", "life.start.cancelled"}},
	{BugContextWrapped, "wraps the context's error in one of its own", []string{"errors.context.unwrapped", "life.create.cancelled", "life.start.cancelled"}},
	{BugCopyAbsentEmpty, "gives an empty archive of a path that does not exist", []string{"copy.from.absent-not-found"}},
	{BugCopyEscapes, "follows .. in the names of an archive", []string{"copy.to.hostile-names-contained"}},
	{BugCopyFollows, "follows a symbolic link when it copies out", []string{"copy.from.link-not-followed"}},
	{BugCopyMakesDir, "takes a copy into a directory that does not exist, and drops it", []string{"copy.to.dir-absent"}},
	{BugCopyModeLost, "gives every copied file the mode 0644", []string{"copy.to.arrives"}},
	{BugCopyNeedsRunning, "copies only while a sandbox runs", []string{"copy.from.after-exit", "copy.to.before-start"}},
	{BugCopyOwnerLost, "gives every copied file to root", []string{"copy.to.owner-kept"}},
	{BugCopyReadOnly, "copies into read-only mounts", []string{"copy.to.read-only-conflict"}},
	{BugCreateNotIdempotent, "refuses the same create a second time", []string{"concurrency.create.same-id", "life.create.same-again"}},
	{BugCreateStarts, "starts what it creates", []string{"binding.port.read-back", "cleanup.start.failure-leaves-removable", "life.create.not-started"}},
	{BugCreatesCollide, "fails when two creates meet", []string{"concurrency.create.many", "concurrency.network.come-and-go"}},
	{BugDevicesDropped, "makes no device of the spec", []string{"security.device.path"}},
	{BugDigestIgnored, "returns a sandbox with another digest", []string{"life.create.other-digest"}},
	{BugDiskIgnored, "does not bound the root file system", []string{"resources.disk.bites"}},
	{BugEngineRestartForgets, "forgets its sandboxes when the engine restarts", []string{"life.engine-restart.keeps-sandbox"}},
	{BugEngineRestartKills, "ends running sandboxes when the engine restarts, whatever it claims", []string{"life.engine-restart.keeps-running"}},
	{BugEnvCut, "cuts variables at the first line break", []string{"spec.env.exact"}},
	{BugEnvLeaked, "gives a variable of the engine's own environment", []string{"spec.env.host-not-inherited"}},
	{BugErrorsTwice, "wraps its own errors", []string{"errors.not-found.every-verb", "life.remove.absent-is-nil"}},
	{BugExecArgsSplit, "splits the arguments of a further process", []string{"copy.from.whole-tree", "exec.argv.exact", "exec.command.not-executable"}},
	{BugExecCodeLost, "tells 0 for every further process", []string{"exec.context.bounds-start-only", "exec.exit-code.nonzero-is-not-error"}},
	{BugExecContextKills, "kills a further process when the context of its start ends", []string{"exec.context.bounds-start-only"}},
	{BugExecEnvIgnored, "adds no variables to a further process", []string{"exec.env.added"}},
	{BugExecOutputCut, "drops the output of a further process after 64 KiB", []string{"exec.output.large", "exec.stdin.round-trip"}},
	{BugExecPaused, "resumes a paused sandbox for a further process", []string{"life.pause.freezes"}},
	{BugExecStoppedKind, "calls an exec in a stopped sandbox a defect", []string{"exec.sandbox.not-running", "life.pause.freezes"}},
	{BugExecStreamsSwapped, "swaps the output streams of a further process", []string{"exec.streams.separate"}},
	{BugExecUnconfined, "does not confine further processes", []string{"security.exec.as-confined"}},
	{BugExecUserIgnored, "runs further processes as the sandbox's user always", []string{"exec.user.as-asked", "security.setuid.raises-nothing"}},
	{BugExecWorkdirIgnored, "starts further processes in the sandbox's directory always", []string{"exec.workdir.used"}},
	{BugExecsMixed, "gives the output of all further processes to the last client", []string{"exec.parallel.apart"}},
	{BugExitCodeLost, "tells 0 for every main process", []string{"attach.before-start.misses-nothing", "life.exit.codes-pass", "life.exit.killed", "life.stop.grace-honoured"}},
	{BugExtensionIgnored, "takes settings that it does not know", []string{"spec.extension.unknown-key-refused"}},
	{BugExtraGroups, "adds a group", []string{"user.groups.none-extra"}},
	{BugFailedStartPhase, "calls a sandbox that could not be started ended", []string{"binding.port.taken", "cleanup.start.failure-leaves-removable", "life.start.missing-command"}},
	{BugFileBindRefused, "binds folders only", []string{"mount.bind.file", "mount.ro.file"}},
	{BugFirstRefusalOnly, "names only the first field that it refuses", []string{"plan.refusal.names-every-field"}},
	{BugFixedPortIgnored, "takes another host port than the one asked for", []string{"binding.port.fixed", "binding.port.taken"}},
	{BugFollowIgnored, "does not follow", []string{"logs.follow.until-exit"}},
	{BugFollowIgnoresContext, "follows on when the context has ended", []string{"logs.follow.context-ends"}},
	{BugFollowNeverEnds, "follows on after the end", []string{"logs.follow.until-exit"}},
	{BugForceIgnored, "does not remove running sandboxes by force", []string{"cleanup.remove.takes-everything", "concurrency.remove.many-callers", "life.remove.running"}},
	{BugForeignTouched, "removes networks that are not berth's", []string{"cleanup.foreign.untouched"}},
	{BugGIDDropped, "runs with gid 0", []string{"exec.user.of-sandbox", "user.caller.clash-with-image", "user.caller.uid-1000-owns-files", "user.caller.uid-1001-owns-files", "user.caller.uid-501-owns-files", "user.caller.uid-600000000-owns-files", "user.image.used", "user.number.used"}},
	{BugGraceIgnored, "kills at once", []string{"attach.client.may-go", "attach.logs.replayed", "errors.context.prompt", "life.stop.grace-honoured", "life.stop.kills-after-grace", "life.stop.signal-of-image", "life.stop.signal-of-spec", "life.stop.signal-option", "life.wait.every-waiter", "logs.follow.until-exit"}},
	{BugGraceOfSpecIgnored, "waits ten seconds whatever the spec's grace", []string{"life.stop.kills-after-grace"}},
	{BugGroupsDropped, "gives no supplementary groups", []string{"user.groups.give-access", "user.groups.supplementary"}},
	{BugHostAliasAlways, "resolves the host's names without being asked", []string{"network.host-alias.off-by-default"}},
	{BugHostAliasDropped, "does not resolve the host's names", []string{"network.host-alias.resolves"}},
	{BugHostDevices, "shows a disk of the host", []string{"security.devices.standard-only"}},
	{BugHostModeApart, "gives a network of its own in mode host", []string{"network.host.same-stack"}},
	{BugHostPIDs, "shows processes of the host", []string{"security.processes.own-only"}},
	{BugHostReachable, "lets sandboxes reach the host's services and claims not to", []string{"network.host-services.out-of-reach"}},
	{BugImageConfigLost, "loses parts of an image's configuration", []string{"image.config.entrypoint-runs", "image.config.read"}},
	{BugImageEnvDropped, "drops the image's environment", []string{"spec.env.image-kept"}},
	{BugImageFilesInvented, "gives an empty file for a path that the image lacks", []string{"image.files.read"}},
	{BugImageFilesUnbounded, "reads files of any size out of an image", []string{"image.files.read"}},
	{BugImageGuessed, "finds some image for any name", []string{"image.load.archive", "image.platform.other-not-found", "image.pull.absent", "image.pull.denied", "image.pull.unreachable", "image.ref.absent-not-found"}},
	{BugImageSignalIgnored, "does not read the image's stop signal", []string{"life.stop.signal-of-image"}},
	{BugImageUserIgnored, "runs as root when asked for the image's user", []string{"user.image.used"}},
	{BugInternalEgress, "lets internal networks reach the outside", []string{"network.internal.no-outside"}},
	{BugInternalResolves, "resolves names of the outside on internal networks", []string{"network.internal.no-outside"}},
	{BugIsolatedPeers, "lets isolated sandboxes reach each other", []string{"network.isolated.peers-apart"}},
	{BugKeepsNetRaw, "leaves NET_RAW to root", []string{"network.isolated.raw-sockets-refused", "security.capabilities.add", "security.capabilities.none-for-others", "security.capabilities.standard-set", "security.exec.as-confined"}},
	{BugLabelsLost, "loses the labels of the record", []string{"spec.labels.kept", "spec.record.round-trip"}},
	{BugLargeUIDCut, "cuts ids to 16 bits", []string{"user.caller.uid-600000000-owns-files"}},
	{BugLastLineLost, "loses a last line without an end", []string{"logs.output.hostile-bytes", "logs.output.no-newline", "logs.stderr.tail-kept"}},
	{BugLedgerLine, "leaves a field out of the ledger", []string{"plan.ledger.complete", "plan.ledger.complete-for-defaults"}},
	{BugListFilterIgnored, "lists everything whatever the labels", []string{"spec.labels.filter"}},
	{BugListRunningOnly, "lists running sandboxes only", []string{"concurrency.create.many", "concurrency.create.same-id", "concurrency.create.same-name", "life.create.same-again", "life.driver.second-sees-all", "spec.labels.filter"}},
	{BugLoadGarbage, "loads garbage without an error", []string{"image.load.garbage-invalid"}},
	{BugLoadNothing, "loads nothing", []string{"image.load.archive", "image.remove.in-use-conflict"}},
	{BugLogsCut, "keeps the first thousand entries of a log", []string{"logs.output.large", "logs.stderr.tail-kept"}},
	{BugLogsNeverStarted, "fails to read the log of what was never started", []string{"logs.sandbox.never-started"}},
	{BugLogsNewestFirst, "mixes up the order of a log", []string{"logs.order.kept", "logs.output.large"}},
	{BugLogsOfStarterOnly, "shows a log only to the driver that started the sandbox", []string{"logs.second-driver.same"}},
	{BugLogsText, "replaces bytes of a log", []string{"logs.output.hostile-bytes"}},
	{BugMemoryIgnored, "does not bound memory", []string{"resources.memory.bites", "resources.memory.ends-process", "resources.memory.told"}},
	{BugMemoryQuarter, "bounds memory to a quarter of the limit", []string{"resources.memory.enough"}},
	{BugMissingCommandCode, "ends a command that does not exist with 1", []string{"exec.command.missing", "exec.command.not-executable"}},
	{BugMissingCommandError, "fails when a command does not exist", []string{"exec.command.missing", "exec.command.not-executable"}},
	{BugMissingSourceIgnored, "creates with a bind whose source is missing", []string{"mount.bind.missing-source"}},
	{BugMountOrder, "mounts in the order of the spec", []string{"mount.target.nested"}},
	{BugNameClash, "gives one name to several sandboxes", []string{"concurrency.create.same-name", "spec.name.taken"}},
	{BugNameLost, "does not tell the name", []string{"spec.name.told"}},
	{BugNamesUnknown, "resolves no names of peers", []string{"network.additional.joined", "network.aliases.resolve", "network.internal.members-by-name", "network.named.joins", "network.shared.members-by-name"}},
	{BugNetworkCreateOnce, "refuses to make a network that exists", []string{"network.create.twice"}},
	{BugNetworkKindIgnored, "takes a network of another kind for the same", []string{"network.create.twice"}},
	{BugNetworkLeaked, "leaves the network of isolated sandboxes", []string{"cleanup.network.last-one-out", "cleanup.suite.leaves-nothing"}},
	{BugNetworkRemoveAbsent, "removes an absent network without an error", []string{"network.remove.absent"}},
	{BugNetworkRemoveInUse, "removes networks in use", []string{"network.remove.in-use"}},
	{BugNetworksTouch, "lets networks reach each other", []string{"network.shared.other-networks-apart"}},
	{BugNetworksUntold, "does not tell the addresses", []string{"network.additional.joined", "network.status.addresses"}},
	{BugNeverKills, "waits for ever when the stop signal is ignored", []string{"life.stop.kills-after-grace"}},
	{BugNoEgress, "keeps isolated sandboxes from the outside", []string{"network.isolated.reaches-outside"}},
	{BugNoExecIgnored, "executes files from mounts with noExec", []string{"mount.tmpfs.noexec"}},
	{BugNoFileIgnored, "does not bound open files", []string{"resources.nofile.limit"}},
	{BugNoFinishTime, "does not tell when a sandbox ended", []string{"life.inspect.times"}},
	{BugNoHalfClose, "does not pass the end of the input on", []string{"exec.stdin.round-trip", "spec.stdin.reaches-process"}},
	{BugNoNewPrivsAlways, "never allows new privileges", []string{"security.no-new-privileges.off-when-asked", "security.setuid.raises-nothing"}},
	{BugNoNewPrivsDropped, "always allows new privileges", []string{"security.exec.as-confined", "security.no-new-privileges.on", "security.setuid.raises-nothing"}},
	{BugNoRestart, "refuses to start what has ended", []string{"cleanup.network.last-one-out", "concurrency.start.races-stop", "life.engine-restart.keeps-sandbox", "life.start.after-exit"}},
	{BugNoSeccomp, "filters no system calls", []string{"security.exec.as-confined", "security.seccomp.default-filters", "security.seccomp.own-profile"}},
	{BugNoTTY, "gives no terminals", []string{"exec.tty.one-terminal", "exec.tty.resize", "exec.tty.size", "spec.tty.one-terminal"}},
	{BugNoUserIsNobody, "runs as nobody when the image has no user", []string{"user.image.without-one-is-root"}},
	{BugNoVersion, "does not tell the engine's version", []string{"probe.info.identity"}},
	{BugNoneHasNetwork, "gives a network to sandboxes of mode none", []string{"network.none.only-loopback", "network.none.reaches-nothing"}},
	{BugNotFoundInternal, "calls an absent sandbox a defect", []string{"errors.not-found.every-verb", "life.remove.absent-is-nil"}},
	{BugNotMasked, "shows what the kernel tells of the host", []string{"security.proc.masked"}},
	{BugNotRecursive, "makes only the mount itself read-only", []string{"mount.ro.recursive"}},
	{BugOOMUntold, "does not tell that the memory limit ended a process", []string{"resources.memory.told"}},
	{BugOneClient, "gives output to the first attached client only", []string{"attach.client.several"}},
	{BugOnePort, "publishes the first port only", []string{"binding.address.of-one-port", "binding.port.several", "binding.port.taken"}},
	{BugOverlayPlain, "binds the source of an overlay", []string{"mount.overlay.lower-untouched", "mount.overlay.upper-kept"}},
	{BugOverlayWritesThrough, "writes to the source of an overlay", []string{"mount.overlay.lower-untouched", "mount.overlay.upper-kept"}},
	{BugPauseIgnored, "does not pause", []string{"life.pause.freezes"}},
	{BugPauseStopped, "pauses what does not run", []string{"life.pause.not-running"}},
	{BugPausedUntold, "tells that a paused sandbox runs", []string{"life.pause.freezes"}},
	{BugPidsIgnored, "does not bound processes", []string{"resources.pids.bite"}},
	{BugPlanCreates, "makes a volume when it plans", []string{"binding.internal.answers", "cleanup.suite.leaves-nothing"}},
	{BugPlanShowsEnv, "shows variables in the plan", []string{"plan.native.hides-env"}},
	{BugPlanVaries, "plans differently every time", []string{"plan.result.pure"}},
	{BugPlanWritesRequest, "changes the request when it plans", []string{"plan.result.pure"}},
	{BugPlatformIgnored, "finds images for any platform", []string{"image.platform.other-not-found"}},
	{BugPlumbingListed, "lists its own network", []string{"network.create.listed"}},
	{BugPortAddressIgnored, "ignores a port's own address", []string{"binding.address.ipv6", "binding.address.of-one-port"}},
	{BugPortsDropped, "publishes nothing", []string{"binding.address.any-when-asked", "binding.address.as-asked", "binding.port.fixed", "binding.port.read-back", "binding.port.several", "binding.udp.answers"}},
	{BugPortsLeaked, "keeps ports after the end", []string{"binding.port.freed", "binding.port.taken"}},
	{BugPrivileged, "gives every capability", []string{"mount.bind.writes-private", "mount.ro.no-way-back", "network.isolated.raw-sockets-refused", "security.capabilities.add", "security.capabilities.drop", "security.capabilities.drop-all", "security.capabilities.none-for-others", "security.capabilities.standard-set", "security.devices.no-mknod", "security.exec.as-confined", "security.mount.forbidden", "security.rootfs.read-only", "security.seccomp.default-filters"}},
	{BugProbeLeaks, "makes a volume when it probes", []string{"cleanup.suite.leaves-nothing", "probe.info.changes-nothing"}},
	{BugProcWritable, "lets root change the kernel's settings", []string{"security.proc.not-writable"}},
	{BugProfileIgnored, "ignores a seccomp profile of the user's own", []string{"security.seccomp.own-profile"}},
	{BugPullAbsent, "calls an image that the registry lacks a defect", []string{"image.pull.absent"}},
	{BugPullDenied, "calls an image that the registry refuses absent", []string{"image.pull.denied"}},
	{BugPullNothing, "pulls nothing", []string{"image.pull.fetches"}},
	{BugPullSilent, "tells nothing of a pull's progress", []string{"image.pull.fetches"}},
	{BugPullUnreachable, "calls a registry that does not answer empty", []string{"image.pull.unreachable"}},
	{BugReadOnlyDropped, "drops mode ro", []string{"copy.to.read-only-conflict", "mount.ro.file", "mount.ro.no-way-back", "mount.ro.recursive", "mount.ro.writes-fail", "mount.volume.read-only"}},
	{BugRecordLost, "loses a part of the record", []string{"spec.record.round-trip"}},
	{BugRefusalHidesRest, "ends the ledger at the first refusal", []string{"binding.internal.answers", "binding.none.answers", "image.host.planned", "life.health.planned", "life.idle-timeout.planned", "life.restart.planned", "life.ttl.planned", "mount.selinux.accepted", "network.egress.planned", "plan.ledger.complete", "security.device.cdi-unknown-refused", "spec.agent-builtin.planned", "spec.agent-image.planned"}},
	{BugRefusalLeaves, "leaves a volume when it refuses", []string{"binding.internal.answers", "binding.none.answers", "cleanup.suite.leaves-nothing", "image.host.planned", "life.health.planned", "life.idle-timeout.planned", "life.restart.planned", "life.ttl.planned", "mount.selinux.accepted", "network.egress.planned", "security.device.cdi-unknown-refused", "security.runtime.unknown-refused", "spec.agent-builtin.planned", "spec.agent-image.planned", "spec.extension.unknown-key-refused"}},
	{BugRefusesNothing, "accepts what it lacks", []string{"binding.internal.answers", "binding.none.answers", "image.host.planned", "life.health.planned", "life.idle-timeout.planned", "life.restart.planned", "life.ttl.planned", "mount.selinux.accepted", "network.egress.planned", "security.device.cdi-unknown-refused", "spec.agent-builtin.planned", "spec.agent-image.planned"}},
	{BugRemovalUnwatched, "tells watchers nothing of removals", []string{"life.watch.events"}},
	{BugRemoveAbsent, "fails to remove what is absent", []string{"life.remove.absent-is-nil"}},
	{BugRemoveImageAbsent, "removes an absent image without an error", []string{"image.remove.absent-not-found"}},
	{BugRemoveImageInUse, "removes images in use", []string{"image.remove.in-use-conflict"}},
	{BugRemoveRunning, "removes running sandboxes without force", []string{"life.remove.running"}},
	{BugRemovesCollide, "fails when two removes of a sandbox meet", []string{"concurrency.remove.many-callers"}},
	{BugResizeIgnored, "does not resize terminals", []string{"exec.tty.resize"}},
	{BugRestartForgets, "starts again on a fresh root file system", []string{"life.engine-restart.keeps-sandbox", "life.start.after-exit"}},
	{BugRootReadOnly, "makes every root file system read-only", []string{"security.rootfs.writable-by-default"}},
	{BugRootWritable, "ignores readOnlyRoot", []string{"security.rootfs.read-only"}},
	{BugRuntimeIgnored, "takes any runtime", []string{"security.runtime.unknown-refused"}},
	{BugRuntimeRefused, "refuses every runtime that is named", []string{"security.runtime.default-named"}},
	{BugSandboxLeaked, "keeps the sandbox when it is removed", []string{"cleanup.remove.takes-everything", "cleanup.suite.leaves-nothing", "concurrency.remove.many-callers", "life.driver.second-sees-all", "life.remove.running"}},
	{BugSecretsShown, "stores the environment in the record", []string{"spec.env.never-shown", "spec.record.round-trip"}},
	{BugSharedNoEgress, "keeps shared networks from the outside", []string{"network.shared.reaches-outside"}},
	{BugShmIgnored, "ignores the size of /dev/shm", []string{"resources.shm.size"}},
	{BugSignalCodeLost, "tells n instead of 128+n", []string{"concurrency.start.races-stop", "life.exit.codes-pass", "life.exit.killed", "life.stop.kills-after-grace", "life.stop.zero-grace-kills", "resources.memory.ends-process"}},
	{BugSignalLost, "loses signals", []string{"life.signal.delivered"}},
	{BugSignalStopped, "signals what does not run, without an error", []string{"life.signal.not-running"}},
	{BugSinceIgnored, "ignores since", []string{"logs.since.later-entries"}},
	{BugStartTwice, "fails to start what runs", []string{"concurrency.start.races-stop", "life.start.cancelled", "life.start.twice"}},
	{BugStatsEmpty, "tells that nothing is used", []string{"stats.read.running"}},
	{BugStatsStopped, "tells the use of what does not run", []string{"stats.read.not-running"}},
	{BugStderrTailLost, "loses what is on its way to stderr at the end", []string{"attach.before-start.misses-nothing", "exec.streams.separate"}},
	{BugStderrUnlogged, "does not log stderr", []string{"logs.order.kept", "logs.since.later-entries", "logs.stderr.tail-kept", "logs.streams.tagged"}},
	{BugStdinCut, "drops input after 64 KiB", []string{"exec.stdin.round-trip", "spec.stdin.reaches-process"}},
	{BugStdinDropped, "connects no input", []string{"spec.stdin.reaches-process"}},
	{BugStopOptionIgnored, "ignores the options of a stop", []string{"life.stop.signal-option", "life.stop.zero-grace-kills", "life.exit.killed"}},
	{BugStopReturnsEarly, "returns from a stop before the end", []string{"errors.context.prompt", "life.stop.grace-honoured", "life.stop.kills-after-grace"}},
	{BugStopSignalIgnored, "ignores the spec's stop signal", []string{"life.stop.signal-of-spec"}},
	{BugStopTwice, "fails to stop what does not run", []string{"concurrency.start.races-stop", "life.stop.not-running"}},
	{BugStreamsMerged, "calls all of a log stdout", []string{"logs.order.kept", "logs.stderr.tail-kept", "logs.streams.tagged"}},
	{BugStreamsSwapped, "swaps the output streams", []string{"attach.before-start.misses-nothing", "logs.streams.tagged"}},
	{BugSubmountHidden, "does not show what is mounted below a bind", []string{"mount.rw.submount-writable"}},
	{BugTTYLosesErrors, "drops stderr on a terminal", []string{"exec.tty.one-terminal", "spec.tty.one-terminal"}},
	{BugTTYSizeIgnored, "ignores the size asked for", []string{"exec.tty.size"}},
	{BugTailIgnored, "ignores tail", []string{"logs.tail.last-entries"}},
	{BugTailOffByOne, "keeps one entry more than asked for", []string{"logs.tail.last-entries"}},
	{BugTakenPortIgnored, "starts without a port that is taken", []string{"binding.port.taken"}},
	{BugTakenPortInternal, "calls a port that is taken a defect", []string{"binding.port.taken"}},
	{BugTargetNotMade, "makes no targets", []string{"mount.target.created"}},
	{BugTmpfsNeverExec, "executes nothing from a tmpfs", []string{"mount.tmpfs.exec"}},
	{BugTmpfsNotWritable, "makes a tmpfs that only root can write", []string{"mount.tmpfs.writable"}},
	{BugTmpfsSizeIgnored, "does not bound a tmpfs", []string{"mount.tmpfs.size"}},
	{BugUDPAsTCP, "publishes UDP ports as TCP", []string{"binding.udp.answers"}},
	{BugUnavailableInternal, "calls an engine that does not answer a defect", []string{"errors.unavailable.no-engine", "errors.unavailable.no-permission", "life.engine-restart.keeps-sandbox"}},
	{BugUnconfinedIgnored, "filters where it should not", []string{"security.seccomp.unconfined"}},
	{BugVerbMissing, "is no Pauser and claims to pause", []string{"life.pause.freezes", "life.pause.not-running", "probe.claims.agree-with-interfaces", "stats.read.not-running", "stats.read.running"}},
	{BugVolumeForgets, "empties named volumes", []string{"mount.volume.persists", "mount.volume.read-only"}},
	{BugVolumeLeaked, "keeps anonymous volumes", []string{"cleanup.remove.takes-everything", "cleanup.start.failure-leaves-removable", "cleanup.suite.leaves-nothing", "image.volume.removed-with-sandbox", "mount.volume.anonymous-removed"}},
	{BugWaitIgnoresContext, "waits on when the context has ended", []string{"life.wait.context"}},
	{BugWaitNeverStarted, "waits for what was never started", []string{"life.create.not-started"}},
	{BugWaitOnce, "tells the exit to one waiter only", []string{"life.start.after-exit", "life.stop.not-running", "life.wait.every-waiter"}},
	{BugWorkdirIgnored, "starts in the root directory", []string{"exec.workdir.used", "spec.workdir.of-image", "spec.workdir.used"}},
	{BugWrongCapability, "names another capability in a refusal", []string{"binding.internal.answers", "binding.none.answers", "image.host.planned", "life.health.planned", "life.idle-timeout.planned", "life.restart.planned", "life.ttl.planned", "mount.selinux.accepted", "network.egress.planned", "plan.refusal.names-every-field", "security.device.cdi-unknown-refused", "spec.agent-builtin.planned", "spec.agent-image.planned"}},
	{BugWrongOwner, "writes to binds as another user", []string{"user.caller.clash-with-image", "user.caller.owns-own-files", "user.caller.uid-0-owns-files", "user.caller.uid-1000-owns-files", "user.caller.uid-1001-owns-files", "user.caller.uid-501-owns-files", "user.caller.uid-600000000-owns-files"}},
	{BugWrongReadBack, "tells the host port that was asked for instead of the real one", []string{"binding.address.any-when-asked", "binding.address.as-asked", "binding.address.ipv6", "binding.address.loopback-by-default", "binding.address.of-one-port", "binding.port.freed", "binding.port.read-back", "binding.port.several", "binding.udp.answers"}},
}
