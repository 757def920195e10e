/* Weight-walking kernel, format nf4: code k stands for ni_nf4_levels[k]; 8 codes a word.
 * Example: weights (-127, 0, +10) are codes 0, 7, 8, the word 0x870. */
#include "plain.h"
#include "nf4.h"

/* Product of an activation and a level, bit by bit. */
static inline uint32_t product(uint32_t v, int32_t level) {
    uint32_t magnitude = (uint32_t)(level < 0 ? -level : level);
    uint32_t sum = 0;
    for (; magnitude; magnitude >>= 1, v <<= 1)
        if (magnitude & 1) sum += v;
    return level < 0 ? -sum : sum;
}

NI_PLAIN(ni_plain_nf4, 4, sum += product(v, ni_nf4_levels[word & 15]))
