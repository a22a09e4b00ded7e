// Vectors of VL floats and the functions on them. Included once per instruction set, between the target attribute's push and
// pop. VL: floats in a vector. HAS_FMA: 1 where a fused multiply-add is one instruction.

typedef float vf __attribute__((vector_size(VL * 4), aligned(4)));
typedef int32_t vi __attribute__((vector_size(VL * 4), aligned(4)));

#define INLINE static inline __attribute__((always_inline))

INLINE vf vf_load(const float *p) { return *(const vf *)p; }
INLINE void vf_store(float *p, vf v) { *(vf *)p = v; }
// x - 0 is x for every x, -0 too, so the compiler makes a broadcast of it; 0 + x would stay an addition.
INLINE vf vf_set(float x) { return x - (vf){}; }
INLINE vi vi_set(int32_t x) { return (vi){} + x; }

// The first `count` floats of p, zeros after them.
INLINE vf vf_load_part(const float *p, size_t count) {
    vf v = {};
    __builtin_memcpy(&v, p, count * sizeof(float));
    return v;
}
INLINE void vf_store_part(float *p, vf v, size_t count) { __builtin_memcpy(p, &v, count * sizeof(float)); }

INLINE vf vf_fma(vf a, vf b, vf c) {
#if HAS_FMA
    return __builtin_elementwise_fma(a, b, c);
#else
    return a * b + c;
#endif
}
INLINE vf vf_max(vf a, vf b) { return __builtin_elementwise_max(a, b); }
INLINE vf vf_min(vf a, vf b) { return __builtin_elementwise_min(a, b); }
INLINE vf vf_abs(vf a) { return __builtin_elementwise_abs(a); }
INLINE vf vf_select(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }

INLINE float vf_sum(vf v) {
    // Pairwise, so that the order does not depend on how the compiler reduces.
    float lanes[VL];
    __builtin_memcpy(lanes, &v, sizeof lanes);
    for (size_t step = VL / 2; step > 0; step /= 2)
        for (size_t i = 0; i < step; i++) lanes[i] += lanes[i + step];
    return lanes[0];
}
INLINE float vf_largest(vf v) {
    float lanes[VL];
    __builtin_memcpy(lanes, &v, sizeof lanes);
    for (size_t step = VL / 2; step > 0; step /= 2)
        for (size_t i = 0; i < step; i++) lanes[i] = lanes[i] > lanes[i + step] ? lanes[i] : lanes[i + step];
    return lanes[0];
}

// 2^x. x is split into the nearest integer n and a rest in [-0.5, 0.5], whose power is a polynomial (relative error 2e-9 before
// rounding, a weighted least-squares fit brought near the minimax). Below -126 the result is 0, above 127.5 it is infinite; NaN
// stays.
INLINE vf vf_exp2(vf x) {
    const vf magic = vf_set(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer that lies in the low bits
    vf clamped = vf_min(vf_max(x, vf_set(-127.0f)), vf_set(127.5f));
    vf shifted = clamped + magic;
    vf rest = clamped - (shifted - magic);
    vf y = vf_set(1.534580224e-4f);
    y = vf_fma(y, rest, vf_set(1.339993090e-3f));
    y = vf_fma(y, rest, vf_set(9.618489072e-3f));
    y = vf_fma(y, rest, vf_set(5.550328642e-2f));
    y = vf_fma(y, rest, vf_set(2.402264625e-1f));
    y = vf_fma(y, rest, vf_set(6.931471825e-1f));
    y = vf_fma(y, rest, vf_set(1.0f));
    vi exponent = ((vi)shifted - (vi)magic) << 23;
    y = (vf)((vi)y + exponent);
    y = vf_select((vi)(x < vf_set(-126.0f)), vf_set(0.0f), y);
    y = vf_select((vi)(x > vf_set(127.5f)), vf_set(__builtin_inff()), y);
    return vf_select((vi)(x != x), x, y);
}
#define LOG2_E 1.44269504088896341f
// e^x. log2(e) in two parts keeps the error near one unit for arguments up to 88.
INLINE vf vf_exp(vf x) {
    vf high = x * vf_set(1.44269504f);
    const vf clamped = vf_min(vf_max(x, vf_set(-90.0f)), vf_set(90.0f));
#if HAS_FMA
    vf low = vf_fma(clamped, vf_set(1.44269504f), -(clamped * vf_set(1.44269504f)));
#else
    vf low = {};
#endif
    low = vf_fma(clamped, vf_set(1.925963033e-8f), low);
    vf power = vf_exp2(high);
    vf correction = vf_fma(low, vf_set(0.69314718f), vf_set(1.0f));
    // An infinite power stays infinite, zero stays zero.
    return power * correction;
}

// The error function. |x| < 1: x times a polynomial in x^2; above: 1 - e^q(|x|), q fitted to log(erfc) on [1, 4]. Largest
// absolute error 1.3e-7 over [-6, 6], measured against double precision.
INLINE vf vf_erf(vf x) {
    vf a = vf_abs(x);
    vf u = a * a;
    vf s = vf_set(7.889114931e-5f);
    s = vf_fma(s, u, vf_set(-8.020839887e-4f));
    s = vf_fma(s, u, vf_set(5.189535208e-3f));
    s = vf_fma(s, u, vf_set(-2.685444430e-2f));
    s = vf_fma(s, u, vf_set(1.128360033e-1f));
    s = vf_fma(s, u, vf_set(-3.761262596e-1f));
    s = vf_fma(s, u, vf_set(1.128379107f));
    s = s * a;
    vf b = vf_min(a, vf_set(4.0f));
    vf q = vf_set(-2.168695210e-5f);
    q = vf_fma(q, b, vf_set(4.413376155e-4f));
    q = vf_fma(q, b, vf_set(-4.204568453e-3f));
    q = vf_fma(q, b, vf_set(2.520827577e-2f));
    q = vf_fma(q, b, vf_set(-1.084186062e-1f));
    q = vf_fma(q, b, vf_set(-6.332198381e-1f));
    q = vf_fma(q, b, vf_set(-1.129578471f));
    q = vf_fma(q, b, vf_set(1.880436612e-4f));
    vf large = vf_set(1.0f) - vf_exp(q);
    vf y = vf_select((vi)(a < vf_set(1.0f)), s, large);
    y = (vf)((vi)y | ((vi)x & vi_set(INT32_MIN)));
    return vf_select((vi)(x != x), x, y);
}

INLINE vf vf_silu(vf x) { return x / (vf_set(1.0f) + vf_exp(-x)); }
INLINE vf vf_quick_gelu(vf x) { return x / (vf_set(1.0f) + vf_exp(x * vf_set(-1.702f))); }
INLINE vf vf_gelu(vf x) {
    vf half = x * vf_set(0.5f);
    return vf_fma(half, vf_erf(x * vf_set(0.70710678118654752f)), half);
}
