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
enum { LANES = 8, AT_ONCE = 2 };

INLINE Lanes mul(Lanes a, Lanes b) { return _mm256_mul_ps(a, b); }
INLINE Lanes mul_add(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a, b, c); }
INLINE Lanes mul_sub(Lanes a, Lanes b, Lanes c) { return _mm256_fmsub_ps(a, b, c); }
INLINE Lanes flip(Lanes v, uint32_t sign) { return _mm256_xor_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32((int)sign))); }

INLINE Lanes load_f32(const void *x) { return _mm256_loadu_ps(x); }
INLINE void store_f32(void *y, Lanes v) { _mm256_storeu_ps(y, v); }

/* Two vectors of neighbours as the first and the second members of pairs, and back. */
INLINE LanePair unzip(LanePair v) {
    const __m256d even = _mm256_castps_pd(_mm256_shuffle_ps(v.first, v.second, 0x88)); /* 0 2 8 10 | 4 6 12 14 */
    const __m256d odd = _mm256_castps_pd(_mm256_shuffle_ps(v.first, v.second, 0xdd));
    return (LanePair){_mm256_castpd_ps(_mm256_permute4x64_pd(even, 0xd8)), _mm256_castpd_ps(_mm256_permute4x64_pd(odd, 0xd8))};
}

INLINE LanePair zip(LanePair v) {
    const Lanes low = _mm256_unpacklo_ps(v.first, v.second), high = _mm256_unpackhi_ps(v.first, v.second);
    return (LanePair){_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
}

INLINE LanePair load_pairs_f32(const char *x) { return unzip((LanePair){load_f32(x), load_f32(x + 32)}); }

INLINE void store_pairs_f32(char *y, LanePair v) {
    const LanePair zipped = zip(v);
    store_f32(y, zipped.first), store_f32(y + 32, zipped.second);
}

INLINE Lanes load_bf16(const char *x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)x)), 16));
}

INLINE LanePair load_two_bf16(const char *x) { return (LanePair){load_bf16(x), load_bf16(x + 16)}; }

/* Rounded to nearest even, in the upper half of each word; a NaN stays one. */
INLINE LanePair round_bf16(LanePair v) {
    const __m256i first = _mm256_castps_si256(v.first), second = _mm256_castps_si256(v.second);
    const __m256i one = _mm256_set1_epi32(1), half = _mm256_set1_epi32(0x7fff);
    const Lanes quiet = _mm256_castsi256_ps(_mm256_set1_epi32(0x400000));
    const __m256i a = _mm256_add_epi32(_mm256_add_epi32(first, half), _mm256_and_si256(_mm256_srli_epi32(first, 16), one));
    const __m256i b = _mm256_add_epi32(_mm256_add_epi32(second, half), _mm256_and_si256(_mm256_srli_epi32(second, 16), one));
    LanePair rounded = {_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)};
    if (__builtin_expect(_mm256_movemask_ps(_mm256_cmp_ps(v.first, v.second, _CMP_UNORD_Q)), 0)) {
        const Lanes first_nan = _mm256_cmp_ps(v.first, v.first, _CMP_UNORD_Q);
        const Lanes second_nan = _mm256_cmp_ps(v.second, v.second, _CMP_UNORD_Q);
        rounded.first = _mm256_blendv_ps(rounded.first, _mm256_or_ps(v.first, quiet), first_nan);
        rounded.second = _mm256_blendv_ps(rounded.second, _mm256_or_ps(v.second, quiet), second_nan);
    }
    return rounded;
}

/* Both rounded, the first side by side in the lower half. */
INLINE __m256i to_bf16(LanePair v) {
    const LanePair rounded = round_bf16(v);
    const __m256i low = _mm256_srli_epi32(_mm256_castps_si256(rounded.first), 16);
    const __m256i high = _mm256_srli_epi32(_mm256_castps_si256(rounded.second), 16);
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
}

INLINE void store_two_bf16(char *y, LanePair v) { _mm256_storeu_si256((void *)y, to_bf16(v)); }

INLINE void store_bf16(char *y, Lanes v) { _mm_storeu_si128((void *)y, _mm256_castsi256_si128(to_bf16((LanePair){v, v}))); }

INLINE LanePair load_pairs_bf16(const char *x) {
    const __m256i words = _mm256_loadu_si256((const void *)x), upper = _mm256_set1_epi32((int)0xffff0000);
    return (LanePair){_mm256_castsi256_ps(_mm256_slli_epi32(words, 16)), _mm256_castsi256_ps(_mm256_and_si256(words, upper))};
}

INLINE void store_pairs_bf16(char *y, LanePair v) {
    const LanePair rounded = round_bf16(v);
    const __m256i first = _mm256_srli_epi32(_mm256_castps_si256(rounded.first), 16);
    _mm256_storeu_si256((void *)y, _mm256_blend_epi16(first, _mm256_castps_si256(rounded.second), 0xaa));
}

INLINE Lanes load_f16(const char *x) { return _mm256_cvtph_ps(_mm_loadu_si128((const void *)x)); }

INLINE void store_f16(char *y, Lanes v) {
    _mm_storeu_si128((void *)y, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

INLINE LanePair load_pairs_f16(const char *x) { return unzip((LanePair){load_f16(x), load_f16(x + 16)}); }

INLINE void store_pairs_f16(char *y, LanePair v) {
    const LanePair zipped = zip(v);
    store_f16(y, zipped.first), store_f16(y + 16, zipped.second);
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
