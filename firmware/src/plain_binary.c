/* Weight-walking kernel, format binary: code 1 is +1, code 0 is -1; 32 codes a word.
 * Example: weights (+1, -1, +1) are the word 0x5. */
#include "plain.h"

NI_PLAIN(ni_plain_binary, 1, sum += (word & 1) ? v : -v)
