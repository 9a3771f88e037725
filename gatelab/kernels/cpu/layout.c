// Sizes, and where everything lies. Before this file come the constants and the functions printed from a cell's equations, as in
// contract.h:
//   before   pre-activations, state, vectors -> the values that late pre-activations and reductions of a stage read
//   step     pre-activations, state, vectors -> new state, and what the adjoint needs to know of this step
//   adjoint  that, the state before, vectors, cotangent of the new state -> cotangents of pre-activations, state and vectors
//   late_adjoint  the same -> cotangents of the late pre-activations and of the results of reductions of a stage
// The results of reductions stand behind the pre-activations and behind what the adjoint needs; their arguments behind the values.
// Work is split by rows of the batch: a block of rows goes through all of time on one thread, with no barrier.
// Gates are in the order: fed by the input alone, by both, by the state alone, late ones that are fed by values alone. Late ones
// with a part W x are among the first, and get the product with what they read added.

#ifndef GENERATED  // opened alone, in an editor
#include "contract.h"
#endif

#ifndef REDUCTIONS  // printed for a cell with functions over units
#define REDUCTIONS 0
#define ROW_RESULTS 0
#define UNIT_RESULTS 0
static const int REDUCED_BY[] = {0}, REDUCED_AT[] = {0}, REDUCED_STAGE[] = {0};
#endif

#define INPUT_GATES (INPUT_ONLY + BOTH)
#define RECURRENT_GATES (BOTH + RECURRENT_ONLY)
// Values kept of a unit and step: for the adjoint, parts of the state, and of a read its query and what it read one step before.
#define SLOTS (SAVED + STORED + 2 * MEMORY)
#define CARRIED (MEMORY ? 1 : STATES)      // parts that repeated steps begin with: of a cell with memory what was read last
#define CHUNK_VALUES (GATES + 2 * MEMORY)  // kept for the weights: cotangents of pre-activations, query and key, and values
#define CHUNK_COLUMNS (CHUNK_VALUES + VALUES)
#define ENTRY (1 + STATES)                 // of the tape: a key and a state

static long least_long(long a, long b) { return a < b ? a : b; }
static long rounded(long n, long to) { return (n + to - 1) / to * to; }

// Sizes in reals that follow from a call. `rows` is the most that a block has.
typedef struct {
  long Hv, Dv, rows;
  long depth_x, depth_s;                 // rows of weights, in whole tiles
  long forward, backward;                // packed weights of a replica
  long gradient, gradient_s, gradient_b; // gradients of a replica in one thread, and where parts of it begin
  long gradient_read, gradient_late;
  long slot, entry;                      // of a row: what a step keeps, and an entry of the tape
  long reduced;                          // of a row: results of reductions
  long scratch, reduced_at, chunk_at, left_at, read_at, tape_at, saved_at; // of a thread, and where parts of it begin
} Layout;

static Layout layout_of(const Call *c, int backward) {
  Layout p;
  p.Hv = rounded(c->H, LANES) / LANES;
  p.Dv = rounded(c->D, LANES) / LANES;
  p.rows = (c->B + c->blocks - 1) / c->blocks;
  p.depth_x = rounded(c->D, TILE_ROWS);
  p.depth_s = rounded(c->H, TILE_ROWS);
  const long wide = p.Hv * LANES;
  p.forward = wide * (INPUT_GATES * c->D + RECURRENT_GATES * FED * c->H + GATES + VECTORS + MEMORY * (c->D + 2 * c->H + 1));
  p.forward += wide * SQUARES * c->H;
  p.backward = FED * wide * RECURRENT_GATES * c->H + p.Dv * LANES * (INPUT_GATES + MEMORY) * c->H + MEMORY * 2 * wide * c->H;
  p.backward += wide * SQUARES * c->H;
  p.gradient_s = p.depth_x * INPUT_GATES * wide;
  p.gradient_b = p.gradient_s + FED * p.depth_s * RECURRENT_GATES * wide;
  p.gradient_read = p.gradient_b + (GATES + VECTORS) * wide;
  p.gradient_late = p.gradient_read + MEMORY * (p.depth_x + 2 * p.depth_s + 1) * wide;
  p.gradient = p.gradient_late + SQUARES * p.depth_s * wide;
  p.reduced = (ROW_RESULTS + UNIT_RESULTS * p.Hv) * LANES;
  p.slot = (SLOTS * p.Hv + MEMORY) * LANES + p.reduced;
  p.entry = ENTRY * wide;
  p.reduced_at = p.rows * LANES * ((GATES + 2 * STATES + EARLY + 2 * VALUES) * p.Hv + p.Dv);
  p.chunk_at = p.reduced_at + 2 * p.rows * p.reduced;
  p.left_at = p.chunk_at + (backward ? c->chunk * p.rows * CHUNK_COLUMNS * wide : 0);
  p.read_at = rounded(p.left_at + (backward ? c->chunk * p.rows * (p.depth_x + (FED + MEMORY + (LATE > 0)) * p.depth_s) : 0), 64);
  p.tape_at = p.read_at + MEMORY * (3 * p.rows * wide + (2 + STATES + LANES) * wide + rounded(c->window, LANES));
  p.saved_at = p.tape_at + (MEMORY && (backward || !c->tape) ? p.rows * c->window * p.entry : 0);
  p.scratch = p.saved_at + (backward && c->segment < c->T ? c->segment * p.rows * p.slot : 0);
  return p;
}

long workspace(const Call *c, int backward) {
  const Layout p = layout_of(c, backward);
  long size = c->N * p.forward + c->threads * p.scratch;
  if (backward) size += c->N * p.backward + (c->N + c->threads - 1) * p.gradient;
  return size;
}
// Of all N * B rows: what the forward pass leaves for the backward pass. `kept` holds the state before every segment.
long saved_size(const Call *c) { return c->N * c->B * c->T * layout_of(c, 0).slot; }
long kept_size(const Call *c) { return c->N * c->B * ((c->T + c->segment - 1) / c->segment) * CARRIED * rounded(c->H, LANES); }
long tape_size(const Call *c) { return MEMORY * c->N * c->B * c->T * layout_of(c, 0).entry; }
long lanes(void) { return LANES; }
long call_size(void) { return sizeof(Call); }

// Packed weights of a replica, in the order in which they lie; those of the read are empty without one.
typedef struct {
  real *input_only, *both, *recurrent_only, *bias, *vectors, *query, *key, *score, *late;
  real *back_state, *back_x, *back_summary, *back_key, *back_query, *back_late;
} Packed;

static Packed packed_of(const Call *c, const Layout *p, long n, int backward) {
  const long wide = p->Hv * LANES;
  Packed w;
  w.input_only = c->work + n * p->forward;
  w.both = w.input_only + INPUT_ONLY * wide * c->D;
  w.recurrent_only = w.both + BOTH * wide * (c->D + FED * c->H);
  w.bias = w.recurrent_only + RECURRENT_ONLY * wide * FED * c->H;
  w.vectors = w.bias + GATES * wide;
  w.query = w.vectors + VECTORS * wide;
  w.key = w.query + MEMORY * wide * (c->D + c->H);
  w.score = w.key + MEMORY * wide * c->H;
  w.late = w.score + MEMORY * wide;
  w.back_state = w.back_x = w.back_summary = w.back_key = w.back_query = w.back_late = 0;
  if (!backward) return w;
  w.back_state = c->work + c->N * p->forward + n * p->backward;
  w.back_x = w.back_state + FED * wide * RECURRENT_GATES * c->H;
  w.back_summary = w.back_x + p->Dv * LANES * INPUT_GATES * c->H;
  w.back_key = w.back_summary + MEMORY * wide * c->H;
  w.back_query = w.back_key + MEMORY * wide * c->H;
  w.back_late = w.back_query + MEMORY * p->Dv * LANES * c->H;
  return w;
}
static real *gradient_of(const Call *c, const Layout *p, long slot) {
  return c->work + c->N * (p->forward + p->backward) + slot * p->gradient;
}
static real *scratch_of(const Call *c, const Layout *p, long thread, int backward) {
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
// Whether a row reads `restart` in step t, in place of the state before it; never behind its end.
static int restarts(const Call *c, const Item *it, long t, long r) { return c->resets && c->resets[t * c->B + it->first + r]; }

// (row, H) of a tensor (N, B, H), and (row, OUTPUTS * H) of the output, which begins with the first part of the state.
static long row_at(const Call *c, const Item *it, long r) { return (it->n * c->B + it->first + r) * c->H; }
static real *out_at(const Call *c, const Item *it, long t, long r) {
  return c->out + it->n * c->out_n + t * c->out_t + (it->first + r) * c->out_b;
}
// What is given in the place of a pre-activation, for a row of a step.
static const real *given_at(const Call *c, const Item *it, long g, long t, long r) {
  return c->given[g] + ((it->n * c->T + t) * c->B + it->first + r) * c->H;
}
static const real *before_at(const Call *c, const Item *it, long t, long r) {  // the first part of the state before step t
  if (restarts(c, it, t, r)) return c->restart[0] + row_at(c, it, r);
  return t ? out_at(c, it, t - 1, r) : c->s0[0] + row_at(c, it, r);
}

static void to_columns(const real *row, long count, real *columns, long step) {
  for (long v = 0; v * LANES < count; v++, row += LANES) *(V *)(columns + v * step) = load(row, count - v * LANES);
}

// A row of a tensor gets what is in columns added.
static void add_columns(const Layout *p, const real *columns, long step, long count, real *row) {
  for (long v = 0; v < p->Hv; v++) {
    const long left = lanes_left(count, v);
    store(row + v * LANES, load(row + v * LANES, left) + *(const V *)(columns + v * step), left);
  }
}

static void load_row(const Call *c, const Item *it, const Layout *p, const real *const *from, long r, real *state) {
  const long step = it->rows * LANES;
  for (long q = 0; q < STATES; q++) to_columns(from[q] + row_at(c, it, r), c->H, state + q * p->Hv * step + r * LANES, step);
}

static long blocks_of(const real *columns, long total, long step, Block *blocks) {
  long count = 0;
  for (long v = 0; v * LANES < total; v++) blocks[count++] = (Block){columns + v * step, lanes_left(total, v)};
  return count;
}

// What one thread works with on one block of rows; columns, but for `left`, and `row` and `tape` of the read.
typedef struct {
  real *a, *state, *again, *x, *known, *values, *d_values, *reduced, *d_reduced, *chunk, *left, *saved;
  real *summary, *query, *key, *row, *tape;
  Block *blocks, *read_blocks, *late_blocks;
} Scratch;

static Scratch scratch_parts(const Call *c, const Layout *p, long thread, int backward, Block *blocks) {
  real *base = scratch_of(c, p, thread, backward);
  const long size = p->rows * LANES * p->Hv;
  real *read = base + p->read_at;
  real *x = base + (GATES + 2 * STATES) * size, *known = x + p->rows * LANES * p->Dv, *values = known + EARLY * size;
  Block *read_blocks = blocks + p->Dv + (FED + CHUNK_COLUMNS) * p->Hv;
  return (Scratch){base, base + GATES * size, base + (GATES + STATES) * size, x, known, values, values + VALUES * size,
                   base + p->reduced_at, base + p->reduced_at + p->rows * p->reduced, base + p->chunk_at, base + p->left_at, base + p->saved_at,
                   read, read + size, read + 2 * size, read + 3 * size, base + p->tape_at,
                   blocks, read_blocks, read_blocks + MEMORY * (p->Dv + p->Hv)};
}

// What the steps of one thread on one block of rows read. Functions call its parts by the letters c, p, w, it and s.
typedef struct {
  const Call *call;
  Layout layout;
  Packed weights;
  Item item;
  Scratch scratch;
} Pass;
