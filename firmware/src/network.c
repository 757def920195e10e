/* Running a network: layers, normalisation, largest value. */
#include "internal.h"
#include "work.h"

uint32_t ni_argmax(const int32_t *y, uint32_t count) {
    uint32_t best = 0;
    for (uint32_t o = 1; o < count; o++)
        if (y[o] > y[best]) best = o;
    return best;
}

#if !defined(NI_ASSEMBLY) /* see norm.S */
void ni_shift_norm(const int32_t *y, int8_t *x, uint32_t count) {
    const int32_t *const end = y + count;
    int32_t largest = 0;
    for (const int32_t *p = y; p < end; p++)
        if (*p > largest) largest = *p;
    uint32_t shift = 0, half = 0; /* half = (1 << shift) >> 1 */
    for (uint32_t unit = 1; largest > 127; largest >>= 1, shift++, unit <<= 1) half = unit;
    do {
        uint32_t scaled = 0;
        if (*y > 0) {
            /* Unsigned: the sum stays below 2^31 + 2^23. */
            scaled = ((uint32_t)*y + half) >> shift;
            if (scaled > 127) scaled = 127;
        }
        *x++ = (int8_t)scaled;
    } while (++y < end);
}
#endif

uint32_t ni_infer(const ni_network *network, int8_t *x, int32_t *y) {
    const ni_layer *layer = network->layers;
#ifndef NI_NO_CONVOLUTIONS
    if (network->convolutions) {
        const ni_convolutions *const convolutions = network->convolutions;
        const uint16_t *const features = convolutions->kernel(convolutions, x, y);
        ni_norm_features(features, x, (uint32_t)convolutions->channels << 2);
#ifdef NI_SHARED_MEMORY
        for (uint32_t k = 0; k < NI_SUM_WORDS; k++) ni_work.sums[k] = 0; /* the convolutions used this memory */
#endif
    }
#endif
    for (uint32_t k = 0;; k++, layer++) {
        layer->kernel(layer, x, y);
        if (k + 1 == network->count) return ni_argmax(y, layer->outputs);
        ni_shift_norm(y, x, layer->outputs);
    }
}
