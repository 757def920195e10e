/* Activation-walking kernel, format 4bitsym: w = 2 * u - 15; 8 codes a word, a row of codes for each input.
 * Example: weights (-15, +1, +7) are codes 0, 8, 11, the word 0xb80. */
#define NI_NAME ni_fast_4bitsym
#define NI_BITS 4
#define NI_SLOPE 1
#define NI_OFFSET(t) (((t) << 4) - (t))
#define NI_LARGEST(n) (((n) << 4) - (n))
#define NI_LIMIT 17 /* 17 rows of codes up to 15: at most 255 */
#include "fold.h"
#include "lanes.h"
