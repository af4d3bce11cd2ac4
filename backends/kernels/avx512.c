/* Sixteen lanes: AVX-512. */
#include "job.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")
#endif

#define INLINE static inline __attribute__((always_inline))

typedef __m512 Lanes;
typedef struct {
    Lanes first, second;
} LanePair;
enum { LANES = 16 };

INLINE Lanes mul(Lanes a, Lanes b) { return _mm512_mul_ps(a, b); }
INLINE Lanes mul_add(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
INLINE Lanes mul_sub(Lanes a, Lanes b, Lanes c) { return _mm512_fmsub_ps(a, b, c); }
INLINE Lanes flip(Lanes v, uint32_t sign) { return _mm512_xor_ps(v, _mm512_castsi512_ps(_mm512_set1_epi32((int)sign))); }

INLINE Lanes load_f32(const void *x) { return _mm512_loadu_ps(x); }
INLINE void store_f32(void *y, Lanes v) { _mm512_storeu_ps(y, v); }

INLINE LanePair load_pairs_f32(const char *x) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    Lanes low = load_f32(x), high = load_f32(x + 64);
    return (LanePair){_mm512_permutex2var_ps(low, even, high), _mm512_permutex2var_ps(low, odd, high)};
}

INLINE void store_pairs_f32(char *y, LanePair v) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    store_f32(y, _mm512_permutex2var_ps(v.first, low, v.second));
    store_f32(y + 64, _mm512_permutex2var_ps(v.first, high, v.second));
}

/* The upper half of a float32, rounded to nearest even, in the lower half of each word; a NaN stays one. */
INLINE __m512i to_bf16(Lanes v) {
    const __m512i bits = _mm512_castps_si512(v), upper = _mm512_srli_epi32(bits, 16);
    const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    const __m512i quiet = _mm512_or_si512(upper, _mm512_set1_epi32(0x40));
    return _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), quiet);
}

INLINE Lanes load_bf16(const char *x) {
    __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
}

INLINE void store_bf16(char *y, Lanes v) { _mm256_storeu_si256((void *)y, _mm512_cvtepi32_epi16(to_bf16(v))); }

INLINE LanePair load_pairs_bf16(const char *x) {
    const __m512i words = _mm512_loadu_si512(x), upper = _mm512_set1_epi32((int)0xffff0000);
    return (LanePair){_mm512_castsi512_ps(_mm512_slli_epi32(words, 16)), _mm512_castsi512_ps(_mm512_and_si512(words, upper))};
}

INLINE void store_pairs_bf16(char *y, LanePair v) {
    _mm512_storeu_si512(y, _mm512_or_si512(to_bf16(v.first), _mm512_slli_epi32(to_bf16(v.second), 16)));
}

INLINE __m256i to_f16(Lanes v) { return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

INLINE Lanes load_f16(const char *x) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)x)); }

INLINE void store_f16(char *y, Lanes v) { _mm256_storeu_si256((void *)y, to_f16(v)); }

INLINE LanePair load_pairs_f16(const char *x) {
    const __m512i words = _mm512_loadu_si512(x);
    const __m256i first = _mm512_cvtepi32_epi16(words), second = _mm512_cvtepi32_epi16(_mm512_srli_epi32(words, 16));
    return (LanePair){_mm512_cvtph_ps(first), _mm512_cvtph_ps(second)};
}

INLINE void store_pairs_f16(char *y, LanePair v) {
    const __m512i first = _mm512_cvtepu16_epi32(to_f16(v.first)), second = _mm512_cvtepu16_epi32(to_f16(v.second));
    _mm512_storeu_si512(y, _mm512_or_si512(first, _mm512_slli_epi32(second, 16)));
}

#include "rotate.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

static bool runs_here(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && avx2_variant.runs_here();
}

const Variant avx512_variant = {"avx512", runs_here, rotate_tile, cos_sin_tile};
#endif
