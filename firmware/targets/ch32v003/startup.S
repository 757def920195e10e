# Reset: stack, initialised data and RAM code from flash, zeroed variables, main. Interrupts stay off.
    .section .reset, "ax"
    .globl _start
_start:
    la sp, ni_stack_top
    la a0, ni_copy_from
    la a1, ni_copy_start
    la a2, ni_copy_end
    j 2f
1:  lw a3, 0(a0)
    sw a3, 0(a1)
    addi a0, a0, 4
    addi a1, a1, 4
2:  bltu a1, a2, 1b
    la a1, ni_bss_start
    la a2, ni_bss_end
    j 4f
3:  sw zero, 0(a1)
    addi a1, a1, 4
4:  bltu a1, a2, 3b
    call main
5:  j 5b
