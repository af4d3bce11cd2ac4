/* Sixteen lanes: AVX-512. avx512bf16.c includes this once more, with the instruction that rounds to bfloat16. */
#include "job.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if !defined(__clang__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")
#ifdef WITH_BF16
#pragma GCC target("avx512bf16")
#endif
#elif defined(WITH_BF16)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,f16c"))), apply_to = function)
#else
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,f16c"))), apply_to = function)
#endif

#define INLINE static inline __attribute__((always_inline))

typedef __m512 Lanes;
typedef struct {
    Lanes first, second;
} LanePair;
enum { LANES = 16, AT_ONCE = 4 };

INLINE Lanes mul(Lanes a, Lanes b) { return _mm512_mul_ps(a, b); }
INLINE Lanes mul_add(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
INLINE Lanes mul_sub(Lanes a, Lanes b, Lanes c) { return _mm512_fmsub_ps(a, b, c); }
INLINE Lanes flip(Lanes v, uint32_t sign) { return _mm512_xor_ps(v, _mm512_castsi512_ps(_mm512_set1_epi32((int)sign))); }

INLINE Lanes load_f32(const void *x) { return _mm512_loadu_ps(x); }
INLINE void store_f32(void *y, Lanes v) { _mm512_storeu_ps(y, v); }

/* Two vectors of neighbours as the first and the second members of pairs, and back. */
INLINE LanePair unzip(LanePair v) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    return (LanePair){_mm512_permutex2var_ps(v.first, even, v.second), _mm512_permutex2var_ps(v.first, odd, v.second)};
}

INLINE LanePair zip(LanePair v) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    return (LanePair){_mm512_permutex2var_ps(v.first, low, v.second), _mm512_permutex2var_ps(v.first, high, v.second)};
}

INLINE LanePair load_pairs_f32(const char *x) { return unzip((LanePair){load_f32(x), load_f32(x + 64)}); }

INLINE void store_pairs_f32(char *y, LanePair v) {
    const LanePair zipped = zip(v);
    store_f32(y, zipped.first), store_f32(y + 64, zipped.second);
}

/* Each word twice, from the first one on; with the lower of the two set to zero it is a float32. */
INLINE __m512i doubled(void) {
    return _mm512_setr_epi32(0, 0x010001, 0x020002, 0x030003, 0x040004, 0x050005, 0x060006, 0x070007, 0x080008, 0x090009,
                             0x0a000a, 0x0b000b, 0x0c000c, 0x0d000d, 0x0e000e, 0x0f000f);
}

/* The words of the first and of the second half in turns. */
INLINE __m512i alternating(int second) { return _mm512_add_epi32(doubled(), _mm512_set1_epi32(second << 16)); }

INLINE Lanes load_bf16(const char *x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)x)), 16));
}

/* Both rounded to nearest even, the first side by side in the lower half; a NaN stays one. */
INLINE __m512i to_bf16_by_integers(LanePair v) {
    const __m512i odd = _mm512_setr_epi32(0x030001, 0x070005, 0x0b0009, 0x0f000d, 0x130011, 0x170015, 0x1b0019, 0x1f001d,
                                          0x230021, 0x270025, 0x2b0029, 0x2f002d, 0x330031, 0x370035, 0x3b0039, 0x3f003d);
    const __m512i first = _mm512_castps_si512(v.first), second = _mm512_castps_si512(v.second);
    const __m512i one = _mm512_set1_epi32(1), half = _mm512_set1_epi32(0x7fff), quiet = _mm512_set1_epi32(0x400000);
    __m512i a = _mm512_add_epi32(_mm512_add_epi32(first, half), _mm512_and_si512(_mm512_srli_epi32(first, 16), one));
    __m512i b = _mm512_add_epi32(_mm512_add_epi32(second, half), _mm512_and_si512(_mm512_srli_epi32(second, 16), one));
    if (__builtin_expect(_mm512_cmp_ps_mask(v.first, v.second, _CMP_UNORD_Q), 0)) {
        a = _mm512_mask_or_epi32(a, _mm512_cmp_ps_mask(v.first, v.first, _CMP_UNORD_Q), first, quiet);
        b = _mm512_mask_or_epi32(b, _mm512_cmp_ps_mask(v.second, v.second, _CMP_UNORD_Q), second, quiet);
    }
    return _mm512_permutex2var_epi16(a, odd, b);
}

#ifdef WITH_BF16
#define FLUSHES true
INLINE bool any_subnormal(LanePair v) {
    return _mm512_fpclass_ps_mask(v.first, 0x20) | _mm512_fpclass_ps_mask(v.second, 0x20);
}

/* By the instruction, which flushes subnormal numbers to zero; `quick`: there are none. */
INLINE __m512i to_bf16(LanePair v, bool quick) {
    return quick || !any_subnormal(v) ? (__m512i)_mm512_cvtne2ps_pbh(v.second, v.first) : to_bf16_by_integers(v);
}

/* Whether some word of `count` blocks is below 2⁻³³, so that what it is rotated to may be subnormal: see small_angles.
 *
 * Adding 34 to an exponent from there on carries into its highest bit; those above 2⁹⁴, which carry beyond it, are taken for
 * small. */
INLINE bool small_words(const LanePair *v, const LanePair *w, int count) {
    const __m512i raise = _mm512_set1_epi16(34 << 7);
    __m512i all = raise;
    for (int j = 0; j < count; j++) {
        const __m512i a = _mm512_add_epi16(_mm512_castps_si512(v[j].first), raise);
        const __m512i b = _mm512_add_epi16(_mm512_castps_si512(w[j].first), raise);
        all = j ? _mm512_ternarylogic_epi32(all, a, b, 0x80) : _mm512_and_si512(a, b); /* and, and */
    }
    return _mm512_testn_epi16_mask(all, _mm512_set1_epi16(1 << 14)) != 0;
}
#else
INLINE __m512i to_bf16(LanePair v, bool quick) { return to_bf16_by_integers(v); }
#endif

INLINE void store_bf16(char *y, Lanes v) {
    _mm256_storeu_si256((void *)y, _mm512_castsi512_si256(to_bf16((LanePair){v, v}, false)));
}

INLINE LanePair unpacked(Layout layout, __m512i words) {
    const __m512i low = doubled(), high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    const __mmask32 upper = 0xaaaaaaaa;
    if (layout == INTERLEAVED)
        return (LanePair){_mm512_castsi512_ps(_mm512_slli_epi32(words, 16)),
                          _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32((int)0xffff0000)))};
    return (LanePair){_mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(upper, low, words)),
                      _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(upper, high, words))};
}

INLINE __m512i packed(Layout layout, LanePair v, bool quick) {
    const __m512i words = to_bf16(v, quick);
    return layout == HALF ? words : _mm512_permutexvar_epi16(alternating(16), words);
}

#ifdef WITH_BF16
/* Words stay packed, in `first`, until they are rotated. Memory wants four rows read together; but to unpack them together, then
 * to rotate them, then to round them would leave a part of the processor idle each time. */
#define OWN_WORDS
INLINE LanePair load_words(Layout layout, const char *x) {
    __m512i words = _mm512_loadu_si512(x);
    __asm__("" : "+v"(words)); /* or each use compiles to its own load */
    return (LanePair){.first = _mm512_castsi512_ps(words)};
}

INLINE LanePair opened_words(Layout layout, LanePair words) { return unpacked(layout, _mm512_castps_si512(words.first)); }

INLINE LanePair closed_words(Layout layout, LanePair v, bool quick) {
    return (LanePair){.first = _mm512_castsi512_ps(packed(layout, v, quick))};
}

INLINE void store_words(Layout layout, char *y, LanePair words) { store_f32(y, words.first); }
#else
INLINE LanePair load_two_bf16(const char *x) { return unpacked(HALF, _mm512_loadu_si512(x)); }
INLINE LanePair load_pairs_bf16(const char *x) { return unpacked(INTERLEAVED, _mm512_loadu_si512(x)); }
INLINE void store_two_bf16(char *y, LanePair v) { _mm512_storeu_si512(y, packed(HALF, v, false)); }
INLINE void store_pairs_bf16(char *y, LanePair v) { _mm512_storeu_si512(y, packed(INTERLEAVED, v, false)); }
#endif

INLINE __m256i to_f16(Lanes v) { return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

INLINE Lanes load_f16(const char *x) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)x)); }

INLINE void store_f16(char *y, Lanes v) { _mm256_storeu_si256((void *)y, to_f16(v)); }

INLINE LanePair load_pairs_f16(const char *x) {
    const __m512i even_then_odd = _mm512_setr_epi32(0x020000, 0x060004, 0x0a0008, 0x0e000c, 0x120010, 0x160014, 0x1a0018, 0x1e001c,
                                                    0x030001, 0x070005, 0x0b0009, 0x0f000d, 0x130011, 0x170015, 0x1b0019, 0x1f001d);
    const __m512i words = _mm512_permutexvar_epi16(even_then_odd, _mm512_loadu_si512(x));
    return (LanePair){_mm512_cvtph_ps(_mm512_castsi512_si256(words)), _mm512_cvtph_ps(_mm512_extracti64x4_epi64(words, 1))};
}

INLINE void store_pairs_f16(char *y, LanePair v) {
    const __m512i first = _mm512_castsi256_si512(to_f16(v.first)), second = _mm512_castsi256_si512(to_f16(v.second));
    _mm512_storeu_si512(y, _mm512_permutex2var_epi16(first, alternating(32), second));
}

#include "rotate.h"

/* Rows of fewer pairs than one of these vectors holds are for shorter ones. */
static void rotate_any_tile(const Job *job, Tile tile, float *scratch) {
    (job->pairs < LANES ? avx2_variant.rotate : rotate_tile)(job, tile, scratch);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

#ifdef WITH_BF16
static bool runs_here(void) { return __builtin_cpu_supports("avx512bf16") && avx512_variant.runs_here(); }

const Variant avx512bf16_variant = {"avx512bf16", runs_here, rotate_any_tile, cos_sin_tile};
#else
static bool runs_here(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && avx2_variant.runs_here();
}

const Variant avx512_variant = {"avx512", runs_here, rotate_any_tile, cos_sin_tile};
#endif
#endif
