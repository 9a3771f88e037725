// The time loop.

#ifndef GENERATED  // opened alone, in an editor
#include "late.c"
#endif

// What enters a step: with memory the state that is read, and the pre-activations, the late ones last.
static void before_step(const Pass *pass, long t, real *saved) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Packed *w = &pass->weights;
  const Item *it = &pass->item; const Scratch *s = &pass->scratch;
  const long step = it->rows * LANES, wide = p->Hv * LANES;
  const long input = c->D, state = FED * c->H;
  if (INPUT_GATES || MEMORY)
    for (long r = 0; r < it->rows; r++)
      to_columns(c->x + it->n * c->x_n + t * c->x_t + (it->first + r) * c->x_b, input, s->x + r * LANES, step);
  if (MEMORY) read_states(pass, t, saved);
  const long first = p->Dv, all_blocks = first + FED * p->Hv;
  real *a = s->a;
  if (INPUT_ONLY) product(s->blocks, first, input, w->input_only, INPUT_ONLY * p->Hv, c->b ? w->bias : 0, 0, a, it->rows);
  a += INPUT_ONLY * p->Hv * step;
  const real *bias = w->bias + INPUT_ONLY * wide;
  if (BOTH) product(s->blocks, all_blocks, input + state, w->both, BOTH * p->Hv, c->b ? bias : 0, 0, a, it->rows);
  a += BOTH * p->Hv * step;
  bias += BOTH * wide;
  if (RECURRENT_ONLY)
    product(s->blocks + first, FED * p->Hv, state, w->recurrent_only, RECURRENT_ONLY * p->Hv, c->b ? bias : 0, 0, a, it->rows);
  if (LATE) late_products(pass, 0);
  for (long stage = 1; stage <= STAGES; stage++) {
    values_at(pass, t, saved, stage);
    late_products(pass, stage);
  }
}

static void input_blocks(const Pass *pass) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Item *it = &pass->item;
  const Scratch *s = &pass->scratch;
  const long step = it->rows * LANES;
  long count = blocks_of(s->x, c->D, step, s->blocks);
  for (long f = 0; f < FED; f++) count += blocks_of(s->state + FED_PART[f] * p->Hv * step, c->H, step, s->blocks + count);
  late_inputs(pass);
}

static long recorded_at(const Call *c, const Item *it, long part, long t, long r) {
  return (((part * c->N + it->n) * c->T + t) * c->B + it->first + r) * c->H;
}

// All units of all rows through the equations of one step.
INLINE void step_rows(const Pass *pass, long t, real *saved, const int save, const int emit) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Packed *w = &pass->weights;
  const Item *it = &pass->item; const Scratch *s = &pass->scratch;
  const long step_v = it->rows * LANES, part = p->Hv * step_v;
  const real *known = save ? saved : s->known;
  real *reduced = results_of(pass, saved);
  for (long v = 0; v < p->Hv; v++) {
    const long count = lanes_left(c->H, v);
    V vectors[VECTORS + 1];
#pragma GCC unroll 16
    for (int i = 0; i < VECTORS; i++) vectors[i] = *(const V *)(w->vectors + (i * p->Hv + v) * LANES);
    for (long r = 0; r < it->rows; r++) {
      const long at = v * step_v + r * LANES;
      if (ended(c, it, t, r)) {
        for (int o = 0; emit && o < OUTPUTS; o++) store(out_at(c, it, t, r) + o * c->H + v * LANES, (V){0}, count);
        continue;
      }
      V a[GATES + GIVEN + REDUCTIONS], before[STATES], after[STATES], kept[SAVED + 1];
#pragma GCC unroll 16
      for (int g = 0; g < GATES; g++) a[g] = *(const V *)(s->a + g * part + at);
#pragma GCC unroll 16
      for (int g = 0; g < GIVEN; g++) a[GATES + g] = load(given_at(c, it, g, t, r) + v * LANES, count);
#pragma GCC unroll 16
      for (int i = 0; i < REDUCTIONS; i++) a[GATES + GIVEN + i] = *(const V *)(reduced + reduced_at(pass, i, v, r));
#pragma GCC unroll 16
      for (int q = 0; q < STATES; q++) before[q] = *(const V *)(s->state + q * part + at);
#pragma GCC unroll 16
      for (int i = 0; i < EARLY; i++) kept[i] = *(const V *)(known + i * part + at);
      step(a, before, vectors, after, kept);
      if (save) {
#pragma GCC unroll 16
        for (int i = EARLY; i < SAVED; i++) *(V *)(saved + i * part + at) = kept[i];
#pragma GCC unroll 16
        for (int q = 0; q < STATES; q++)
          if (STORED_AT[q] >= 0) *(V *)(saved + (SAVED + STORED_AT[q]) * part + at) = before[q];
      }
      if (emit) {
#pragma GCC unroll 16
        for (int o = 0; o < OUTPUTS; o++) store(out_at(c, it, t, r) + o * c->H + v * LANES, after[OUTPUT_PART[o]], count);
        if (c->record_a) {
          for (int g = 0; g < GATES; g++) store(c->record_a + recorded_at(c, it, GATE[g], t, r) + v * LANES, a[g], count);
          for (int q = 0; q < STATES; q++) store(c->record_s + recorded_at(c, it, q, t, r) + v * LANES, before[q], count);
        }
      }
#pragma GCC unroll 16
      for (int q = 0; q < STATES; q++) *(V *)(s->state + q * part + at) = after[q];
    }
  }
}

static void step_save_emit(const Pass *pass, long t, real *saved) {
  step_rows(pass, t, saved, 1, 1);
}
static void step_save(const Pass *pass, long t, real *saved) {
  step_rows(pass, t, saved, 1, 0);
}
static void step_emit(const Pass *pass, long t, real *saved) {
  step_rows(pass, t, saved, 0, 1);
}

// Rows whose state starts again get it before step t; with memory, what they read last is its first part.
static void restart_rows(const Pass *pass, long t) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Item *it = &pass->item;
  const Scratch *s = &pass->scratch;
  for (long r = 0; r < it->rows; r++) {
    if (!restarts(c, it, t, r)) continue;
    load_row(c, it, p, c->restart, r, s->state);
    if (MEMORY) to_columns(c->restart[0] + row_at(c, it, r), c->H, s->summary + r * LANES, it->rows * LANES);
  }
}

static real *carried_of(const Scratch *s) { return MEMORY ? s->summary : s->state; }

static real *kept_at(const Pass *pass, long t) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Item *it = &pass->item;
  const long segments = (c->T + c->segment - 1) / c->segment, size = CARRIED * p->Hv * LANES;
  return c->kept + (it->n * c->B + it->first) * segments * size + t / c->segment * it->rows * size;
}

static void forward_item(const Pass *pass) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Item *it = &pass->item;
  const Scratch *s = &pass->scratch;
  const long slot = p->slot * it->rows, carried = CARRIED * p->Hv * it->rows * LANES;
  real *saved = c->saved ? c->saved + (it->n * c->B + it->first) * c->T * p->slot : 0;
  for (long r = 0; r < it->rows; r++) load_row(c, it, p, c->s0, r, s->state);
  input_blocks(pass);
  if (MEMORY) memcpy(s->summary, s->state, p->Hv * it->rows * LANES * sizeof(real));
  for (long t = 0; t < it->end; t++) {
    real *now = saved ? saved + t * slot : 0;
    if (c->kept && t % c->segment == 0) memcpy(kept_at(pass, t), carried_of(s), carried * sizeof(real));
    if (c->resets) restart_rows(pass, t);
    if (MEMORY) push_state(pass, t);
    before_step(pass, t, now);
    if (now) step_save_emit(pass, t, now);
    else step_emit(pass, t, 0);
  }
  for (long t = it->end; t < c->T; t++)
    for (long r = 0; r < it->rows; r++) memset(out_at(c, it, t, r), 0, OUTPUTS * c->H * sizeof(real));
  for (long q = 0; q < STATES; q++)
    for (long r = 0; r < it->rows; r++)
      for (long v = 0; v < p->Hv; v++)
        store(c->last[q] + row_at(c, it, r) + v * LANES, *(V *)(s->state + ((q * p->Hv + v) * it->rows + r) * LANES), lanes_left(c->H, v));
}
