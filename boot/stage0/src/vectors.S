// stage0's own vectors at EL1: every exception is a failure, reported by stage0_exception on a stack of its own.
    .section .text.vectors, "ax", %progbits
    .balign 2048
    .global stage0_vectors
stage0_vectors:
    .irp    vector, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    .balign 128
    mov     x0, #\vector
    b       1f
    .endr
    .balign 128
1:  adrp    x9, _head
    add     x9, x9, :lo12:_head
    ldr     x10, [x9, #16]          // image_size
    add     x9, x9, x10
    sub     x9, x9, #0x3f000        // the first page of the scratch memory (256 KiB)
    mov     sp, x9
    mrs     x1, esr_el1
    mrs     x2, elr_el1
    mrs     x3, far_el1
    b       stage0_exception
