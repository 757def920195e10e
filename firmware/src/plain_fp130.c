/* Weight-walking kernel, format fp130: bit 3 is the sign, bits 2..0 the exponent; 8 codes a word.
 * Example: weights (-128, +1, +2) are codes 15, 0, 1, the word 0x10f. */
#include "plain.h"

NI_PLAIN(ni_plain_fp130, 4, {
    const uint32_t t = (word & 8) ? -v : v;
    sum += t << (word & 7);
})
