/* What kernels share: placement of code, multiples without a multiplier. */
#ifndef NI_INTERNAL_H
#define NI_INTERNAL_H

#include "nonideal.h"

/* Code that runs from RAM where flash has wait states; the start-up code copies it. Where RAM has no room for it,
 * the layers stay in flash; a CNN's memory holds its convolutions' code at most. */
#if defined(NI_ASSEMBLY)
#ifdef NI_LAYERS_IN_FLASH
#define NI_RAM __attribute__((noinline))
#else
#define NI_RAM __attribute__((section(".ramcode"), noinline))
#endif
#ifdef NI_CONVOLUTIONS_IN_FLASH
#define NI_CONVOLUTION_RAM __attribute__((noinline))
#else
#define NI_CONVOLUTION_RAM __attribute__((section(".ramcode"), noinline))
#endif
/* In a branch: do not replace it by arithmetic. A branch not taken costs less here. */
#define NI_KEEP_BRANCH __asm__ volatile("")
#else
#define NI_RAM
#define NI_CONVOLUTION_RAM
#define NI_KEEP_BRANCH (void)0
#endif

/* y[o] = ground * row_sums[o] + offset for o < count; without row_sums y[o] = offset. */
void ni_start(const ni_layer *layer, int32_t ground, int32_t offset, int32_t *y);

#endif
