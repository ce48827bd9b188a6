// fn sha256_blocks(state: *mut u32, data: *const u8, blocks: usize)
//
// The compression function of SHA-256 (FIPS 180-4, 6.2.2) with the Armv8 SHA2 instructions: each SHA256H/SHA256H2 pair makes four
// rounds, SHA256SU0/SU1 extend the message schedule by four words. Needs the instructions and FP access; blocks > 0.
    .arch_extension sha2

    .section .text.sha256_blocks, "ax", %progbits
    .balign 16
    .global sha256_blocks
sha256_blocks:
    adrp    x3, sha256_k
    add     x3, x3, :lo12:sha256_k
    ld1     {v16.4s-v19.4s}, [x3], #64      // the 64 constants
    ld1     {v20.4s-v23.4s}, [x3], #64
    ld1     {v24.4s-v27.4s}, [x3], #64
    ld1     {v28.4s-v31.4s}, [x3]
    ld1     {v0.4s-v1.4s}, [x0]             // a b c d, e f g h

1:  ld1     {v4.16b-v7.16b}, [x1], #64
    rev32   v4.16b, v4.16b
    rev32   v5.16b, v5.16b
    rev32   v6.16b, v6.16b
    rev32   v7.16b, v7.16b
    mov     v2.16b, v0.16b
    mov     v3.16b, v1.16b

    // Four rounds with constants \k and schedule words \w0; then \w0 becomes the words 16 further on.
    .macro  rounds k, w0, w1, w2, w3, extend
    add     v8.4s, \w0\().4s, \k\().4s
    .if \extend
    sha256su0 \w0\().4s, \w1\().4s
    sha256su1 \w0\().4s, \w2\().4s, \w3\().4s
    .endif
    mov     v9.16b, v2.16b
    sha256h  q2, q3, v8.4s
    sha256h2 q3, q9, v8.4s
    .endm

    rounds  v16, v4, v5, v6, v7, 1
    rounds  v17, v5, v6, v7, v4, 1
    rounds  v18, v6, v7, v4, v5, 1
    rounds  v19, v7, v4, v5, v6, 1
    rounds  v20, v4, v5, v6, v7, 1
    rounds  v21, v5, v6, v7, v4, 1
    rounds  v22, v6, v7, v4, v5, 1
    rounds  v23, v7, v4, v5, v6, 1
    rounds  v24, v4, v5, v6, v7, 1
    rounds  v25, v5, v6, v7, v4, 1
    rounds  v26, v6, v7, v4, v5, 1
    rounds  v27, v7, v4, v5, v6, 1
    rounds  v28, v4, v5, v6, v7, 0
    rounds  v29, v5, v6, v7, v4, 0
    rounds  v30, v6, v7, v4, v5, 0
    rounds  v31, v7, v4, v5, v6, 0

    add     v0.4s, v0.4s, v2.4s
    add     v1.4s, v1.4s, v3.4s
    subs    x2, x2, #1
    b.ne    1b
    st1     {v0.4s-v1.4s}, [x0]
    ret

    .section .rodata.sha256_k, "a", %progbits
    .balign 16
sha256_k:
    .long   0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5
    .long   0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174
    .long   0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da
    .long   0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967
    .long   0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85
    .long   0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070
    .long   0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3
    .long   0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
