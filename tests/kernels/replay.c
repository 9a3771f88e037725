// Behind the C of a cell: repeats a recorded call, forward and backward, on a machine that has no Python.
//
// stdin: the words of the argument block in order, each behind a number of bytes: -1 and a number, or n and an array of n bytes
// (0: no array). stdout: all arrays after the call, in the same order.

#include <stdio.h>

enum { WORDS = sizeof(Call) / sizeof(int64_t) };

static void must(int done, const char *what) {
  if (done) return;
  fprintf(stderr, "replay: %s\n", what);
  exit(1);
}

static void *memory(long bytes) {
  void *at = aligned_alloc(64, bytes / 64 * 64 + 64);
  must(at != 0, "no memory");
  memset(at, 0xff, bytes);  // every real is nan
  return at;
}

static void take(void *to, int64_t bytes) { must(fread(to, 1, bytes, stdin) == (size_t)bytes, "the record ends too early"); }

int main(void) {
  static union {
    Call call;
    int64_t numbers[WORDS];
    void *arrays[WORDS];
  } block;
  static int64_t bytes[WORDS];
  for (int i = 0; i < WORDS; i++) {
    take(&bytes[i], sizeof bytes[i]);
    if (bytes[i] < 0) take(&block.numbers[i], sizeof block.numbers[i]);
    else if (bytes[i] > 0) take(block.arrays[i] = memory(bytes[i]), bytes[i]);
  }
  Call *call = &block.call;
  call->saved = memory(saved_size(call) * sizeof(real));
  call->tape = memory(tape_size(call) * sizeof(real));
  call->work = memory(workspace(call, 0) * sizeof(real));
  forward(call);
  call->work = memory(workspace(call, 1) * sizeof(real));
  backward(call);
  for (int i = 0; i < WORDS; i++)
    if (bytes[i] > 0) must(fwrite(block.arrays[i], 1, bytes[i], stdout) == (size_t)bytes[i], "the results cannot be written");
  return 0;
}
