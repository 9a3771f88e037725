// The read of earlier states, which takes the place of the state before a step.
//   k_j = K h_j    q = Q x + P h~    e_j = v . tanh(k_j + q)  or  k_j . q / sqrt(H)    w = softmax(e)    s~ = sum_j w_j s_j
// An entry of the tape is a key and a state, H each, one behind the other; entry j is the state before step j, and step t reads
// the last `window` entries up to t. Of every read two numbers are kept, the largest score and 1 / sum exp(e - largest), from
// which its weights follow again. A row of the batch is read alone: its entries lie behind each other.

#ifndef GENERATED  // opened alone, in an editor
#include "layout.c"
#endif

typedef real Quarter __attribute__((vector_size(16)));  // the least register of all machines

INLINE real sum_of(V x) {
  Quarter part[BYTES / 16], sum;
  memcpy(part, &x, BYTES);
  sum = part[0];
#pragma GCC unroll 4
  for (int i = 1; i < BYTES / 16; i++) sum += part[i];
#ifdef DOUBLE
  return sum[0] + sum[1];
#else
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
#endif
}

// Entries of one row that one step reads: the first, how many, and after how many the memory begins again.
typedef struct {
  long first, count, length;
} Span;

static Span span_of(const Call *c, const Item *it, long t, long r, long length) {
  const long most = least_long(t + 1, c->window);
  long count = c->resets ? 1 : most;  // entries from before a restart are not read
  while (count < most && !restarts(c, it, t + 1 - count, r)) count++;
  return (Span){t + 1 - count, count, length};
}
// The whole tape if there will be a backward pass, else as much as is read.
static long tape_length(const Call *c) { return c->tape ? c->T : c->window; }
static real *tape_of(const Pass *pass, long r) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Item *it = &pass->item;
  const Scratch *s = &pass->scratch;
  return c->tape ? c->tape + (it->n * c->B + it->first + r) * c->T * p->entry : s->tape + r * c->window * p->entry;
}

// Values of a row between columns and a row of whole vectors; lanes behind H become 0, whatever is in them.
static void row_from_columns(const Call *c, const Layout *p, const real *columns, long step_v, real *row) {
  for (long v = 0; v < p->Hv; v++) *(V *)(row + v * LANES) = load(columns + v * step_v, lanes_left(c->H, v));
}
static void row_to_columns(const Layout *p, const real *row, real *columns, long step_v) {
  for (long v = 0; v < p->Hv; v++) *(V *)(columns + v * step_v) = *(const V *)(row + v * LANES);
}

// The states before step t become entries.
static void push_state(const Pass *pass, long t) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Packed *w = &pass->weights;
  const Item *it = &pass->item; const Scratch *s = &pass->scratch;
  const long step_v = it->rows * LANES, part = p->Hv * step_v;
  const long count = blocks_of(s->state, c->H, step_v, s->read_blocks);
  product(s->read_blocks, count, c->H, w->key, p->Hv, 0, 0, s->key, it->rows);
  for (long r = 0; r < it->rows; r++) {
    if (ended(c, it, t, r)) continue;
    real *entry = tape_of(pass, r) + t % tape_length(c) * p->entry;
    row_from_columns(c, p, s->key + r * LANES, step_v, entry);
    for (long q = 0; q < STATES; q++) row_from_columns(c, p, s->state + q * part + r * LANES, step_v, entry + (q + 1) * p->Hv * LANES);
  }
}

// Score of one entry; with `u` also tanh(k + q), which the backward pass goes on with.
INLINE real score_of(const Layout *p, const real *key, const real *query, const real *vector, real scale, real *u) {
  V sum = {0};
  for (long v = 0; v < p->Hv; v++) {
    const V k = *(const V *)(key + v * LANES), q = *(const V *)(query + v * LANES);
    if (ADDITIVE) {
      const V t = tanh_of(k + q);
      if (u) *(V *)(u + v * LANES) = t;
      sum += *(const V *)(vector + v * LANES) * t;
    } else {
      sum += k * q;
    }
  }
  return ADDITIVE ? sum_of(sum) : sum_of(sum) * scale;
}

// to[i] = sum_j weights[j] * state_j[i] for `width` vectors of the state of an entry.
INLINE void weighted_sum(const int width, const real *states, long entry, Span span, const real *weights, real *to) {
  V sum[4];
#pragma GCC unroll 4
  for (int i = 0; i < width; i++) sum[i] = (V){0};
  long at = span.first % span.length;
  for (long j = 0; j < span.count; j++, at = at + 1 == span.length ? 0 : at + 1) {
    const V weight = all(weights[j]);
#pragma GCC unroll 4
    for (int i = 0; i < width; i++) sum[i] += weight * *(const V *)(states + at * entry + i * LANES);
  }
#pragma GCC unroll 4
  for (int i = 0; i < width; i++) *(V *)(to + i * LANES) = sum[i];
}

// One read of one row; leaves the largest score and 1 / sum exp in `norm`.
static void read_row(const Pass *pass, const real *tape, Span span, const real *query, real *weights, real *read, real *norm) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const real *vector = pass->weights.score;
  const long wide = p->Hv * LANES;
  const real scale = (real)(1 / sqrt((double)c->H));
  real most = -INFINITY;
  long at = span.first % span.length;
  for (long j = 0; j < span.count; j++, at = at + 1 == span.length ? 0 : at + 1) {
    weights[j] = score_of(p, tape + at * p->entry, query, vector, scale, 0);
    if (weights[j] > most) most = weights[j];
  }
  for (long j = span.count; j < rounded(span.count, LANES); j++) weights[j] = -INFINITY;
  V total = {0};
  for (long j = 0; j < span.count; j += LANES) total += *(V *)(weights + j) = exp_of(*(V *)(weights + j) - most);
  const real inverse = 1 / sum_of(total);
  for (long j = 0; j < span.count; j += LANES) *(V *)(weights + j) *= inverse;
  norm[0] = most;
  norm[1] = inverse;
  const real *states = tape + wide;
  long i = 0;
  for (; i + 4 <= STATES * p->Hv; i += 4) weighted_sum(4, states + i * LANES, p->entry, span, weights, read + i * LANES);
  for (; i < STATES * p->Hv; i++) weighted_sum(1, states + i * LANES, p->entry, span, weights, read + i * LANES);
}

// All rows read; the state that step t begins with is what they read.
static void read_states(const Pass *pass, long t, real *saved) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Packed *w = &pass->weights;
  const Item *it = &pass->item; const Scratch *s = &pass->scratch;
  const long step_v = it->rows * LANES, part = p->Hv * step_v, wide = p->Hv * LANES;
  long count = blocks_of(s->x, c->D, step_v, s->read_blocks);
  count += blocks_of(s->summary, c->H, step_v, s->read_blocks + count);
  product(s->read_blocks, count, c->D + c->H, w->query, p->Hv, 0, 0, s->query, it->rows);
  if (saved) {
    memcpy(saved + (SAVED + STORED) * part, s->query, part * sizeof(real));
    memcpy(saved + (SAVED + STORED + 1) * part, s->summary, part * sizeof(real));
  }
  real *query = s->row, *read = query + wide, *weights = read + (STATES + 1 + LANES) * wide;
  for (long r = 0; r < it->rows; r++) {
    if (ended(c, it, t, r)) continue;
    real own[2];
    row_from_columns(c, p, s->query + r * LANES, step_v, query);
    read_row(pass, tape_of(pass, r), span_of(c, it, t, r, tape_length(c)), query, weights, read,
             saved ? saved + SLOTS * part + r * LANES : own);
    row_to_columns(p, read, s->summary + r * LANES, step_v);
    for (long q = 0; q < STATES; q++) row_to_columns(p, read + q * wide, s->state + q * part + r * LANES, step_v);
  }
}

// The adjoint of one read of one row. Adds to the cotangents of its entries (`d_tape`, of the last `window`), of the query and of v:
//   de_j = w_j (ds~ . s_j - ds~ . s~)    ds_j += w_j ds~    additive: dq = sum_j dk_j, dk_j += de_j v (1 - u_j^2), dv += de_j u_j
static void read_row_backwards(const Pass *pass, const real *tape, real *d_tape, Span span, const real *query, const real *norm,
                               const real *d_read, real total, real *u, real *d_query, real *d_vector) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const real *vector = pass->weights.score;
  const long wide = p->Hv * LANES;
  const real scale = (real)(1 / sqrt((double)c->H));
  for (long from = 0; from < span.count; from += LANES) {
    const long count = least_long(LANES, span.count - from);
    V scores = all(-INFINITY), along = {0};
    const real *keys[LANES];
    real *to[LANES];
    for (long l = 0; l < count; l++) {
      keys[l] = tape + (span.first + from + l) % span.length * p->entry;
      to[l] = d_tape + (span.first + from + l) % c->window * p->entry;
      scores[l] = score_of(p, keys[l], query, vector, scale, u + l * wide);
      V sum = {0};
      for (long i = 0; i < STATES * p->Hv; i++) sum += *(const V *)(d_read + i * LANES) * *(const V *)(keys[l] + wide + i * LANES);
      along[l] = sum_of(sum);
    }
    const V weights = exp_of(scores - norm[0]) * norm[1];
    const V d_scores = weights * (along - total);
    for (long i = 0; i < STATES * p->Hv; i++) {
      const V d = *(const V *)(d_read + i * LANES);
      for (long l = 0; l < count; l++) *(V *)(to[l] + wide + i * LANES) += weights[l] * d;
    }
    for (long v = 0; v < p->Hv; v++) {
      const V q = *(const V *)(query + v * LANES), factor = ADDITIVE ? *(const V *)(vector + v * LANES) : all(scale);
      V dq = *(V *)(d_query + v * LANES), dv = {0};
      for (long l = 0; l < count; l++) {
        V *dk = (V *)(to[l] + v * LANES);
        const V d = d_scores[l] * factor;
        if (ADDITIVE) {
          const V tanh_l = *(const V *)(u + l * wide + v * LANES), both = d * (1 - tanh_l * tanh_l);
          *dk += both;
          dq += both;
          dv += d_scores[l] * tanh_l;
        } else {
          *dk += d * q;
          dq += d * *(const V *)(keys[l] + v * LANES);
        }
      }
      *(V *)(d_query + v * LANES) = dq;
      if (ADDITIVE) *(V *)(d_vector + v * LANES) += dv;
    }
  }
}

// The cotangent of h~, which was read at step t - 1 (h_0 for t = 0), gets what the query of step t owes it.
static void summary_backwards(const Pass *pass, long t) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Packed *w = &pass->weights;
  const Item *it = &pass->item; const Scratch *s = &pass->scratch;
  const long step_v = it->rows * LANES;
  const real *d_query = s->chunk + (t % c->chunk * CHUNK_COLUMNS + GATES) * p->Hv * step_v;
  const long count = blocks_of(d_query, c->H, step_v, s->read_blocks);
  product(s->read_blocks, count, c->H, w->back_summary, p->Hv, 0, 1, s->state, it->rows);
}

// From the cotangent of what was read for step t to that of the state before it; puts those of query and key in columns.
static void read_backwards(const Pass *pass, long t, const real *saved, real *columns, real *gradient) {
  const Call *c = pass->call; const Layout *p = &pass->layout; const Packed *w = &pass->weights;
  const Item *it = &pass->item; const Scratch *s = &pass->scratch;
  const long step_v = it->rows * LANES, part = p->Hv * step_v, wide = p->Hv * LANES;
  if (t + 1 < it->end) summary_backwards(pass, t + 1);
  real *query = s->row, *d_read = query + wide, *d_query = d_read + STATES * wide, *u = d_query + wide;
  real *d_vector = gradient + p->gradient_read + (p->depth_x + 2 * p->depth_s) * wide;
  for (long r = 0; r < it->rows; r++) {
    real *to = columns + r * LANES;
    memset(d_query, 0, wide * sizeof(real));
    if (ended(c, it, t, r)) {
      row_to_columns(p, d_query, to, step_v);
      row_to_columns(p, d_query, to + part, step_v);
      continue;
    }
    row_from_columns(c, p, saved + (SAVED + STORED) * part + r * LANES, step_v, query);
    V total = {0};
    for (long q = 0; q < STATES; q++) {
      row_from_columns(c, p, s->state + q * part + r * LANES, step_v, d_read + q * wide);
      for (long v = 0; v < p->Hv; v++)
        total += *(const V *)(d_read + q * wide + v * LANES) *
                 load(saved + (SAVED + STORED_AT[q]) * part + v * step_v + r * LANES, lanes_left(c->H, v));
    }
    real *d_tape = s->tape + r * c->window * p->entry, *entry = d_tape + t % c->window * p->entry;
    read_row_backwards(pass, tape_of(pass, r), d_tape, span_of(c, it, t, r, c->T), query, saved + SLOTS * part + r * LANES, d_read,
                       sum_of(total), u, d_query, d_vector);
    // The only entry has the weight 1, whatever the query is; nothing reaches h~ of the step before, not even NaN.
    if (restarts(c, it, t, r)) memset(d_query, 0, wide * sizeof(real));
    row_to_columns(p, d_query, to, step_v);
    // No earlier step reads entry t, so that its cotangent is complete; its place is that of the entry which comes next.
    row_to_columns(p, entry, to + part, step_v);
    for (long q = 0; q < STATES; q++) row_to_columns(p, entry + (q + 1) * wide, s->state + q * part + r * LANES, step_v);
    memset(entry, 0, p->entry * sizeof(real));
  }
  const long count = blocks_of(columns + part, c->H, step_v, s->read_blocks);
  product(s->read_blocks, count, c->H, w->back_key, p->Hv, 0, 1, s->state, it->rows);
}
