// Functions of all units of a row, which stand between two passes over the units: total, mean, largest, cumulate. A pass leaves their
// arguments, and the next ones read their results.
//   y = A x    adjoint: dx = A' dy    total: A = 1    mean: A = 1 / H    cumulate: A_kj = 1 for j <= k, so that A' sums in reverse
// The first two and the largest have one result for all units, and so has the adjoint: a vector with that number in all lanes. Their
// arguments are not stored but added up.

#ifndef GENERATED  // opened alone, in an editor
#include "memory.c"
#endif

enum { TOTAL, MEAN, LARGEST, CUMULATE };

// Where the results of the step begin in what it keeps.
static long results_at(const Pass *pass) { return (SLOTS * pass->layout.Hv + MEMORY) * pass->item.rows * LANES; }
// The results of the step, in what it keeps or in memory of the thread.
static real *results_of(const Pass *pass, real *saved) { return saved ? saved + results_at(pass) : pass->scratch.reduced; }

// Where the result of a reduction, or its cotangent, stands for a vector of units of a row: all of one place side by side.
INLINE long reduced_at(const Pass *pass, const int i, long v, long r) {
  const long rows = pass->item.rows;
  if (REDUCED_BY[i] != CUMULATE) return (r * ROW_RESULTS + REDUCED_AT[i]) * LANES;
  return (rows * ROW_RESULTS + (v * rows + r) * UNIT_RESULTS + REDUCED_AT[i]) * LANES;
}

static const whole LANE[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// A vector of units takes part in a reduction.
INLINE void take_part(real *sum, const int i, V x, long v, long count) {
  if (REDUCED_BY[i] != CUMULATE) {
    M lane;
    memcpy(&lane, LANE, BYTES);
    if (count < LANES) x = choose(lane < all_whole(count), x, all(REDUCED_BY[i] == LARGEST ? -INFINITY : 0));
    if (v && REDUCED_BY[i] == LARGEST) x = maximum_of(*(V *)sum, x);
    else if (v) x += *(V *)sum;
  }
  *(V *)sum = x;
}

INLINE real largest_of(V x) {
  real most = x[0];
  for (long l = 1; l < LANES; l++)
    if (x[l] > most || x[l] != x[l]) most = x[l];
  return most;
}

// Running sums along the units, from the first or from the last; lanes behind the last unit count as 0.
static void run_along(const Pass *pass, real *reduced, const int i, int reverse) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Item *it = &pass->item;
  for (long r = 0; r < it->rows; r++) {
    real sum = 0;
    for (long j = 0; j < p->Hv; j++) {
      const long v = reverse ? p->Hv - 1 - j : j, count = lanes_left(c->H, v);
      real *at = reduced + reduced_at(pass, i, v, r);
      for (long k = 0; k < count; k++) {
        const long l = reverse ? count - 1 - k : k;
        at[l] = sum += at[l];
      }
    }
  }
}

// One number of the sums of a row, in all lanes.
INLINE void reduce_rows(const Pass *pass, real *reduced, const int i) {
  for (long r = 0; r < pass->item.rows; r++) {
    V *sum = (V *)(reduced + reduced_at(pass, i, 0, r));
    const real result = REDUCED_BY[i] == LARGEST ? largest_of(*sum) : sum_of(*sum);
    *sum = all(REDUCED_BY[i] == MEAN ? result / pass->call->H : result);
  }
}

// The results of a stage, whose arguments a pass over the units has left.
INLINE void reduce(const Pass *pass, real *reduced, const int stage) {
#pragma GCC unroll 16
  for (int i = 0; i < REDUCTIONS; i++) {
    if (REDUCED_STAGE[i] != stage) continue;
    if (REDUCED_BY[i] == CUMULATE) run_along(pass, reduced, i, 0);
    else reduce_rows(pass, reduced, i);
  }
}

// The cotangents of its arguments, from those of its results; none of the largest, which is a constant.
INLINE void reduce_backwards(const Pass *pass, const int stage) {
#pragma GCC unroll 16
  for (int i = 0; i < REDUCTIONS; i++) {
    if (REDUCED_STAGE[i] != stage || REDUCED_BY[i] == LARGEST) continue;
    if (REDUCED_BY[i] == CUMULATE) run_along(pass, pass->scratch.d_reduced, i, 1);
    else reduce_rows(pass, pass->scratch.d_reduced, i);
  }
}
