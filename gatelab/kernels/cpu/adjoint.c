// The time loop backwards, and the gradients of the weights.

#ifndef GENERATED  // opened alone, in an editor
#include "loop.c"
#endif

// The adjoint of one step for all units of all rows: of its last stage of late pre-activations first, of the rest (stage 0) last.
// `s->state` holds the cotangent of the state, after the step until stage 0 and then before.
INLINE void adjoint_of_stage(const Pass *pass, long t, const real *saved, real *da, real *sums, const int stage) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Packed *w = &pass->weights;
  const Item *it = &pass->item; const Scratch *s = &pass->scratch;
  const long step_v = it->rows * LANES, part = p->Hv * step_v;
  const real *reduced = saved + results_at(pass);
  const real *first[it->rows];  // the first part of the state, where a step reads it and does not store it
  for (long r = 0; r < it->rows; r++) first[r] = before_at(c, it, t, r);
  for (long v = 0; v < p->Hv; v++) {
    const long count = lanes_left(c->H, v);
    V vectors[VECTORS + 1], total[GATES + VECTORS];
#pragma GCC unroll 16
    for (int i = 0; i < VECTORS; i++) vectors[i] = *(const V *)(w->vectors + (i * p->Hv + v) * LANES);
#pragma GCC unroll 16
    for (int i = 0; i < GATES + VECTORS; i++)
      if (STAGES == 0 || stage == (i < GATES ? GATE_STAGE[i] : 0)) total[i] = *(const V *)(sums + (i * p->Hv + v) * LANES);
    for (long r = 0; r < it->rows; r++) {
      const long at = v * step_v + r * LANES;
      if (ended(c, it, t, r)) {
        for (int g = 0; g < GATES; g++)
          if (GATE_STAGE[g] == stage) *(V *)(da + g * part + at) = (V){0};
        continue;
      }
      V kept[SAVED + REDUCTIONS + 1], before[STATES], after[STATES], a[GATES + REDUCTIONS], earlier[STATES], d_vectors[VECTORS + 1];
      V values[VALUES + 1], d_values[VALUES + REDUCTIONS + 1];
#pragma GCC unroll 16
      for (int i = 0; i < SAVED; i++) kept[i] = *(const V *)(saved + i * part + at);
#pragma GCC unroll 16
      for (int i = 0; i < VALUES; i++)
        if (VALUE_STAGE[i] > stage) d_values[i] = *(const V *)(s->d_values + i * part + at);
#pragma GCC unroll 16
      for (int i = 0; i < REDUCTIONS; i++) {
        kept[SAVED + i] = *(const V *)(reduced + reduced_at(pass, i, v, r));
        if (REDUCED_STAGE[i] > stage) d_values[VALUES + i] = *(const V *)(s->d_reduced + reduced_at(pass, i, v, r));
      }
#pragma GCC unroll 16
      for (int q = 0; q < STATES; q++) {
        after[q] = *(const V *)(s->state + q * part + at);
        before[q] = (V){0};
        if (STORED_AT[q] >= 0) before[q] = *(const V *)(saved + (SAVED + STORED_AT[q]) * part + at);
        else if (READ[q]) before[q] = load(first[r] + v * LANES, count);
      }
      if (stage == STAGES && c->d_out) {
        const real *d_out = c->d_out + it->n * c->d_out_n + t * c->d_out_t + (it->first + r) * c->d_out_b + v * LANES;
        __builtin_prefetch(t ? d_out - c->d_out_t : d_out);  // time runs backwards: the processor does not expect it
#pragma GCC unroll 16
        for (int o = 0; o < OUTPUTS; o++) {
          after[OUTPUT_PART[o]] += load(d_out + o * c->H, count);
          if (stage > 0) *(V *)(s->state + OUTPUT_PART[o] * part + at) = after[OUTPUT_PART[o]];  // later stages read it
        }
      }
      if (stage == STAGES && c->flow)
        for (int q = 0; q < STATES; q++) store(c->flow + recorded_at(c, it, q, t, r) + v * LANES, after[q], count);
      if (stage > 0) late_adjoint(stage, kept, before, vectors, after, d_values, a);
      else adjoint(kept, before, vectors, after, d_values, a, earlier, d_vectors, values);
      if (c->d_record_a)
        for (int g = 0; g < GATES; g++)
          if (GATE_STAGE[g] == stage) a[g] += load(c->d_record_a + recorded_at(c, it, GATE[g], t, r) + v * LANES, count);
#pragma GCC unroll 16
      for (int g = 0; g < GATES; g++) {
        if (GATE_STAGE[g] != stage) continue;
        *(V *)(da + g * part + at) = a[g];
        total[g] += a[g];
      }
#pragma GCC unroll 16
      for (int i = 0; i < REDUCTIONS; i++)
        if (REDUCED_STAGE[i] == stage && REDUCED_BY[i] != LARGEST)
          take_part(s->d_reduced + reduced_at(pass, i, v, r), i, a[GATES + i], v, count);
      if (stage > 0) continue;
      if (c->d_record_s)
        for (int q = 0; q < STATES; q++) earlier[q] += load(c->d_record_s + recorded_at(c, it, q, t, r) + v * LANES, count);
#pragma GCC unroll 16
      for (int i = 0; i < VECTORS; i++) total[GATES + i] += d_vectors[i];
#pragma GCC unroll 16
      for (int i = 0; i < VALUES; i++) *(V *)(da + (CHUNK_VALUES + i) * part + at) = values[i];
#pragma GCC unroll 16
      for (int q = 0; q < STATES; q++) *(V *)(s->state + q * part + at) = earlier[q];
    }
#pragma GCC unroll 16
    for (int i = 0; i < GATES + VECTORS; i++)
      if (STAGES == 0 || stage == (i < GATES ? GATE_STAGE[i] : 0)) *(V *)(sums + (i * p->Hv + v) * LANES) = total[i];
  }
  reduce_backwards(pass, stage);
}

static void adjoint_rows(const Pass *pass, long t, const real *saved, real *da, real *sums) {
  adjoint_of_stage(pass, t, saved, da, sums, 0);
}
static void late_adjoint_rows(const Pass *pass, long t, const real *saved, real *da, real *sums, long stage) {
  switch (stage) { AT_STAGE(adjoint_of_stage, pass, t, saved, da, sums) }
}

// `count` values of a row, in tiles: to[k / TILE_ROWS][i][TILE_ROWS] with `rows` values of i.
static void to_tiles(const real *row, long count, real *to, long i, long rows) {
  long k = 0;
  for (; k + TILE_ROWS <= count; k += TILE_ROWS) memcpy(to + k * rows + i * TILE_ROWS, row + k, TILE_ROWS * sizeof(real));
  if (k == count) return;
  real *last = to + k * rows + i * TILE_ROWS;
  for (long j = 0; j < TILE_ROWS; j++) last[j] = k + j < count ? row[k + j] : 0;
}

// The same for the first part of the state before each of the steps from t on, and for columns of each step, `slot` apart.
static void outputs_to_tiles(const Call *c, const Item *it, long t, long all_rows, real *to) {
  for (long i = 0; i < all_rows; i++) to_tiles(before_at(c, it, t + i / it->rows, i % it->rows), c->H, to, i, all_rows);
}
static void columns_to_tiles(const Pass *pass, long t, long all_rows, const real *saved, long slot, real *to) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Item *it = &pass->item;
  const long step_v = it->rows * LANES;
  for (long i = 0; i < all_rows; i++) {
    const long j = i / it->rows, r = i % it->rows;
    const real *column = saved + j * slot + r * LANES;
    const int inside = !ended(c, it, t + j, r);
    for (long k = 0; k < p->depth_s; k += TILE_ROWS) {
      real *tile = to + k * all_rows + i * TILE_ROWS;
      if (LANES % TILE_ROWS == 0 && inside && k + TILE_ROWS <= c->H)
        memcpy(tile, column + k / LANES * step_v + k % LANES, TILE_ROWS * sizeof(real));
      else
        for (long m = k; m < k + TILE_ROWS; m++) tile[m - k] = m < c->H && inside ? column[m / LANES * step_v + m % LANES] : 0;
    }
  }
}

// Gradients of W, R and the weights of the read from `steps` steps at once, while their cotangents are in the cache.
static void weight_gradients(const Pass *pass, long t, long steps, const real *saved, real *gradient) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Item *it = &pass->item;
  const Scratch *s = &pass->scratch;
  const long step_v = it->rows * LANES, wide = p->Hv * LANES, all_rows = steps * it->rows, size = CHUNK_COLUMNS * p->Hv * step_v;
  const long slot = p->slot * it->rows;
  const real *query = s->chunk + GATES * p->Hv * step_v;  // its cotangents, behind them those of the key
  real *of_read = gradient + p->gradient_read;            // of Q, P, K and v
  if ((INPUT_GATES && c->dW) || (MEMORY && c->dQ)) {
    for (long i = 0; i < all_rows; i++) {
      const long at = t + i / it->rows, r = it->first + i % it->rows;
      to_tiles(c->x + it->n * c->x_n + at * c->x_t + r * c->x_b, c->D, s->left, i, all_rows);
    }
    if (INPUT_GATES && c->dW) outer_product(s->left, p->depth_x, s->chunk, INPUT_GATES * p->Hv, steps, size, it->rows, gradient);
    if (MEMORY && c->dQ) outer_product(s->left, p->depth_x, query, p->Hv, steps, size, it->rows, of_read);
  }
  for (long f = 0; f < FED && RECURRENT_GATES > 0 && c->dR; f++) {
    const long stored = STORED_AT[FED_PART[f]];
    if (stored < 0) outputs_to_tiles(c, it, t, all_rows, s->left);
    else columns_to_tiles(pass, t, all_rows, saved + (SAVED + stored) * p->Hv * step_v, slot, s->left);
    outer_product(s->left, p->depth_s, s->chunk + INPUT_ONLY * p->Hv * step_v, RECURRENT_GATES * p->Hv, steps, size, it->rows,
                  gradient + p->gradient_s + f * p->depth_s * RECURRENT_GATES * p->Hv * LANES);
  }
  if (MEMORY && c->dP) {
    columns_to_tiles(pass, t, all_rows, saved + (SAVED + STORED + 1) * p->Hv * step_v, slot, s->left);
    outer_product(s->left, p->depth_s, query, p->Hv, steps, size, it->rows, of_read + p->depth_x * wide);
  }
  if (MEMORY && c->dK) {
    outputs_to_tiles(c, it, t, all_rows, s->left);
    outer_product(s->left, p->depth_s, query + p->Hv * step_v, p->Hv, steps, size, it->rows,
                  of_read + (p->depth_x + p->depth_s) * wide);
  }
  for (long g = 0; g < LATE; g++) {
    int wanted = 0;
    for (long i = 0; i < LATE_GATES[g]; i++) wanted |= c->dlate[MATRIX[LATE_FIRST[g] + i]] != 0;
    for (long i = 0; wanted && i < LATE_READS_OF[g]; i++) {
      const int read = LATE_READ[LATE_READ_AT[g] + i], stored = read < STATES ? STORED_AT[read] : -1;
      if (read >= STATES)
        columns_to_tiles(pass, t, all_rows, s->chunk + (CHUNK_VALUES + read - STATES) * p->Hv * step_v, size, s->left);
      else if (stored < 0) outputs_to_tiles(c, it, t, all_rows, s->left);
      else columns_to_tiles(pass, t, all_rows, saved + (SAVED + stored) * p->Hv * step_v, slot, s->left);
      outer_product(s->left, p->depth_s, s->chunk + LATE_FIRST[g] * p->Hv * step_v, LATE_GATES[g] * p->Hv, steps, size, it->rows,
                    gradient + p->gradient_late + (LATE_SQUARE[g] + i * LATE_GATES[g]) * p->depth_s * wide);
    }
  }
}

// The cotangent of a state that started again before step t is that of `restart`; nothing reaches the step before.
static void restart_backwards(const Pass *pass, long t) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Item *it = &pass->item;
  const Scratch *s = &pass->scratch;
  const long step_v = it->rows * LANES, part = p->Hv * step_v;
  for (long r = 0; r < it->rows; r++) {
    if (!restarts(c, it, t, r)) continue;
    for (long q = 0; q < STATES; q++) {
      real *columns = s->state + q * part + r * LANES;
      if (c->drestart[q]) add_columns(p, columns, step_v, c->H, c->drestart[q] + row_at(c, it, r));
      for (long v = 0; v < p->Hv; v++) *(V *)(columns + v * step_v) = (V){0};
    }
  }
}

// Steps `first` to `end` of a block of rows, backwards. `first` is a multiple of the chunk.
static void backward_steps(const Pass *pass, long first, long end, const real *saved, real *gradient) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Packed *w = &pass->weights;
  const Item *it = &pass->item; const Scratch *s = &pass->scratch;
  const long step_v = it->rows * LANES, slot = p->slot * it->rows, size = CHUNK_COLUMNS * p->Hv * step_v;
  for (long t = end - 1; t >= first; t--) {
    real *da = s->chunk + t % c->chunk * size;
    long count = 0;
    for (long g = 0; g < GATES; g++) count += blocks_of(da + g * p->Hv * step_v, c->H, step_v, s->blocks + count);
    for (long stage = STAGES; stage > 0; stage--) {
      late_adjoint_rows(pass, t, saved + (t - first) * slot, da, gradient + p->gradient_b, stage);
      late_backwards(pass, stage, 0);
    }
    adjoint_rows(pass, t, saved + (t - first) * slot, da, gradient + p->gradient_b);
    if (LATE) late_backwards(pass, 0, 1);
    if (RECURRENT_GATES)
      for (long f = 0; f < FED; f++)
        product(s->blocks + INPUT_ONLY * p->Hv, RECURRENT_GATES * p->Hv, RECURRENT_GATES * c->H,
                w->back_state + f * p->Hv * LANES * RECURRENT_GATES * c->H, p->Hv, 0, 1, s->state + FED_PART[f] * p->Hv * step_v, it->rows);
    if (MEMORY) {
      read_backwards(pass, t, saved + (t - first) * slot, da + GATES * p->Hv * step_v, gradient);
      count += blocks_of(da + GATES * p->Hv * step_v, c->H, step_v, s->blocks + count);
    }
    if ((INPUT_GATES || MEMORY) && c->dx) {
      if (INPUT_GATES) product(s->blocks, INPUT_GATES * p->Hv, INPUT_GATES * c->H, w->back_x, p->Dv, 0, 0, s->x, it->rows);
      if (MEMORY) product(s->blocks + GATES * p->Hv, p->Hv, c->H, w->back_query, p->Dv, 0, INPUT_GATES > 0, s->x, it->rows);
      for (long r = 0; r < it->rows; r++)
        for (long v = 0; v < p->Dv; v++)
          store(c->dx + it->n * c->dx_n + t * c->dx_t + (it->first + r) * c->dx_b + v * LANES,
                *(V *)(s->x + v * step_v + r * LANES), lanes_left(c->D, v));
    }
    if (c->resets) restart_backwards(pass, t);
    if (t % c->chunk == 0)
      weight_gradients(pass, t, least_long(c->chunk, end - t), saved + (t - first) * slot, gradient);
  }
}

static void backward_item(const Pass *pass, real *gradient) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Item *it = &pass->item;
  const Scratch *s = &pass->scratch;
  const long step_v = it->rows * LANES, part = p->Hv * step_v, slot = p->slot * it->rows;
  real *cotangent = s->state;
  for (long q = 0; q < STATES; q++)
    for (long r = 0; r < it->rows; r++)
      for (long v = 0; v < p->Hv; v++)
        *(V *)(cotangent + q * part + v * step_v + r * LANES) =
            c->d_last[q] ? load(c->d_last[q] + row_at(c, it, r) + v * LANES, lanes_left(c->H, v)) : (V){0};
  for (long q = 0; q < STATES; q++)
    for (long r = 0; r < it->rows && c->drestart[q]; r++) memset(c->drestart[q] + row_at(c, it, r), 0, c->H * sizeof(real));
  if (MEMORY) memset(s->tape, 0, it->rows * c->window * p->entry * sizeof(real));
  if ((INPUT_GATES || MEMORY) && c->dx)
    for (long t = it->end; t < c->T; t++)
      for (long r = 0; r < it->rows; r++)
        memset(c->dx + it->n * c->dx_n + t * c->dx_t + (it->first + r) * c->dx_b, 0, c->D * sizeof(real));
  if (c->segment >= c->T) {
    backward_steps(pass, 0, it->end, c->saved + (it->n * c->B + it->first) * c->T * p->slot, gradient);
  } else {
    for (long first = (it->end - 1) / c->segment * c->segment; first >= 0; first -= c->segment) {
      const long end = least_long(first + c->segment, it->end);
      Pass repeated = *pass;  // its state is that of the repeated steps; the cotangent waits in place
      repeated.scratch.state = s->again;
      memcpy(carried_of(&repeated.scratch), kept_at(pass, first), CARRIED * part * sizeof(real));
      input_blocks(&repeated);
      for (long t = first; t < end; t++) {
        if (c->resets) restart_rows(&repeated, t);
        before_step(&repeated, t, s->saved + (t - first) * slot);
        step_save(&repeated, t, s->saved + (t - first) * slot);
      }
      backward_steps(pass, first, end, s->saved, gradient);
    }
  }
  if (MEMORY) summary_backwards(pass, 0);  // what is read first is h_0
  for (long q = 0; q < STATES; q++)
    if (c->ds0[q])
      for (long r = 0; r < it->rows; r++)
        for (long v = 0; v < p->Hv; v++)
          store(c->ds0[q] + row_at(c, it, r) + v * LANES, *(V *)(cotangent + q * part + v * step_v + r * LANES), lanes_left(c->H, v));
}
