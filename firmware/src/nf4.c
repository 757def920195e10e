/* 127 times the quantiles of Dettmers et al., arXiv:2305.14314, appendix E, rounded; in .data, so that a look-up
 * needs no access to flash. */
#include "nf4.h"

#if defined(NI_ASSEMBLY)
__attribute__((section(".data.nf4")))
#endif
const int8_t ni_nf4_levels[16] = {-127, -88, -67, -50, -36, -23, -12, 0, 10, 20, 31, 43, 56, 71, 92, 127};
