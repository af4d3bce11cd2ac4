/* Eight lanes: AVX2 with FMA and F16C. */
#include "job.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#define INLINE static inline __attribute__((always_inline))

typedef __m256 Lanes;
typedef struct {
    Lanes first, second;
} LanePair;
enum { LANES = 8 };

INLINE Lanes mul(Lanes a, Lanes b) { return _mm256_mul_ps(a, b); }
INLINE Lanes mul_add(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a, b, c); }
INLINE Lanes mul_sub(Lanes a, Lanes b, Lanes c) { return _mm256_fmsub_ps(a, b, c); }
INLINE Lanes flip(Lanes v, uint32_t sign) { return _mm256_xor_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32((int)sign))); }

INLINE __m256i load_words(const char *x) { return _mm256_loadu_si256((const void *)x); }
INLINE void store_words(char *y, __m256i words) { _mm256_storeu_si256((void *)y, words); }

/* The lower halves of eight words, side by side; the upper halves must be 0. */
INLINE __m128i pack(__m256i words) {
    return _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

INLINE Lanes load_f32(const void *x) { return _mm256_loadu_ps(x); }
INLINE void store_f32(void *y, Lanes v) { _mm256_storeu_ps(y, v); }

INLINE LanePair load_pairs_f32(const char *x) {
    Lanes low = load_f32(x), high = load_f32(x + 32);
    __m256d first = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0x88)); /* 0 2 8 10 | 4 6 12 14 */
    __m256d second = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0xdd));
    return (LanePair){_mm256_castpd_ps(_mm256_permute4x64_pd(first, 0xd8)), _mm256_castpd_ps(_mm256_permute4x64_pd(second, 0xd8))};
}

INLINE void store_pairs_f32(char *y, LanePair v) {
    Lanes low = _mm256_unpacklo_ps(v.first, v.second), high = _mm256_unpackhi_ps(v.first, v.second);
    store_f32(y, _mm256_permute2f128_ps(low, high, 0x20));
    store_f32(y + 32, _mm256_permute2f128_ps(low, high, 0x31));
}

/* The upper half of a float32, rounded to nearest even, in the lower half of each word; a NaN stays one. */
INLINE __m256i to_bf16(Lanes v) {
    const __m256i bits = _mm256_castps_si256(v), upper = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    return _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
}

INLINE Lanes load_bf16(const char *x) {
    __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)x));
    return _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
}

INLINE void store_bf16(char *y, Lanes v) { _mm_storeu_si128((void *)y, pack(to_bf16(v))); }

INLINE LanePair load_pairs_bf16(const char *x) {
    const __m256i words = load_words(x), upper = _mm256_set1_epi32((int)0xffff0000);
    return (LanePair){_mm256_castsi256_ps(_mm256_slli_epi32(words, 16)), _mm256_castsi256_ps(_mm256_and_si256(words, upper))};
}

INLINE void store_pairs_bf16(char *y, LanePair v) {
    store_words(y, _mm256_or_si256(to_bf16(v.first), _mm256_slli_epi32(to_bf16(v.second), 16)));
}

INLINE __m128i to_f16(Lanes v) { return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

INLINE Lanes load_f16(const char *x) { return _mm256_cvtph_ps(_mm_loadu_si128((const void *)x)); }

INLINE void store_f16(char *y, Lanes v) { _mm_storeu_si128((void *)y, to_f16(v)); }

INLINE LanePair load_pairs_f16(const char *x) {
    const __m256i words = load_words(x), lower = _mm256_set1_epi32(0xffff);
    const __m128i first = pack(_mm256_and_si256(words, lower)), second = pack(_mm256_srli_epi32(words, 16));
    return (LanePair){_mm256_cvtph_ps(first), _mm256_cvtph_ps(second)};
}

INLINE void store_pairs_f16(char *y, LanePair v) {
    const __m128i first = to_f16(v.first), second = to_f16(v.second);
    _mm_storeu_si128((void *)y, _mm_unpacklo_epi16(first, second));
    _mm_storeu_si128((void *)(y + 16), _mm_unpackhi_epi16(first, second));
}

#include "rotate.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

/* Asked of the processor itself: not every compiler's __builtin_cpu_supports knows the word "f16c". */
static bool has_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static bool runs_here(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(); }

const Variant avx2_variant = {"avx2", runs_here, rotate_tile, cos_sin_tile};
#endif
