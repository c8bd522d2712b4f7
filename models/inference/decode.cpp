// One step of decoding, between the matrix products: for every row, rotary embedding of the new query and key, both
// into the cache, grouped-query attention over the row's own length; and the two elementwise parts of a layer.
// Memory-bound work on many short rows, for which a call per operation costs more than the operation. Every row is
// computed alone and in one order, so that no result depends on the rows beside it.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

// Positions of a block of keys: within a block the cache is transposed, so that scores of consecutive positions are
// computed side by side. A head's size is a multiple of it.
constexpr int64_t BLOCK = 32;

struct bfloat16 {
  uint16_t bits;
};

inline float load(float value) { return value; }
inline float load(bfloat16 value) {
  uint32_t wide = static_cast<uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &wide, sizeof result);
  return result;
}
inline void store(float value, float* place) { *place = value; }
inline void store(float value, bfloat16* place) {
  uint32_t wide;
  std::memcpy(&wide, &value, sizeof wide);
  place->bits = static_cast<uint16_t>((wide + 0x7fff + ((wide >> 16) & 1)) >> 16);  // to the nearest, ties to even
}

// `sin` carries the sign of the half it turns into.
template <typename T>
void rotate(const T* in, const T* cos, const T* sin, int64_t dim, float* out) {
  const int64_t half = dim / 2;
  for (int64_t d = 0; d < half; ++d) {
    out[d] = load(in[d]) * load(cos[d]) + load(in[d + half]) * load(sin[d]);
    out[d + half] = load(in[d + half]) * load(cos[d + half]) + load(in[d]) * load(sin[d + half]);
  }
}

// A value as the cache will give it back.
template <typename T>
float rounded(float value) {
  T kept;
  store(value, &kept);
  return load(kept);
}

// Asks for a page ahead: where one page ends, the processor does not see by itself that the next one follows.
inline void prefetch(const void* place) { __builtin_prefetch(static_cast<const char*>(place) + 4096); }

// Scores [G, BLOCK] of G queries [G, dim] with a block of keys [dim, BLOCK].
template <typename T, int64_t G>
void score(const float* __restrict queries, const T* __restrict keys, int64_t dim, int64_t columns,
           float* __restrict scores) {
  float sums[G][BLOCK] = {};
  for (int64_t d = 0; d < dim; ++d) {
    prefetch(keys + d * BLOCK);
    for (int64_t t = 0; t < BLOCK; ++t) {
      const float key = load(keys[d * BLOCK + t]);
      for (int64_t g = 0; g < G; ++g) sums[g][t] += queries[g * dim + d] * key;
    }
  }
  for (int64_t g = 0; g < G; ++g)
    for (int64_t t = 0; t < BLOCK; ++t) scores[g * columns + t] = sums[g][t];
}

// Scores become the weights of a softmax.
inline void normalise(float* __restrict scores, int64_t length) {
  float highest = scores[0];
  for (int64_t t = 1; t < length; ++t) highest = scores[t] > highest ? scores[t] : highest;
  float total = 0;
  for (int64_t t = 0; t < length; ++t) {
    scores[t] = std::exp(scores[t] - highest);
    total += scores[t];
  }
  for (int64_t t = 0; t < length; ++t) scores[t] /= total;
}

// Adds to `mixed` [G, dim] the first `length` of a block of values [BLOCK, dim], weighted by `weights` [G, BLOCK].
template <typename T, int64_t G>
void mix(const float* __restrict weights, const T* __restrict values, int64_t length, int64_t dim, int64_t columns,
         float* __restrict mixed) {
  for (int64_t part = 0; part < dim; part += BLOCK) {
    float sums[G][BLOCK] = {};
    for (int64_t t = 0; t < length; ++t) {
      prefetch(values + t * dim + part);
      for (int64_t d = 0; d < BLOCK; ++d) {
        const float value = load(values[t * dim + part + d]);
        for (int64_t g = 0; g < G; ++g) sums[g][d] += weights[g * columns + t] * value;
      }
    }
    for (int64_t g = 0; g < G; ++g)
      for (int64_t d = 0; d < BLOCK; ++d) mixed[g * dim + part + d] += sums[g][d];
  }
}

struct Shape {
  int64_t rows, kv_heads, group, dim, columns;
};

template <typename T>
struct Scratch {
  std::vector<float> queries, scores, mixed;
  explicit Scratch(const Shape& shape)
      : queries(shape.kv_heads * (shape.group + 1) * shape.dim),
        scores(shape.kv_heads * shape.group * shape.columns),
        mixed(shape.kv_heads * shape.group * shape.dim) {}
};

// One row, block by block of its cache: the heads of a block lie together in memory, and are read as one stream.
// G queries share a key/value head, and what is read of it.
template <typename T, int64_t G>
void attend_row(const Shape& shape, const T* fused, const T* cos, const T* sin, T* keys, T* values, int64_t place,
                Scratch<T>& scratch, T* out) {
  const int64_t dim = shape.dim, columns = shape.columns, block = BLOCK * dim, group = shape.group;
  const int64_t blocks = place / BLOCK + 1, stride = shape.kv_heads * block;
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  float* queries = scratch.queries.data();
  float* scores = scratch.scores.data();
  float* mixed = scratch.mixed.data();
  for (int64_t head = 0; head < shape.kv_heads; ++head) {
    const T* heads = fused + head * (group + 2) * dim;
    float* turned = queries + head * (group + 1) * dim;
    for (int64_t g = 0; g <= group; ++g) rotate(heads + g * dim, cos, sin, dim, turned + g * dim);
    T* key = keys + place / BLOCK * stride + head * block + place % BLOCK;
    for (int64_t d = 0; d < dim; ++d) store(turned[group * dim + d], key + d * BLOCK);
    T* value = values + place / BLOCK * stride + head * block + place % BLOCK * dim;
    std::memcpy(value, heads + (group + 1) * dim, dim * sizeof(T));
    for (int64_t d = 0; d < group * dim; ++d) turned[d] = rounded<T>(turned[d]) * scale;
  }
  for (int64_t b = 0; b < blocks; ++b)
    for (int64_t head = 0; head < shape.kv_heads; ++head)
      for (int64_t g = 0; g < group; g += G)
        score<T, G>(queries + (head * (group + 1) + g) * dim, keys + b * stride + head * block, dim, columns,
                    scores + (head * group + g) * columns + b * BLOCK);
  for (int64_t query = 0; query < shape.kv_heads * group; ++query) normalise(scores + query * columns, place + 1);
  for (int64_t d = 0; d < shape.kv_heads * group * dim; ++d) mixed[d] = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t length = b + 1 < blocks ? BLOCK : place % BLOCK + 1;
    for (int64_t head = 0; head < shape.kv_heads; ++head)
      for (int64_t g = 0; g < group; g += G)
        mix<T, G>(scores + (head * group + g) * columns + b * BLOCK, values + b * stride + head * block, length, dim,
                  columns, mixed + (head * group + g) * dim);
  }
  for (int64_t d = 0; d < shape.kv_heads * group * dim; ++d) store(mixed[d], out + d);
}

template <typename T>
void attend(const Shape& shape, const T* fused, const T* cos, const T* sin, T* keys, T* values, const int64_t* slots,
            const int64_t* places, T* out) {
  const int64_t group = shape.group, dim = shape.dim, cache = shape.kv_heads * shape.columns * dim;
  auto attend_one = group % 4 == 0 ? attend_row<T, 4> : group % 2 == 0 ? attend_row<T, 2> : attend_row<T, 1>;
#pragma omp parallel
  {
    Scratch<T> scratch(shape);
#pragma omp for schedule(dynamic, 4)
    for (int64_t row = 0; row < shape.rows; ++row)
      attend_one(shape, fused + row * shape.kv_heads * (group + 2) * dim, cos + places[row] * dim,
                 sin + places[row] * dim, keys + slots[row] * cache, values + slots[row] * cache, places[row], scratch,
                 out + row * shape.kv_heads * group * dim);
  }
}

template <typename T>
void add_norm(T* hidden, const T* added, const T* weight, T* out, int64_t rows, int64_t dim, float eps) {
#pragma omp parallel for
  for (int64_t row = 0; row < rows; ++row) {
    T* state = hidden + row * dim;
    float squares = 0;
    for (int64_t d = 0; d < dim; ++d) {
      if (added) store(load(state[d]) + load(added[row * dim + d]), state + d);
      squares += load(state[d]) * load(state[d]);
    }
    const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(dim) + eps);
    for (int64_t d = 0; d < dim; ++d) store(load(state[d]) * inverse * load(weight[d]), out + row * dim + d);
  }
}

template <typename T>
void gate(const T* both, T* out, int64_t rows, int64_t dim) {
#pragma omp parallel for
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t d = 0; d < dim; ++d) {
      const float x = load(both[row * 2 * dim + d]);
      store(rounded<T>(x / (1.0f + std::exp(-x))) * load(both[row * 2 * dim + dim + d]), out + row * dim + d);
    }
}

// The token whose share of the cumulated softmax, in the vocabulary's order, holds `noise` in [0, 1); the likeliest
// where `temperature` is 0. Its logprob is of the whole softmax at the temperature, at 1 for the likeliest.
template <typename T>
void draw(const T* logits, const float* temperature, const double* noise, int64_t* tokens, float* logprobs,
          int64_t rows, int64_t vocabulary) {
#pragma omp parallel
  {
    std::vector<float> weights(vocabulary);
#pragma omp for
    for (int64_t row = 0; row < rows; ++row) {
      const T* logit = logits + row * vocabulary;
      const float scale = temperature[row] > 0 ? 1.0f / temperature[row] : 1.0f;
      float highest = load(logit[0]);
      for (int64_t v = 1; v < vocabulary; ++v) highest = load(logit[v]) > highest ? load(logit[v]) : highest;
      for (int64_t v = 0; v < vocabulary; ++v) weights[v] = std::exp((load(logit[v]) - highest) * scale);
      double total = 0;
      for (int64_t v = 0; v < vocabulary; ++v) total += weights[v];
      int64_t chosen = 0;
      if (temperature[row] > 0) {
        const double wanted = noise[row] * total;
        double reached = weights[0];
        while (reached <= wanted && chosen + 1 < vocabulary) reached += weights[++chosen];
        while (weights[chosen] == 0) --chosen;  // rounding led beyond the last token that can be drawn
      } else {
        while (load(logit[chosen]) != highest) ++chosen;
      }
      tokens[row] = chosen;
      logprobs[row] = (load(logit[chosen]) - highest) * scale - static_cast<float>(std::log(total));
    }
  }
}

}  // namespace

#define EXPORT(SUFFIX, T)                                                                                              \
  extern "C" void attend_##SUFFIX(const T* fused, const T* cos, const T* sin, T* keys, T* values,                     \
                                  const int64_t* slots, const int64_t* places, T* out, int64_t rows,                  \
                                  int64_t kv_heads, int64_t group, int64_t dim, int64_t columns) {                    \
    attend<T>({rows, kv_heads, group, dim, columns}, fused, cos, sin, keys, values, slots, places, out);            \
  }                                                                                                                    \
  extern "C" void add_norm_##SUFFIX(T* hidden, const T* added, const T* weight, T* out, int64_t rows, int64_t dim,    \
                                    float eps) {                                                                       \
    add_norm<T>(hidden, added, weight, out, rows, dim, eps);                                                           \
  }                                                                                                                    \
  extern "C" void gate_##SUFFIX(const T* both, T* out, int64_t rows, int64_t dim) { gate<T>(both, out, rows, dim); }  \
  extern "C" void draw_##SUFFIX(const T* logits, const float* temperature, const double* noise, int64_t* tokens,      \
                                float* logprobs, int64_t rows, int64_t vocabulary) {                                   \
    draw<T>(logits, temperature, noise, tokens, logprobs, rows, vocabulary);                                           \
  }

EXPORT(float32, float)
EXPORT(bfloat16, bfloat16)
