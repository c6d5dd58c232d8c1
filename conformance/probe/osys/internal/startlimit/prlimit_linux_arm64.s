// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func prlimitNofile(limit *[2]uint64) int64
TEXT ·prlimitNofile(SB), NOSPLIT, $0-16
	MOVD	$0, R0            // this process
	MOVD	$7, R1            // RLIMIT_NOFILE
	MOVD	$0, R2            // set nothing
	MOVD	limit+0(FP), R3
	MOVD	$261, R8          // prlimit64
	SVC
	MOVD	R0, ret+8(FP)
	RET
