/* Five trits of a packed byte, each in a field of six bits: bits 6k .. 6k + 5 hold trit k of the byte. */
#ifndef NI_TERNARY_H
#define NI_TERNARY_H

#include <stdint.h>

extern const uint32_t ni_trits[256];

#endif
