/* Static workspace of the kernels. */
#include "work.h"

#ifdef NI_SHARED_MEMORY
union ni_memory ni_memory;
#else
struct ni_work ni_work;
#endif
