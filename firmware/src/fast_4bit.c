/* Activation-walking kernel, format 4bit: w = u - 8; 8 codes a word, a row of codes for each input.
 * Example: weights (-8, +1, -1) are codes 0, 9, 7, the word 0x790. */
#define NI_NAME ni_fast_4bit
#define NI_BITS 4
#define NI_SLOPE 0
#define NI_OFFSET(t) ((t) << 3)
#define NI_LARGEST(n) (((n) << 4) - (n))
#define NI_LIMIT 17 /* 17 rows of codes up to 15: at most 255 */
#include "fold.h"
#include "lanes.h"
