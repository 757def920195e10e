/* Activation-walking kernel, format 8bit: w = u - 128; 4 codes a word, a row of codes for each input.
 * The halves of a code are summed as codes of four bits. Example: weights (-128, +1, -1) are codes 0, 129, 127,
 * the word 0x7f8100. */
#define NI_NAME ni_fast_8bit
#define NI_BITS 4
#define NI_SLOPE 0
#define NI_OFFSET(t) ((t) << 7)
#define NI_LIMIT 8 /* 8 rows of 15: at most 120 of 127 */
#define NI_NIBBLES
#include "fold.h"

static inline uint32_t join(int32_t low, int32_t high) { return (uint32_t)low + ((uint32_t)high << 4); }

static void spill(const ni_layer *layer, int32_t *y, uint32_t bias, uint32_t shift, uint32_t more) {
    const uint32_t *sums = ni_work.sums;
    const uint32_t both = bias + (bias << 16);
    for (uint32_t j = layer->stride; j; j--, y += 4)
        for (uint32_t r = 0; r < 2; r++) {
            const int32_t first = (int32_t)(*sums++ - both), second = (int32_t)(*sums++ - both);
            const int32_t a = (int16_t)first, b = (int16_t)second;
            y[r] = (int32_t)((uint32_t)y[r] + (join(a, b) << shift) + more);
            const uint32_t upper = join((first - a) >> 16, (second - b) >> 16);
            y[r + 2] = (int32_t)((uint32_t)y[r + 2] + (upper << shift) + more);
        }
}

#include "lanes.h"
