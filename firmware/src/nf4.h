/* Levels of NormalFloat4 in units of 1/127, ascending. */
#ifndef NI_NF4_H
#define NI_NF4_H

#include <stdint.h>

extern const int8_t ni_nf4_levels[16];

#endif
