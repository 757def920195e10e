/* Activation-walking kernel, format ternary: w = u - 1; 16 codes of two bits a word, a row of codes for each input.
 * Two bits, not the 1.6 of plain_ternary.c: unpacking five trits for every row would take twice the time.
 * Example: weights (+1, 0, -1, -1, -1) are codes 2, 1, 0, 0, 0, the word 0x6. */
#define NI_NAME ni_fast_ternary
#define NI_BITS 2
#define NI_SLOPE 0
#define NI_OFFSET(t) (t)
#define NI_LARGEST(n) ((n) << 1)
#define NI_LIMIT 31 /* 127 rows of codes up to 2 would fit the lanes */
#include "fold.h"
#include "lanes.h"
