// SPDX-License-Identifier: Apache-2.0

package spec

import "slices"

// Level says how binding a clause is, in the words of RFC 2119.
type Level string

// The levels.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
	May    Level = "MAY"
)

// Clause is one normative sentence of the contract between the user of a spec
// and every backend. Package conformance tests clauses; documents cite them.
type Clause struct {
	// ID is dotted lower-case words. It is never renamed.
	ID string `json:"id"`
	// Level is how binding it is.
	Level Level `json:"level"`
	// Text is the sentence.
	Text string `json:"text"`
	// Field is the field of a spec that the sentence is about, without indexes
	// ("mounts.mode"). Empty: it is about a driver's verbs.
	Field Path `json:"field,omitempty"`
}

// Clauses lists every clause in the order of the contract: first what a spec
// says, then what a driver does. The slice is the caller's.
func Clauses() []Clause { return slices.Clone(clauses) }

var clauses = []Clause{
	// What runs.
	{"process.command.exact", Must, "The command's arguments reach the process byte for byte; no shell sees them.", "process.command"},
	{"process.args", Must, "Without a command the arguments go to the image's entrypoint, and without either the image's own command runs.", "process.args"},
	{"process.env.exact", Must, "Each variable of the environment has exactly the value of the spec.", "process.env"},
	{"process.env.image", Must, "The image's environment is kept; the spec's variables win.", "process.env"},
	{"process.env.closed", Must, "Nothing of the environment of the client, the engine or the host reaches the process.", "process.env"},
	{"process.env.secret", Must, "No status shows the value of a variable.", "process.env"},
	{"process.workdir", Must, "The process starts in the working directory of the spec, else in the image's.", "process.workdir"},
	{"process.stdin", Must, "An attached client's input reaches the process, and so does its end.", "process.stdin"},
	{"process.tty", Must, "With a terminal all three streams are that terminal, and the output is one stream.", "process.tty"},
	{"labels.filter", Must, "A list by labels has the sandboxes that have all of them, and no others.", "labels"},
	{"labels.kept", Must, "Labels come back unchanged, whatever characters they have.", "labels"},
	{"name.told", Must, "A status tells the sandbox's name and id.", "name"},
	{"name.unique", Must, "A name that is taken is refused with kind already exists, and is free again after removal.", "name"},
	{"extensions.strict", Must, "An extension with a setting that the backend does not know is refused by name.", "extensions"},
	{"agent.builtin", Must, "Berth's agent serves where the backend claims it, and is refused by name elsewhere.", "agent"},
	{"agent.image", Must, "The image's own server serves where the backend claims it, and is refused by name elsewhere.", "agent"},

	// Images.
	{"image.absent", Must, "An image that the engine does not have is not found.", "image.ref"},
	{"image.create-absent", Must, "Create never pulls: without the image it fails with kind not found and names the field.", "image.ref"},
	{"image.config", Must, "The image's configuration is told as it is.", "image.ref"},
	{"image.platform", Must, "An image for another platform than the one asked for is not found.", "image.platform"},
	{"image.host", Must, "The host's own toolchain serves as image where the backend claims it, and is refused by name elsewhere.", "image.ref"},
	{"image.files", Must, "Files of an image are read without running it, without following links out of it, and within a bound.", ""},
	{"image.load", Must, "An image that was loaded from an archive has the archive's name, is listed, and is gone after removal.", ""},
	{"image.load-invalid", Must, "What is not an image archive is refused with kind invalid.", ""},
	{"image.remove", Must, "Removing an image that the engine does not have fails with kind not found.", ""},
	{"image.remove-used", Must, "An image that a sandbox uses is not removed without force.", ""},
	{"image.pull", Must, "A pull makes the image present and tells of its progress.", "image.pull"},
	{"image.pull-errors", Must, "A pull tells apart a registry that refuses, one that has no such image, and one that does not answer.", "image.pull"},
	{"image.commit", Must, "An image made of a sandbox has its root file system, mounts left out.", ""},
	{"image.volume", Must, "A volume that the image declares is writable and is removed with the sandbox.", ""},

	// Who.
	{"user.caller.owner", Must, "What the sandbox writes into a bind mount belongs on the host to the caller, whatever the caller's uid.", "user.as"},
	{"user.caller.no-chown", Must, "The owner of the user's own folders is never changed.", "mounts.source"},
	{"user.caller.any-uid", Must, "The caller's uid works although the image has another name for it.", "user.as"},
	{"user.image", Must, "User image is the user that the image names, else root.", "user.as"},
	{"user.number", Must, "User UID:GID is the real and effective uid and gid of the process.", "user.as"},
	{"user.number.rights", Must, "A user has the rights of its uid and no others.", "user.as"},
	{"user.groups", Must, "The process has every supplementary group of the spec.", "user.groups"},
	{"user.groups.access", Must, "A supplementary group gives the rights of that group, and nobody else has them.", "user.groups"},
	{"user.groups.only", Must, "The process has no group that the spec does not give it.", "user.groups"},

	// Mounts.
	{"mount.bind", Must, "A bind with mode rw shows the host's folder and all that is mounted below it, and writes reach it.", "mounts"},
	{"mount.bind-file", Must, "A single file can be bound.", "mounts"},
	{"mount.bind-live", Must, "Changes on either side of a bind are seen on the other side at once.", "mounts"},
	{"mount.bind-missing", Must, "A bind whose source does not exist is refused, and the source is not made.", "mounts.source"},
	{"mount.private", Must, "No mount made in a sandbox reaches the host.", "mounts"},
	{"mount.ro", Must, "Every write to a mount with mode ro fails with EROFS.", "mounts.mode"},
	{"mount.ro.recursive", Must, "Mode ro holds for everything that is mounted below the source.", "mounts.mode"},
	{"mount.ro.fixed", Must, "Root in a sandbox cannot make a read-only mount writable.", "mounts.mode"},
	{"mount.target", Must, "A target that the image lacks is made.", "mounts.target"},
	{"mount.nested", Must, "A mount below another one is seen, whatever their order in the spec.", "mounts.target"},
	{"mount.volume", Must, "A named volume outlives its sandboxes and shows what they wrote.", "mounts.source"},
	{"mount.volume-anonymous", Must, "A volume without a name is removed with its sandbox.", "mounts.source"},
	{"mount.tmpfs", Must, "A tmpfs starts empty and is writable for the sandbox's user.", "mounts.type"},
	{"mount.tmpfs-size", Must, "A tmpfs takes no more than its size.", "mounts.size"},
	{"mount.noexec", Must, "No file is executed from a mount with noExec.", "mounts.noExec"},
	{"mount.exec", Must, "Files can be executed from a tmpfs without noExec.", "mounts.noExec"},
	{"mount.overlay", Must, "With mode overlay the sandbox sees its writes, and the source on the host is never changed.", "mounts.mode"},
	{"mount.overlay-upper", Must, "The upper directory of an overlay has the writes and outlives the sandbox.", "mounts.upper"},
	{"mount.selinux", Must, "SELinux labels are applied where the backend claims it, and refused by name elsewhere.", "mounts.selinux"},

	// Ports.
	{"binding.loopback", Must, "Without an address a port is published on 127.0.0.1 and on no other address.", "binding.address"},
	{"binding.address", Must, "With an address ports are published there and nowhere else; 0.0.0.0 is every address.", "binding.address"},
	{"binding.port-address", Must, "A port's own address replaces the binding's.", "binding.ports"},
	{"binding.ipv6", Must, "A port can be published on an IPv6 address where the backend claims it.", "binding.ports"},
	{"binding.read-back", Must, "A running sandbox's status tells for each port the address and number that the engine really bound.", "binding.ports"},
	{"binding.fixed", Must, "A host port that is not 0 is used as it is.", "binding.ports"},
	{"binding.taken", Must, "A host port that is taken makes the start fail with kind exhausted and the port's field, and leaves the sandbox as it was.", "binding.ports"},
	{"binding.several", Must, "Several ports are published at once and told by name.", "binding.ports"},
	{"binding.freed", Must, "When the sandbox has stopped its host ports are free and not told any more.", "binding.ports"},
	{"binding.udp", Must, "A UDP port carries datagrams both ways.", "binding.ports"},
	{"binding.on-none", Must, "A port of a sandbox without network answers where the backend claims it, and is refused by name elsewhere.", "binding.ports"},
	{"binding.on-internal", Must, "A port of a sandbox on an internal network answers where the backend claims it, and is refused by name elsewhere.", "binding.ports"},

	// Networks.
	{"network.isolated.outside", Must, "An isolated sandbox reaches the outside.", "network.mode"},
	{"network.isolated.apart", Must, "Isolated sandboxes do not reach each other.", "network.mode"},
	{"network.raw", Must, "Nobody in a sandbox can open raw or packet sockets unless the spec adds NET_RAW.", "security.capabilities"},
	{"network.none", Must, "A sandbox without network has its own loopback, and neither another interface in use nor a route.", "network.mode"},
	{"network.none.outside", Must, "A sandbox without network reaches nothing.", "network.mode"},
	{"network.internal.members", Must, "Members of an internal network reach each other by name.", "network.mode"},
	{"network.internal.closed", Must, "Members of an internal network do not reach the outside and cannot resolve its names.", "network.mode"},
	{"network.shared.members", Must, "Members of a shared network reach each other by name.", "network.mode"},
	{"network.shared.outside", Must, "Members of a shared network reach the outside.", "network.mode"},
	{"network.apart", Must, "Members of one network do not reach those of another one.", "network.mode"},
	{"network.named", Must, "Mode named joins the network of that name.", "network.name"},
	{"network.absent", Must, "Joining a network that does not exist fails at create with kind not found and the field.", "network.name"},
	{"network.aliases", Must, "Each alias of a sandbox is a name of it on its network.", "network.aliases"},
	{"network.additional", Must, "A sandbox is a member of every additional network, with its aliases there.", "network.additional"},
	{"network.host-alias", Must, "With hostAlias the names host.berth.internal and host.docker.internal resolve to the host.", "network.hostAlias"},
	{"network.host-alias.off", Must, "Without hostAlias these names are not in the hosts file.", "network.hostAlias"},
	{"network.host", Must, "Mode host is the network stack of the host.", "network.mode"},
	{"network.host-access", Must, "Services of the host are out of reach of a sandbox, or the ledger says that they are not.", "network.mode"},
	{"network.egress", Must, "Egress rules are honoured where the backend claims it, and refused by name elsewhere.", "network.egress"},
	{"network.status", Must, "A running sandbox's status tells its addresses.", ""},
	{"network.create", Must, "Making a network that exists already is no error, unless it is of another kind.", ""},
	{"network.list", Must, "The list of networks has those that can be joined, without berth's own plumbing.", ""},
	{"network.remove-used", Must, "A network that a running sandbox has joined is not removed.", ""},
	{"network.remove-absent", Must, "Removing a network that does not exist fails with kind not found.", ""},

	// Limits.
	{"resources.memory", Must, "A process that uses more memory than the limit is killed.", "resources.memory"},
	{"resources.memory-told", Should, "The exit says that the memory limit ended the process.", "resources.memory"},
	{"resources.memory-enough", Must, "A process that stays below the memory limit is left alone.", "resources.memory"},
	{"resources.pids", Must, "No more processes can be started than the limit.", "resources.pids"},
	{"resources.cpus", Must, "The sandbox gets no more processor time than the limit.", "resources.cpus"},
	{"resources.shm", Must, "/dev/shm has the size of the spec.", "resources.shm"},
	{"resources.nofile", Must, "The limit of open files is that of the spec, soft and hard.", "resources.nofile"},
	{"resources.disk", Must, "The root file system takes no more than the limit.", "resources.disk"},

	// Confinement.
	{"security.capabilities.standard", Must, "Root in a sandbox has exactly berth's standard set of capabilities.", "security.capabilities"},
	{"security.capabilities.user", Must, "A user that is not root has no capabilities and can get none beyond the standard set.", "security.capabilities"},
	{"security.capabilities.add", Must, "An added capability is there.", "security.capabilities"},
	{"security.capabilities.drop", Must, "A dropped capability is gone; ALL drops every one that is not added.", "security.capabilities"},
	{"security.no-new-privileges", Must, "No program can give a process new privileges, unless the spec allows it.", "security.noNewPrivileges"},
	{"security.no-new-privileges.off", Must, "The spec can allow new privileges.", "security.noNewPrivileges"},
	{"security.setuid", Must, "A setuid program raises no privileges.", "security.noNewPrivileges"},
	{"security.seccomp", Must, "The default profile filters system calls, those among them that an ordinary user of a host may make.", "security.seccomp"},
	{"security.seccomp.unconfined", Must, "Profile unconfined filters nothing.", "security.seccomp"},
	{"security.seccomp.profile", Must, "A profile of the user's own is the one in force.", "security.seccomp"},
	{"security.exec", Must, "A further process is confined as the main process is.", ""},
	{"security.rootfs.read-only", Must, "With readOnlyRoot the root file system cannot be written, and mounts still can.", "security.readOnlyRoot"},
	{"security.rootfs.writable", Must, "Without readOnlyRoot the root file system can be written.", "security.readOnlyRoot"},
	{"security.masked", Must, "The parts of /proc and /sys that tell of the host show nothing.", ""},
	{"security.proc", Must, "The kernel's settings cannot be changed from a sandbox.", ""},
	{"security.mount", Must, "Nothing can be mounted or unmounted in a sandbox.", ""},
	{"security.devices.standard", Must, "There are no devices but the standard ones of the OCI runtime specification and those of the spec.", "security.devices"},
	{"security.devices.mknod", Must, "Root in a sandbox cannot make device nodes.", "security.devices"},
	{"security.devices.path", Must, "A device of the spec is there and can be used.", "security.devices"},
	{"security.devices.cdi", Must, "A CDI device that nobody declared is refused by name.", "security.devices"},
	{"security.pids", Must, "A sandbox sees its own processes only, and its command is PID 1 of them.", ""},
	{"security.runtime", Must, "A runtime that the engine does not have is refused by name.", "security.runtime"},
	{"security.runtime.named", Must, "A runtime that the engine has can be named.", "security.runtime"},

	// Life.
	{"life.stop-signal", Must, "Stop sends the stop signal of the spec.", "life.stopSignal"},
	{"life.stop-signal.image", Must, "Without one in the spec stop sends the image's stop signal, else SIGTERM.", "life.stopSignal"},
	{"life.ttl", Must, "A time to live is honoured where the backend claims it, and refused by name elsewhere.", "life.ttl"},
	{"life.idle", Must, "An idle timeout is honoured where the backend claims it, and refused by name elsewhere.", "life.idleTimeout"},
	{"life.restart", Must, "A restart policy is honoured where the backend claims it, and refused by name elsewhere.", "life.restart"},
	{"life.health", Must, "A health check is honoured where the backend claims it, and refused by name elsewhere.", "life.health"},
	{"life.engine-restart", Must, "A running sandbox survives a restart of the engine where the backend claims it.", ""},
	{"life.engine-restart.kept", Must, "After a restart of the engine a sandbox has its record and its files and can be started.", ""},

	// Probe and plan.
	{"driver.probe.claims", Must, "Probe claims every capability, and each claim names the fact that it read and says by what or why not.", ""},
	{"driver.probe.interfaces", Must, "A driver that claims what an optional interface does implements that interface.", ""},
	{"driver.probe.identity", Must, "Probe tells what the engine is, and the engine's id is the same for every driver instance.", ""},
	{"driver.probe.read-only", Must, "Probe changes nothing on the engine.", ""},
	{"driver.plan.ledger", Must, "The ledger has exactly one line for each field that is set, and a refusal does not hide the others.", ""},
	{"driver.plan.pure", Must, "Plan changes nothing, and the same request gives the same plan.", ""},
	{"driver.plan.refusal", Must, "When fields are refused the error names every one of them with the capability that it lacks.", ""},
	{"driver.plan.redacted", Must, "A plan never shows the value of a variable.", "process.env"},

	// Verbs.
	{"driver.record", Must, "The record of a sandbox comes back from create, inspect and list exactly as it was given.", ""},
	{"driver.cancel", Must, "A create that is cancelled returns the context's error and leaves nothing.", ""},
	{"driver.create.stopped", Must, "Create makes a sandbox that is not running yet.", ""},
	{"driver.create.idempotent", Must, "Create with the same id and digest returns the existing sandbox.", ""},
	{"driver.create.taken", Must, "Create with an id that has another digest fails with kind already exists and changes nothing.", ""},
	{"driver.create.failed", Must, "A create that failed leaves nothing in the engine.", ""},
	{"driver.start.idempotent", Must, "Start of a running sandbox is nil.", ""},
	{"driver.start.again", Must, "A sandbox that has ended can be started again, with its root file system as it was.", ""},
	{"driver.start.failed", Must, "A sandbox that could not be started is as it was before.", ""},
	{"driver.start.cancelled", Must, "After a cancelled start the sandbox can be started.", ""},
	{"driver.exit.code", Must, "The exit code of the main process is told unchanged.", ""},
	{"driver.exit.signal", Must, "A process that signal n ended has exit code 128+n.", ""},
	{"driver.stop.grace", Must, "Stop sends the signal and lets the process end by itself within the grace.", "life.stopGrace"},
	{"driver.stop.kill", Must, "Stop kills when the grace is over, and not before.", "life.stopGrace"},
	{"driver.stop.zero", Must, "A grace of zero kills at once.", ""},
	{"driver.stop.option", Must, "The options of a stop replace the spec's.", ""},
	{"driver.stop.idempotent", Must, "Stop of a sandbox that does not run is nil and changes nothing.", ""},
	{"driver.remove.idempotent", Must, "Remove of an absent sandbox is nil.", ""},
	{"driver.remove.running", Must, "A running sandbox is not removed without force, and is killed with it.", ""},
	{"driver.remove.everything", Must, "Remove takes everything that was made for the sandbox, and nothing of the user's.", ""},
	{"driver.remove.networks", Must, "What isolated sandboxes share in the engine goes with the last of them.", ""},
	{"driver.foreign", Must, "An object that does not bear berth's labels is never listed or touched.", ""},
	{"driver.inspect.times", Must, "The status tells when a sandbox was created, started and ended.", ""},
	{"driver.wait", Must, "Every waiter is told the exit, from any driver instance, also after the end.", ""},
	{"driver.wait.context", Must, "A wait that is given up returns the context's error and leaves the sandbox alone.", ""},
	{"driver.stateless", Must, "Another driver instance sees and controls every sandbox.", ""},
	{"driver.signal", Must, "A signal reaches PID 1.", ""},
	{"driver.signal.stopped", Must, "Signalling a sandbox that does not run fails with kind conflict.", ""},
	{"driver.pause", Must, "A paused sandbox does nothing until it is resumed or stopped, and no process can be started in it.", ""},
	{"driver.pause.stopped", Must, "Pausing a sandbox that does not run fails with kind conflict.", ""},
	{"driver.watch", Must, "A watch tells of starts, ends and removals until its context ends.", ""},

	{"exec.streams", Must, "Stdout and stderr of a further process are apart.", ""},
	{"exec.output", Must, "All output of a further process has arrived when Wait returns.", ""},
	{"exec.code", Must, "The exit code of a further process is told, and is no error.", ""},
	{"exec.missing", Must, "A command that does not exist ends with 127.", ""},
	{"exec.not-executable", Must, "A command that cannot be invoked ends with 126.", ""},
	{"exec.argv", Must, "The arguments of a further process reach it byte for byte.", ""},
	{"exec.stdin", Must, "The input of a further process reaches it, and so does its end, and it can answer after that.", ""},
	{"exec.env", Must, "The variables of a request are added to the sandbox's for that process only.", ""},
	{"exec.workdir", Must, "A further process starts in the directory of the request, else in the sandbox's.", ""},
	{"exec.user.default", Must, "A further process runs as the sandbox's user.", ""},
	{"exec.user", Must, "A request can name another user.", ""},
	{"exec.tty", Must, "With a terminal all three streams of a further process are that terminal.", ""},
	{"exec.tty-size", Must, "The terminal has the size of the request and carries what is typed.", ""},
	{"exec.tty-resize", Must, "The size of the terminal can be changed.", ""},
	{"exec.stopped", Must, "Exec in a sandbox that does not run fails with kind conflict.", ""},
	{"exec.context", Must, "The context of an exec bounds its start and not the process.", ""},
	{"exec.close", Must, "A further process goes on when its client is gone.", ""},
	{"exec.parallel", Must, "Further processes at the same time do not mix.", ""},
	{"stats.running", Must, "The use of a running sandbox is told, with its memory limit.", ""},
	{"stats.stopped", Must, "Stats of a sandbox that does not run fail with kind conflict.", ""},

	{"logs.streams", Must, "Each entry of a log names its stream.", ""},
	{"logs.order", Must, "The entries of each stream are in order and have their times.", ""},
	{"logs.all", Must, "A log has everything that was written, up to a last line without an end.", ""},
	{"logs.bytes", Must, "What a process writes cannot forge or damage other entries.", ""},
	{"logs.tail", Must, "Tail keeps the last entries; negative keeps none.", ""},
	{"logs.since", Must, "Since drops older entries and no others.", ""},
	{"logs.follow", Must, "A followed log goes on until the process has ended, and ends then.", ""},
	{"logs.context", Must, "A followed log ends with its context.", ""},
	{"logs.stateless", Must, "Another driver instance reads the same log.", ""},
	{"logs.empty", Must, "The log of a sandbox that was never started is empty.", ""},
	{"attach.before", Must, "A client that attaches before the start misses nothing.", ""},
	{"attach.several", Must, "Several attached clients each get everything.", ""},
	{"attach.replay", Must, "A client can be given what was written before it attached.", ""},
	{"attach.close", Must, "A sandbox goes on when its client is gone, and its log too.", ""},

	{"copy.to", Must, "Files that are copied in have their content and mode.", ""},
	{"copy.owner", Must, "Copied files keep their uid and gid both ways.", ""},
	{"copy.to-absent", Must, "Copying into a directory that does not exist fails with kind not found.", ""},
	{"copy.read-only", Must, "Copying to a read-only place fails with kind conflict and changes nothing.", ""},
	{"copy.contained", Must, "No name in an archive reaches a place outside the directory or the sandbox.", ""},
	{"copy.created", Must, "Files can be copied before the start.", ""},
	{"copy.from", Must, "A directory comes out whole, with modes and links, below its own name.", ""},
	{"copy.absent", Must, "Copying from a path that does not exist fails with kind not found.", ""},
	{"copy.links", Must, "A symbolic link comes out as a link; it is never followed on the host.", ""},
	{"copy.ended", Must, "Files can be copied after the end.", ""},

	{"errors.not-found", Must, "Every verb on an absent sandbox fails with kind not found, Remove excepted.", ""},
	{"errors.context", Must, "A context's own error passes unwrapped through every verb.", ""},
	{"errors.prompt", Must, "A verb whose context ends returns promptly.", ""},
	{"errors.unavailable", Must, "Every verb fails with kind unavailable when no engine answers.", ""},
	{"errors.forbidden", Must, "Every verb fails with kind unavailable or denied when access to the engine is refused.", ""},

	{"concurrency.create", Must, "Sandboxes can be created and removed at the same time.", ""},
	{"concurrency.same-id", Must, "Creating the same sandbox from several drivers at once makes one.", ""},
	{"concurrency.same-name", Must, "Of several creates with one name at once, one succeeds.", ""},
	{"concurrency.start-stop", Must, "Starts and stops at the same time leave a sandbox that works.", ""},
	{"concurrency.remove", Must, "Several callers can remove the same sandbox at once.", ""},
	{"concurrency.network", Must, "Isolated sandboxes can come and go at the same time.", ""},
}
