// Entry of the boot core, exception vectors, the way back to an agent, floating-point state. Arm ARM DDI 0487, D1.3.
//
// While an agent runs, SP_EL1 points to its block, which begins with its registers: an exception stores them with nothing to find first. TPIDR_EL1 points to
// the core's `Cpu`. In the kernel, SP is the core's stack, empty at every entry, and all exceptions are masked: one that comes nevertheless is fatal.
//
// The registers that compiled code keeps by the procedure call standard (AAPCS64: x19–x29) stay where they are while a quick call is served, and are stored
// only if another agent runs next, or if it turns out to need more.

    .equ CPU_STACK, 0
    .equ CPU_EMERGENCY, 8
    .equ CPU_LOOPS, 16
    .equ CPU_CALL, 20
    .equ CPU_BY_SMC, 24
    .equ LR_SP, 240
    .equ SP0, 248
    .equ PC_PSTATE, 256
    .equ TLS, 272

// Stores what compiled code may change; then x0 = Cpu, SP = its stack with the block's address on it, and the flags say whether it is a call. 19 instructions.
    .macro enter
    stp     x0, x1, [sp]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    str     x18, [sp, #144]
    str     x30, [sp, #LR_SP]
    mrs     x0, tpidr_el1
    mov     x1, sp
    ldr     x2, [x0, #CPU_STACK]
    mov     sp, x2
    str     x1, [sp, #-16]!
    .endm

// Stores the rest, which compiled code has kept; then SP = the stack, empty. x0 stays as it is. 15 instructions.
    .macro leave
    ldr     x1, [sp], #16
    str     x19, [x1, #152]
    stp     x20, x21, [x1, #160]
    stp     x22, x23, [x1, #176]
    stp     x24, x25, [x1, #192]
    stp     x26, x27, [x1, #208]
    stp     x28, x29, [x1, #224]
    mrs     x2, sp_el0
    mrs     x3, elr_el1
    mrs     x4, spsr_el1
    mrs     x5, tpidr_el0
    str     x2, [x1, #SP0]
    stp     x3, x4, [x1, #PC_PSTATE]
    str     x5, [x1, #TLS]
    .endm

// Calls come first: everything else can wait for a compare.
    .macro synchronous
    mrs     x1, esr_el1
    lsr     x1, x1, #26
    cmp     x1, #0x15
    b.ne    exception
    bl      on_call
    b       called
    .endm

    .macro fatal vector
    .balign 128
    mov     x0, #\vector
    b       dying
    .endm

    .macro fatal_from_kernel
    .irp    vector, 0, 1, 2, 3, 4, 5, 6, 7
    fatal   \vector
    .endr
    .endm

    .macro fatal_from_32_bits
    .irp    vector, 12, 13, 14, 15
    fatal   \vector
    .endr
    .endm

    .section .text.vectors, "ax", %progbits
    .balign 2048
    .global vectors_plain
vectors_plain:
    fatal_from_kernel
    .balign 128
    enter
    synchronous
    .balign 128
    enter
    b       interrupt
    fatal   10
    .balign 128
    enter
    b       system_error
    fatal_from_32_bits
    .balign 128

// The same for cores whose prediction of branches in the kernel an agent could steer: what it left is overwritten before the first indirect branch.
    .balign 2048
    .global vectors_guarded
vectors_guarded:
    fatal_from_kernel
    .balign 128
    enter
    b       guarded_synchronous
    .balign 128
    enter
    b       guarded_interrupt
    fatal   10
    .balign 128
    enter
    b       guarded_system_error
    fatal_from_32_bits
    .balign 128

// x0 = Cpu before and after; x1–x18 are free, and firmware keeps the others (Arm DEN 0028, SMC calling convention).
    .macro guard
    ldr     w1, [x0, #CPU_LOOPS]
1:  b       2f
2:  subs    w1, w1, #1
    b.ne    1b
    hint    #22                     // CLRBHB, where it exists
    ldr     w2, [x0, #CPU_CALL]
    cbz     w2, 4f
    ldr     w3, [x0, #CPU_BY_SMC]
    mov     w0, w2
    cbz     w3, 3f
    smc     #0
    b       4f
3:  hvc     #0
4:  dsb     nsh
    isb
    mrs     x0, tpidr_el1
    .endm

guarded_synchronous:
    guard
    synchronous

guarded_interrupt:
    guard
interrupt:
    leave
    bl      on_interrupt
    b       resume

guarded_system_error:
    guard
system_error:
    leave
    mrs     x1, esr_el1
    bl      on_system_error
    b       resume

exception:
    leave
    mrs     x1, esr_el1
    bl      on_exception
    b       resume

// A quick call was tried. x0 = block of the agent to run, or 0: it was not one, or 1: the core has to decide whom to run.
called:
    cmp     x0, #1
    b.ls    2f
    ldr     x1, [sp]
    cmp     x0, x1
    b.ne    1f
    mov     sp, x0
    ldr     x30, [sp, #LR_SP]
    ldr     x18, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp]
    eret
    dsb     nsh                     // nothing is speculated beyond
    isb
1:  leave
    b       resume
2:  leave
    cbnz    x0, 3f
    mrs     x0, tpidr_el1
    bl      on_syscall
    b       resume
3:  mrs     x0, tpidr_el1
    bl      on_choice
    b       resume

// fn resume(registers) -> !
    .global resume
resume:
    ldp     x30, x1, [x0, #LR_SP]
    ldp     x2, x3, [x0, #PC_PSTATE]
    ldr     x4, [x0, #TLS]
    msr     sp_el0, x1
    msr     elr_el1, x2
    msr     spsr_el1, x3
    msr     tpidr_el0, x4
    mov     sp, x0
    ldp     x28, x29, [sp, #224]
    ldp     x26, x27, [sp, #208]
    ldp     x24, x25, [sp, #192]
    ldp     x22, x23, [sp, #176]
    ldp     x20, x21, [sp, #160]
    ldp     x18, x19, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp]
    eret
    dsb     nsh                     // nothing is speculated beyond
    isb

// x0 = vector. The registers are not worth much any more; where it happened is.
dying:
    mov     x1, sp
    mrs     x2, tpidr_el1
    ldr     x2, [x2, #CPU_EMERGENCY]
    mov     sp, x2
    mov     x2, x30
    b       on_fatal

// stage0 enters here: x0 = direct-map address of the hand-over.
    .section .text.entry, "ax", %progbits
    .global kernel_entry
kernel_entry:
    msr     daifset, #0xf
    adrp    x1, BOOT_CPU
    add     x1, x1, :lo12:BOOT_CPU
    msr     tpidr_el1, x1
    ldr     x2, [x1, #CPU_STACK]
    mov     sp, x2
    adrp    x2, vectors_plain
    add     x2, x2, :lo12:vectors_plain
    msr     vbar_el1, x2
    isb
    mov     x29, xzr
    mov     x30, xzr
    b       kernel_main

// A secondary core comes here: x0 = its Cpu, SP = its stack.
    .global secondary_kernel_entry
secondary_kernel_entry:
    msr     daifset, #0xf
    msr     tpidr_el1, x0
    adrp    x2, vectors_plain
    add     x2, x2, :lo12:vectors_plain
    msr     vbar_el1, x2
    isb
    mov     x29, xzr
    mov     x30, xzr
    b       secondary_main

    .arch_extension fp
    .arch_extension simd
    .text
// fn fp_save(to)
    .global fp_save
fp_save:
    stp     q0, q1, [x0]
    stp     q2, q3, [x0, #32]
    stp     q4, q5, [x0, #64]
    stp     q6, q7, [x0, #96]
    stp     q8, q9, [x0, #128]
    stp     q10, q11, [x0, #160]
    stp     q12, q13, [x0, #192]
    stp     q14, q15, [x0, #224]
    stp     q16, q17, [x0, #256]
    stp     q18, q19, [x0, #288]
    stp     q20, q21, [x0, #320]
    stp     q22, q23, [x0, #352]
    stp     q24, q25, [x0, #384]
    stp     q26, q27, [x0, #416]
    stp     q28, q29, [x0, #448]
    stp     q30, q31, [x0, #480]
    mrs     x1, fpcr
    mrs     x2, fpsr
    str     x1, [x0, #512]
    str     x2, [x0, #520]
    ret

// fn fp_load(from)
    .global fp_load
fp_load:
    ldp     q0, q1, [x0]
    ldp     q2, q3, [x0, #32]
    ldp     q4, q5, [x0, #64]
    ldp     q6, q7, [x0, #96]
    ldp     q8, q9, [x0, #128]
    ldp     q10, q11, [x0, #160]
    ldp     q12, q13, [x0, #192]
    ldp     q14, q15, [x0, #224]
    ldp     q16, q17, [x0, #256]
    ldp     q18, q19, [x0, #288]
    ldp     q20, q21, [x0, #320]
    ldp     q22, q23, [x0, #352]
    ldp     q24, q25, [x0, #384]
    ldp     q26, q27, [x0, #416]
    ldp     q28, q29, [x0, #448]
    ldp     q30, q31, [x0, #480]
    ldr     x1, [x0, #512]
    ldr     x2, [x0, #520]
    msr     fpcr, x1
    msr     fpsr, x2
    ret
    .arch_extension nosimd
    .arch_extension nofp
