/* Activation-walking kernel, format nf4: code k stands for ni_nf4_levels[k]; 8 codes a word, a row for each input.
 * For each non-zero input the 16 products are made once and looked up for every output.
 * Example: weights (-127, 0, +10) are codes 0, 7, 8, the word 0x870. */
#include "internal.h"
#include "nf4.h"

static uint32_t products[16];

/* products[k] = v * ni_nf4_levels[k], from v times powers of two. */
static inline void multiply(uint32_t v) {
    const uint32_t v10 = (v << 3) + (v << 1), v12 = (v << 3) + (v << 2), v23 = v12 + v12 - v, v31 = (v << 5) - v;
    products[0] = v - (v << 7);
    products[1] = -((v12 + v10) << 2);
    products[2] = -((v << 6) + (v << 1) + v);
    products[3] = -(v10 + (v10 << 2));
    products[4] = -(v12 + (v12 << 1));
    products[5] = -v23;
    products[6] = -v12;
    products[7] = 0;
    products[8] = v10;
    products[9] = v10 << 1;
    products[10] = v31;
    products[11] = v31 + v12;
    products[12] = (v << 6) - (v << 3);
    products[13] = (v << 6) + (v << 3) - v;
    products[14] = v23 << 2;
    products[15] = (v << 7) - v;
}

NI_RAM void ni_fast_nf4(const ni_layer *layer, const int8_t *x, int32_t *y) {
    const int32_t ground = layer->row_sums ? *x : 0;
    ni_start(layer, ground, 0, y);
    const uint32_t *row = layer->weights;
    for (const int8_t *end = x + layer->inputs; x < end; x++, row += layer->stride) {
        const uint32_t v = (uint32_t)(*x - ground);
        if (!v) continue;
        multiply(v);
        uint32_t *sum = (uint32_t *)y;
        for (const uint32_t *next = row; next < row + layer->stride; next++, sum += 8) {
            const uint32_t word = *next;
            for (uint32_t k = 0; k < 8; k++) sum[k] += products[(word >> (4 * k)) & 15];
        }
    }
}
