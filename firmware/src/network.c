/* Running a network: layers, normalisation, largest value. */
#include "internal.h"

uint32_t ni_argmax(const int32_t *y, uint32_t count) {
    uint32_t best = 0;
    for (uint32_t o = 1; o < count; o++)
        if (y[o] > y[best]) best = o;
    return best;
}

void ni_shift_norm(const int32_t *y, int8_t *x, uint32_t count) {
    int32_t largest = 0;
    for (uint32_t o = 0; o < count; o++)
        if (y[o] > largest) largest = y[o];
    uint32_t shift = 0;
    for (largest >>= 7; largest > 0; largest >>= 1) shift++;
    /* Unsigned: the sum stays below 2^31 + 2^23. */
    uint32_t half = (UINT32_C(1) << shift) >> 1;
    for (uint32_t o = 0; o < count; o++) {
        uint32_t scaled = ((uint32_t)y[o] + half) >> shift;
        x[o] = y[o] < 0 ? 0 : scaled > 127 ? 127 : (int8_t)scaled;
    }
}

uint32_t ni_infer(const ni_network *network, int8_t *x, int32_t *y) {
    const ni_layer *layer = network->layers;
    for (uint32_t k = 0;; k++, layer++) {
        layer->kernel(layer, x, y);
        if (k + 1 == network->count) return ni_argmax(y, layer->outputs);
        ni_shift_norm(y, x, layer->outputs);
    }
}
