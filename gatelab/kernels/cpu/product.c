// Small dense products. Two layouts, both in vectors of LANES:
//   columns  [column][row][LANES]      activations of one time step: all rows of a block beside each other
//   panels   [panel][k][column][LANES] weights, packed once a call: up to PANEL columns side by side for every k

#ifndef GENERATED  // opened alone, in an editor
#include "vector.c"
#endif

#define PANEL 4
#if defined(__AVX512F__) || defined(__aarch64__)
#define TILE_ROWS 8  // 32 registers
#else
#define TILE_ROWS 6  // 16 registers
#endif

typedef struct {
  const real *a;  // [row][LANES]
  long length;    // how many of the lanes are real; the rest is never read
} Block;

// out[column][row] = bias[column] (or out itself, or 0) + sum over the blocks of a[row][k] * b[k][column]
INLINE void tile(const int R, const int C, const Block *blocks, long count, const real *b, long b_step, const real *bias,
                 int add, real *out, long column_step, long row) {
  V sum[8][4];
#pragma GCC unroll 8
  for (int c = 0; c < C; c++)
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      sum[r][c] = add ? *(V *)(out + c * column_step + (row + r) * LANES) : bias ? *(const V *)(bias + c * LANES) : (V){0};
    }
  for (long i = 0; i < count; i++) {
    const real *a = blocks[i].a + row * LANES;
    for (const real *end = a + blocks[i].length; a < end; a++, b += b_step) {
      V right[4];
#pragma GCC unroll 8
      for (int c = 0; c < C; c++) right[c] = *(const V *)(b + c * LANES);
#pragma GCC unroll 8
      for (int r = 0; r < R; r++) {
        V left = all(a[r * LANES]);
#pragma GCC unroll 8
        for (int c = 0; c < C; c++) sum[r][c] += left * right[c];
      }
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < C; c++)
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) *(V *)(out + c * column_step + (row + r) * LANES) = sum[r][c];
}

#define TILE(R, C)                                                                                                       \
  static __attribute__((noinline)) void tile_##R##_##C(const Block *blocks, long count, const real *b, long b_step,      \
                                                       const real *bias, int add, real *out, long column_step, long row) { \
    tile(R, C, blocks, count, b, b_step, bias, add, out, column_step, row);                                              \
  }
#if TILE_ROWS == 8
TILE(8, 1) TILE(8, 2)
#else
TILE(6, 1) TILE(6, 2)
#endif
TILE(4, 1) TILE(4, 2) TILE(2, 1) TILE(2, 2) TILE(2, 4) TILE(1, 1) TILE(1, 2) TILE(1, 4)

#define CALL_TILE(R, C) tile_##R##_##C(blocks, count, at, width *LANES, bias ? bias + c * LANES : 0, add, to, step, row)

// A product of `rows` rows with packed panels; `bias` may be null; with `add` the product is added to what is in `out`.
static void product(const Block *blocks, long count, long depth, const real *panels, long columns, const real *bias, int add,
                    real *out, long rows) {
  const long step = rows * LANES;
  for (long first = 0; first < columns; first += PANEL) {
    const long width = columns - first < PANEL ? columns - first : PANEL;
    const real *panel = panels + first * depth * LANES;
    for (long row = 0; row < rows;) {
      const long left = rows - row;
      const long height = left >= TILE_ROWS ? TILE_ROWS : left >= 4 ? 4 : left >= 2 ? 2 : 1;
      for (long c = first; c < first + width;) {
        const long rest = first + width - c;
        const real *at = panel + (c - first) * LANES;
        real *to = out + c * step;
        if (height <= 2 && rest == 4) {
          if (height == 2) CALL_TILE(2, 4); else CALL_TILE(1, 4);
          c += 4;
        } else if (rest >= 2) {
          if (height == TILE_ROWS) {
#if TILE_ROWS == 8
            CALL_TILE(8, 2);
#else
            CALL_TILE(6, 2);
#endif
          } else if (height == 4) CALL_TILE(4, 2);
          else if (height == 2) CALL_TILE(2, 2);
          else CALL_TILE(1, 2);
          c += 2;
        } else {
          if (height == TILE_ROWS) {
#if TILE_ROWS == 8
            CALL_TILE(8, 1);
#else
            CALL_TILE(6, 1);
#endif
          } else if (height == 4) CALL_TILE(4, 1);
          else if (height == 2) CALL_TILE(2, 1);
          else CALL_TILE(1, 1);
          c += 1;
        }
      }
      row += height;
    }
  }
}

// sum[column][k][LANES] += sum over i of left[i][k] * right[step][column][row], i = (step, row): one tile of a weight gradient.
INLINE void outer_tile(const int C, const real *left, const real *right, long steps, long step_size, long column_step,
                       long rows, real *sum) {
  V total[TILE_ROWS][2];
#pragma GCC unroll 8
  for (int c = 0; c < C; c++)
#pragma GCC unroll 8
    for (int k = 0; k < TILE_ROWS; k++) total[k][c] = *(const V *)(sum + (c * TILE_ROWS + k) * LANES);
  for (long t = 0; t < steps; t++) {
    const real *at = right + t * step_size;
    for (const real *end = at + rows * LANES; at < end; at += LANES, left += TILE_ROWS) {
      V column[2];
#pragma GCC unroll 8
      for (int c = 0; c < C; c++) column[c] = *(const V *)(at + c * column_step);
#pragma GCC unroll 8
      for (int k = 0; k < TILE_ROWS; k++) {
        V factor = all(left[k]);
#pragma GCC unroll 8
        for (int c = 0; c < C; c++) total[k][c] += factor * column[c];
      }
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < C; c++)
#pragma GCC unroll 8
    for (int k = 0; k < TILE_ROWS; k++) *(V *)(sum + (c * TILE_ROWS + k) * LANES) = total[k][c];
}

// Gradient of `depth` rows of weights (a multiple of TILE_ROWS): left [k / TILE_ROWS][i][TILE_ROWS], right in columns,
// sum [k / TILE_ROWS][column][TILE_ROWS][LANES].
static void outer_product(const real *left, long depth, const real *right, long columns, long steps, long step_size, long rows,
                          real *sum) {
  const long column_step = rows * LANES;
  for (long c = 0; c < columns; c += 2)
    for (long k = 0; k < depth; k += TILE_ROWS) {
      const real *from = left + k * steps * rows;
      real *to = sum + (k * columns + c * TILE_ROWS) * LANES;
      if (c + 1 < columns) outer_tile(2, from, right + c * column_step, steps, step_size, column_step, rows, to);
      else outer_tile(1, from, right + c * column_step, steps, step_size, column_step, rows, to);
    }
}
