/* Activation-walking kernel, format 2bitsym: w = 2 * u - 3; 16 codes a word, a row of codes for each input.
 * Example: weights (-3, +1, +3) are codes 0, 2, 3, the word 0x38. */
#define NI_NAME ni_fast_2bitsym
#define NI_BITS 2
#define NI_SLOPE 1
#define NI_OFFSET(t) ((t) + ((t) << 1))
#define NI_LARGEST(n) (((n) << 1) + (n))
#define NI_LIMIT 31 /* 85 rows of codes up to 3 would fit the lanes */
#include "fold.h"
#include "lanes.h"
