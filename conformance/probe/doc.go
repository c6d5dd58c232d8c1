// SPDX-License-Identifier: Apache-2.0

// Package probe is the command set that conformance tests run inside sandboxes.
//
// A test needs facts from inside a sandbox: who am I, is this mount read-only, does that address
// answer. Shells and coreutils differ between images and print text made for people, so berth has
// one program of its own instead. Its commands print JSON with the exported types of this package,
// and tests decode that strictly with [Decode]; no test scrapes text.
//
// [Run] holds the commands and [System] the operations that they need. Package osys implements
// System with the real kernel (cmd/berth-probe is Run on top of it, and is `/probe` in the test
// images); a driver that only models sandboxes implements System on its model. So one command set
// serves both.
//
// # Command lines
//
// Commands are chained with "+" to save round trips through an engine:
//
//	/probe id + stat /workspace + write /workspace/a hello
//
// The whole line is parsed before anything runs. An argument made of two or more "+" stands for
// itself with one "+" less, so "++" is a literal "+"; [Line] joins and escapes.
// A refused operation is a result, not a failure: its [Errno] is set ("EROFS"), the chain goes on
// and the exit code is 0.
//
// # Output
//
// Standard output carries JSON arrays of [Result], one array in a line. A chain normally prints one
// line, at its end. Before the probe waits (sleep, cpu, or a chain whose last command is standing)
// and before a raw command it prints what it has, so a test that needs "it is listening now" reads
// the first line. Standing commands (listen, trap, ignore, hold) print their result at once and
// stay in force for the rest of the chain; a chain that ends with one of them stays until a signal.
// Raw commands use the streams for their own bytes and have no result.
//
// Exit codes: 0 carried out; [ExitUsage] the command line is wrong and nothing was done;
// [ExitFailure] the probe itself is broken; 128+n ended by signal n, also as PID 1 and at once
// unless the signal is trapped or ignored; else what exit or trap were told.
//
// # Commands
//
//	command                        value           what it does
//	id                             ID              ids, names, environment's HOME and USER, cwd, terminals
//	env [NAME…]                    Env             the environment, or the named variables
//	args [ARG…]                    Args            its arguments back
//	status                         Status          capabilities, no-new-privileges, seccomp, threads
//	limits                         Limits          resource limits of the process
//	cgroup                         Cgroup          memory, pids and cpu limits that the cgroup file system shows
//	ps                             Processes       every process that is visible
//	zombies                        Zombies         how many of them are zombies
//	tty                            Terminals       whether 0, 1, 2 are terminals, and their sizes
//	stat PATH                      Stat            lstat
//	read PATH [LIMIT]              Content         up to LIMIT bytes (default 64Ki, at most 1Mi)
//	write PATH DATA [MODE]         Written         replaces or makes a file
//	append PATH DATA               Written         appends, makes the file when absent
//	fill PATH N                    Written         writes N bytes; less with ENOSPC, EDQUOT, EFBIG
//	touch PATH                     -               makes the file or sets its times to now
//	mkdir PATH [MODE]              -               makes one directory
//	remove PATH                    -               unlink or rmdir
//	rename OLD NEW                 -               rename
//	link OLD NEW                   -               hard link
//	symlink TARGET PATH            -               symbolic link
//	chmod PATH MODE                -               MODE is octal
//	chown PATH UID GID             -               lchown
//	list DIR                       Names           sorted entry names, at most 4096
//	mknod PATH c|b|p|s MAJ MIN     -               makes a device, fifo or socket node
//	statfs PATH                    Statfs          type, sizes and flags of the file system
//	mountinfo [PREFIX]             Mounts          the mount table, or its part at or below PREFIX
//	mount TARGET                   -               tries to mount a tmpfs, and undoes it
//	remount TARGET                 -               tries to make a read-only mount writable, and undoes it
//	exec PATH [ARG…]               Exec            runs a file as a child: exit code, signal, output (bounded)
//	mkexec PATH                    Written         writes a copy of the probe with mode 0755
//	suid PATH                      Suid            runs PATH, a setuid copy of the probe: which ids it gets
//	memory N                       Memory          a child allocates and touches N bytes; did it live?
//	memory-self N                  Memory          the same in the probe itself, which may be killed
//	pids N                         Pids            starts N children, counts, ends them
//	cpu D [THREADS]                CPU             spins for D: cpu time against wall time
//	nofile N                       Files           opens N descriptors, counts, closes them
//	orphan N [D]                   Orphans         leaves N orphans to PID 1, which end after D (default 50ms)
//	dial NET ADDR [TIMEOUT [DATA]] Dial            connects, sends DATA, reads to the end (bounded)
//	listen NET ADDR [BODY]         Listen          standing: sends BODY to every connection
//	resolve NAME                   Addresses       looks a host name up
//	interfaces                     Interfaces      network interfaces and addresses
//	routes                         Routes          IPv4 routes
//	hosts                          Hosts           /etc/hosts, parsed
//	resolver                       Resolver        /etc/resolv.conf, parsed
//	syscall NAME                   Syscall         tries one system call with harmless arguments
//	syscalls                       SyscallList     tries every name of [Syscalls]
//	sleep D                        Slept           waits
//	hold                           -               standing: does nothing
//	trap SIG CODE                  Signal          standing: SIG prints a result and exits with CODE
//	ignore SIG                     Signal          standing: SIG prints a result and is ignored
//	kill PID SIG                   -               sends a signal
//	kill-self SIG                  -               dies of SIG
//	exit N                         raw             exits with N
//	out N                          raw             N bytes of [Pattern] on stdout
//	err N                          raw             N bytes of [Pattern] on stderr
//	lines N [D]                    raw             "out I" and "err I" for I < N in turn, D apart
//	cat                            raw             stdin to stdout
//	term                           raw             [HostileText]: terminal escapes, control and broken bytes
//	sha                            Digest          SHA-256 and length of stdin
//	echo                           Echo            ready, then an output line for every line of stdin and every resize
//
// The probe itself has up to 15 tasks while pids runs, and as many megabytes of memory; smaller limits stop
// it before it can report anything.
//
// Sizes are integers, alone or with Ki, Mi or Gi. Durations are Go durations ("250ms").
// Signals are named without SIG ("TERM", "RTMIN+3") or by number.
package probe
