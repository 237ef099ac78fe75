// CUDA for g++: a block runs as one thread, whose phases are loops over the threads that it stands for.

#define __device__
#define __global__
#define __launch_bounds__(threads)
#define __shared__ static thread_local
#ifdef SAMESTEP_REVERSED  // for the tests: what one thread reads of another within a phase shows up as other bits
#define PHASE(j) for (int j = THREADS - 1; j >= 0; --j)
#else
#define PHASE(j) for (int j = 0; j < THREADS; ++j)
#endif

static thread_local struct { long long x; } blockIdx;

static inline float __uint_as_float(unsigned bits) { float x; __builtin_memcpy(&x, &bits, 4); return x; }
static inline unsigned __float_as_uint(float x) { unsigned bits; __builtin_memcpy(&bits, &x, 4); return bits; }
static inline double __longlong_as_double(long long bits) { double x; __builtin_memcpy(&x, &bits, 8); return x; }

#define UNARY(name) extern "C" double name(double); extern "C" float name##f(float);
#define BINARY(name) extern "C" double name(double, double); extern "C" float name##f(float, float);
UNARY(fabs) UNARY(sqrt) UNARY(floor) UNARY(ceil) UNARY(exp) UNARY(expm1) UNARY(log) UNARY(log1p)
UNARY(sin) UNARY(cos) UNARY(acos) UNARY(tanh)
BINARY(copysign) BINARY(fmod) BINARY(pow)

typedef void Kernel(const void *, const void *, const void *, const void *, const void *, void *);
extern "C" void launch(Kernel *kernel, long long blocks, const void *chunks, const void *addresses, const void *rows,
                       const void *host, const void *leaf, void *sums) {
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) kernel(chunks, addresses, rows, host, leaf, sums);
}
