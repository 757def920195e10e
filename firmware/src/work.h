/* Static workspace of the fast kernels. */
#ifndef NI_WORK_H
#define NI_WORK_H

#include <stdint.h>

/* Widest layer of the network, rounded up to a multiple of 32. */
#ifndef NI_MAX_WIDTH
#define NI_MAX_WIDTH 1024
#endif

/* Inputs treated at once; more of them are treated in turns. At most 128: see lanes.h. */
#ifndef NI_ACTIVE
#define NI_ACTIVE 128
#endif

/* 16-bit sums, two a word: one per output, or two for 8-bit weights. */
#ifndef NI_SUM_WORDS
#define NI_SUM_WORDS NI_MAX_WIDTH
#endif

/* Longest list of rows to add or to subtract, without the zero that ends it. */
#define NI_ROWS 31

extern struct ni_work {
    uint32_t active[NI_ACTIVE + 1];
    uint32_t sums[NI_SUM_WORDS];
    uint32_t lanes[8];
    uint16_t add[NI_ROWS + 1];
    uint16_t subtract[NI_ROWS + 1];
} ni_work;

#endif
