/* Skeleton of the weight-walking kernels: output after output, word after word, code after code.
 *
 * NI_PLAIN(name, BITS, TERM) defines kernel `name` for codes of BITS bits. TERM adds the product of activation
 * `v` (int32_t) and the code in the low bits of `word` to `sum`. Rows start on a word; `stride` words each. */
#ifndef NI_PLAIN_H
#define NI_PLAIN_H

#include "internal.h"

#define NI_PLAIN(name, BITS, TERM)                                        \
    NI_RAM void name(const ni_layer *layer, const int8_t *x, int32_t *y) { \
        const uint32_t *row = layer->weights;                             \
        const int8_t *const end = x + layer->inputs;                      \
        for (uint32_t o = 0; o < layer->outputs; o++) {                   \
            uint32_t sum = 0;                                             \
            const uint32_t *next = row;                                   \
            for (const int8_t *p = x; p < end;) {                         \
                uint32_t word = *next++;                                  \
                const int8_t *stop = end - p > 32 / (BITS) ? p + 32 / (BITS) : end; \
                for (; p < stop; p++, word >>= (BITS)) {                  \
                    const uint32_t v = (uint32_t)(int32_t)*p;             \
                    TERM;                                                 \
                }                                                         \
            }                                                             \
            y[o] = (int32_t)sum;                                          \
            row += layer->stride;                                         \
        }                                                                 \
    }

#endif
