/* Fused multiply-adds in independent chains on vector registers: what a core can do at most.
   REAL, float or double, is defined in front of this text. */

#if defined(__AVX512F__)
#define BYTES 64
#define CHAINS 24
#elif defined(__AVX__)
#define BYTES 32
#define CHAINS 12 /* two units x four cycles are 8; 12 and two operands fit sixteen registers */
#elif defined(__aarch64__)
#define BYTES 16
#define CHAINS 24
#else
#define BYTES 16
#define CHAINS 12
#endif

typedef REAL vector __attribute__((vector_size(BYTES)));

/* Floating-point operations of one iteration. */
long gatelab_peak_flops(void) { return 2L * CHAINS * (BYTES / sizeof(REAL)); }

REAL gatelab_peak_run(long iterations, REAL factor, REAL summand) {
  vector sum[CHAINS], a = factor - (vector){0}, b = summand - (vector){0};
  for (int k = 0; k < CHAINS; k++) sum[k] = a + (REAL)k;
  for (long n = 0; n < iterations; n++) {
#pragma GCC unroll 24
    for (int k = 0; k < CHAINS; k++) sum[k] = sum[k] * a + b;
  }
  for (int k = 1; k < CHAINS; k++) sum[0] += sum[k];
  REAL total = 0;
  for (int k = 0; k < (int)(BYTES / sizeof(REAL)); k++) total += sum[0][k];
  return total; /* used by the caller, so that nothing above is dropped */
}
