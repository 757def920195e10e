/* Before the sums: the terms that do not depend on single inputs. */
#include "internal.h"

enum { FILLED = 8, ADDED = 4 }; /* sums treated at once: a jump costs two stores */

#ifndef NI_SHARED_MEMORY
/* sums += sign * 2^shift * row_sums, with sign = 0 for plus and ~0 for minus. */
static inline void add(int32_t *sums, const int32_t *row_sums, uint32_t count, uint32_t shift, uint32_t sign) {
#define ADD(k) sums[k] = (int32_t)((uint32_t)sums[k] + ((((uint32_t)row_sums[k] << shift) ^ sign) - sign))
    const int32_t *const end = sums + count, *const last = sums + (count & ~(uint32_t)(ADDED - 1));
    for (; sums < last; sums += ADDED, row_sums += ADDED) {
        ADD(0);
        ADD(1);
        ADD(2);
        ADD(3);
    }
    for (; sums < end; sums++, row_sums++) ADD(0);
#undef ADD
}
#endif

void ni_start(const ni_layer *layer, int32_t ground, int32_t offset, int32_t *y) {
    /* There is room: y is a multiple of 32 long. */
    for (int32_t *sum = y, *const end = y + layer->outputs; sum < end; sum += FILLED) {
        sum[0] = sum[1] = sum[2] = sum[3] = offset;
        sum[4] = sum[5] = sum[6] = sum[7] = offset;
    }
#ifndef NI_SHARED_MEMORY /* after convolutions no layer has inputs below zero */
    if (!layer->row_sums) return;
    /* Signed digits of the ground without two neighbours, as in lanes.h: at most four, mostly two or three. */
    const uint32_t triple = (uint32_t)ground + ((uint32_t)ground << 1);
    uint32_t digits = (triple ^ (uint32_t)ground) >> 1, negative = ((uint32_t)ground & ~triple) >> 1;
    for (uint32_t shift = 0; digits; shift++, digits >>= 1, negative >>= 1) {
        if (!(digits & 1)) continue;
        if (negative & 1)
            add(y, layer->row_sums, layer->outputs, shift, ~UINT32_C(0));
        else
            add(y, layer->row_sums, layer->outputs, shift, 0);
    }
#else
    (void)ground;
#endif
}
