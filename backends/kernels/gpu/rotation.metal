// What every thread computes: the functions of the rotation, for Metal and for CUDA. 7-bit ASCII, since MPS passes it on so.
//
// Bit for bit rope/reference.py: the phase is an integer, every product that is added to something is an explicit fma,
// and the result is rounded once. ROPE_FN and ROPE_BFLOAT are defined by each host's prelude, see body.py.

struct rope_angle { float c; float s; };
struct rope_pair { float first; float second; };

// turns . position wraps modulo one turn; its upper half is the phase.
ROPE_FN uint rope_phase(int64_t position, int64_t turns) {
  return uint((uint64_t(position) * uint64_t(turns)) >> 32);
}

// Negates where bit 1 of sign is set, by the sign bit: also right for zero.
ROPE_FN float rope_flip(float value, uint sign) {
  return as_type<float>(as_type<uint>(value) ^ (sign << 30));
}

// The two highest bits, rounded, choose the quadrant; the rest, within 1/8 turn of 0, becomes t in quarter turns.
ROPE_FN rope_angle rope_sincos(uint phase) {
  const uint quadrant = (phase + 0x20000000u) >> 30;
  const float t = float(as_type<int>(phase - (quadrant << 30))) * 9.313225746154785e-10f;
  const float z = t * t;
  float tail = metal::fma(z, -0.0045922888f, 0.079675905f);
  tail = metal::fma(metal::fma(tail, z, -0.64596295f), z, -6.542104e-08f);
  const float sine = metal::fma(t, 1.57079637f, t * tail);
  float cosine = metal::fma(z, 0.0009040216f, -0.020860288f);
  cosine = metal::fma(metal::fma(cosine, z, 0.25366923f), z, -1.2337005f);
  cosine = metal::fma(cosine, z, 1.0f);
  const bool odd = (quadrant & 1u) != 0u;
  rope_angle angle;
  angle.c = rope_flip(odd ? sine : cosine, (quadrant + 1u) & 2u);
  angle.s = rope_flip(odd ? cosine : sine, quadrant & 2u);
  return angle;
}

ROPE_FN rope_pair rope_turn(float x1, float x2, rope_angle angle) {
  rope_pair y;
  y.first = metal::fma(x1, angle.c, -(x2 * angle.s));
  y.second = metal::fma(x1, angle.s, x2 * angle.c);
  return y;
}

template <typename T>
ROPE_FN T rope_narrow(float value) { return T(value); }

// By integers: no document promises that Metal rounds to bfloat to nearest even.
template <>
ROPE_FN ROPE_BFLOAT rope_narrow<ROPE_BFLOAT>(float value) {
  const uint bits = as_type<uint>(value);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  const uint rounded = nan ? bits | 0x400000u : bits + 0x7fffu + ((bits >> 16) & 1u);
  return as_type<ROPE_BFLOAT>(ushort(rounded >> 16));
}
