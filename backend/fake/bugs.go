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
	{BugAbsentImageMade, "creates from some other image when the one asked for is absent", []string{}},
	{BugAbsentIsNil, "inspects an absent sandbox without an error", []string{}},
	{BugAbsentNetworkMade, "makes a network that a sandbox asks for and that is absent", []string{}},
	{BugAdditionalDropped, "joins no additional network", []string{}},
	{BugAliasesDropped, "gives no aliases", []string{}},
	{BugAlwaysRoot, "runs everything as root", []string{}},
	{BugArgsSplit, "joins the arguments with spaces and splits them again", []string{}},
	{BugAttachMisses, "gives nothing to a client that attached before the start", []string{}},
	{BugAttachNoReplay, "does not replay what was written before", []string{}},
	{BugBindReadOnly, "makes every bind read-only", []string{}},
	{BugBindStale, "does not see what the host makes in a bind later", []string{}},
	{BugBindsEverywhere, "publishes ports on 0.0.0.0 and tells 127.0.0.1", []string{}},
	{BugCPUsIgnored, "does not bound processor time", []string{}},
	{BugCancelLeaves, "leaves the sandbox of a cancelled create", []string{}},
	{BugCapAddIgnored, "adds no capability", []string{}},
	{BugCapDropIgnored, "drops no capability", []string{}},
	{BugCapsForAll, "gives root's capabilities to every user", []string{}},
	{BugClaimMissing, "makes no claim about a capability", []string{}},
	{BugClaimWithoutFact, "claims something by a fact that it does not have", []string{}},
	{BugCloseKills, "kills a further process when its client goes", []string{}},
	{BugCommitEmpty, "commits the image of the sandbox instead of its files", []string{}},
	{BugContextIgnored, "goes on when the context has ended", []string{}},
	{BugContextWrapped, "wraps the context's error in one of its own", []string{}},
	{BugCopyAbsentEmpty, "gives an empty archive of a path that does not exist", []string{}},
	{BugCopyEscapes, "follows .. in the names of an archive", []string{}},
	{BugCopyFollows, "follows a symbolic link when it copies out", []string{}},
	{BugCopyMakesDir, "takes a copy into a directory that does not exist, and drops it", []string{}},
	{BugCopyModeLost, "gives every copied file the mode 0644", []string{}},
	{BugCopyNeedsRunning, "copies only while a sandbox runs", []string{}},
	{BugCopyOwnerLost, "gives every copied file to root", []string{}},
	{BugCopyReadOnly, "copies into read-only mounts", []string{}},
	{BugCreateNotIdempotent, "refuses the same create a second time", []string{}},
	{BugCreateStarts, "starts what it creates", []string{}},
	{BugCreatesCollide, "fails when two creates meet", []string{}},
	{BugDevicesDropped, "makes no device of the spec", []string{}},
	{BugDigestIgnored, "returns a sandbox with another digest", []string{}},
	{BugDiskIgnored, "does not bound the root file system", []string{}},
	{BugEngineRestartForgets, "forgets its sandboxes when the engine restarts", []string{}},
	{BugEngineRestartKills, "ends running sandboxes when the engine restarts, whatever it claims", []string{}},
	{BugEnvCut, "cuts variables at the first line break", []string{}},
	{BugEnvLeaked, "gives a variable of the engine's own environment", []string{}},
	{BugErrorsTwice, "wraps its own errors", []string{}},
	{BugExecArgsSplit, "splits the arguments of a further process", []string{}},
	{BugExecCodeLost, "tells 0 for every further process", []string{}},
	{BugExecContextKills, "kills a further process when the context of its start ends", []string{}},
	{BugExecEnvIgnored, "adds no variables to a further process", []string{}},
	{BugExecOutputCut, "drops the output of a further process after 64 KiB", []string{}},
	{BugExecPaused, "resumes a paused sandbox for a further process", []string{}},
	{BugExecStoppedKind, "calls an exec in a stopped sandbox a defect", []string{}},
	{BugExecStreamsSwapped, "swaps the output streams of a further process", []string{}},
	{BugExecUnconfined, "does not confine further processes", []string{}},
	{BugExecUserIgnored, "runs further processes as the sandbox's user always", []string{}},
	{BugExecWorkdirIgnored, "starts further processes in the sandbox's directory always", []string{}},
	{BugExecsMixed, "gives the output of all further processes to the last client", []string{}},
	{BugExitCodeLost, "tells 0 for every main process", []string{}},
	{BugExtensionIgnored, "takes settings that it does not know", []string{}},
	{BugExtraGroups, "adds a group", []string{}},
	{BugFailedStartPhase, "calls a sandbox that could not be started ended", []string{}},
	{BugFileBindRefused, "binds folders only", []string{}},
	{BugFirstRefusalOnly, "names only the first field that it refuses", []string{}},
	{BugFixedPortIgnored, "takes another host port than the one asked for", []string{}},
	{BugFollowIgnored, "does not follow", []string{}},
	{BugFollowIgnoresContext, "follows on when the context has ended", []string{}},
	{BugFollowNeverEnds, "follows on after the end", []string{}},
	{BugForceIgnored, "does not remove running sandboxes by force", []string{}},
	{BugForeignTouched, "removes networks that are not berth's", []string{}},
	{BugGIDDropped, "runs with gid 0", []string{}},
	{BugGraceIgnored, "kills at once", []string{}},
	{BugGraceOfSpecIgnored, "waits ten seconds whatever the spec's grace", []string{}},
	{BugGroupsDropped, "gives no supplementary groups", []string{}},
	{BugHostAliasAlways, "resolves the host's names without being asked", []string{}},
	{BugHostAliasDropped, "does not resolve the host's names", []string{}},
	{BugHostDevices, "shows a disk of the host", []string{}},
	{BugHostModeApart, "gives a network of its own in mode host", []string{}},
	{BugHostPIDs, "shows processes of the host", []string{}},
	{BugHostReachable, "lets sandboxes reach the host's services and claims not to", []string{}},
	{BugImageConfigLost, "loses parts of an image's configuration", []string{}},
	{BugImageEnvDropped, "drops the image's environment", []string{}},
	{BugImageFilesInvented, "gives an empty file for a path that the image lacks", []string{}},
	{BugImageFilesUnbounded, "reads files of any size out of an image", []string{}},
	{BugImageGuessed, "finds some image for any name", []string{}},
	{BugImageSignalIgnored, "does not read the image's stop signal", []string{}},
	{BugImageUserIgnored, "runs as root when asked for the image's user", []string{}},
	{BugInternalEgress, "lets internal networks reach the outside", []string{}},
	{BugInternalResolves, "resolves names of the outside on internal networks", []string{}},
	{BugIsolatedPeers, "lets isolated sandboxes reach each other", []string{}},
	{BugKeepsNetRaw, "leaves NET_RAW to root", []string{}},
	{BugLabelsLost, "loses the labels of the record", []string{}},
	{BugLargeUIDCut, "cuts ids to 16 bits", []string{}},
	{BugLastLineLost, "loses a last line without an end", []string{}},
	{BugLedgerLine, "leaves a field out of the ledger", []string{}},
	{BugListFilterIgnored, "lists everything whatever the labels", []string{}},
	{BugListRunningOnly, "lists running sandboxes only", []string{}},
	{BugLoadGarbage, "loads garbage without an error", []string{}},
	{BugLoadNothing, "loads nothing", []string{}},
	{BugLogsCut, "keeps the first thousand entries of a log", []string{}},
	{BugLogsNeverStarted, "fails to read the log of what was never started", []string{}},
	{BugLogsNewestFirst, "mixes up the order of a log", []string{}},
	{BugLogsText, "replaces bytes of a log", []string{}},
	{BugMemoryIgnored, "does not bound memory", []string{}},
	{BugMemoryQuarter, "bounds memory to a quarter of the limit", []string{}},
	{BugMissingCommandCode, "ends a command that does not exist with 1", []string{}},
	{BugMissingCommandError, "fails when a command does not exist", []string{}},
	{BugMissingSourceIgnored, "creates with a bind whose source is missing", []string{}},
	{BugMountOrder, "mounts in the order of the spec", []string{}},
	{BugNameClash, "gives one name to several sandboxes", []string{}},
	{BugNameLost, "does not tell the name", []string{}},
	{BugNamesUnknown, "resolves no names of peers", []string{}},
	{BugNetworkCreateOnce, "refuses to make a network that exists", []string{}},
	{BugNetworkKindIgnored, "takes a network of another kind for the same", []string{}},
	{BugNetworkLeaked, "leaves the network of isolated sandboxes", []string{}},
	{BugNetworkRemoveAbsent, "removes an absent network without an error", []string{}},
	{BugNetworkRemoveInUse, "removes networks in use", []string{}},
	{BugNetworksTouch, "lets networks reach each other", []string{}},
	{BugNetworksUntold, "does not tell the addresses", []string{}},
	{BugNeverKills, "waits for ever when the stop signal is ignored", []string{}},
	{BugNoEgress, "keeps isolated sandboxes from the outside", []string{}},
	{BugNoExecIgnored, "executes files from mounts with noExec", []string{}},
	{BugNoFileIgnored, "does not bound open files", []string{}},
	{BugNoFinishTime, "does not tell when a sandbox ended", []string{}},
	{BugNoHalfClose, "does not pass the end of the input on", []string{}},
	{BugNoNewPrivsAlways, "never allows new privileges", []string{}},
	{BugNoNewPrivsDropped, "always allows new privileges", []string{}},
	{BugNoRestart, "refuses to start what has ended", []string{}},
	{BugNoSeccomp, "filters no system calls", []string{}},
	{BugNoTTY, "gives no terminals", []string{}},
	{BugNoUserIsNobody, "runs as nobody when the image has no user", []string{}},
	{BugNoVersion, "does not tell the engine's version", []string{}},
	{BugNoneHasNetwork, "gives a network to sandboxes of mode none", []string{}},
	{BugNotFoundInternal, "calls an absent sandbox a defect", []string{}},
	{BugNotMasked, "shows what the kernel tells of the host", []string{}},
	{BugNotRecursive, "makes only the mount itself read-only", []string{}},
	{BugOOMUntold, "does not tell that the memory limit ended a process", []string{}},
	{BugOneClient, "gives output to the first attached client only", []string{}},
	{BugOnePort, "publishes the first port only", []string{}},
	{BugOverlayPlain, "binds the source of an overlay", []string{}},
	{BugOverlayWritesThrough, "writes to the source of an overlay", []string{}},
	{BugPauseIgnored, "does not pause", []string{}},
	{BugPauseStopped, "pauses what does not run", []string{}},
	{BugPausedUntold, "tells that a paused sandbox runs", []string{}},
	{BugPidsIgnored, "does not bound processes", []string{}},
	{BugPlanCreates, "makes a volume when it plans", []string{}},
	{BugPlanShowsEnv, "shows variables in the plan", []string{}},
	{BugPlanVaries, "plans differently every time", []string{}},
	{BugPlanWritesRequest, "changes the request when it plans", []string{}},
	{BugPlatformIgnored, "finds images for any platform", []string{}},
	{BugPlumbingListed, "lists its own network", []string{}},
	{BugPortAddressIgnored, "ignores a port's own address", []string{}},
	{BugPortsDropped, "publishes nothing", []string{}},
	{BugPortsLeaked, "keeps ports after the end", []string{}},
	{BugPrivileged, "gives every capability", []string{}},
	{BugProbeLeaks, "makes a volume when it probes", []string{}},
	{BugProcWritable, "lets root change the kernel's settings", []string{}},
	{BugProfileIgnored, "ignores a seccomp profile of the user's own", []string{}},
	{BugPullAbsent, "calls an image that the registry lacks a defect", []string{}},
	{BugPullDenied, "calls an image that the registry refuses absent", []string{}},
	{BugPullNothing, "pulls nothing", []string{}},
	{BugPullSilent, "tells nothing of a pull's progress", []string{}},
	{BugPullUnreachable, "calls a registry that does not answer empty", []string{}},
	{BugReadOnlyDropped, "drops mode ro", []string{}},
	{BugRecordLost, "loses a part of the record", []string{}},
	{BugRefusalHidesRest, "ends the ledger at the first refusal", []string{}},
	{BugRefusalLeaves, "leaves a volume when it refuses", []string{}},
	{BugRefusesNothing, "accepts what it lacks", []string{}},
	{BugRemovalUnwatched, "tells watchers nothing of removals", []string{}},
	{BugRemoveAbsent, "fails to remove what is absent", []string{}},
	{BugRemoveImageAbsent, "removes an absent image without an error", []string{}},
	{BugRemoveImageInUse, "removes images in use", []string{}},
	{BugRemoveRunning, "removes running sandboxes without force", []string{}},
	{BugRemovesCollide, "fails when two removes of a sandbox meet", []string{}},
	{BugResizeIgnored, "does not resize terminals", []string{}},
	{BugRestartForgets, "starts again on a fresh root file system", []string{}},
	{BugRootReadOnly, "makes every root file system read-only", []string{}},
	{BugRootWritable, "ignores readOnlyRoot", []string{}},
	{BugRuntimeIgnored, "takes any runtime", []string{}},
	{BugRuntimeRefused, "refuses every runtime that is named", []string{}},
	{BugSandboxLeaked, "keeps the sandbox when it is removed", []string{}},
	{BugSecretsShown, "stores the environment in the record", []string{}},
	{BugSharedNoEgress, "keeps shared networks from the outside", []string{}},
	{BugShmIgnored, "ignores the size of /dev/shm", []string{}},
	{BugSignalCodeLost, "tells n instead of 128+n", []string{}},
	{BugSignalLost, "loses signals", []string{}},
	{BugSignalStopped, "signals what does not run, without an error", []string{}},
	{BugSinceIgnored, "ignores since", []string{}},
	{BugStartTwice, "fails to start what runs", []string{}},
	{BugStatsEmpty, "tells that nothing is used", []string{}},
	{BugStatsStopped, "tells the use of what does not run", []string{}},
	{BugStderrTailLost, "loses what is on its way to stderr at the end", []string{}},
	{BugStderrUnlogged, "does not log stderr", []string{}},
	{BugStdinCut, "drops input after 64 KiB", []string{}},
	{BugStdinDropped, "connects no input", []string{}},
	{BugStopOptionIgnored, "ignores the options of a stop", []string{}},
	{BugStopReturnsEarly, "returns from a stop before the end", []string{}},
	{BugStopSignalIgnored, "ignores the spec's stop signal", []string{}},
	{BugStopTwice, "fails to stop what does not run", []string{}},
	{BugStreamsMerged, "calls all of a log stdout", []string{}},
	{BugStreamsSwapped, "swaps the output streams", []string{}},
	{BugSubmountHidden, "does not show what is mounted below a bind", []string{}},
	{BugTTYLosesErrors, "drops stderr on a terminal", []string{}},
	{BugTTYSizeIgnored, "ignores the size asked for", []string{}},
	{BugTailIgnored, "ignores tail", []string{}},
	{BugTailOffByOne, "keeps one entry more than asked for", []string{}},
	{BugTakenPortIgnored, "starts without a port that is taken", []string{}},
	{BugTakenPortInternal, "calls a port that is taken a defect", []string{}},
	{BugTargetNotMade, "makes no targets", []string{}},
	{BugTmpfsNeverExec, "executes nothing from a tmpfs", []string{}},
	{BugTmpfsNotWritable, "makes a tmpfs that only root can write", []string{}},
	{BugTmpfsSizeIgnored, "does not bound a tmpfs", []string{}},
	{BugUDPAsTCP, "publishes UDP ports as TCP", []string{}},
	{BugUnavailableInternal, "calls an engine that does not answer a defect", []string{}},
	{BugUnconfinedIgnored, "filters where it should not", []string{}},
	{BugVerbMissing, "is no Pauser and claims to pause", []string{}},
	{BugVolumeForgets, "empties named volumes", []string{}},
	{BugVolumeLeaked, "keeps anonymous volumes", []string{}},
	{BugWaitIgnoresContext, "waits on when the context has ended", []string{}},
	{BugWaitNeverStarted, "waits for what was never started", []string{}},
	{BugWaitOnce, "tells the exit to one waiter only", []string{}},
	{BugWorkdirIgnored, "starts in the root directory", []string{}},
	{BugWrongCapability, "names another capability in a refusal", []string{}},
	{BugWrongOwner, "writes to binds as another user", []string{}},
	{BugWrongReadBack, "tells the host port that was asked for instead of the real one", []string{}},
}
