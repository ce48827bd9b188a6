// Loads every register that EL0 has from a bank, does one thing, and stores every register there again.
//
//     extern "C" fn assist_call(bank: *mut Bank);   // one system call
//     extern "C" fn assist_spin(bank: *mut Bank);   // counts x0 down to zero
//
// The stack pointer is what finds the bank again: one that is changed meets another bank, or none.

.macro LOAD_ALL
    sub     sp, sp, #208
    stp     x19, x20, [sp, #32]
    stp     x21, x22, [sp, #48]
    stp     x23, x24, [sp, #64]
    stp     x25, x26, [sp, #80]
    stp     x27, x28, [sp, #96]
    stp     x29, x30, [sp, #112]
    stp     d8, d9, [sp, #128]
    stp     d10, d11, [sp, #144]
    stp     d12, d13, [sp, #160]
    stp     d14, d15, [sp, #176]
    mrs     x1, fpcr
    mrs     x2, fpsr
    mrs     x3, tpidr_el0
    stp     x0, x1, [sp]
    stp     x2, x3, [sp, #16]

    mov     x30, x0
    ldp     q0, q1, [x30, #BANK_V]
    ldp     q2, q3, [x30, #BANK_V + 32]
    ldp     q4, q5, [x30, #BANK_V + 64]
    ldp     q6, q7, [x30, #BANK_V + 96]
    ldp     q8, q9, [x30, #BANK_V + 128]
    ldp     q10, q11, [x30, #BANK_V + 160]
    ldp     q12, q13, [x30, #BANK_V + 192]
    ldp     q14, q15, [x30, #BANK_V + 224]
    ldp     q16, q17, [x30, #BANK_V + 256]
    ldp     q18, q19, [x30, #BANK_V + 288]
    ldp     q20, q21, [x30, #BANK_V + 320]
    ldp     q22, q23, [x30, #BANK_V + 352]
    ldp     q24, q25, [x30, #BANK_V + 384]
    ldp     q26, q27, [x30, #BANK_V + 416]
    ldp     q28, q29, [x30, #BANK_V + 448]
    ldp     q30, q31, [x30, #BANK_V + 480]
    ldr     x0, [x30, #BANK_FPCR]
    ldr     x1, [x30, #BANK_FPSR]
    ldr     x2, [x30, #BANK_TPIDR]
    ldr     x3, [x30, #BANK_NZCV]
    msr     fpcr, x0
    msr     fpsr, x1
    msr     tpidr_el0, x2
    msr     nzcv, x3
    ldp     x0, x1, [x30]
    ldp     x2, x3, [x30, #16]
    ldp     x4, x5, [x30, #32]
    ldp     x6, x7, [x30, #48]
    ldp     x8, x9, [x30, #64]
    ldp     x10, x11, [x30, #80]
    ldp     x12, x13, [x30, #96]
    ldp     x14, x15, [x30, #112]
    ldp     x16, x17, [x30, #128]
    ldp     x18, x19, [x30, #144]
    ldp     x20, x21, [x30, #160]
    ldp     x22, x23, [x30, #176]
    ldp     x24, x25, [x30, #192]
    ldp     x26, x27, [x30, #208]
    ldp     x28, x29, [x30, #224]
    ldr     x30, [x30, #240]
.endm

.macro STORE_ALL
    str     x30, [sp, #192]
    ldr     x30, [sp]
    stp     x0, x1, [x30]
    stp     x2, x3, [x30, #16]
    stp     x4, x5, [x30, #32]
    stp     x6, x7, [x30, #48]
    stp     x8, x9, [x30, #64]
    stp     x10, x11, [x30, #80]
    stp     x12, x13, [x30, #96]
    stp     x14, x15, [x30, #112]
    stp     x16, x17, [x30, #128]
    stp     x18, x19, [x30, #144]
    stp     x20, x21, [x30, #160]
    stp     x22, x23, [x30, #176]
    stp     x24, x25, [x30, #192]
    stp     x26, x27, [x30, #208]
    stp     x28, x29, [x30, #224]
    ldr     x0, [sp, #192]
    str     x0, [x30, #240]
    mrs     x0, fpcr
    mrs     x1, fpsr
    mrs     x2, tpidr_el0
    mrs     x3, nzcv
    str     x0, [x30, #BANK_FPCR]
    str     x1, [x30, #BANK_FPSR]
    str     x2, [x30, #BANK_TPIDR]
    str     x3, [x30, #BANK_NZCV]
    stp     q0, q1, [x30, #BANK_V]
    stp     q2, q3, [x30, #BANK_V + 32]
    stp     q4, q5, [x30, #BANK_V + 64]
    stp     q6, q7, [x30, #BANK_V + 96]
    stp     q8, q9, [x30, #BANK_V + 128]
    stp     q10, q11, [x30, #BANK_V + 160]
    stp     q12, q13, [x30, #BANK_V + 192]
    stp     q14, q15, [x30, #BANK_V + 224]
    stp     q16, q17, [x30, #BANK_V + 256]
    stp     q18, q19, [x30, #BANK_V + 288]
    stp     q20, q21, [x30, #BANK_V + 320]
    stp     q22, q23, [x30, #BANK_V + 352]
    stp     q24, q25, [x30, #BANK_V + 384]
    stp     q26, q27, [x30, #BANK_V + 416]
    stp     q28, q29, [x30, #BANK_V + 448]
    stp     q30, q31, [x30, #BANK_V + 480]

    ldp     x0, x1, [sp]
    ldp     x2, x3, [sp, #16]
    msr     fpcr, x1
    msr     fpsr, x2
    msr     tpidr_el0, x3
    ldp     x19, x20, [sp, #32]
    ldp     x21, x22, [sp, #48]
    ldp     x23, x24, [sp, #64]
    ldp     x25, x26, [sp, #80]
    ldp     x27, x28, [sp, #96]
    ldp     x29, x30, [sp, #112]
    ldp     d8, d9, [sp, #128]
    ldp     d10, d11, [sp, #144]
    ldp     d12, d13, [sp, #160]
    ldp     d14, d15, [sp, #176]
    add     sp, sp, #208
    ret
.endm

.section .text.assist_call, "ax"
.global assist_call
.type assist_call, %function
assist_call:
    LOAD_ALL
    svc     #0
    STORE_ALL
.size assist_call, . - assist_call

.section .text.assist_spin, "ax"
.global assist_spin
.type assist_spin, %function
assist_spin:
    LOAD_ALL
1:  sub     x0, x0, #1
    cbnz    x0, 1b
    STORE_ALL
.size assist_spin, . - assist_spin
