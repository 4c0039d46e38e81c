// The table for AVX-VNNI in the instructions of AVX-512, for processors that have these and not the others: a
// dot product of bytes is the same in both.
#include <immintrin.h>

#define __AVXVNNI__ 1
#define _mm256_dpbusd_avx_epi32 _mm256_dpbusd_epi32
#include "../../spm/native/llama/kernels.cpp"
