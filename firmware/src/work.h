/* Static workspace of the fast kernels. */
#ifndef NI_WORK_H
#define NI_WORK_H

#include <stdint.h>

/* Inputs treated at once; more of them are treated in turns. At most 128: see lanes.h. */
#ifndef NI_ACTIVE
#define NI_ACTIVE 128
#endif

/* 16-bit sums, two a word, of the widest layer: one per output, or two for 8-bit weights. */
#ifndef NI_SUM_WORDS
#define NI_SUM_WORDS 1024
#endif

/* Rows listed before their sums are folded: the largest NI_LIMIT in use. */
#ifndef NI_ROWS
#define NI_ROWS 31
#endif

extern struct ni_work {
    uint32_t active[NI_ACTIVE + 1];
    uint32_t sums[NI_SUM_WORDS]; /* zero between calls */
    /* Rows to add, upwards from the first, and rows to subtract, downwards from cell NI_LIMIT; each list ends at
     * a zero. Entries are 4 * (row's offset in units of the layer's stride + 1), so that none is zero. Cell
     * NI_LIMIT + 1 holds the length of the second list. */
    uint16_t rows[NI_ROWS + 2];
} ni_work;

#endif
