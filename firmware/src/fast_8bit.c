/* Activation-walking kernel, format 8bit: w = u - 128; 4 codes a word, a row of codes for each input.
 * The halves of a code are summed as codes of four bits. Example: weights (-128, +1, -1) are codes 0, 129, 127,
 * the word 0x7f8100. */
#define NI_NAME ni_fast_8bit
#define NI_BITS 4
#define NI_SLOPE 0
#define NI_OFFSET(t) ((t) << 7)
#define NI_LARGEST(n) (((n) << 4) - (n))
#define NI_LIMIT 17 /* 17 rows of codes up to 15: at most 255 */
#define NI_NIBBLES
#include "fold.h"

static inline uint32_t join(int32_t low, int32_t high) { return (uint32_t)low + ((uint32_t)high << 4); }

static void spill(const ni_layer *layer, int32_t *y, uint32_t bias, uint32_t shift) {
    uint32_t *sums = ni_work.sums;
    const uint32_t both = bias + (bias << 16);
    for (uint32_t j = layer->stride; j; j--, y += 2)
        for (uint32_t r = 2; r; r--, sums += 2, y++) {
            const int32_t first = (int32_t)(sums[0] - both), second = (int32_t)(sums[1] - both);
            sums[0] = sums[1] = 0;
            const int32_t a = (int16_t)first, b = (int16_t)second;
            y[0] = (int32_t)((uint32_t)y[0] + (join(a, b) << shift));
            y[2] = (int32_t)((uint32_t)y[2] + (join((first - a) >> 16, (second - b) >> 16) << shift));
        }
}

#include "lanes.h"
