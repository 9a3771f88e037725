// What the C files get from the printer: the constants, the tables, step and adjoint of a cell, and the argument block of a call.
// This is what it prints for an LSTM in float32, as an example for who opens a C file alone; a cell has its own in place of it.
// tests/kernels holds it up to date.
#pragma once
#include "product.c"

#define INPUT_ONLY 0
#define BOTH 4
#define RECURRENT_ONLY 0
#define GATES 4
#define GIVEN 0
#define STATES 2
#define OUTPUTS 1
#define VECTORS 0
#define FED 1
#define SAVED 4
#define STORED 1
#define MEMORY 0
#define ADDITIVE 0
#define STAGES 0
#define VALUES 0
#define LATE 0
#define MATRICES 0
#define LATE_READS 0
#define SQUARES 0
#define EARLY 0
static const int GATE[] = {0, 1, 2, 3};
static const int W_ROW[] = {0, 1, 2, 3};
static const int R_ROW[] = {0, 1, 2, 3};
static const int FED_PART[] = {0};
static const int OUTPUT_PART[] = {0};
static const int READ[] = {0, 1};
static const int STORED_AT[] = {-1, 0};
static const int LATE_FIRST[] = {0};
static const int LATE_GATES[] = {0};
static const int LATE_STAGE[] = {0};
static const int LATE_ADDS[] = {0};
static const int LATE_READS_OF[] = {0};
static const int LATE_READ_AT[] = {0};
static const int LATE_SQUARE[] = {0};
static const int LATE_READ[] = {0};
static const int LATE_AGAIN[] = {0};
static const int MATRIX[] = {0, 0, 0, 0};
static const int GATE_STAGE[] = {0, 0, 0, 0};
static const int VALUE_STAGE[] = {0};
static const int KNOWN_AT[] = {1, 1, 1, 1};

INLINE void before(const int stage, const V *a, const V *s, const V *p, V *kept, V *values) {
}

INLINE void step(const V *a, const V *s, const V *p, V *after, V *kept) {
  const V v6_sigmoid = sigmoid_of(a[0]);
  const V v7_sigmoid_1 = sigmoid_of(a[1]);
  const V v8_tanh = tanh_of(a[2]);
  const V v9_sigmoid_2 = sigmoid_of(a[3]);
  const V v10_mul = v7_sigmoid_1 * s[1];
  const V v11_mul_1 = v6_sigmoid * v8_tanh;
  const V v12_add = v10_mul + v11_mul_1;
  const V v13_tanh_1 = tanh_of(v12_add);
  const V v14_mul_2 = v9_sigmoid_2 * v13_tanh_1;
  after[0] = v14_mul_2;
  after[1] = v12_add;
  kept[0] = v6_sigmoid;
  kept[1] = v7_sigmoid_1;
  kept[2] = v8_tanh;
  kept[3] = v9_sigmoid_2;
}

INLINE void late_adjoint(const int stage, const V *kept, const V *s, const V *p, const V *ds, const V *dv, V *da) {
}

INLINE void adjoint(const V *kept, const V *s, const V *p, const V *ds, const V *dv, V *da, V *earlier, V *dp, V *values) {
  const V v8_mul = kept[1] * s[1];
  const V v9_mul_1 = kept[0] * kept[2];
  const V v10_add = v8_mul + v9_mul_1;
  const V v11_tanh_1 = tanh_of(v10_add);
  const V v12_mul_3 = ds[0] * kept[3];
  const V v13_mul_4 = ds[0] * v11_tanh_1;
  const V v14_tanh_backward = v12_mul_3 * (1 - v11_tanh_1 * v11_tanh_1);
  const V v15_add_1 = ds[1] + v14_tanh_backward;
  const V v16_mul_5 = v15_add_1 * kept[0];
  const V v17_mul_6 = v15_add_1 * kept[2];
  const V v18_mul_7 = v15_add_1 * kept[1];
  const V v19_mul_8 = v15_add_1 * s[1];
  const V v20_sigmoid_backward = v13_mul_4 * (kept[3] * (1 - kept[3]));
  const V v21_tanh_backward_1 = v16_mul_5 * (1 - kept[2] * kept[2]);
  const V v22_sigmoid_backward_1 = v19_mul_8 * (kept[1] * (1 - kept[1]));
  const V v23_sigmoid_backward_2 = v17_mul_6 * (kept[0] * (1 - kept[0]));
  const V v24_full_default = all(0.0);
  da[0] = v23_sigmoid_backward_2;
  da[1] = v22_sigmoid_backward_1;
  da[2] = v21_tanh_backward_1;
  da[3] = v20_sigmoid_backward;
  earlier[0] = v24_full_default;
  earlier[1] = v18_mul_7;
}

typedef struct {
  long N;
  long T;
  long B;
  long D;
  long H;
  long window;
  long blocks;
  long threads;
  long chunk;
  long segment;
  long x_n;
  long x_t;
  long x_b;
  long out_n;
  long out_t;
  long out_b;
  long dx_n;
  long dx_t;
  long dx_b;
  long d_out_n;
  long d_out_t;
  long d_out_b;
  const int64_t *lengths;
  const uint8_t *resets;
  const real *x;
  const real *W;
  const real *R;
  const real *b;
  const real *K;
  const real *Q;
  const real *P;
  const real *v;
  const real *p[VECTORS + 1];
  const real *late[MATRICES + 1];
  const real *given[GIVEN + 1];
  const real *s0[STATES + 1];
  const real *restart[STATES + 1];
  real *out;
  real *saved;
  real *kept;
  real *tape;
  real *record_a;
  real *record_s;
  real *work;
  real *last[STATES + 1];
  const real *d_out;
  const real *d_record_a;
  const real *d_record_s;
  const real *d_last[STATES + 1];
  real *flow;
  real *dx;
  real *dW;
  real *dR;
  real *db;
  real *dK;
  real *dQ;
  real *dP;
  real *dv;
  real *dp[VECTORS + 1];
  real *dlate[MATRICES + 1];
  real *ds0[STATES + 1];
  real *drestart[STATES + 1];
} Call;
