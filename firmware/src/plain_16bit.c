/* Weight-walking kernel, format Q8.8 and other 16-bit weights: two's complement; 2 codes a word.
 * Example: weights (-32768, +1) are codes 0x8000, 0x0001, the word 0x00018000. */
#include "nonideal_snn.h"
#include "plain.h"

NI_PLAIN(ni_plain_16bit, 16, {
    uint32_t rest = word & 0x7fff;
    for (uint32_t part = v; rest; rest >>= 1, part <<= 1)
        if (rest & 1) sum += part;
    if (word & 0x8000) sum -= v << 15;
})
