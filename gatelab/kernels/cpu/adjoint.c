// The time loop backwards, and the gradients of the weights.

// The adjoint of one step for all units of all rows; `s->state` holds the cotangent of the state, after the step and then before.
static void adjoint_rows(const Call *c, const Plan *p, const Packed *w, const Item *it, long t, const Scratch *s,
                         const real *saved, real *da, real *sums) {
  const long step_v = it->rows * LANES, part = p->Hv * step_v;
  for (long v = 0; v < p->Hv; v++) {
    const long count = lanes_left(c->H, v);
    V vectors[VECTORS + 1], total[GATES + VECTORS];
#pragma GCC unroll 16
    for (int i = 0; i < VECTORS; i++) vectors[i] = *(const V *)(w->vectors + (i * p->Hv + v) * LANES);
#pragma GCC unroll 16
    for (int i = 0; i < GATES + VECTORS; i++) total[i] = *(const V *)(sums + (i * p->Hv + v) * LANES);
    for (long r = 0; r < it->rows; r++) {
      const long at = v * step_v + r * LANES;
      if (ended(c, it, t, r)) {
        for (int g = 0; g < GATES; g++) *(V *)(da + g * part + at) = (V){0};
        continue;
      }
      V kept[SAVED + 1], before[STATES], after[STATES], a[GATES], earlier[STATES], d_vectors[VECTORS + 1];
#pragma GCC unroll 16
      for (int i = 0; i < SAVED; i++) kept[i] = *(const V *)(saved + i * part + at);
#pragma GCC unroll 16
      for (int q = 0; q < STATES; q++) {
        after[q] = *(const V *)(s->state + q * part + at);
        before[q] = (V){0};
        if (STORED_AT[q] >= 0) before[q] = *(const V *)(saved + (SAVED + STORED_AT[q]) * part + at);
        else if (READ[q]) before[q] = load(before_at(c, it, t, r) + v * LANES, count);
      }
      if (c->d_out)
        after[0] += load(c->d_out + it->n * c->d_out_n + t * c->d_out_t + (it->first + r) * c->d_out_b + v * LANES, count);
      if (c->flow)
        for (int q = 0; q < STATES; q++) store(c->flow + recorded_at(c, it, q, t, r) + v * LANES, after[q], count);
      adjoint(kept, before, vectors, after, a, earlier, d_vectors);
      if (c->d_record_a)
        for (int g = 0; g < GATES; g++) a[g] += load(c->d_record_a + recorded_at(c, it, GATE[g], t, r) + v * LANES, count);
      if (c->d_record_s)
        for (int q = 0; q < STATES; q++) earlier[q] += load(c->d_record_s + recorded_at(c, it, q, t, r) + v * LANES, count);
#pragma GCC unroll 16
      for (int g = 0; g < GATES; g++) {
        *(V *)(da + g * part + at) = a[g];
        total[g] += a[g];
      }
#pragma GCC unroll 16
      for (int i = 0; i < VECTORS; i++) total[GATES + i] += d_vectors[i];
#pragma GCC unroll 16
      for (int q = 0; q < STATES; q++) *(V *)(s->state + q * part + at) = earlier[q];
    }
#pragma GCC unroll 16
    for (int i = 0; i < GATES + VECTORS; i++) *(V *)(sums + (i * p->Hv + v) * LANES) = total[i];
  }
}

// `count` values of a row, in tiles: to[k / TILE_ROWS][i][TILE_ROWS] with `rows` values of i.
static void to_tiles(const real *row, long count, real *to, long i, long rows) {
  for (long k = 0; k < count; k += TILE_ROWS) {
    real *tile = to + k * rows + i * TILE_ROWS;
    const long most = least_long(TILE_ROWS, count - k);
    for (long j = 0; j < most; j++) tile[j] = row[k + j];
    for (long j = most; j < TILE_ROWS; j++) tile[j] = 0;
  }
}

// Gradients of W and R from `steps` steps at once, while their cotangents are in the cache.
static void weight_gradients(const Call *c, const Plan *p, const Item *it, long t, long steps, const Scratch *s,
                             const real *saved, real *gradient) {
  const long step_v = it->rows * LANES, all_rows = steps * it->rows, size = GATES * p->Hv * step_v;
  if (INPUT_GATES && c->dW) {
    for (long i = 0; i < all_rows; i++) {
      const long at = t + i / it->rows, r = it->first + i % it->rows;
      to_tiles(c->x + it->n * c->x_n + at * c->x_t + r * c->x_b, c->D, s->left, i, all_rows);
    }
    outer_product(s->left, p->depth_x, s->chunk, INPUT_GATES * p->Hv, steps, size, it->rows, gradient);
  }
  if (!RECURRENT_GATES || !c->dR) return;
  for (long f = 0; f < FED; f++) {
    const long stored = STORED_AT[FED_PART[f]];
    for (long i = 0; i < all_rows; i++) {
      const long r = i % it->rows, j = i / it->rows;
      if (stored < 0) {
        to_tiles(before_at(c, it, t + j, r), c->H, s->left, i, all_rows);
        continue;
      }
      const real *column = saved + (j * SLOTS + SAVED + stored) * p->Hv * step_v + r * LANES;
      for (long k = 0; k < p->depth_s; k++)
        s->left[k / TILE_ROWS * TILE_ROWS * all_rows + i * TILE_ROWS + k % TILE_ROWS] =
            k < c->H && !ended(c, it, t + j, r) ? column[k / LANES * step_v + k % LANES] : 0;
    }
    outer_product(s->left, p->depth_s, s->chunk + INPUT_ONLY * p->Hv * step_v, RECURRENT_GATES * p->Hv, steps, size, it->rows,
                  gradient + p->gradient_s + f * p->depth_s * RECURRENT_GATES * p->Hv * LANES);
  }
}

// Steps `first` to `end` of a block of rows, backwards. `first` is a multiple of the chunk.
static void backward_steps(const Call *c, const Plan *p, const Packed *w, const Item *it, long first, long end, const Scratch *s,
                           const real *saved, real *gradient) {
  const long step_v = it->rows * LANES, slot = SLOTS * p->Hv * step_v, size = GATES * p->Hv * step_v;
  for (long t = end - 1; t >= first; t--) {
    real *da = s->chunk + t % c->chunk * size;
    adjoint_rows(c, p, w, it, t, s, saved + (t - first) * slot, da, gradient + p->gradient_b);
    long count = 0;
    for (long g = 0; g < GATES; g++) count += blocks_of(da + g * p->Hv * step_v, c->H, step_v, s->blocks + count);
    if (RECURRENT_GATES)
      for (long f = 0; f < FED; f++)
        product(s->blocks + INPUT_ONLY * p->Hv, RECURRENT_GATES * p->Hv, RECURRENT_GATES * c->H,
                w->back_state + f * p->Hv * LANES * RECURRENT_GATES * c->H, p->Hv, 0, 1, s->state + FED_PART[f] * p->Hv * step_v, it->rows);
    if (INPUT_GATES && c->dx) {
      product(s->blocks, INPUT_GATES * p->Hv, INPUT_GATES * c->H, w->back_x, p->Dv, 0, 0, s->x, it->rows);
      for (long r = 0; r < it->rows; r++)
        for (long v = 0; v < p->Dv; v++)
          store(c->dx + it->n * c->dx_n + t * c->dx_t + (it->first + r) * c->dx_b + v * LANES,
                *(V *)(s->x + v * step_v + r * LANES), lanes_left(c->D, v));
    }
    if (t % c->chunk == 0)
      weight_gradients(c, p, it, t, least_long(c->chunk, end - t), s, saved + (t - first) * slot, gradient);
  }
}

static void backward_item(const Call *c, const Plan *p, const Packed *w, const Item *it, const Scratch *s, real *gradient) {
  const long step_v = it->rows * LANES, part = p->Hv * step_v, slot = SLOTS * part;
  real *cotangent = s->state;
  for (long q = 0; q < STATES; q++)
    for (long r = 0; r < it->rows; r++)
      for (long v = 0; v < p->Hv; v++)
        *(V *)(cotangent + q * part + v * step_v + r * LANES) =
            c->d_last[q] ? load(c->d_last[q] + row_at(c, it, r) + v * LANES, lanes_left(c->H, v)) : (V){0};
  if (INPUT_GATES && c->dx)
    for (long t = it->end; t < c->T; t++)
      for (long r = 0; r < it->rows; r++)
        memset(c->dx + it->n * c->dx_n + t * c->dx_t + (it->first + r) * c->dx_b, 0, c->D * sizeof(real));
  if (c->segment >= c->T) {
    backward_steps(c, p, w, it, 0, it->end, s, c->saved + (it->n * c->B + it->first) * c->T * SLOTS * p->Hv * LANES, gradient);
  } else {
    for (long first = (it->end - 1) / c->segment * c->segment; first >= 0; first -= c->segment) {
      const long end = least_long(first + c->segment, it->end);
      Scratch again = *s;  // the state of the repeated steps; its cotangent waits in place
      again.state = s->again;
      memcpy(again.state, kept_at(c, p, it, first), STATES * part * sizeof(real));
      input_blocks(c, p, it, &again);
      for (long t = first; t < end; t++) {
        pre_activations(c, p, w, it, t, &again);
        step_save(c, p, w, it, t, &again, s->saved + (t - first) * slot);
      }
      backward_steps(c, p, w, it, first, end, s, s->saved, gradient);
    }
  }
  for (long q = 0; q < STATES; q++)
    if (c->ds0[q])
      for (long r = 0; r < it->rows; r++)
        for (long v = 0; v < p->Hv; v++)
          store(c->ds0[q] + row_at(c, it, r) + v * LANES, *(V *)(cotangent + q * part + v * step_v + r * LANES), lanes_left(c->H, v));
}
