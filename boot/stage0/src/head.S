// The resident part of stage0: arm64 Image header, first instructions, the drop from EL2 to EL1, entry of secondary cores, EL2
// vectors. It stays in memory for ever, at one page of code and a few of data. Register values: Arm ARM DDI 0487, D19.
//
// No instruction here touches unaligned data: with the MMU off all memory is Device memory, where that faults.

    // Offsets in resident_params; the Rust side has the same in resident.rs and checks them.
    .equ P_TTBR0, 0
    .equ P_TTBR1, 8
    .equ P_TCR, 16
    .equ P_MAIR, 24
    .equ P_SCTLR, 32
    .equ P_UART_BASE, 40
    .equ P_UART_KIND, 48
    .equ P_UART_SHIFT, 52
    .equ P_UART_WIDTH, 56
    .equ P_PSCI, 60

    .section .resident.text, "ax", %progbits
    .balign 4096
    .global _head
_head:
    b       start                   // code0
    .long   0                       // code1
    .quad   0                       // text_offset
    .quad   0                       // image_size: written as the image is put together
    .quad   0b1010                  // flags: little-endian, 4 KiB pages, may lie anywhere
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

// Firmware enters here: x0 = device tree, MMU off. SError may be unmasked and pending.
start:
    msr     daifset, #0xf
    mov     x19, x0
    mrs     x20, CurrentEL
    lsr     x20, x20, #2
    bl      leave_el2
    mrs     x21, cntvct_el0         // behind leave_el2: CNTVOFF is zero now

    // The stack ends at the end of the memory that the header claims.
    adr     x22, _head
    ldr     x9, [x22, #16]
    cbz     x9, stop                // never put together as an image: there is no memory to run in
    add     x9, x22, x9
    mov     sp, x9

    // Relocate: the image is linked at 0, so the base is what every pointer lacks. Only R_AARCH64_RELATIVE occurs.
    adrp    x9, __rela_start
    add     x9, x9, :lo12:__rela_start
    adrp    x10, __rela_end
    add     x10, x10, :lo12:__rela_end
1:  cmp     x9, x10
    b.hs    2f
    ldp     x11, x12, [x9]          // offset, info
    ldr     x13, [x9, #16]          // addend
    add     x9, x9, #24
    cmp     x12, #1027
    b.ne    stop
    add     x13, x13, x22
    str     x13, [x22, x11]
    b       1b
2:
    // BSS needs no clearing: it is part of the file.
    mov     x0, x19
    mov     x1, x20
    mov     x2, x21
    mov     x29, xzr
    adr     x30, stop
    b       stage0_main

stop:
    wfe
    b       stop

// Returns to the caller at EL1 with the MMU off. At EL2 it makes EL1 own the machine; at EL1 it only writes SCTLR; at EL3, where
// nobody should start us, it does nothing, and stage0_main says so. Clobbers x9–x11.
leave_el2:
    mrs     x9, CurrentEL
    cmp     x9, #(2 << 2)
    b.hi    9f
    ldr     x10, =0x30d00800        // RES1 bits: MMU and caches off, little-endian
    msr     sctlr_el1, x10
    isb
    b.lo    9f

    mov     x9, #(1 << 31)          // RW: EL1 is AArch64; no traps, no stage 2
    msr     hcr_el2, x9
    isb
    mov     x9, #3                  // EL1 may use the physical counter and timer
    msr     cnthctl_el2, x9
    msr     cntvoff_el2, xzr
    mov     x9, #0x33ff             // RES1 bits; FP and SIMD don't trap
    msr     cptr_el2, x9
    mrs     x9, id_aa64dfr0_el1
    sbfx    x9, x9, #8, #4          // PMUVer: below 1 there is no architected PMU
    mov     x10, xzr
    cmp     x9, #1
    b.lt    1f
    mrs     x10, pmcr_el0
    ubfx    x10, x10, #11, #5       // HPMN = N: all event counters are EL1's
1:  msr     mdcr_el2, x10
    msr     hstr_el2, xzr
    msr     vttbr_el2, xzr
    mrs     x9, midr_el1
    msr     vpidr_el2, x9
    mrs     x9, mpidr_el1
    msr     vmpidr_el2, x9
    mrs     x9, id_aa64pfr0_el1
    ubfx    x9, x9, #24, #4         // GIC: system registers exist
    cbz     x9, 2f
    mov     x9, #0xf                // SRE, no bypass, EL1 may use ICC_SRE_EL1
    msr     S3_4_C12_C9_5, x9       // ICC_SRE_EL2
    isb
    msr     S3_4_C12_C11_0, xzr     // ICH_HCR_EL2
2:  adr     x9, el2_vectors
    msr     vbar_el2, x9
    ldr     x9, =0x30c50830         // SCTLR_EL2: RES1 bits, MMU and caches off
    msr     sctlr_el2, x9
    mov     x9, #0x3c5              // EL1h, everything masked
    msr     spsr_el2, x9
    msr     elr_el2, x30
    isb
    eret
9:  ret

// fn mmu_on(ttbr0, ttbr1, tcr, mair, sctlr): the code runs at the same address before and after.
    .global mmu_on
mmu_on:
    ic      iallu
    tlbi    vmalle1
    dsb     nsh
    msr     ttbr0_el1, x0
    msr     ttbr1_el1, x1
    msr     tcr_el1, x2
    msr     mair_el1, x3
    isb
    msr     sctlr_el1, x4
    isb
    ret

// fn enter_kernel(boot_info_va, entry_va) -> !: leaves the early identity map for the resident one, in which this page is mapped
// the same way, traps FP again and jumps.
    .global enter_kernel
enter_kernel:
    adrp    x9, resident_params
    ldr     x9, [x9, #:lo12:resident_params]
    msr     ttbr0_el1, x9
    isb
    tlbi    vmalle1
    dsb     nsh
    msr     cpacr_el1, xzr
    isb
    mov     x30, xzr
    mov     x29, xzr
    br      x1

// A secondary core starts here: x0 = physical address of a SecondaryStart, MMU off.
    .global secondary_entry
secondary_entry:
    msr     daifset, #0xf
    mov     x19, x0
    bl      leave_el2
    adrp    x9, resident_params
    add     x9, x9, :lo12:resident_params
    ldp     x0, x1, [x9, #P_TTBR0]
    ldp     x2, x3, [x9, #P_TCR]
    ldr     x4, [x9, #P_SCTLR]
    bl      mmu_on
    msr     cpacr_el1, xzr
    isb
    mov     x9, #0xffffff8000000000 // the direct map
    add     x19, x19, x9
    ldp     x1, x2, [x19]           // entry, stack
    ldr     x0, [x19, #16]
    mov     sp, x2
    mov     x30, xzr
    mov     x29, xzr
    br      x1

    .ltorg

// Nothing should ever reach EL2 once the kernel runs. What does is reported and ends the machine. No stack, MMU off.
el2_report:
    mov     x19, x9
    adrp    x20, resident_params
    add     x20, x20, :lo12:resident_params
    adr     x21, el2_text
    bl      put_text
    mov     x22, x19
    bl      put_hex
    adr     x21, esr_text
    bl      put_text
    mrs     x22, esr_el2
    bl      put_hex
    adr     x21, elr_text
    bl      put_text
    mrs     x22, elr_el2
    bl      put_hex
    adr     x21, far_text
    bl      put_text
    mrs     x22, far_el2
    bl      put_hex
    adr     x21, end_text
    bl      put_text
    ldr     w9, [x20, #P_PSCI]
    cmp     w9, #2
    b.ne    stop
    ldr     w0, =0x84000008         // SYSTEM_OFF
    smc     #0
    b       stop

// Prints the text at x21. Clobbers x0, x9–x12, x24.
put_text:
    mov     x24, x30
1:  ldrb    w0, [x21], #1
    cbz     w0, 2f
    bl      put
    b       1b
2:  ret     x24

// Prints x22 in hexadecimal. Clobbers x0, x9–x12, x23, x24.
put_hex:
    mov     x24, x30
    mov     x23, #60
1:  lsr     x0, x22, x23
    and     x0, x0, #0xf
    cmp     x0, #10
    add     x9, x0, #'0'
    add     x10, x0, #('a' - 10)
    csel    x0, x9, x10, lo
    bl      put
    subs    x23, x23, #4
    b.ge    1b
    ret     x24

// Prints the character in w0; gives up when the transmitter never gets ready. Clobbers x9–x12.
put:
    ldr     x9, [x20, #P_UART_BASE]
    ldr     w10, [x20, #P_UART_KIND]
    mov     w12, #0x100000
    cmp     w10, #1
    b.eq    3f
    cmp     w10, #2
    b.ne    9f
    ldr     w10, [x20, #P_UART_SHIFT]
    mov     w11, #5                 // LSR
    lsl     w10, w11, w10
    ldr     w11, [x20, #P_UART_WIDTH]
    cmp     w11, #4
    b.eq    2f
1:  ldrb    w11, [x9, x10]
    tbnz    w11, #5, 11f            // THRE
    subs    w12, w12, #1
    b.ne    1b
11: strb    w0, [x9]
    ret
2:  ldr     w11, [x9, x10]
    tbnz    w11, #5, 21f
    subs    w12, w12, #1
    b.ne    2b
21: str     w0, [x9]
    ret
3:  ldr     w11, [x9, #0x18]        // PL011 FR
    tbz     w11, #5, 31f            // TXFF
    subs    w12, w12, #1
    b.ne    3b
31: str     w0, [x9]
9:  ret

    .ltorg

el2_text:
    .asciz  "\r\nstage0: exception at EL2: vector "
esr_text:
    .asciz  " ESR "
elr_text:
    .asciz  " ELR "
far_text:
    .asciz  " FAR "
end_text:
    .asciz  "\r\n"

    .balign 2048
el2_vectors:
    .irp    vector, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    .balign 128
    mov     x9, #\vector
    b       el2_report
    .endr

    .section .resident.data, "aw", %progbits
    .balign 4096
    .global resident_params
resident_params:
    .space  4096
    .global resident_tables
resident_tables:
    .space  3 * 4096
