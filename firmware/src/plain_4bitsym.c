/* Weight-walking kernel, format 4bitsym: bit 3 is the sign, bits 2..0 are (magnitude - 1) / 2; 8 codes a word.
 * Example: weights (-15, +1, +7) are codes 15, 0, 3, the word 0x30f. */
#include "plain.h"

NI_PLAIN(ni_plain_4bitsym, 4, {
    const uint32_t t = (word & 8) ? -v : v;
    sum += t;
    if (word & 1) sum += t << 1;
    if (word & 2) sum += t << 2;
    if (word & 4) sum += t << 3;
})
