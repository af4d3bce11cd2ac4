/* AVX-512 with its bfloat16 instructions. */
#define WITH_BF16
#include "avx512.c"
