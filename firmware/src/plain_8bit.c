/* Weight-walking kernel, format 8bit: two's complement; 4 codes a word.
 * Example: weights (-128, +1, -1) are codes 0x80, 0x01, 0xff, the word 0xff0180. */
#include "plain.h"

NI_PLAIN(ni_plain_8bit, 8, {
    if (word & 1) sum += v;
    if (word & 2) sum += v << 1;
    if (word & 4) sum += v << 2;
    if (word & 8) sum += v << 3;
    if (word & 16) sum += v << 4;
    if (word & 32) sum += v << 5;
    if (word & 64) sum += v << 6;
    if (word & 128) sum -= v << 7;
})
