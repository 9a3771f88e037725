// Late pre-activations: their products read parts of the state, and values that `before` computes within the step. `before` runs in
// stages; behind each come the products and the reductions that read what it has just left.

#ifndef GENERATED  // opened alone, in an editor
#include "reduce.c"
#endif

// Calls FUNCTION(..., stage) with a constant stage, for which the equations were printed.
#define AT(FUNCTION, STAGE, ...) \
  case STAGE: if (STAGE <= STAGES) FUNCTION(__VA_ARGS__, STAGE); break;
#define AT_STAGE(FUNCTION, ...)                                                                                      \
  AT(FUNCTION, 1, __VA_ARGS__) AT(FUNCTION, 2, __VA_ARGS__) AT(FUNCTION, 3, __VA_ARGS__) AT(FUNCTION, 4, __VA_ARGS__) \
  AT(FUNCTION, 5, __VA_ARGS__) AT(FUNCTION, 6, __VA_ARGS__) AT(FUNCTION, 7, __VA_ARGS__) AT(FUNCTION, 8, __VA_ARGS__) \
  AT(FUNCTION, 9, __VA_ARGS__) AT(FUNCTION, 10, __VA_ARGS__) AT(FUNCTION, 11, __VA_ARGS__) AT(FUNCTION, 12, __VA_ARGS__)

// Where a late product reads: a part of the state, or a value.
static real *read_at(const Pass *pass, int read) {
  const long part = pass->layout.Hv * pass->item.rows * LANES;
  return read < STATES ? pass->scratch.state + read * part : pass->scratch.values + (read - STATES) * part;
}

static void late_inputs(const Pass *pass) {
  Block *blocks = pass->scratch.late_blocks;
  for (long i = 0; i < LATE_READS; i++) blocks += blocks_of(read_at(pass, LATE_READ[i]), pass->call->H, pass->item.rows * LANES, blocks);
}

static void late_products(const Pass *pass, long stage) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Packed *w = &pass->weights;
  const Item *it = &pass->item; const Scratch *s = &pass->scratch;
  const long wide = p->Hv * LANES;
  for (long g = 0; g < LATE; g++) {
    if (LATE_STAGE[g] != stage) continue;
    const real *bias = c->b && !LATE_ADDS[g] ? w->bias + LATE_FIRST[g] * wide : 0;
    product(s->late_blocks + LATE_READ_AT[g] * p->Hv, LATE_READS_OF[g] * p->Hv, LATE_READS_OF[g] * c->H,
            w->late + LATE_SQUARE[g] * wide * c->H, LATE_GATES[g] * p->Hv, bias, LATE_ADDS[g],
            s->a + LATE_FIRST[g] * p->Hv * it->rows * LANES, it->rows);
  }
}

// The values of a stage for all units of all rows, and what the step keeps and is known then.
INLINE void values_of_stage(const Pass *pass, long t, real *known, real *reduced, const int stage) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Packed *w = &pass->weights;
  const Item *it = &pass->item; const Scratch *s = &pass->scratch;
  const long step_v = it->rows * LANES, part = p->Hv * step_v;
  for (long v = 0; v < p->Hv; v++) {
    const long count = lanes_left(c->H, v);
    V vectors[VECTORS + 1];
#pragma GCC unroll 16
    for (int i = 0; i < VECTORS; i++) vectors[i] = *(const V *)(w->vectors + (i * p->Hv + v) * LANES);
    for (long r = 0; r < it->rows; r++) {
      const long at = v * step_v + r * LANES;
      if (ended(c, it, t, r)) continue;
      V a[GATES + GIVEN + REDUCTIONS], state[STATES], kept[SAVED + 1], values[VALUES + REDUCTIONS + 1];
#pragma GCC unroll 16
      for (int g = 0; g < GATES; g++)
        if (GATE_STAGE[g] < stage) a[g] = *(const V *)(s->a + g * part + at);
#pragma GCC unroll 16
      for (int g = 0; g < GIVEN; g++) a[GATES + g] = load(given_at(c, it, g, t, r) + v * LANES, count);
#pragma GCC unroll 16
      for (int i = 0; i < REDUCTIONS; i++)
        if (REDUCED_STAGE[i] < stage) a[GATES + GIVEN + i] = *(const V *)(reduced + reduced_at(pass, i, v, r));
#pragma GCC unroll 16
      for (int q = 0; q < STATES; q++) state[q] = *(const V *)(s->state + q * part + at);
#pragma GCC unroll 16
      for (int i = 0; i < EARLY; i++)
        if (KNOWN_AT[i] < stage) kept[i] = *(const V *)(known + i * part + at);
      before(stage, a, state, vectors, kept, values);
#pragma GCC unroll 16
      for (int i = 0; i < EARLY; i++)
        if (KNOWN_AT[i] == stage) *(V *)(known + i * part + at) = kept[i];
#pragma GCC unroll 16
      for (int i = 0; i < VALUES; i++)
        if (VALUE_STAGE[i] == stage) *(V *)(s->values + i * part + at) = values[i];
#pragma GCC unroll 16
      for (int i = 0; i < REDUCTIONS; i++)
        if (REDUCED_STAGE[i] == stage) take_part(reduced + reduced_at(pass, i, v, r), i, values[VALUES + i], v, count);
    }
  }
  reduce(pass, reduced, stage);
}

static void values_at(const Pass *pass, long t, real *saved, long stage) {
  real *known = saved ? saved : pass->scratch.known;
  real *reduced = results_of(pass, saved);
  switch (stage) { AT_STAGE(values_of_stage, pass, t, known, reduced) }
}

// The cotangents of late pre-activations of a stage reach what their products read; those of states wait until the step's own are
// there. `blocks` are the cotangents of all pre-activations.
static void late_backwards(const Pass *pass, long stage, int to_states) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Packed *w = &pass->weights;
  const Item *it = &pass->item; const Scratch *s = &pass->scratch;
  const long wide = p->Hv * LANES, part = wide * it->rows;
  for (long g = LATE - 1; g >= 0; g--) {
    if (!to_states && LATE_STAGE[g] != stage) continue;
    for (long i = 0; i < LATE_READS_OF[g]; i++) {
      const int read = LATE_READ[LATE_READ_AT[g] + i];
      if ((read < STATES) != to_states) continue;
      product(s->blocks + LATE_FIRST[g] * p->Hv, LATE_GATES[g] * p->Hv, LATE_GATES[g] * c->H,
              w->back_late + (LATE_SQUARE[g] + i * LATE_GATES[g]) * wide * c->H, p->Hv, 0, LATE_AGAIN[LATE_READ_AT[g] + i],
              read < STATES ? s->state + read * part : s->d_values + (read - STATES) * part, it->rows);
    }
  }
}
