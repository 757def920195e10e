/* Static workspace of the fast kernels. */
#include "work.h"

struct ni_work ni_work;
