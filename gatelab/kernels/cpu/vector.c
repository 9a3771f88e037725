// Vectors of the widest registers that the compiler was told of, and the functions that equations are made of.
// gcc and clang compile this for AVX-512, AVX2, SSE2 and NEON alike; no intrinsics.

#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif

#ifdef DOUBLE
typedef double real;
typedef int64_t whole;
#define LN2_HIGH 0x1.62e42fefp-1   // ln 2 in two parts: n * LN2_HIGH is exact
#define LN2_LOW 0x1.473de6af278edp-34
#define ROUND 0x1.8p52             // adding it leaves an integer in the low bits
#define MANTISSA 52
#define BIAS 1023
#define EXP_MOST 708.0             // exp of it is finite and its inverse normal
#define EXP_OVER 746.0             // exp of it is infinite, of its negative zero
#define EXP_PAST 710.4             // of it, 2^n with n = BIAS + 2 is the nearest power
#define TANH_ONE 20.0              // tanh of it rounds to 1
#define EXPM1_TERMS 13
#define LOG_TERMS 11
#else
typedef float real;
typedef int32_t whole;
#define LN2_HIGH 0x1.62e4p-1
#define LN2_LOW 0x1.7f7d1cp-20
#define ROUND 0x1.8p23
#define MANTISSA 23
#define BIAS 127
#define EXP_MOST 87.0
#define EXP_OVER 105.0
#define EXP_PAST 89.4
#define TANH_ONE 9.1
#define EXPM1_TERMS 7
#define LOG_TERMS 5
#endif

#define LANES ((long)(BYTES / sizeof(real)))
#define INLINE static inline __attribute__((always_inline))

typedef real V __attribute__((vector_size(BYTES), may_alias));
typedef whole M __attribute__((vector_size(BYTES), may_alias));  // masks: -1 or 0 in every lane

INLINE V all(real x) { return x - (V){0}; }
INLINE M all_whole(whole x) { return x - (M){0}; }
INLINE V choose(M mask, V yes, V no) { return (V)((mask & (M)yes) | (~mask & (M)no)); }
INLINE V least(V x, V y) { return choose(y < x, y, x); }     // of x when one is nan
INLINE V greatest(V x, V y) { return choose(y > x, y, x); }
INLINE V magnitude(V x) { return (V)((M)x & ~(M)all(-0.0)); }
INLINE V with_sign(V y, V x) { return (V)((M)y | ((M)x & (M)all(-0.0))); }  // that of x, where y has it or is 0
INLINE M is_nan(V x) { return x != x; }
INLINE V maximum_of(V x, V y) { return choose(is_nan(x) | (x > y), x, y); }  // nan if one is
INLINE V minimum_of(V x, V y) { return choose(is_nan(x) | (x < y), x, y); }
INLINE V at_least(V x, V low) { return choose(x < low, low, x); }  // nan if x is
INLINE V at_most(V x, V high) { return choose(x > high, high, x); }
INLINE V floor_of(V x) {
  const V exact = all(ROUND / 1.5);  // from here on all numbers are whole; infinite and nan stay, too
  V nearest = with_sign((magnitude(x) + exact) - exact, x);
  return choose(magnitude(x) < exact, nearest - choose(nearest > x, all(1), all(0)), x);
}
INLINE V sign_of(V x) { return choose(x > all(0), all(1), choose(x < all(0), all(-1), all(0))); }  // 0 of nan

// Rows of tensors that users see: any alignment, and the last vector of H may be cut short.
INLINE V load(const real *from, long count) {
  V x = {0};
  if (count >= LANES) memcpy(&x, from, BYTES);
  else for (long l = 0; l < count; l++) x[l] = from[l];
  return x;
}
INLINE void store(real *to, V x, long count) {
  if (count >= LANES) memcpy(to, &x, BYTES);
  else for (long l = 0; l < count; l++) to[l] = x[l];
}

INLINE V power_of_two(M n) { return (V)((n + BIAS) << MANTISSA); }

// exp(r) - 1 for |r| <= ln(2) / 2 by its Taylor series, where x = n ln 2 + r.
INLINE V reduced_expm1(V x, M *n) {
  V shifted = x * (real)1.4426950408889634 + all(ROUND);
  V count = shifted - all(ROUND);
  *n = (M)shifted - (M)all(ROUND);
  V r = x - count * (real)LN2_HIGH;
  r = r - count * (real)LN2_LOW;
  static const real inverse_factorial[14] = {1,         1,          1.0 / 2,     1.0 / 6,       1.0 / 24,
                                             1.0 / 120, 1.0 / 720,  1.0 / 5040,  1.0 / 40320,   1.0 / 362880,
                                             1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0};
  V sum = all(inverse_factorial[EXPM1_TERMS]);
#pragma GCC unroll 16
  for (int k = EXPM1_TERMS - 1; k >= 2; k--) sum = sum * r + inverse_factorial[k];
  return sum * (r * r) + r;
}

INLINE V exp_of(V x) {
  M n;
  V bounded = greatest(least(x, all(EXP_OVER)), all(-EXP_OVER));
  V e = reduced_expm1(bounded, &n) + 1;
  M half = n >> 1;  // in two steps, so that results at the ends of the range are right
  return e * power_of_two(half) * power_of_two(n - half);
}

INLINE V expm1_of(V x) {
  M n;
  V bounded = greatest(least(x, all(EXP_OVER)), all(-EXP_OVER));
  V e = reduced_expm1(bounded, &n);
  M half = n >> 1;
  V first = power_of_two(half), second = power_of_two(n - half);
  V y = choose(x > all(EXP_MOST), (e + 1) * first * second, e * (first * second) + (first * second - 1));
  return with_sign(y, x);
}

// With half of exp(-x), whose power of two is in range for every x; from EXP_PAST on it is infinite and the result 0.
INLINE V sigmoid_of(V x) {
  M n;
  V bounded = greatest(least(-x, all(EXP_PAST)), all(-EXP_MOST));
  V e = reduced_expm1(bounded, &n);
  V half = (e + 1) * power_of_two(n - 1);
  return (real)0.5 / (half + (real)0.5);
}

INLINE V tanh_of(V x) {
  M n;
  V bounded = greatest(least(x, all(TANH_ONE)), all(-TANH_ONE));
  V e = reduced_expm1(bounded + bounded, &n);
  V scale = power_of_two(n);
  V t = e * scale + (scale - 1);  // exp(2x) - 1, exact to the last bits for small x
  return t / (t + 2);
}

// log x = k ln 2 + 2 atanh(s) with s = (m - 1) / (m + 1), m in [sqrt(1/2), sqrt(2)).
INLINE V log_of(V x) {
  const V tiny = all(BIAS == 127 ? 0x1p-126 : 0x1p-1022);
  M small = x < tiny;
  V y = choose(small, x * (real)0x1p54, x);
  M offset = (M)y - (M)all(0.70710678118654752440);
  M k = offset >> MANTISSA;
  V m = (V)((M)y - (k << MANTISSA));
  V count = __builtin_convertvector(k, V) - choose(small, all(54), all(0));
  V s = (m - 1) / (m + 1), q = s * s;
  V sum = all((real)1 / (2 * LOG_TERMS + 1));
#pragma GCC unroll 16
  for (int j = LOG_TERMS - 1; j >= 1; j--) sum = sum * q + (real)1 / (2 * j + 1);
  V result = count * (real)LN2_HIGH + (count * (real)LN2_LOW + (2 * s + 2 * s * q * sum));
  result = choose(x == all(0), all(-INFINITY), result);
  result = choose(x < all(0), all(NAN), result);
  return choose((x == all(INFINITY)) | is_nan(x), x, result);
}

INLINE V log1p_of(V x) {
  V u = 1 + x;
  M lost = (u == all(1)) | (u == all(INFINITY));  // x itself, or log u without the correction
  V corrected = log_of(u) * (x / choose(lost, all(1), u - 1));
  return choose(u == all(1), x, choose(u == all(INFINITY), u, corrected));
}

#define LANEWISE(NAME, FUNCTION)                                     \
  INLINE V NAME(V x) {                                               \
    V y = {0};                                                       \
    for (long l = 0; l < LANES; l++) y[l] = (real)FUNCTION(x[l]);    \
    return y;                                                        \
  }
LANEWISE(sqrt_of, sqrt)
LANEWISE(sin_of, sin)
LANEWISE(cos_of, cos)
LANEWISE(erf_of, erf)
LANEWISE(atan_of, atan)
INLINE V pow_of(V x, V y) {
  V z = {0};
  for (long l = 0; l < LANES; l++) z[l] = (real)pow(x[l], y[l]);
  return z;
}
