/* Weight-walking kernel, format 4bit: two's complement; 8 codes a word.
 * Example: weights (-8, +1, -1) are codes 8, 1, 15, the word 0xf18. */
#include "plain.h"

NI_PLAIN(ni_plain_4bit, 4, {
    if (word & 1) sum += v;
    if (word & 2) sum += v << 1;
    if (word & 4) sum += v << 2;
    if (word & 8) sum -= v << 3;
})
