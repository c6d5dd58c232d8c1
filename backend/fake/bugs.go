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
	BugCopyOwnerLost        Bug = "copy-owner-lost"
	BugCopyReadOnly         Bug = "copy-read-only"
	BugCreateNotIdempotent  Bug = "create-not-idempotent"
	BugCreateStarts         Bug = "create-starts"
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
	BugExitCodeLost         Bug = "exit-code-lost"
	BugExtensionIgnored     Bug = "extension-ignored"
	BugExtraGroups          Bug = "extra-groups"
	BugFailedStartPhase     Bug = "failed-start-phase"
	BugFirstRefusalOnly     Bug = "first-refusal-only"
	BugFixedPortIgnored     Bug = "fixed-port-ignored"
	BugFollowIgnored        Bug = "follow-ignored"
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
	BugLogsNewestFirst      Bug = "logs-newest-first"
	BugLogsText             Bug = "logs-text"
	BugMemoryIgnored        Bug = "memory-ignored"
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
	BugNoVersion            Bug = "no-version"
	BugNoneHasNetwork       Bug = "none-has-network"
	BugNotFoundInternal     Bug = "not-found-internal"
	BugNotMasked            Bug = "not-masked"
	BugNotRecursive         Bug = "not-recursive"
	BugOOMUntold            Bug = "oom-untold"
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
	BugResizeIgnored        Bug = "resize-ignored"
	BugRestartForgets       Bug = "restart-forgets"
	BugRootWritable         Bug = "root-writable"
	BugRuntimeIgnored       Bug = "runtime-ignored"
	BugSandboxLeaked        Bug = "sandbox-leaked"
	BugSecretsShown         Bug = "secrets-shown"
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
	BugTTYLosesErrors       Bug = "tty-loses-errors"
	BugTTYSizeIgnored       Bug = "tty-size-ignored"
	BugTailIgnored          Bug = "tail-ignored"
	BugTailOffByOne         Bug = "tail-off-by-one"
	BugTakenPortIgnored     Bug = "taken-port-ignored"
	BugTakenPortInternal    Bug = "taken-port-internal"
	BugTmpfsNeverExec       Bug = "tmpfs-never-exec"
	BugTmpfsNotWritable     Bug = "tmpfs-not-writable"
	BugTmpfsSizeIgnored     Bug = "tmpfs-size-ignored"
	BugUDPAsTCP             Bug = "udp-as-tcp"
	BugUnavailableInternal  Bug = "unavailable-internal"
	BugUnconfinedIgnored    Bug = "unconfined-ignored"
	BugVolumeForgets        Bug = "volume-forgets"
	BugVolumeLeaked         Bug = "volume-leaked"
	BugWaitNeverStarted     Bug = "wait-never-started"
	BugWaitOnce             Bug = "wait-once"
	BugWorkdirIgnored       Bug = "workdir-ignored"
	BugWrongCapability      Bug = "wrong-capability"
	BugWrongOwner           Bug = "wrong-owner"
	BugWrongReadBack        Bug = "wrong-read-back"
)

var mutants = []Mutant{
	{BugAbsentImageMade, "", []string{}},
	{BugAbsentIsNil, "", []string{}},
	{BugAbsentNetworkMade, "", []string{}},
	{BugAdditionalDropped, "", []string{}},
	{BugAliasesDropped, "", []string{}},
	{BugAlwaysRoot, "", []string{}},
	{BugArgsSplit, "", []string{}},
	{BugAttachMisses, "", []string{}},
	{BugAttachNoReplay, "", []string{}},
	{BugBindsEverywhere, "", []string{}},
	{BugCPUsIgnored, "", []string{}},
	{BugCancelLeaves, "", []string{}},
	{BugCapAddIgnored, "", []string{}},
	{BugCapDropIgnored, "", []string{}},
	{BugCapsForAll, "", []string{}},
	{BugClaimMissing, "", []string{}},
	{BugClaimWithoutFact, "", []string{}},
	{BugCloseKills, "", []string{}},
	{BugCommitEmpty, "", []string{}},
	{BugContextIgnored, "", []string{}},
	{BugContextWrapped, "", []string{}},
	{BugCopyAbsentEmpty, "", []string{}},
	{BugCopyEscapes, "", []string{}},
	{BugCopyFollows, "", []string{}},
	{BugCopyMakesDir, "", []string{}},
	{BugCopyModeLost, "", []string{}},
	{BugCopyOwnerLost, "", []string{}},
	{BugCopyReadOnly, "", []string{}},
	{BugCreateNotIdempotent, "", []string{}},
	{BugCreateStarts, "", []string{}},
	{BugDevicesDropped, "", []string{}},
	{BugDigestIgnored, "", []string{}},
	{BugDiskIgnored, "", []string{}},
	{BugEngineRestartForgets, "", []string{}},
	{BugEngineRestartKills, "", []string{}},
	{BugEnvCut, "", []string{}},
	{BugEnvLeaked, "", []string{}},
	{BugErrorsTwice, "", []string{}},
	{BugExecArgsSplit, "", []string{}},
	{BugExecCodeLost, "", []string{}},
	{BugExecContextKills, "", []string{}},
	{BugExecEnvIgnored, "", []string{}},
	{BugExecOutputCut, "", []string{}},
	{BugExecPaused, "", []string{}},
	{BugExecStoppedKind, "", []string{}},
	{BugExecStreamsSwapped, "", []string{}},
	{BugExecUnconfined, "", []string{}},
	{BugExecUserIgnored, "", []string{}},
	{BugExecWorkdirIgnored, "", []string{}},
	{BugExitCodeLost, "", []string{}},
	{BugExtensionIgnored, "", []string{}},
	{BugExtraGroups, "", []string{}},
	{BugFailedStartPhase, "", []string{}},
	{BugFirstRefusalOnly, "", []string{}},
	{BugFixedPortIgnored, "", []string{}},
	{BugFollowIgnored, "", []string{}},
	{BugFollowNeverEnds, "", []string{}},
	{BugForceIgnored, "", []string{}},
	{BugForeignTouched, "", []string{}},
	{BugGIDDropped, "", []string{}},
	{BugGraceIgnored, "", []string{}},
	{BugGraceOfSpecIgnored, "", []string{}},
	{BugGroupsDropped, "", []string{}},
	{BugHostAliasAlways, "", []string{}},
	{BugHostAliasDropped, "", []string{}},
	{BugHostDevices, "", []string{}},
	{BugHostModeApart, "", []string{}},
	{BugHostPIDs, "", []string{}},
	{BugHostReachable, "", []string{}},
	{BugImageConfigLost, "", []string{}},
	{BugImageEnvDropped, "", []string{}},
	{BugImageFilesInvented, "", []string{}},
	{BugImageFilesUnbounded, "", []string{}},
	{BugImageSignalIgnored, "", []string{}},
	{BugImageUserIgnored, "", []string{}},
	{BugInternalEgress, "", []string{}},
	{BugInternalResolves, "", []string{}},
	{BugIsolatedPeers, "", []string{}},
	{BugKeepsNetRaw, "", []string{}},
	{BugLabelsLost, "", []string{}},
	{BugLargeUIDCut, "", []string{}},
	{BugLastLineLost, "", []string{}},
	{BugLedgerLine, "", []string{}},
	{BugListFilterIgnored, "", []string{}},
	{BugListRunningOnly, "", []string{}},
	{BugLoadGarbage, "", []string{}},
	{BugLoadNothing, "", []string{}},
	{BugLogsCut, "", []string{}},
	{BugLogsNewestFirst, "", []string{}},
	{BugLogsText, "", []string{}},
	{BugMemoryIgnored, "", []string{}},
	{BugMissingCommandCode, "", []string{}},
	{BugMissingCommandError, "", []string{}},
	{BugMissingSourceIgnored, "", []string{}},
	{BugMountOrder, "", []string{}},
	{BugNameClash, "", []string{}},
	{BugNameLost, "", []string{}},
	{BugNamesUnknown, "", []string{}},
	{BugNetworkCreateOnce, "", []string{}},
	{BugNetworkKindIgnored, "", []string{}},
	{BugNetworkLeaked, "", []string{}},
	{BugNetworkRemoveAbsent, "", []string{}},
	{BugNetworkRemoveInUse, "", []string{}},
	{BugNetworksTouch, "", []string{}},
	{BugNetworksUntold, "", []string{}},
	{BugNeverKills, "", []string{}},
	{BugNoEgress, "", []string{}},
	{BugNoExecIgnored, "", []string{}},
	{BugNoFileIgnored, "", []string{}},
	{BugNoFinishTime, "", []string{}},
	{BugNoHalfClose, "", []string{}},
	{BugNoNewPrivsAlways, "", []string{}},
	{BugNoNewPrivsDropped, "", []string{}},
	{BugNoRestart, "", []string{}},
	{BugNoSeccomp, "", []string{}},
	{BugNoTTY, "", []string{}},
	{BugNoVersion, "", []string{}},
	{BugNoneHasNetwork, "", []string{}},
	{BugNotFoundInternal, "", []string{}},
	{BugNotMasked, "", []string{}},
	{BugNotRecursive, "", []string{}},
	{BugOOMUntold, "", []string{}},
	{BugOnePort, "", []string{}},
	{BugOverlayPlain, "", []string{}},
	{BugOverlayWritesThrough, "", []string{}},
	{BugPauseIgnored, "", []string{}},
	{BugPauseStopped, "", []string{}},
	{BugPausedUntold, "", []string{}},
	{BugPidsIgnored, "", []string{}},
	{BugPlanCreates, "", []string{}},
	{BugPlanShowsEnv, "", []string{}},
	{BugPlanVaries, "", []string{}},
	{BugPlanWritesRequest, "", []string{}},
	{BugPlatformIgnored, "", []string{}},
	{BugPlumbingListed, "", []string{}},
	{BugPortAddressIgnored, "", []string{}},
	{BugPortsDropped, "", []string{}},
	{BugPortsLeaked, "", []string{}},
	{BugPrivileged, "", []string{}},
	{BugProbeLeaks, "", []string{}},
	{BugProcWritable, "", []string{}},
	{BugProfileIgnored, "", []string{}},
	{BugPullAbsent, "", []string{}},
	{BugPullDenied, "", []string{}},
	{BugPullNothing, "", []string{}},
	{BugPullSilent, "", []string{}},
	{BugPullUnreachable, "", []string{}},
	{BugReadOnlyDropped, "", []string{}},
	{BugRecordLost, "", []string{}},
	{BugRefusalHidesRest, "", []string{}},
	{BugRefusalLeaves, "", []string{}},
	{BugRefusesNothing, "", []string{}},
	{BugRemovalUnwatched, "", []string{}},
	{BugRemoveAbsent, "", []string{}},
	{BugRemoveImageAbsent, "", []string{}},
	{BugRemoveImageInUse, "", []string{}},
	{BugRemoveRunning, "", []string{}},
	{BugResizeIgnored, "", []string{}},
	{BugRestartForgets, "", []string{}},
	{BugRootWritable, "", []string{}},
	{BugRuntimeIgnored, "", []string{}},
	{BugSandboxLeaked, "", []string{}},
	{BugSecretsShown, "", []string{}},
	{BugShmIgnored, "", []string{}},
	{BugSignalCodeLost, "", []string{}},
	{BugSignalLost, "", []string{}},
	{BugSignalStopped, "", []string{}},
	{BugSinceIgnored, "", []string{}},
	{BugStartTwice, "", []string{}},
	{BugStatsEmpty, "", []string{}},
	{BugStatsStopped, "", []string{}},
	{BugStderrTailLost, "", []string{}},
	{BugStderrUnlogged, "", []string{}},
	{BugStdinCut, "", []string{}},
	{BugStdinDropped, "", []string{}},
	{BugStopOptionIgnored, "", []string{}},
	{BugStopReturnsEarly, "", []string{}},
	{BugStopSignalIgnored, "", []string{}},
	{BugStopTwice, "", []string{}},
	{BugStreamsMerged, "", []string{}},
	{BugStreamsSwapped, "", []string{}},
	{BugTTYLosesErrors, "", []string{}},
	{BugTTYSizeIgnored, "", []string{}},
	{BugTailIgnored, "", []string{}},
	{BugTailOffByOne, "", []string{}},
	{BugTakenPortIgnored, "", []string{}},
	{BugTakenPortInternal, "", []string{}},
	{BugTmpfsNeverExec, "", []string{}},
	{BugTmpfsNotWritable, "", []string{}},
	{BugTmpfsSizeIgnored, "", []string{}},
	{BugUDPAsTCP, "", []string{}},
	{BugUnavailableInternal, "", []string{}},
	{BugUnconfinedIgnored, "", []string{}},
	{BugVolumeForgets, "", []string{}},
	{BugVolumeLeaked, "", []string{}},
	{BugWaitNeverStarted, "", []string{}},
	{BugWaitOnce, "", []string{}},
	{BugWorkdirIgnored, "", []string{}},
	{BugWrongCapability, "", []string{}},
	{BugWrongOwner, "", []string{}},
	{BugWrongReadBack, "", []string{}},
}
