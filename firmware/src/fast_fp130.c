/* Activation-walking kernel, format fp130: bit 3 is the sign, bits 2..0 the exponent; 8 codes a word, a row for
 * each input. Example: weights (-128, +1, +2) are codes 15, 0, 1, the word 0x10f. */
#include "internal.h"

NI_RAM void ni_fast_fp130(const ni_layer *layer, const int8_t *x, int32_t *y) {
    const int32_t ground = layer->row_sums ? ni_background(x, layer->inputs) : 0;
    ni_start(layer, ground, 0, y);
    const uint32_t *row = layer->weights;
    for (const int8_t *end = x + layer->inputs; x < end; x++, row += layer->stride) {
        const uint32_t v = (uint32_t)(*x - ground);
        if (!v) continue;
        uint32_t *sum = (uint32_t *)y;
        for (const uint32_t *next = row; next < row + layer->stride; next++, sum += 8) {
            const uint32_t word = *next;
            for (uint32_t k = 0; k < 8; k++) {
                const uint32_t term = v << ((word >> (4 * k)) & 7);
                sum[k] += (word >> (4 * k)) & 8 ? -term : term;
            }
        }
    }
}
