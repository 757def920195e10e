/* What kernels share: placement of code, background, multiples without a multiplier. */
#ifndef NI_INTERNAL_H
#define NI_INTERNAL_H

#include "nonideal.h"

/* Code that runs from RAM where flash has wait states; the start-up code copies it. */
#if defined(__riscv)
#define NI_RAM __attribute__((section(".ramcode"), noinline))
#else
#define NI_RAM
#endif

/* Least value of x: subtracting it leaves values 0 .. 255, most of them zero in an image on a plain ground. */
int32_t ni_background(const int8_t *x, uint32_t count);

/* y[o] = ground * row_sums[o] + offset for o < count; without row_sums y[o] = offset. */
void ni_start(const ni_layer *layer, int32_t ground, int32_t offset, int32_t *y);

#endif
