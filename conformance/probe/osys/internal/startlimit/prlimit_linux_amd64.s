// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func prlimitNofile(limit *[2]uint64) int64
TEXT ·prlimitNofile(SB), NOSPLIT, $0-16
	MOVQ	$0, DI            // this process
	MOVQ	$7, SI            // RLIMIT_NOFILE
	MOVQ	$0, DX            // set nothing
	MOVQ	limit+0(FP), R10
	MOVQ	$302, AX          // prlimit64
	SYSCALL
	MOVQ	AX, ret+8(FP)
	RET
