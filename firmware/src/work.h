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

struct ni_work {
    uint32_t active[NI_ACTIVE + 1];
    uint32_t sums[NI_SUM_WORDS]; /* zero between calls */
    /* Rows to add, upwards from the first, and rows to subtract, downwards from cell NI_LIMIT; each list ends at
     * a zero. Entries are 4 * (row's offset in units of the layer's stride + 1), so that none is zero. Cell
     * NI_LIMIT + 1 holds the length of the second list. */
    uint16_t rows[NI_ROWS + 2];
};

/* Two 16-bit numbers: their sum as a word, the second times 2^16, or each half. Little-endian. */
typedef union {
    uint32_t word;
    uint16_t half[2];
} ni_pair;

enum {
    NI_IMAGE_WORDS = 9 * 16, /* rows 0 .. 8 beside rows 7 .. 15 */
    NI_PLANE_WORDS = 8 * 14, /* rows 0 .. 7 beside rows 6 .. 13 */
    NI_RUN = 7,              /* outputs summed at once */
    NI_LIST_BYTES = 28       /* at most two digits of nine taps and two ends in each of four planes, 26 */
};

/* Workspace of the convolutions, see fast_convolutions.c. */
typedef struct {
    ni_pair image[NI_IMAGE_WORDS];
    ni_pair plane[NI_PLANE_WORDS];
    ni_pair pooled[6];
    uint32_t sums[4 * NI_RUN];
    uint8_t upper[NI_LIST_BYTES], lower[NI_LIST_BYTES];
} ni_fast_work;

/* The same of plain_convolutions.c. */
typedef struct {
    int32_t plane[16 * 16];
    uint16_t features[];
} ni_plain_work;

/* On a microcontroller convolutions and layers take turns in the same memory; elsewhere the caller brings it. */
#ifdef NI_SHARED_MEMORY
extern union ni_memory {
    struct {
        int32_t y[NI_MAX_WIDTH];
        struct ni_work work;
    } layers;
    NI_SHARED_MEMORY convolutions;
    uint8_t bytes[NI_MEMORY_BYTES];
} ni_memory;
#define ni_work ni_memory.layers.work
#else
extern struct ni_work ni_work;
#endif

#endif
