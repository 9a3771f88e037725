// Packing, threads, and the two entry points.

#ifndef GENERATED  // opened alone, in an editor
#include "adjoint.c"
#endif

// LANES rows of LANES numbers become columns: blocks of half the size change places, then of a quarter, until numbers do.
#if defined(__GNUC__) && !defined(__clang__)
#define TURNS 1
INLINE void turn(V *rows) {
#pragma GCC unroll 4
  for (int half = LANES / 2; half; half /= 2) {
    M low = {0}, high = {0};
    for (int i = 0; i < LANES; i++) {
      low[i] = i & half ? i - half + LANES : i;
      high[i] = i & half ? i + LANES : i + half;
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) {
      if (i & half) continue;
      const V first = rows[i], second = rows[i + half];
      rows[i] = __builtin_shuffle(first, second, low);
      rows[i + half] = __builtin_shuffle(first, second, high);
    }
  }
}
#else  // clang vectorises the plain loop
#define TURNS 0
INLINE void turn(V *rows) { (void)rows; }
#endif

// to[k * step + l] = from[l][k] for the first `rows` of LANES rows; the others are 0.
static void columns_of(const real *from, long row_length, long rows, real *to, long step) {
  long k = 0;
  if (TURNS && rows >= LANES)
    for (; k + LANES <= row_length; k += LANES) {
      V turned[LANES];
#pragma GCC unroll 16
      for (int l = 0; l < LANES; l++) turned[l] = load(from + l * row_length + k, LANES);
      turn(turned);
#pragma GCC unroll 16
      for (int j = 0; j < LANES; j++) *(V *)(to + (k + j) * step) = turned[j];
    }
  for (; k < row_length; k++)
    for (long l = 0; l < LANES; l++) to[k * step + l] = l < rows ? from[l * row_length + k] : 0;
}

// to[panel][k][column][LANES] = from[unit][k]: the weights of the g-th of some gates as the forward pass reads them.
static void pack_gate(const real *from, long row_length, long g, long gates, long H, long Hv, real *to, long depth, long k0) {
  const long columns = gates * Hv;
  for (long column = g * Hv; column < (g + 1) * Hv; column++) {
    const long panel = column / PANEL * PANEL, width = least_long(PANEL, columns - panel);
    real *at = to + panel * depth * LANES + (column - panel) * LANES + k0 * width * LANES;
    const long unit = column % Hv * LANES;
    columns_of(from + unit * row_length, row_length, H - unit, at, width * LANES);
  }
}

// The same for gates that are blocks of rows of a parameter.
static void pack_rows(const real *from, long row_length, const int *row_of, long first_gate, long gates, long H, long Hv, real *to,
                      long depth, long k0) {
  for (long g = 0; g < gates; g++) pack_gate(from + row_of[first_gate + g] * H * row_length, row_length, g, gates, H, Hv, to, depth, k0);
}

// to[panel][k][column][LANES] = from[k][column]: the weights of the g-th of some gates as the backward pass reads them; k runs over
// gates and units.
static void pack_gate_back(const real *from, long row_length, long g, long gates, long H, long offset, long width, real *to) {
  const long columns = rounded(width, LANES) / LANES, depth = gates * H;
  for (long u = 0; u < H; u++) {
    const real *source = from + u * row_length + offset;
    for (long column = 0; column < columns; column++) {
      const long panel = column / PANEL * PANEL, across = least_long(PANEL, columns - panel);
      real *at = to + panel * depth * LANES + ((g * H + u) * across + column - panel) * LANES;
      *(V *)at = load(source + column * LANES, width - column * LANES);
    }
  }
}

static void pack_columns(const real *from, long row_length, const int *row_of, long first_gate, long gates, long H, long offset,
                         long width, real *to) {
  for (long g = 0; g < gates; g++)
    pack_gate_back(from + row_of[first_gate + g] * H * row_length, row_length, g, gates, H, offset, width, to);
}

// The matrices of late pre-activations.
static void pack_late(const Call *c, const Layout *p, long n, int backward, const Packed *w) {
  const long H = c->H, square = p->Hv * LANES * H;
  for (long g = 0; g < LATE; g++)
    for (long j = 0; j < LATE_GATES[g]; j++) {
      const long depth = LATE_READS_OF[g] * H;
      const real *from = c->late[MATRIX[LATE_FIRST[g] + j]] + n * H * depth;
      if (!backward || c->segment < c->T)
        pack_gate(from, depth, j, LATE_GATES[g], H, p->Hv, w->late + LATE_SQUARE[g] * square, depth, 0);
      for (long i = 0; backward && i < LATE_READS_OF[g]; i++)
        pack_gate_back(from, depth, j, LATE_GATES[g], H, i * H, H, w->back_late + (LATE_SQUARE[g] + i * LATE_GATES[g]) * square);
    }
}

// The weights of the read of earlier states.
static void pack_memory(const Call *c, const Layout *p, long n, int backward, const Packed *w) {
  const long H = c->H, Hv = p->Hv, D = c->D;
  const real *K = c->K + n * H * H, *Q = c->Q + n * H * D, *P = c->P + n * H * H;
  const int first[] = {0};
  pack_rows(Q, D, first, 0, 1, H, Hv, w->query, D + H, 0);
  pack_rows(P, H, first, 0, 1, H, Hv, w->query, D + H, D);
  pack_rows(K, H, first, 0, 1, H, Hv, w->key, H, 0);
  if (ADDITIVE) to_columns(c->v + n * H, H, w->score, LANES);
  if (backward) {
    pack_columns(P, H, first, 0, 1, H, 0, H, w->back_summary);
    pack_columns(K, H, first, 0, 1, H, 0, H, w->back_key);
    if (c->dx) pack_columns(Q, D, first, 0, 1, H, 0, D, w->back_query);
  }
}

static void pack(const Call *c, const Layout *p, long n, int backward) {
  const Packed w = packed_of(c, p, n, backward);
  const long H = c->H, Hv = p->Hv, D = c->D, S = FED * H, wide = Hv * LANES;
  const real *W = c->W + (INPUT_GATES ? n * INPUT_GATES * H * D : 0);
  const real *R = c->R + (RECURRENT_GATES ? n * RECURRENT_GATES * H * S : 0);
  if (!backward || c->segment < c->T) {
    pack_rows(W, D, W_ROW, 0, INPUT_ONLY, H, Hv, w.input_only, D, 0);
    pack_rows(W, D, W_ROW, INPUT_ONLY, BOTH, H, Hv, w.both, D + S, 0);
    pack_rows(R, S, R_ROW, INPUT_ONLY, BOTH, H, Hv, w.both, D + S, D);
    pack_rows(R, S, R_ROW, INPUT_GATES, RECURRENT_ONLY, H, Hv, w.recurrent_only, S, 0);
    if (c->b)
      for (long g = 0; g < GATES; g++) to_columns(c->b + (n * GATES + GATE[g]) * H, H, w.bias + g * wide, LANES);
  }
  for (long i = 0; i < VECTORS; i++) to_columns(c->p[i] + n * H, H, w.vectors + i * wide, LANES);
  if (MEMORY) pack_memory(c, p, n, backward, &w);
  if (LATE) pack_late(c, p, n, backward, &w);
  if (!backward) return;
  for (long f = 0; f < FED; f++)
    pack_columns(R, S, R_ROW, INPUT_ONLY, RECURRENT_GATES, H, f * H, H, w.back_state + f * wide * RECURRENT_GATES * H);
  if (c->dx) pack_columns(W, D, W_ROW, 0, INPUT_GATES, H, 0, D, w.back_x);
}

// What one thread does of a call.
typedef struct {
  const Call *call;
  const Layout *layout;
  int backward;
  long thread;
  void (*work)(const Call *, const Layout *, int, long);
} Part;

static void *run_part(void *argument) {
  const Part *part = argument;
  part->work(part->call, part->layout, part->backward, part->thread);
  return 0;
}

// The threads of torch, where torch has brought GNU's or LLVM's OpenMP into the process: they wait for work by spinning, so that
// threads of our own would share their cores with them. They do not survive a fork.
#if defined(__linux__)
extern void GOMP_parallel(void (*)(void *), void *, unsigned, unsigned) __attribute__((weak));
extern int omp_get_thread_num(void) __attribute__((weak));
extern int omp_get_num_threads(void) __attribute__((weak));
static int forked = 0;
static void note_fork(void) { forked = 1; }
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(0, 0, note_fork); }

static void run_parts(void *argument) {
  Part *parts = argument;
  for (long i = omp_get_thread_num(); i < parts->call->threads; i += omp_get_num_threads()) run_part(&parts[i]);
}
static int on_torch_threads(Part *parts) {
  if (forked || !GOMP_parallel || !omp_get_thread_num || !omp_get_num_threads) return 0;
  GOMP_parallel(run_parts, parts, (unsigned)parts->call->threads, 0);
  return 1;
}
#else
static int on_torch_threads(Part *parts) {
  (void)parts;
  return 0;
}
#endif

// Elsewhere threads live as long as one call: none spins, none is lost in a fork. Where none can be made, this one does the work.
static void on_threads(const Call *c, const Layout *p, int backward, void (*work)(const Call *, const Layout *, int, long)) {
  Part parts[c->threads];
  pthread_t handles[c->threads];
  int made[c->threads];
  for (long i = 0; i < c->threads; i++) parts[i] = (Part){c, p, backward, i, work};
  if (c->threads > 1 && on_torch_threads(parts)) return;
  for (long i = 0; i < c->threads; i++) made[i] = i > 0 && pthread_create(&handles[i], 0, run_part, &parts[i]) == 0;
  for (long i = 0; i < c->threads; i++)
    if (!made[i]) run_part(&parts[i]);
  for (long i = 0; i < c->threads; i++)
    if (made[i]) pthread_join(handles[i], 0);
}

// Where the share of a thread begins, of `count` things that are divided among the threads.
static long share(long count, const Call *c, long thread) { return count * thread / c->threads; }

static void pack_share(const Call *c, const Layout *p, int backward, long thread) {
  for (long n = share(c->N, c, thread); n < share(c->N, c, thread + 1); n++) pack(c, p, n, backward);
}

static void run_share(const Call *c, const Layout *p, int backward, long thread) {
  const long items = c->N * c->blocks;
  Block blocks[p->Dv + (FED + CHUNK_COLUMNS) * p->Hv + MEMORY * (p->Dv + p->Hv) + LATE_READS * p->Hv + 1];
  const Scratch s = scratch_parts(c, p, thread, backward, blocks);
  long replica = -1;
  for (long index = share(items, c, thread); index < share(items, c, thread + 1); index++) {
    const Item it = item_of(c, index);
    const Pass pass = {c, *p, packed_of(c, p, it.n, backward), it, s};
    if (!backward) {
      forward_item(&pass);
      continue;
    }
    real *gradient = gradient_of(c, p, it.n + thread);  // a slot of its own for every pair, since both only grow
    if (it.n != replica) memset(gradient, 0, p->gradient * sizeof(real));
    replica = it.n;
    backward_item(&pass, gradient);
  }
}

// The sum over the threads that worked on replica n, in their order: the same bits whoever was first.
static void sum_slots(const Call *c, const Layout *p, long n, long offset, V *sum, long count) {
  const long items = c->N * c->blocks;
  for (long i = 0; i < count; i++) sum[i] = (V){0};
  for (long thread = 0; thread < c->threads; thread++) {
    if (share(items, c, thread) >= (n + 1) * c->blocks || share(items, c, thread + 1) <= n * c->blocks) continue;
    if (share(items, c, thread) == share(items, c, thread + 1)) continue;
    const V *from = (const V *)(gradient_of(c, p, n + thread) + offset);
    for (long i = 0; i < count; i++) sum[i] += from[i];
  }
}

// One column of gates from its tiles to the rows of the parameter.
static void unpack(const Call *c, const Layout *p, long n, long offset, long columns, long column, long depth, real *to,
                   long row_length) {
  const long count = lanes_left(c->H, column % p->Hv);
  for (long k = 0; k < depth; k += TILE_ROWS) {
    V sum[TILE_ROWS];
    sum_slots(c, p, n, offset + (k * columns + column * TILE_ROWS) * LANES, sum, TILE_ROWS);
    const long most = least_long(TILE_ROWS, depth - k);
    for (long l = 0; l < count; l++)
      for (long j = 0; j < most; j++) to[l * row_length + k + j] = sum[j][l];
  }
}

// Of Q, P, K and v, as they lie behind each other.
static void read_gradient(const Call *c, const Layout *p, long n, long v) {
  const long H = c->H, D = c->D, wide = p->Hv * LANES, row = n * H + v * LANES;
  long at = p->gradient_read;
  if (c->dQ) unpack(c, p, n, at, p->Hv, v, D, c->dQ + row * D, D);
  at += p->depth_x * wide;
  if (c->dP) unpack(c, p, n, at, p->Hv, v, H, c->dP + row * H, H);
  at += p->depth_s * wide;
  if (c->dK) unpack(c, p, n, at, p->Hv, v, H, c->dK + row * H, H);
  at += p->depth_s * wide;
  V sum;
  if (!c->dv) return;
  sum_slots(c, p, n, at + v * LANES, &sum, 1);
  store(c->dv + row, sum, H - v * LANES);
}

// Of the matrix of a late pre-activation.
static void late_gradient(const Call *c, const Layout *p, long n, long g, long v) {
  const long H = c->H, square = p->depth_s * p->Hv * LANES;
  for (long product = 0; product < LATE; product++) {
    const long j = g - LATE_FIRST[product], depth = LATE_READS_OF[product] * H;
    real *to = j >= 0 && j < LATE_GATES[product] ? c->dlate[MATRIX[g]] : 0;
    for (long i = 0; to && i < LATE_READS_OF[product]; i++)
      unpack(c, p, n, p->gradient_late + (LATE_SQUARE[product] + i * LATE_GATES[product]) * square, LATE_GATES[product] * p->Hv,
             j * p->Hv + v, H, to + (n * H + v * LANES) * depth + i * H, depth);
  }
}

static void gradient_share(const Call *c, const Layout *p, int backward, long thread) {
  (void)backward;
  const long columns = (GATES + MEMORY) * p->Hv, total = c->N * columns, H = c->H, S = FED * H;
  for (long index = share(total, c, thread); index < share(total, c, thread + 1); index++) {
    const long n = index / columns, column = index % columns, g = column / p->Hv, unit = column % p->Hv * LANES;
    V sum;
    if (g == GATES) {
      read_gradient(c, p, n, column % p->Hv);
      continue;
    }
    if (g < INPUT_GATES && c->dW)
      unpack(c, p, n, 0, INPUT_GATES * p->Hv, column, c->D, c->dW + ((n * INPUT_GATES + W_ROW[g]) * H + unit) * c->D, c->D);
    if (g >= INPUT_ONLY && g < INPUT_ONLY + RECURRENT_GATES && c->dR)
      for (long f = 0; f < FED; f++)
        unpack(c, p, n, p->gradient_s + f * p->depth_s * RECURRENT_GATES * p->Hv * LANES, RECURRENT_GATES * p->Hv,
               column - INPUT_ONLY * p->Hv, H, c->dR + ((n * RECURRENT_GATES + R_ROW[g]) * H + unit) * S + f * H, S);
    if (LATE) late_gradient(c, p, n, g, column % p->Hv);
    if (c->db) {
      sum_slots(c, p, n, p->gradient_b + column * LANES, &sum, 1);
      store(c->db + (n * GATES + GATE[g]) * H + unit, sum, H - unit);
    }
    for (long i = 0; i < VECTORS; i++)
      if (g == 0 && c->dp[i]) {
        sum_slots(c, p, n, p->gradient_b + ((GATES + i) * p->Hv + column) * LANES, &sum, 1);
        store(c->dp[i] + n * H + unit, sum, H - unit);
      }
  }
}

void forward(const Call *c) {
  const Layout p = layout_of(c, 0);
  on_threads(c, &p, 0, pack_share);
  on_threads(c, &p, 0, run_share);
}

void backward(const Call *c) {
  const Layout p = layout_of(c, 1);
  on_threads(c, &p, 1, pack_share);
  on_threads(c, &p, 1, run_share);
  on_threads(c, &p, 1, gradient_share);
}
