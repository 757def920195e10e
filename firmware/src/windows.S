# Inner loop of fast_convolutions.c for RV32E: seven sums in registers. The same in C, with the contract, there.
#if defined(NI_ASSEMBLY)

#define window a0
#define adding a1
#define subtracting a2
#define at a3
#define word a4
#define entry a5
#define plane tp


# The words of a window at the listed offsets, added or subtracted.
    .macro walk op, list, next
    lbu entry, 0(\list)
    addi \list, \list, \next
    beqz entry, 2f
1:  add at, window, entry
    .set offset, 0
    .irp sum, s0, s1, t0, t1, t2, ra, gp
    lw word, offset(at)
    \op \sum, \sum, word
    .set offset, offset + 4
    .endr
    lbu entry, 0(\list)
    addi \list, \list, \next
    bnez entry, 1b
2:
    .endm

#ifdef NI_CONVOLUTIONS_IN_FLASH
    .section .text.ni_window_sums, "ax"
#else
    .section .ramcode.ni_window_sums, "ax"
#endif
    .balign 4
    .globl ni_window_sums
    .type ni_window_sums, @function
ni_window_sums:
    addi sp, sp, -24
    sw ra, 0(sp)
    sw gp, 4(sp)
    sw tp, 8(sp)
    sw s0, 12(sp)
    sw s1, 16(sp)
    sw a3, 20(sp)
    li s0, 0x08000800
    .irp sum, s1, t0, t1, t2, ra, gp
    mv \sum, s0
    .endr
    li plane, 4
    addi window, window, -4 # entries are four more than offsets
3:
    .irp sum, s0, s1, t0, t1, t2, ra, gp
    slli \sum, \sum, 1
    .endr
    walk add, adding, 1
    walk sub, subtracting, -1
    addi plane, plane, -1
    bnez plane, 3b
    lw a3, 20(sp)
    .set offset, 0
    .irp sum, s0, s1, t0, t1, t2, ra, gp
    sw \sum, offset(a3)
    .set offset, offset + 4
    .endr
    lw ra, 0(sp)
    lw gp, 4(sp)
    lw tp, 8(sp)
    lw s0, 12(sp)
    lw s1, 16(sp)
    addi sp, sp, 24
    ret
    .size ni_window_sums, . - ni_window_sums

#endif
