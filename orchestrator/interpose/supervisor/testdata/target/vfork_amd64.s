#include "textflag.h"

// func vforkWriteExec(file int, data *byte, length int, path *byte, arguments, environment **byte) (process int)
//
// The child shares the parent's memory, and so this very frame: between the call that makes it and its exec it must not touch the stack.
TEXT ·vforkWriteExec(SB), NOSPLIT, $0-56
	MOVQ $56, AX      // clone
	MOVQ $0x4111, DI  // CLONE_VFORK | CLONE_VM | SIGCHLD
	XORL SI, SI
	XORL DX, DX
	XORL R10, R10
	XORL R8, R8
	SYSCALL
	TESTQ AX, AX
	JNE parent
	MOVQ $1, AX       // write
	MOVQ file+0(FP), DI
	MOVQ data+8(FP), SI
	MOVQ length+16(FP), DX
	SYSCALL
	MOVQ $59, AX      // execve
	MOVQ path+24(FP), DI
	MOVQ arguments+32(FP), SI
	MOVQ environment+40(FP), DX
	SYSCALL
	MOVQ $60, AX      // exit
	MOVQ $1, DI
	SYSCALL
parent:
	MOVQ AX, process+48(FP)
	RET
