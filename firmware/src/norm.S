# ni_shift_norm for RV32E, as in network.c: compiled code has more jumps, and tests every value for the ceiling.
#if defined(NI_ASSEMBLY)

#define sums a0
#define to a1
#define end a2
#define largest a3
#define value a4
#define shift a5
#define at a5 /* until the shift is known */

    .section .text.ni_shift_norm, "ax"
    .balign 4
    .globl ni_shift_norm
    .type ni_shift_norm, @function
ni_shift_norm: # const int32_t *sums, int8_t *to, uint32_t count
    andi t0, a2, 1
    slli end, a2, 2
    add end, end, sums
    li largest, 0
    # Two sums at a time; an odd one comes first.
    mv at, sums
    beqz t0, 1f
    addi at, at, -4
    j 2f
1:  lw value, 0(at)
    blt largest, value, 4f
2:  lw value, 4(at)
    blt largest, value, 5f
3:  addi at, at, 8
    bne at, end, 1b
    j 6f
4:  mv largest, value
    j 2b
5:  mv largest, value
    j 3b

6:  mv t1, largest
    li t0, 127
    li shift, 0
    j 8f
7:  srli largest, largest, 1
    addi shift, shift, 1
8:  blt t0, largest, 7b
    li largest, 1
    sll largest, largest, shift
    srli largest, largest, 1 # from here on half a unit, (1 << shift) >> 1
    add t1, t1, largest
    srl t1, t1, shift
    blt t0, t1, 3f # the largest is rounded up to 128

    # No sum is rounded to more than 127.
1:  lw value, 0(sums)
    addi sums, sums, 4
    blez value, 2f
    add value, value, largest
    srl value, value, shift
    sb value, 0(to)
    addi to, to, 1
    bne sums, end, 1b
    ret
2:  sb zero, 0(to)
    addi to, to, 1
    bne sums, end, 1b
    ret

3:  lw value, 0(sums)
    addi sums, sums, 4
    blez value, 5f
    add value, value, largest
    srl value, value, shift
    bge t0, value, 4f
    li value, 127
4:  sb value, 0(to)
    addi to, to, 1
    bne sums, end, 3b
    ret
5:  li value, 0
    j 4b
    .size ni_shift_norm, . - ni_shift_norm

#endif
