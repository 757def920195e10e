# Inner loops of the fast kernels for RV32E, the one place where the compiler's code is not good enough: it keeps
# fewer than eight sums in registers, and turns rare branches into arithmetic.
#
# The same in C, with the contracts: ni_activate and ni_list_rows in lanes.h, ni_rows_fp130 in fast_fp130.c, and
# rows in fold.h for
#
# void ni_rows_<bits>bit_<words>(const uint8_t *base, const uint16_t *add, const uint16_t *subtract,
#                                uint32_t start, uint32_t *sums, uint32_t counts)
#
# The latter use all registers but sp; gp and tp are saved like the others. Interrupts must be off.
#if defined(NI_ASSEMBLY)

#define base a0
#define list a1
#define row a2
#define word a3
#define part a4
#define mask a5

    .macro enter
    addi sp, sp, -44
    sw ra, 0(sp)
    sw gp, 4(sp)
    sw tp, 8(sp)
    sw s0, 12(sp)
    sw s1, 16(sp)
    sw a0, 20(sp)
    sw a1, 24(sp)
    sw a2, 28(sp)
    sw a3, 32(sp)
    sw a4, 36(sp)
    sw a5, 40(sp)
    .endm

# On to the next `words` words of every row and their `bytes` of sums, while there are blocks left.
    .macro next_block words, bytes
    addi row, row, -32
    sw row, 40(sp)
    addi list, list, \bytes
    sw list, 36(sp)
    lw base, 20(sp)
    addi base, base, 4 * \words
    sw base, 20(sp)
    srli row, row, 5
    bnez row, 0b
    lw ra, 0(sp)
    lw gp, 4(sp)
    lw tp, 8(sp)
    lw s0, 12(sp)
    lw s1, 16(sp)
    addi sp, sp, 44
    ret
    .endm

# Each row of a list, which lies `next` bytes apart, through `step` with `op` add or sub.
    .macro walk step, op, next, words
    lhu row, 0(list)
    beqz row, 2f
1:  add row, row, base
    addi list, list, \next
    \step \op, \words
    lhu row, 0(list)
    bnez row, 1b
2:
    .endm

# Both lists; then `list` points to the sums, `mask` has every other byte, and `row` holds the counts, of which
# a shift sees the doublings only.
    .macro rows step, words
    lw base, 20(sp)
    lw list, 24(sp)
    walk \step, add, 2, \words
    lw list, 28(sp)
    walk \step, sub, -2, \words
    lw list, 36(sp)
    lw row, 40(sp)
    li mask, 0x00ff00ff
    .endm

# sum word at `offset` and its neighbour `apart` bytes on: doubled, plus the lanes in `lane`.
    .macro fold lane, offset, apart
    lw word, \offset(list)
    sll word, word, row
    and part, \lane, mask
    add word, word, part
    sw word, \offset(list)
    lw word, \offset + \apart(list)
    sll word, word, row
    srli part, \lane, 8
    and part, part, mask
    add word, word, part
    sw word, \offset + \apart(list)
    .endm

# Four bits: the lower codes are masked, the upper ones are not, so that `high` also gathers 16 times the lower
# codes of the bytes above. `finish4` takes them off, and 16 times the upper bytes of `start` with them, which
# `high` therefore starts with.
    .macro one4 op, offset, low, high
    lw word, \offset(row)
    and part, word, mask
    \op \low, \low, part
    srli word, word, 4
    \op \high, \high, word
    .endm

    .macro step4 op, words
    one4 \op, 0, s0, s1
    .if \words > 1
    one4 \op, 4, t0, t1
    one4 \op, 8, t2, ra
    one4 \op, 12, gp, tp
    .endif
    .endm

    .macro finish4 offset, low, high
    srli part, \low, 8
    slli part, part, 4
    sub \high, \high, part
    fold \low, \offset, 8
    fold \high, \offset + 4, 8
    .endm

    .macro rows4 words
    enter
0:  lw s0, 32(sp)
    srli s1, s0, 8
    slli s1, s1, 4
    add s1, s1, s0
    li mask, 0x0f0f0f0f
    .if \words > 1
    mv t0, s0
    mv t2, s0
    mv gp, s0
    mv t1, s1
    mv ra, s1
    mv tp, s1
    .endif
    rows step4, \words
    finish4 0, s0, s1
    .if \words > 1
    finish4 16, t0, t1
    finish4 32, t2, ra
    finish4 48, gp, tp
    .endif
    next_block \words, 16 * \words
    .endm

# Two bits: every code is masked.
    .macro mask_next op, bits, sum
    srli word, word, \bits
    and part, word, mask
    \op \sum, \sum, part
    .endm

    .macro one2 op, offset, a, b, c, d
    lw word, \offset(row)
    and part, word, mask
    \op \a, \a, part
    mask_next \op, 2, \b
    mask_next \op, 2, \c
    mask_next \op, 2, \d
    .endm

    .macro step2 op, words
    one2 \op, 0, s0, s1, t0, t1
    .if \words > 1
    one2 \op, 4, t2, ra, gp, tp
    .endif
    .endm

    .macro start8 codes
    enter
0:  lw s0, 32(sp)
    li mask, \codes
    .irp sum, s1, t0, t1, t2, ra, gp, tp
    mv \sum, s0
    .endr
    .endm

    .macro rows2 words
    start8 0x03030303
    rows step2, \words
    fold s0, 0, 16
    fold s1, 4, 16
    fold t0, 8, 16
    fold t1, 12, 16
    .if \words > 1
    fold t2, 32, 16
    fold ra, 36, 16
    fold gp, 40, 16
    fold tp, 44, 16
    .endif
    next_block \words, 32 * \words
    .endm

# One bit.
    .macro step1 op, words
    lw word, 0(row)
    and part, word, mask
    \op s0, s0, part
    .irp sum, s1, t0, t1, t2, ra, gp, tp
    mask_next \op, 1, \sum
    .endr
    .endm

    .macro rows1
    start8 0x01010101
    rows step1, 1
    fold s0, 0, 32
    fold s1, 4, 32
    fold t0, 8, 32
    fold t1, 12, 32
    fold t2, 16, 32
    fold ra, 20, 32
    fold gp, 24, 32
    fold tp, 28, 32
    next_block 1, 64
    .endm

# fp130: the sums of a word's eight outputs in registers, list a0, words left on the stack, offset of the word in
# its row a1, row and word a2, value a5; a3 for the product. As in fast_fp130.c, from the word's top code down.
# The code stands twice, once for runs of positive weights and once for runs of negative ones: a branch is taken
# only where the sign changes.
    .macro shifted position, sum
    bltz a2, .Lsubtract\position
.Ladd\position:
    srli a3, a2, 28
    sll a3, a5, a3
    add \sum, \sum, a3
    .if \position
    slli a2, a2, 4
    .endif
    .endm

    .macro shifted_minus position, sum
    bgez a2, .Ladd\position
.Lsubtract\position:
    srli a3, a2, 28
    andi a3, a3, 7
    sll a3, a5, a3
    sub \sum, \sum, a3
    .if \position
    slli a2, a2, 4
    .endif
    .endm

    .macro rows_fp130
    addi sp, sp, -32
    sw ra, 0(sp)
    sw gp, 4(sp)
    sw tp, 8(sp)
    sw s0, 12(sp)
    sw s1, 16(sp)
    sw a0, 20(sp)
    sw a1, 24(sp)
    sw a2, 28(sp)
    li a1, 0
1:  lw a0, 20(sp)
    lw a3, 28(sp)
    lw s0, 0(a3)
    lw s1, 4(a3)
    lw t0, 8(a3)
    lw t1, 12(a3)
    lw t2, 16(a3)
    lw ra, 20(a3)
    lw gp, 24(a3)
    lw tp, 28(a3)
    lw a2, 0(a0)
2:  add a2, a2, a1
    lw a5, 4(a0)
    lw a2, 0(a2)
    addi a0, a0, 8
    shifted 7, tp
    shifted 6, gp
    shifted 5, ra
    shifted 4, t2
    shifted 3, t1
    shifted 2, t0
    shifted 1, s1
    shifted 0, s0
    lw a2, 0(a0)
    bnez a2, 2b
    j 3f
    shifted_minus 7, tp
    shifted_minus 6, gp
    shifted_minus 5, ra
    shifted_minus 4, t2
    shifted_minus 3, t1
    shifted_minus 2, t0
    shifted_minus 1, s1
    shifted_minus 0, s0
    lw a2, 0(a0)
    bnez a2, 2b
3:
    lw a3, 28(sp)
    sw s0, 0(a3)
    sw s1, 4(a3)
    sw t0, 8(a3)
    sw t1, 12(a3)
    sw t2, 16(a3)
    sw ra, 20(a3)
    sw gp, 24(a3)
    sw tp, 28(a3)
    addi a3, a3, 32
    sw a3, 28(sp)
    addi a1, a1, 4
    lw a2, 24(sp)
    addi a2, a2, -1
    sw a2, 24(sp)
    bnez a2, 1b
    lw ra, 0(sp)
    lw gp, 4(sp)
    lw tp, 8(sp)
    lw s0, 12(sp)
    lw s1, 16(sp)
    addi sp, sp, 32
    ret
    .endm

    .macro function section, name, body:vararg
    .section \section\().\name, "ax"
    .balign 4
    .globl \name
    .type \name, @function
\name:
    \body
    .size \name, . - \name
    .endm

# Two entries in turn, so that a zero digit costs half a taken branch.
    .macro list_rows
    mv t0, a4
1:  lw a5, 0(a0)
    addi a0, a0, 4
    sll t1, a5, a2
    bltz t1, 2f
    lw a5, 0(a0)
    addi a0, a0, 4
    sll t1, a5, a2
    bgez t1, 1b
2:  bltu a1, a0, 4f
    slli a5, a5, 18 # lower 14 bits, times four
    srli a5, a5, 16
    slli t1, t1, 9 # from digit to sign
    bltz t1, 3f
    sh a5, 0(a3)
    addi a3, a3, 2
    bne a3, a4, 1b
    j 5f
3:  sh a5, 0(a4)
    addi a4, a4, -2
    bne a3, a4, 1b
    j 5f
4:  li a0, 0
5:  sh zero, 0(a3)
    sh zero, 0(a4)
    sub t1, t0, a4
    srli t1, t1, 1
    sh t1, 2(t0)
    ret
    .endm

# `in` is a0; the fields of ni_inputs in registers: x a1, end a2, ground a3, row a4, stride a5, entry s0, limit s1,
# total ra, digits tp.
    .macro activate
    addi sp, sp, -16
    sw ra, 0(sp)
    sw tp, 4(sp)
    sw s0, 8(sp)
    sw s1, 12(sp)
    lw a1, 0(a0)
    lw a2, 4(a0)
    lw a3, 8(a0)
    lw a4, 12(a0)
    lw a5, 16(a0)
    lw s0, 20(a0)
    lw s1, 24(a0)
    lw ra, 28(a0)
    lw tp, 32(a0)
    beq a1, a2, 4f
1:  lb t0, 0(a1)
    addi a1, a1, 1
    add a4, a4, a5
    bne t0, a3, 3f
2:  bne a1, a2, 1b
    j 4f
3:  sub t0, t0, a3
    add ra, ra, t0
    slli t1, t0, 1
    add t1, t1, t0
    xor t2, t1, t0
    slli t2, t2, 22
    not t1, t1
    and t1, t1, t0
    slli t1, t1, 13
    or t2, t2, t1
    or t2, t2, a4
    or tp, tp, t2
    sw t2, 0(s0)
    addi s0, s0, 4
    bne s0, s1, 2b
4:  sw a1, 0(a0)
    sw a4, 12(a0)
    sw s0, 20(a0)
    sw ra, 28(a0)
    sw tp, 32(a0)
    lw ra, 0(sp)
    lw tp, 4(sp)
    lw s0, 8(sp)
    lw s1, 12(sp)
    addi sp, sp, 16
    ret
    .endm

#ifdef NI_LAYERS_IN_FLASH
#define FAST_CODE .text
#else
#define FAST_CODE .ramcode
#endif

    function FAST_CODE, ni_activate, activate
    function FAST_CODE, ni_list_rows, list_rows
    function FAST_CODE, ni_rows_4bit_4, rows4 4
    function .text, ni_rows_4bit_1, rows4 1
    function FAST_CODE, ni_rows_2bit_2, rows2 2
    function .text, ni_rows_2bit_1, rows2 1
    function FAST_CODE, ni_rows_1bit_1, rows1
    function FAST_CODE, ni_rows_fp130, rows_fp130

#endif
