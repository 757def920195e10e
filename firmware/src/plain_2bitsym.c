/* Weight-walking kernel, format 2bitsym: bit 1 is the sign, bit 0 the magnitude (0: 1, 1: 3); 16 codes a word.
 * Example: weights (-3, +1, +3) are codes 3, 0, 1, the word 0x13. */
#include "plain.h"

NI_PLAIN(ni_plain_2bitsym, 2, {
    const uint32_t t = (word & 2) ? -v : v;
    sum += t;
    if (word & 1) sum += t << 1;
})
