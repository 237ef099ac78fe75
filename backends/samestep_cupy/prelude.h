// What every generated kernel is built on. The same text is compiled by NVRTC and, after shim.h, by g++: so there are no
// headers, no half types and no intrinsics here but those of bits.

typedef long long Word;  // tables have entries of eight bytes
enum { THREADS = 256, BY = 4 };

// Between two barriers: every thread runs the body as its `j`, then all wait for each other. shim.h has its own.
#ifndef PHASE
#define PHASE(j) for (int j = threadIdx.x, once = 1; once; once = 0, __syncthreads())
#endif

// Half precision lies in memory only; arithmetic on it is float32.
struct Half { unsigned short bits; };
struct Brain { unsigned short bits; };

__device__ inline float value(float x) { return x; }
__device__ inline double value(double x) { return x; }
__device__ inline float value(Brain x) { return __uint_as_float((unsigned)x.bits << 16); }
__device__ inline float value(Half x) {
    const unsigned sign = (x.bits & 0x8000u) << 16, body = (x.bits & 0x7fffu) << 13;
    // The exponent is rebiased by a product, exact for subnormals too; inf and NaN get an exponent of ones.
    const unsigned scaled = __float_as_uint(__uint_as_float(body) * 0x1p112f);
    return __uint_as_float((body >= 0x0f800000u ? body | 0x7f800000u : scaled) | sign);
}

__device__ inline void put(float &to, float x) { to = x; }
__device__ inline void put(double &to, double x) { to = x; }
__device__ inline void put(Brain &to, float x) {
    const unsigned u = __float_as_uint(x);
    const unsigned nearest = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;  // ties to even
    to.bits = (unsigned short)(x != x ? u >> 16 | 0x40u : nearest);
}
__device__ inline void put(Half &to, float x) {
    const unsigned u = __float_as_uint(x), a = u & 0x7fffffffu;
    // Normal: rebias and round, ties to even; a carry into the exponent is right, up to infinity.
    const unsigned normal = (a - 0x38000000u + 0xfffu + (a >> 13 & 1u)) >> 13;
    // Subnormal: adding 0.5 rounds to multiples of 2**-24; what is above the bits of 0.5 is the answer.
    const unsigned small = __float_as_uint(__uint_as_float(a) + 0.5f) - 0x3f000000u;
    const unsigned finite = a < 0x38800000u ? small : a < 0x477ff000u ? normal : 0x7c00u;
    to.bits = (unsigned short)((a > 0x7f800000u ? 0x7e00u : finite) | (u >> 16 & 0x8000u));
}

// Four elements at once: accesses of 16 bytes (8 in half precision), where the array is aligned to them.
template <class S> struct alignas(sizeof(S) < 4 ? 8 : 16) Four { S at[BY]; };

template <class S> __device__ inline S *place(Word address, Word start) {
    return reinterpret_cast<S *>(address) + start;
}
template <class S> __device__ inline bool aligned(const S *a) {
    return reinterpret_cast<Word>(a) % (Word)alignof(Four<S>) == 0;
}
template <class T, class S> __device__ inline void load(T (&x)[BY], const S *a) {
    const Four<S> four = *reinterpret_cast<const Four<S> *>(a);
#pragma unroll
    for (int e = 0; e < BY; ++e) x[e] = (T)value(four.at[e]);
}
template <class T, class S> __device__ inline void store(S *a, const T (&x)[BY]) {
    Four<S> four;
#pragma unroll
    for (int e = 0; e < BY; ++e) put(four.at[e], x[e]);
    *reinterpret_cast<Four<S> *>(a) = four;
}

// Operations that are more than one expression.
__device__ inline float below(float x) { return floorf(x); }
__device__ inline double below(double x) { return floor(x); }
__device__ inline float with_sign(float x, float of) { return copysignf(x, of); }
__device__ inline double with_sign(double x, double of) { return copysign(x, of); }

// a mod b with the sign of b, as NumPy has it; m is the C library's fmod(a, b).
template <class T> __device__ inline T modulo(T b, T m) {
    return m == 0 ? with_sign((T)0, b) : (m < 0) != (b < 0) ? m + b : m;
}
// The floor of a / b, as NumPy has it.
template <class T> __device__ inline T floored(T a, T b, T m) {
    const T quotient = a / b, whole = (a - m) / b - (T)(m != 0 && (m < 0) != (b < 0));
    const T floor = below(whole);
    return b == 0 ? quotient : whole == 0 ? with_sign((T)0, quotient) : floor + (T)(whole - floor > (T)0.5);
}

// Random bits: `samestep.trace.words` says what they are.
__device__ inline unsigned mix(unsigned x) {
    x ^= x >> 16;
    x *= 0x21f0aaadu;
    x ^= x >> 15;
    x *= 0xd35a2d97u;
    return x ^ x >> 15;
}
__device__ inline unsigned fold(unsigned k, unsigned w) { return mix(k + 0x9e3779b9u ^ mix(w)); }

// The sum of so many numbers of so many bits, for the element i of a leaf; keys come in halves.
template <int BITS, int DRAWS, class T> __device__ inline T random_bits(Word i, T h0, T l0, T h1, T l1) {
    const int each = 32 / BITS, per = (DRAWS + each - 1) / each;
    const unsigned k0 = (unsigned)h0 << 16 | (unsigned)l0, far = (unsigned)((unsigned long long)(per * i) >> 32);
    const unsigned near = (unsigned)h1 << 16 | (unsigned)l1, k1 = far ? fold(near, far) : near;
    unsigned total = 0;
#pragma unroll
    for (int d = 0; d < DRAWS; ++d) {
        const unsigned word = mix(mix((unsigned)(per * i + d / each) ^ k0) + k1);
        total += word >> (32 - BITS * (d % each + 1)) & ((1u << BITS) - 1);
    }
    return (T)total;
}

// Rounding in the middle of the arithmetic: to nearest, or by 16 random bits.
template <class S> __device__ inline float rounded(float x) {
    S stored;
    put(stored, x);
    return value(stored);
}
__device__ inline float dithered(Brain, float x, float bits) {
    const unsigned sum = __float_as_uint(x) + (unsigned)bits & 0xffff0000u;  // of an infinity, nothing is dropped
    return __uint_as_float(x != x ? 0x7fc00000u : sum);
}
__device__ inline float dithered(Half, float x, float bits) {
    const unsigned u = __float_as_uint(x), a = u & 0x7fffffffu, tiny = a < 0x38800000u;
    const unsigned normal = a + ((unsigned)bits >> 3) & 0xffffe000u;
    // A subnormal number is counted in units of 2**-24.
    const unsigned parts = (unsigned)(__uint_as_float(tiny ? a : 0u) * 0x1p40f);
    const unsigned small = __float_as_uint((float)(parts + (unsigned)bits >> 16) * 0x1p-24f);
    const unsigned found = tiny ? small : normal < 0x47800000u ? normal : 0x7f800000u;
    return __uint_as_float(x != x ? 0x7fc00000u : found | (u & 0x80000000u));
}
