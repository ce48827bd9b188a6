// What is counted, in instructions that no compiler chooses. Every role is an agent of its own: this code is copied into a frame that all of them map, so it
// must not care where it lies. x0 is its job (`Job` in program/agents.rs). No role uses a stack, or memory beside its job, its buffer and what is shared.
//
// x16 sum of times, x19 job, x20 rounds left, x21 slot, x22 information word, x23 peer, x24 random state, x25 and x26 its constants, x27 badge,
// x28 what was wrong, x29 buffer, x30 words or second slot. The kernel keeps x13-x30; x13-x15, x17, x18 are free.
//
// Between OPEN and CLOSE stands what a program has to do for the operation: arguments, call, look at the status, count the rounds. What is sent is made
// before, and what comes is checked after.

    .equ MARK, 0xd280001f
    .equ MARK_CLOSE, MARK
    .equ MARK_OPEN, MARK | 2 << 5
    .equ MARK_REOPEN, MARK | 3 << 5

    .equ IPC_SEND, 1
    .equ IPC_RECV, 2
    .equ IPC_CALL, 3
    .equ IPC_REPLY_RECV, 5
    .equ NOTIFY, 6
    .equ YIELD, 7
    .equ EXIT, 8
    .equ AGENT_SPAWN, 16
    .equ AGENT_CONTROL, 17
    .equ FAULT_REPLY, 21
    .equ FRAME_ALLOC, 32
    .equ PAGE_MAP, 33
    .equ PAGE_UNMAP, 34
    .equ CAP_MINT, 48
    .equ CAP_DROP, 51
    .equ CAP_CHECK, 55
    .equ IRQ_BIND, 64
    .equ IRQ_ACK, 65

    .equ SLOT_SELF, 1 << 16 | 1
    .equ SLOT_POOL, 2 << 16 | 1
    .equ NOTIFICATIONS_ONLY, 1 << 41
    .equ READ_WRITE, 3
    .equ READ_EXECUTE, 5
    .equ SEND, 8
    .equ START, 1
    .equ SUPERVISE, 8
    .equ EXITED, 14
    .equ KILL, 2

    .equ JOB_SUM, 80                // and what was wrong
    .equ JOB_WORDS, 96

// The counter is read outside of the window: between two readings are the window and, with the marks, 5 instructions more.
    .macro OPEN
    mrs     x17, cntvct_el0
    sub     x16, x16, x17
    str     x16, [x19, #JOB_SUM]
    .inst   MARK_OPEN
    .endm

    .macro REOPEN
    mrs     x17, cntvct_el0
    sub     x16, x16, x17
    str     x16, [x19, #JOB_SUM]
    .inst   MARK_REOPEN
    .endm

    .macro CLOSE
    .inst   MARK_CLOSE
    mrs     x17, cntvct_el0
    add     x16, x16, x17
    .endm

    .macro BEGIN name
    .global \name
\name:
    mov     x19, x0
    ldp     x21, x22, [x19]
    ldp     x20, x24, [x19, #16]
    ldp     x23, x27, [x19, #32]
    ldp     x29, x30, [x19, #48]
    ldr     x25, =6364136223846793005
    ldr     x26, =1442695040888963407
    mov     x16, #0
    mov     x28, #0
    .endm

    .macro KEEP
    stp     x16, x28, [x19, #JOB_SUM]
    .endm

// Ends the role: what was wrong is its status.
    .macro END
    KEEP
    mov     x0, x28
    mov     x1, #0
    mov     x8, #EXIT
    svc     #0
    .endm

    .macro RANDOM to
    madd    x24, x24, x25, x26
    eor     \to, x24, x24, lsr #29
    .endm

    .macro EXPECT value, wanted
    cmp     \value, \wanted
    cinc    x28, x28, ne
    .endm

    .macro EXPECT_CONSTANT value, wanted
    cmp     \value, #\wanted
    cinc    x28, x28, ne
    .endm

    .macro LOAD_WORDS
    ldp     x0, x1, [x19, #JOB_WORDS]
    ldp     x2, x3, [x19, #JOB_WORDS + 16]
    ldp     x4, x5, [x19, #JOB_WORDS + 32]
    ldp     x6, x7, [x19, #JOB_WORDS + 48]
    .endm

// Eight random words for the next message.
    .macro MAKE_WORDS
    .irp    place, 0, 8, 16, 24, 32, 40, 48, 56
    RANDOM  x17
    str     x17, [x19, #JOB_WORDS + \place]
    .endr
    .endm

// The words that came are the next random ones.
    .macro EXPECT_RANDOM_WORDS
    .irp    word, x0, x1, x2, x3, x4, x5, x6, x7
    RANDOM  x17
    EXPECT  \word, x17
    .endr
    .endm

// The answer to words is their complement.
    .macro KEEP_COMPLEMENT
    mvn     x0, x0
    mvn     x1, x1
    mvn     x2, x2
    mvn     x3, x3
    mvn     x4, x4
    mvn     x5, x5
    mvn     x6, x6
    mvn     x7, x7
    stp     x0, x1, [x19, #JOB_WORDS]
    stp     x2, x3, [x19, #JOB_WORDS + 16]
    stp     x4, x5, [x19, #JOB_WORDS + 32]
    stp     x6, x7, [x19, #JOB_WORDS + 48]
    .endm

    .macro EXPECT_COMPLEMENT
    .irp    word, 0, 1, 2, 3, 4, 5, 6, 7
    ldr     x17, [x19, #JOB_WORDS + 8 * \word]
    mvn     x17, x17
    EXPECT  x\word, x17
    .endr
    .endm

    .section .text.roles, "ax", %progbits
    .balign 16
    .global roles_start
roles_start:

// Is started and ends, with the status that it was given.
    .global role_newborn
role_newborn:
    mov     x16, #0
    CLOSE
    mov     x30, x16
    mov     x8, #EXIT
    mov     x1, #0
    svc     #0

// A call failed: its status is part of what was wrong.
bail:
    CLOSE
    add     x28, x28, x8
    add     x28, x28, #0x10, lsl #12
    END

// Checks its capability.
    BEGIN   role_null
1:  OPEN
    mov     x8, #CAP_CHECK
    mov     x9, x21
    mov     x0, #SEND
    svc     #0
    sub     x20, x20, #1
    cbnz    x8, bail
    CLOSE
    EXPECT_CONSTANT x0, 2
    EXPECT_CONSTANT x1, SEND
    cbnz    x20, 1b
    END

// Calls with nothing.
    BEGIN   role_caller_0
1:  OPEN
    mov     x8, #IPC_CALL
    mov     x9, x21
    mov     x10, #0
    mov     x12, #-1
    svc     #0
    sub     x20, x20, #1
    cbnz    x8, bail
    CLOSE
    EXPECT  x9, x23
    and     x10, x10, #0xffff
    EXPECT_CONSTANT x10, 0
    cbnz    x20, 1b
    END

    BEGIN   role_server_0
    mov     x9, #0
    mov     x8, #IPC_REPLY_RECV
    mov     x10, #0
    mov     x12, #-1
    svc     #0
1:  CLOSE
    EXPECT_CONSTANT x8, 0
    EXPECT  x9, x23
    EXPECT  x11, x27
    KEEP
    REOPEN
    mov     x8, #IPC_REPLY_RECV
    mov     x9, x12
    mov     x10, #0
    mov     x12, #-1
    svc     #0
    b       1b

// Calls with 64 bytes each way. x22 is 64.
    .macro CALLER_64 name, floats
    BEGIN   \name
    .if     \floats
    fmov    d0, xzr
    fmov    d1, #1.0
    fmov    d31, x23
    .endif
1:  MAKE_WORDS
    OPEN
    .if     \floats
    fadd    d0, d0, d1
    .endif
    LOAD_WORDS
    mov     x8, #IPC_CALL
    mov     x9, x21
    mov     x10, x22
    mov     x12, #-1
    svc     #0
    sub     x20, x20, #1
    cbnz    x8, bail
    .if     \floats
    fadd    d0, d0, d1
    .endif
    CLOSE
    EXPECT  x9, x23
    and     x10, x10, #0xffff
    EXPECT  x10, x22
    EXPECT_COMPLEMENT
    KEEP
    cbnz    x20, 1b
    .if     \floats
    // Two sums a round, and the word that was put away at the start.
    ldr     x17, [x19, #16]
    lsl     x17, x17, #1
    fcvtzu  x18, d0
    EXPECT  x17, x18
    fmov    x17, d31
    EXPECT  x17, x23
    .endif
    END
    .endm

    .macro SERVER_64 name, floats
    BEGIN   \name
    .if     \floats
    fmov    d0, xzr
    fmov    d1, #1.0
    fmov    d31, x27
    mov     x13, #0
    .endif
    mov     x9, #0
    mov     x8, #IPC_REPLY_RECV
    mov     x10, #0
    mov     x12, #-1
    svc     #0
1:
    .if     \floats
    fadd    d0, d0, d1
    .endif
    CLOSE
    EXPECT_CONSTANT x8, 0
    EXPECT  x9, x23
    EXPECT  x11, x27
    and     x10, x10, #0xffff
    EXPECT  x10, x22
    EXPECT_RANDOM_WORDS
    KEEP_COMPLEMENT
    .if     \floats
    add     x13, x13, #1
    fcvtzu  x18, d0
    EXPECT  x13, x18
    fmov    x17, d31
    EXPECT  x17, x27
    .endif
    KEEP
    REOPEN
    LOAD_WORDS
    mov     x8, #IPC_REPLY_RECV
    mov     x9, x12
    mov     x10, x22
    mov     x12, #-1
    svc     #0
    b       1b
    .endm

    CALLER_64 role_caller_64, 0
    SERVER_64 role_server_64, 0
    CALLER_64 role_caller_64_fp, 1
    SERVER_64 role_server_64_fp, 1

// Calls with x30 words at x29; the answer is their exclusive or.
    BEGIN   role_caller_long
1:  mov     x13, x29
    mov     x14, x30
    mov     x15, #0
2:  RANDOM  x17
    eor     x15, x15, x17
    str     x17, [x13], #8
    sub     x14, x14, #1
    cbnz    x14, 2b
    OPEN
    mov     x8, #IPC_CALL
    mov     x9, x21
    mov     x10, x22
    mov     x11, x29
    mov     x12, #-1
    svc     #0
    sub     x20, x20, #1
    cbnz    x8, bail
    CLOSE
    EXPECT  x9, x23
    and     x10, x10, #0xffff
    EXPECT_CONSTANT x10, 8
    EXPECT  x0, x15
    KEEP
    cbnz    x20, 1b
    END

    BEGIN   role_server_long
    mov     x9, #0
    mov     x8, #IPC_REPLY_RECV
    mov     x10, x22
    mov     x11, x29
    mov     x12, #-1
    svc     #0
1:  CLOSE
    EXPECT_CONSTANT x8, 0
    EXPECT  x9, x23
    EXPECT  x11, x27
    and     x10, x10, #0x1ffff
    lsl     x17, x30, #3
    EXPECT  x10, x17
    mov     x13, x29
    mov     x14, x30
    mov     x15, #0
2:  RANDOM  x17
    ldr     x18, [x13], #8
    EXPECT  x18, x17
    eor     x15, x15, x18
    sub     x14, x14, #1
    cbnz    x14, 2b
    KEEP
    REOPEN
    mov     x0, x15
    mov     x8, #IPC_REPLY_RECV
    mov     x9, x12
    mov     x10, x22
    mov     x11, x29
    mov     x12, #-1
    svc     #0
    b       1b

// Notifies somebody who comes first.
    BEGIN   role_notifier
1:  OPEN
    mov     x8, #NOTIFY
    mov     x9, x21
    mov     x0, #1
    svc     #0
    cbnz    x8, bail
    sub     x20, x20, #1
    KEEP
    cbnz    x20, 1b
    END

    BEGIN   role_waiter
1:  mov     x8, #IPC_RECV
    mov     x10, #NOTIFICATIONS_ONLY
    mov     x12, #-1
    svc     #0
    CLOSE
    EXPECT_CONSTANT x8, 0
    EXPECT_CONSTANT x0, 1
    KEEP
    b       1b

// Two that yield to each other; x29 is where each writes who it is, x23.
    .macro YIELDER name, second
    BEGIN   \name
    .if     \second
    CLOSE
    .endif
1:  ldr     x17, [x29]
    cmp     x17, x23
    cinc    x28, x28, eq
    str     x23, [x29]
    sub     x20, x20, #1
    KEEP
    OPEN
    mov     x8, #YIELD
    svc     #0
    cbz     x20, 2f
    CLOSE
    EXPECT_CONSTANT x8, 0
    b       1b
2:
    .if     1 - \second
    // The other one's last.
    CLOSE
    .endif
    END
    .endm

    YIELDER role_yielder_first, 0
    YIELDER role_yielder_second, 1

// Sends to a mailbox, and when that is done says so and waits until it was taken. x30 is the slot to notify.
    BEGIN   role_sender
1:  MAKE_WORDS
    OPEN
    LOAD_WORDS
    mov     x8, #IPC_SEND
    mov     x9, x21
    mov     x10, x22
    svc     #0
    sub     x20, x20, #1
    cbnz    x8, bail
    CLOSE
    mov     x8, #NOTIFY
    mov     x9, x30
    mov     x0, #1
    svc     #0
    EXPECT_CONSTANT x8, 0
    mov     x8, #IPC_RECV
    mov     x10, #NOTIFICATIONS_ONLY
    mov     x12, #-1
    svc     #0
    EXPECT_CONSTANT x8, 0
    KEEP
    cbnz    x20, 1b
    END

    BEGIN   role_taker
1:  mov     x8, #IPC_RECV
    mov     x10, #NOTIFICATIONS_ONLY
    mov     x12, #-1
    svc     #0
    EXPECT_CONSTANT x8, 0
    EXPECT_CONSTANT x0, 1
    REOPEN
    mov     x8, #IPC_RECV
    mov     x10, #0
    mov     x12, #-1
    svc     #0
    cbnz    x8, bail
    CLOSE
    EXPECT  x9, x23
    EXPECT  x11, x27
    EXPECT_RANDOM_WORDS
    KEEP
    mov     x8, #NOTIFY
    mov     x9, x21
    mov     x0, #1
    svc     #0
    EXPECT_CONSTANT x8, 0
    b       1b

// Reads a word of one page after the other from x29 on. x27 is the word. With each mapping comes a capability, the first time in slot x30: it is dropped,
// since only so many mappings that expire are possible, and its place is used again.
    BEGIN   role_faulter
1:  OPEN
    ldr     x0, [x29]
    CLOSE
    EXPECT  x0, x27
    add     x29, x29, #0x1, lsl #12
    sub     x20, x20, #1
    mov     x8, #CAP_DROP
    mov     x9, x30
    svc     #0
    EXPECT_CONSTANT x8, 0
    add     x30, x30, #1
    KEEP
    cbnz    x20, 1b
    END

// Maps the frame x21 wherever the agent x30 faults, until it ends. x27 is the badge of its faults, x29 the address of the first.
    BEGIN   role_pager
    mov     x8, #CAP_MINT
    ldr     w9, =SLOT_SELF
    mov     x0, x27
    mov     x1, #SEND
    mov     x2, #0
    mov     x3, #0
    svc     #0
    cbnz    x8, bail
    mov     x1, x0
    mov     x8, #AGENT_CONTROL
    mov     x9, x30
    mov     x0, #SUPERVISE
    svc     #0
    cbnz    x8, bail
1:  mov     x8, #IPC_RECV
    mov     x10, #0
    mov     x12, #-1
    svc     #0
    cmp     x1, #EXITED
    b.eq    2f
    CLOSE
    EXPECT_CONSTANT x8, 0
    EXPECT_CONSTANT x9, 0
    EXPECT  x11, x27
    EXPECT  x3, x29
    add     x29, x29, #0x1, lsl #12
    KEEP
    REOPEN
    mov     x18, x12
    and     x1, x3, #~0xfff
    mov     x8, #PAGE_MAP
    mov     x9, x21
    mov     x0, x30
    mov     x2, #READ_WRITE
    svc     #0
    cbnz    x8, bail
    mov     x8, #FAULT_REPLY
    mov     x9, x18
    mov     x0, #0
    svc     #0
    cbnz    x8, bail
    b       1b
2:  add     x28, x28, x2
    mov     x8, #FAULT_REPLY
    mov     x9, x12
    mov     x0, #KILL
    svc     #0
    END

// Maps its own frame x21 at x29, whose first word is x27, and takes it away again.
    BEGIN   role_mapper
1:  OPEN
    mov     x8, #PAGE_MAP
    mov     x9, x21
    mov     x0, #0
    mov     x1, x29
    mov     x2, #READ_WRITE
    svc     #0
    sub     x20, x20, #1
    cbnz    x8, bail
    CLOSE
    ldr     x0, [x29]
    EXPECT  x0, x27
    mov     x8, #PAGE_UNMAP
    mov     x9, x21
    svc     #0
    EXPECT_CONSTANT x8, 0
    KEEP
    cbnz    x20, 1b
    END

// Has the clock at x29 interrupt at once, and waits until x30 counts that the driver had it.
    BEGIN   role_trigger
    mov     x13, #0
1:  add     x13, x13, #1
    ldr     w14, [x29]
    OPEN
    str     w14, [x29, #0x4]
2:  ldr     x17, [x30]
    cmp     x17, x13
    b.ne    2b
    sub     x20, x20, #1
    KEEP
    cbnz    x20, 1b
    END

// The clock's driver: PL031, registers at x29, interrupt in slot x21.
    BEGIN   role_driver
    mov     x13, #0
    mov     x8, #IRQ_BIND
    mov     x9, x21
    mov     x0, #0
    mov     x1, #1
    svc     #0
    cbnz    x8, bail
    mov     w17, #1
    str     w17, [x29, #0x10]
1:  mov     x8, #IPC_RECV
    mov     x10, #NOTIFICATIONS_ONLY
    mov     x12, #-1
    svc     #0
    CLOSE
    EXPECT_CONSTANT x8, 0
    EXPECT_CONSTANT x0, 1
    ldr     w17, [x29, #0x14]
    EXPECT_CONSTANT x17, 1
    str     w0, [x29, #0x1c]
    mov     x8, #IRQ_ACK
    mov     x9, x21
    mov     x0, #0
    svc     #0
    EXPECT_CONSTANT x8, 0
    add     x13, x13, #1
    str     x13, [x30]
    KEEP
    b       1b

// Starts agents that run the code of frame x21 from x30 on, and waits for the end of each. x22 is what each may use, x29 where their code lies.
    BEGIN   role_spawner
1:  RANDOM  x27
    OPEN
    mov     x8, #AGENT_SPAWN
    ldr     w9, =SLOT_POOL
    mov     x0, #1
    mov     x1, x22
    mov     x10, #1
    svc     #0
    cbnz    x8, bail
    mov     x13, x0
    mov     x8, #FRAME_ALLOC
    ldr     w9, =SLOT_POOL
    mov     x0, #1
    svc     #0
    cbnz    x8, bail
    mov     x14, x0
    mov     x8, #FRAME_ALLOC
    ldr     w9, =SLOT_POOL
    mov     x0, #1
    svc     #0
    cbnz    x8, bail
    mov     x15, x0
    mov     x8, #PAGE_MAP
    mov     x9, x21
    mov     x0, x13
    mov     x1, x29
    mov     x2, #READ_EXECUTE
    svc     #0
    cbnz    x8, bail
    mov     x8, #PAGE_MAP
    mov     x9, x14
    mov     x0, x13
    add     x1, x29, #8, lsl #12
    mov     x2, #READ_WRITE
    svc     #0
    cbnz    x8, bail
    mov     x8, #PAGE_MAP
    mov     x9, x15
    mov     x0, x13
    add     x1, x29, #16, lsl #12
    mov     x2, #READ_WRITE
    svc     #0
    cbnz    x8, bail
    mov     x8, #AGENT_CONTROL
    mov     x9, x13
    mov     x0, #START
    mov     x1, x30
    add     x2, x29, #17, lsl #12
    mov     x3, x27
    mov     x4, #0
    mov     x5, #0
    mov     x6, #0
    svc     #0
    cbnz    x8, bail
    mov     x8, #IPC_RECV
    mov     x10, #0
    mov     x12, #-1
    svc     #0
    EXPECT_CONSTANT x8, 0
    EXPECT_CONSTANT x1, EXITED
    EXPECT  x2, x27
    // The newborn's reading of the counter came as its x30.
    add     x16, x16, x6
    mov     x8, #FAULT_REPLY
    mov     x9, x12
    mov     x0, #KILL
    svc     #0
    EXPECT_CONSTANT x8, 0
    .irp    slot, x13, x14, x15
    mov     x8, #CAP_DROP
    mov     x9, \slot
    svc     #0
    EXPECT_CONSTANT x8, 0
    .endr
    sub     x20, x20, #1
    KEEP
    cbnz    x20, 1b
    END

    .ltorg
    .balign 16
    .global roles_end
roles_end:
