// The time loop. Before this file come the constants and the two functions that are printed from a cell's equations:
//   step     pre-activations, state, vectors -> new state, and what the adjoint needs to know of this step
//   adjoint  that, the state before, vectors, cotangent of the new state -> cotangents of pre-activations, state and vectors
// Work is split by rows of the batch: a block of rows goes through all of time on one thread, with no barrier.
// Gates are in the order: fed by the input alone, by both, by the state alone.

#define INPUT_GATES (INPUT_ONLY + BOTH)
#define RECURRENT_GATES (BOTH + RECURRENT_ONLY)
#define SLOTS (SAVED + STORED)  // values kept of a unit and step: for the adjoint, and parts of the state but the first

static long least_long(long a, long b) { return a < b ? a : b; }
static long rounded(long n, long to) { return (n + to - 1) / to * to; }

// Sizes in reals that follow from a call. `rows` is the most that a block has.
typedef struct {
  long Hv, Dv, rows;
  long depth_x, depth_s;                 // rows of weights, in whole tiles
  long forward, backward;                // packed weights of a replica
  long gradient, gradient_s, gradient_b; // gradients of a replica in one thread, and where parts of it begin
  long scratch, chunk_at, left_at, saved_at; // of a thread, and where parts of it begin
} Plan;

static Plan plan_of(const Call *c, int backward) {
  Plan p;
  p.Hv = rounded(c->H, LANES) / LANES;
  p.Dv = rounded(c->D, LANES) / LANES;
  p.rows = (c->B + c->blocks - 1) / c->blocks;
  p.depth_x = rounded(c->D, TILE_ROWS);
  p.depth_s = rounded(c->H, TILE_ROWS);
  const long wide = p.Hv * LANES;
  p.forward = wide * (INPUT_GATES * c->D + RECURRENT_GATES * FED * c->H + GATES + VECTORS);
  p.backward = FED * wide * RECURRENT_GATES * c->H + p.Dv * LANES * INPUT_GATES * c->H;
  p.gradient_s = p.depth_x * INPUT_GATES * wide;
  p.gradient_b = p.gradient_s + FED * p.depth_s * RECURRENT_GATES * wide;
  p.gradient = p.gradient_b + (GATES + VECTORS) * wide;
  p.chunk_at = p.rows * LANES * ((GATES + 2 * STATES) * p.Hv + p.Dv);
  p.left_at = p.chunk_at + (backward ? c->chunk * p.rows * GATES * wide : 0);
  p.saved_at = p.left_at + (backward ? c->chunk * p.rows * (p.depth_x + FED * p.depth_s) : 0);
  p.saved_at = rounded(p.saved_at, 64);
  p.scratch = p.saved_at + (backward && c->segment < c->T ? c->segment * p.rows * SLOTS * wide : 0);
  return p;
}

long workspace(const Call *c, int backward) {
  const Plan p = plan_of(c, backward);
  long size = c->N * p.forward + c->threads * p.scratch;
  if (backward) size += c->N * p.backward + (c->N + c->threads - 1) * p.gradient;
  return size;
}
// Of all N * B rows: what the forward pass leaves for the backward pass. `kept` holds the state before every segment.
long saved_size(const Call *c) { return c->N * c->B * c->T * SLOTS * rounded(c->H, LANES); }
long kept_size(const Call *c) { return c->N * c->B * ((c->T + c->segment - 1) / c->segment) * STATES * rounded(c->H, LANES); }
long lanes(void) { return LANES; }
long call_size(void) { return sizeof(Call); }

// Packed weights of a replica lie in the order: input only, both, recurrent only, biases, vectors.
typedef struct {
  const real *input_only, *both, *recurrent_only, *bias, *vectors, *back_state, *back_x;
} Packed;

static Packed packed_of(const Call *c, const Plan *p, long n, int backward) {
  const long wide = p->Hv * LANES;
  Packed w;
  w.input_only = c->work + n * p->forward;
  w.both = w.input_only + INPUT_ONLY * wide * c->D;
  w.recurrent_only = w.both + BOTH * wide * (c->D + FED * c->H);
  w.bias = w.recurrent_only + RECURRENT_ONLY * wide * FED * c->H;
  w.vectors = w.bias + GATES * wide;
  w.back_state = c->work + c->N * p->forward + n * p->backward;
  w.back_x = w.back_state + FED * wide * RECURRENT_GATES * c->H;
  if (!backward) w.back_state = w.back_x = 0;
  return w;
}
static real *gradient_of(const Call *c, const Plan *p, long slot) {
  return c->work + c->N * (p->forward + p->backward) + slot * p->gradient;
}
static real *scratch_of(const Call *c, const Plan *p, long thread, int backward) {
  real *from = c->work + c->N * p->forward;
  if (backward) from = gradient_of(c, p, c->N + c->threads - 1);
  return from + thread * p->scratch;
}

typedef struct {
  long n, first, rows, end;  // replica, rows of the batch, and the step behind the last of all these rows
} Item;

static Item item_of(const Call *c, long index) {
  Item it = {index / c->blocks, 0, 0, c->T};
  const long block = index % c->blocks;
  it.first = c->B * block / c->blocks;
  it.rows = c->B * (block + 1) / c->blocks - it.first;
  if (c->lengths) {
    it.end = 0;
    for (long r = 0; r < it.rows; r++)
      if (c->lengths[it.first + r] > it.end) it.end = c->lengths[it.first + r];
  }
  return it;
}

static long lanes_left(long total, long v) { return least_long(LANES, total - v * LANES); }
static int ended(const Call *c, const Item *it, long t, long r) { return c->lengths && t >= c->lengths[it->first + r]; }

// (row, H) of a tensor (N, B, H) and of the output (N, T, B, H).
static long row_at(const Call *c, const Item *it, long r) { return (it->n * c->B + it->first + r) * c->H; }
static real *out_at(const Call *c, const Item *it, long t, long r) {
  return c->out + it->n * c->out_n + t * c->out_t + (it->first + r) * c->out_b;
}
static const real *before_at(const Call *c, const Item *it, long t, long r) {  // the first part of the state before step t
  return t ? out_at(c, it, t - 1, r) : c->s0[0] + row_at(c, it, r);
}

static void to_columns(const real *row, long count, real *columns, long step) {
  for (long v = 0; v * LANES < count; v++, row += LANES) *(V *)(columns + v * step) = load(row, count - v * LANES);
}

static void load_state(const Call *c, const Item *it, const Plan *p, real *state) {
  const long step = it->rows * LANES;
  for (long q = 0; q < STATES; q++)
    for (long r = 0; r < it->rows; r++) to_columns(c->s0[q] + row_at(c, it, r), c->H, state + q * p->Hv * step + r * LANES, step);
}

static long blocks_of(const real *columns, long total, long step, Block *blocks) {
  long count = 0;
  for (long v = 0; v * LANES < total; v++) blocks[count++] = (Block){columns + v * step, lanes_left(total, v)};
  return count;
}

// What one thread works with on one block of rows; columns, but for `left`.
typedef struct {
  real *a, *state, *again, *x, *chunk, *left, *saved;
  Block *blocks;
} Scratch;

static Scratch scratch_parts(const Call *c, const Plan *p, long thread, int backward, Block *blocks) {
  real *base = scratch_of(c, p, thread, backward);
  const long size = p->rows * LANES * p->Hv;
  return (Scratch){base, base + GATES * size, base + (GATES + STATES) * size, base + (GATES + 2 * STATES) * size,
                   base + p->chunk_at, base + p->left_at, base + p->saved_at, blocks};
}

static void pre_activations(const Call *c, const Plan *p, const Packed *w, const Item *it, long t, const Scratch *s) {
  const long step = it->rows * LANES, wide = p->Hv * LANES;
  const long input = c->D, state = FED * c->H;
  if (INPUT_GATES)
    for (long r = 0; r < it->rows; r++)
      to_columns(c->x + it->n * c->x_n + t * c->x_t + (it->first + r) * c->x_b, input, s->x + r * LANES, step);
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
}

static void input_blocks(const Call *c, const Plan *p, const Item *it, const Scratch *s) {
  const long step = it->rows * LANES;
  long count = blocks_of(s->x, c->D, step, s->blocks);
  for (long f = 0; f < FED; f++) count += blocks_of(s->state + FED_PART[f] * p->Hv * step, c->H, step, s->blocks + count);
}

static long recorded_at(const Call *c, const Item *it, long part, long t, long r) {
  return (((part * c->N + it->n) * c->T + t) * c->B + it->first + r) * c->H;
}

// All units of all rows through the equations of one step.
INLINE void step_rows(const Call *c, const Plan *p, const Packed *w, const Item *it, long t, const Scratch *s, real *saved,
                      const int save, const int emit) {
  const long step_v = it->rows * LANES, part = p->Hv * step_v;
  for (long v = 0; v < p->Hv; v++) {
    const long count = lanes_left(c->H, v);
    V vectors[VECTORS + 1];
#pragma GCC unroll 16
    for (int i = 0; i < VECTORS; i++) vectors[i] = *(const V *)(w->vectors + (i * p->Hv + v) * LANES);
    for (long r = 0; r < it->rows; r++) {
      const long at = v * step_v + r * LANES;
      if (ended(c, it, t, r)) {
        if (emit) store(out_at(c, it, t, r) + v * LANES, (V){0}, count);
        continue;
      }
      V a[GATES], before[STATES], after[STATES], kept[SAVED + 1];
#pragma GCC unroll 16
      for (int g = 0; g < GATES; g++) a[g] = *(const V *)(s->a + g * part + at);
#pragma GCC unroll 16
      for (int q = 0; q < STATES; q++) before[q] = *(const V *)(s->state + q * part + at);
      step(a, before, vectors, after, kept);
      if (save) {
#pragma GCC unroll 16
        for (int i = 0; i < SAVED; i++) *(V *)(saved + i * part + at) = kept[i];
#pragma GCC unroll 16
        for (int q = 0; q < STATES; q++)
          if (STORED_AT[q] >= 0) *(V *)(saved + (SAVED + STORED_AT[q]) * part + at) = before[q];
      }
      if (emit) {
        store(out_at(c, it, t, r) + v * LANES, after[0], count);
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

static void step_save_emit(const Call *c, const Plan *p, const Packed *w, const Item *it, long t, const Scratch *s, real *saved) {
  step_rows(c, p, w, it, t, s, saved, 1, 1);
}
static void step_save(const Call *c, const Plan *p, const Packed *w, const Item *it, long t, const Scratch *s, real *saved) {
  step_rows(c, p, w, it, t, s, saved, 1, 0);
}
static void step_emit(const Call *c, const Plan *p, const Packed *w, const Item *it, long t, const Scratch *s, real *saved) {
  step_rows(c, p, w, it, t, s, saved, 0, 1);
}

static real *kept_at(const Call *c, const Plan *p, const Item *it, long t) {
  const long segments = (c->T + c->segment - 1) / c->segment, size = STATES * p->Hv * LANES;
  return c->kept + (it->n * c->B + it->first) * segments * size + t / c->segment * it->rows * size;
}

static void forward_item(const Call *c, const Plan *p, const Packed *w, const Item *it, const Scratch *s) {
  const long slot = SLOTS * p->Hv * it->rows * LANES, state = STATES * p->Hv * it->rows * LANES;
  real *saved = c->saved ? c->saved + (it->n * c->B + it->first) * c->T * SLOTS * p->Hv * LANES : 0;
  load_state(c, it, p, s->state);
  input_blocks(c, p, it, s);
  for (long t = 0; t < it->end; t++) {
    if (c->kept && t % c->segment == 0) memcpy(kept_at(c, p, it, t), s->state, state * sizeof(real));
    pre_activations(c, p, w, it, t, s);
    if (saved) step_save_emit(c, p, w, it, t, s, saved + t * slot);
    else step_emit(c, p, w, it, t, s, 0);
  }
  for (long t = it->end; t < c->T; t++)
    for (long r = 0; r < it->rows; r++) memset(out_at(c, it, t, r), 0, c->H * sizeof(real));
  for (long q = 0; q < STATES; q++)
    for (long r = 0; r < it->rows; r++)
      for (long v = 0; v < p->Hv; v++)
        store(c->last[q] + row_at(c, it, r) + v * LANES, *(V *)(s->state + ((q * p->Hv + v) * it->rows + r) * LANES), lanes_left(c->H, v));
}
