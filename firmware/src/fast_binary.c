/* Activation-walking kernel, format binary: w = 2 * u - 1; 32 codes a word, a row of codes for each input.
 * Example: weights (+1, -1, +1) are codes 1, 0, 1, the word 0x5. */
#define NI_NAME ni_fast_binary
#define NI_BITS 1
#define NI_SLOPE 1
#define NI_OFFSET(t) (t)
#define NI_LARGEST(n) (n)
#define NI_LIMIT 31 /* 255 would fit the lanes */
#include "fold.h"
#include "lanes.h"
