/* Before the sums: the terms that do not depend on single inputs. */
#include "internal.h"

void ni_start(const ni_layer *layer, int32_t ground, int32_t offset, int32_t *y) {
    const int32_t *const end = y + layer->outputs;
    for (int32_t *sum = y; sum < end; sum++) *sum = offset;
    if (!layer->row_sums) return;
    /* Signed digits of the ground without two neighbours, as in lanes.h: at most four, mostly two or three. */
    const uint32_t triple = (uint32_t)ground + ((uint32_t)ground << 1);
    uint32_t digits = (triple ^ (uint32_t)ground) >> 1, negative = ((uint32_t)ground & ~triple) >> 1;
    for (uint32_t shift = 0; digits; shift++, digits >>= 1, negative >>= 1) {
        if (!(digits & 1)) continue;
        const int32_t *row_sum = layer->row_sums;
        if (negative & 1)
            for (int32_t *sum = y; sum < end; sum++)
                *sum = (int32_t)((uint32_t)*sum - ((uint32_t)*row_sum++ << shift));
        else
            for (int32_t *sum = y; sum < end; sum++)
                *sum = (int32_t)((uint32_t)*sum + ((uint32_t)*row_sum++ << shift));
    }
}
