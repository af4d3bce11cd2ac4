/* Four lanes: NEON, which every 64-bit ARM processor has. */
#include "job.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define INLINE static inline __attribute__((always_inline))

typedef float32x4_t Lanes;
typedef struct {
    Lanes first, second;
} LanePair;
enum { LANES = 4, AT_ONCE = 4 };

INLINE Lanes mul(Lanes a, Lanes b) { return vmulq_f32(a, b); }
INLINE Lanes mul_add(Lanes a, Lanes b, Lanes c) { return vfmaq_f32(c, a, b); }
INLINE Lanes mul_sub(Lanes a, Lanes b, Lanes c) { return vfmaq_f32(vnegq_f32(c), a, b); }
INLINE Lanes flip(Lanes v, uint32_t sign) {
    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(v), vdupq_n_u32(sign)));
}

INLINE Lanes load_f32(const void *x) { return vld1q_f32(x); }
INLINE void store_f32(void *y, Lanes v) { vst1q_f32(y, v); }

INLINE LanePair load_pairs_f32(const char *x) {
    const float32x4x2_t v = vld2q_f32((const float *)x);
    return (LanePair){v.val[0], v.val[1]};
}

INLINE void store_pairs_f32(char *y, LanePair v) {
    const float32x4x2_t both = {{v.first, v.second}};
    vst2q_f32((float *)y, both);
}

/* The upper half of a float32, rounded to nearest even; a NaN stays one. */
INLINE uint16x4_t to_bf16(Lanes v) {
    const uint32x4_t bits = vreinterpretq_u32_f32(v), upper = vshrq_n_u32(bits, 16);
    const uint32x4_t odd = vandq_u32(upper, vdupq_n_u32(1));
    const uint32x4_t rounded = vshrq_n_u32(vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff))), 16);
    const uint32x4_t quiet = vorrq_u32(upper, vdupq_n_u32(0x40));
    return vmovn_u32(vbslq_u32(vceqq_f32(v, v), rounded, quiet));
}

INLINE Lanes from_bf16(uint16x4_t v) { return vreinterpretq_f32_u32(vshll_n_u16(v, 16)); }

INLINE Lanes load_bf16(const char *x) { return from_bf16(vld1_u16((const uint16_t *)x)); }

INLINE void store_bf16(char *y, Lanes v) { vst1_u16((uint16_t *)y, to_bf16(v)); }

INLINE LanePair load_two_bf16(const char *x) { return (LanePair){load_bf16(x), load_bf16(x + 8)}; }

INLINE void store_two_bf16(char *y, LanePair v) {
    vst1q_u16((uint16_t *)y, vcombine_u16(to_bf16(v.first), to_bf16(v.second)));
}

INLINE LanePair load_pairs_bf16(const char *x) {
    const uint16x4x2_t v = vld2_u16((const uint16_t *)x);
    return (LanePair){from_bf16(v.val[0]), from_bf16(v.val[1])};
}

INLINE void store_pairs_bf16(char *y, LanePair v) {
    const uint16x4x2_t both = {{to_bf16(v.first), to_bf16(v.second)}};
    vst2_u16((uint16_t *)y, both);
}

INLINE uint16x4_t to_f16(Lanes v) { return vreinterpret_u16_f16(vcvt_f16_f32(v)); }

INLINE Lanes from_f16(uint16x4_t v) { return vcvt_f32_f16(vreinterpret_f16_u16(v)); }

INLINE Lanes load_f16(const char *x) { return from_f16(vld1_u16((const uint16_t *)x)); }

INLINE void store_f16(char *y, Lanes v) { vst1_u16((uint16_t *)y, to_f16(v)); }

INLINE LanePair load_pairs_f16(const char *x) {
    const uint16x4x2_t v = vld2_u16((const uint16_t *)x);
    return (LanePair){from_f16(v.val[0]), from_f16(v.val[1])};
}

INLINE void store_pairs_f16(char *y, LanePair v) {
    const uint16x4x2_t both = {{to_f16(v.first), to_f16(v.second)}};
    vst2_u16((uint16_t *)y, both);
}

#include "rotate.h"

static bool runs_here(void) { return true; }

const Variant neon_variant = {"neon", runs_here, rotate_tile, cos_sin_tile};
#endif
