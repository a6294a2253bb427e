#include "kernels/cpu/row_logits.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>

namespace herd {
namespace {

constexpr Candidate kNobody{-INFINITY, -INFINITY, -1};
constexpr Candidate kNotANumber{NAN, NAN, -1};
// A piece of a row takes so many columns at least: below, it is done before another thread would have woken up (about 5 us; much
// longer where other processes have its core).
constexpr std::int64_t kLookColumns = 131072;  // a look at each
constexpr std::int64_t kExpColumns = 8192;     // an exponential or noise for each

}  // namespace

// body(piece, begin, end) for ranges of whole Philox groups of 64 ids, about `least` columns or more, a thread each. Returns how many.
template <class Body>
std::int64_t RowLogits::for_pieces(std::int64_t cols, std::int64_t least, const Body& body) {
  const std::int64_t pieces = std::clamp<std::int64_t>(cols / least, 1, pool_.threads());
  if (pieces == 1) {
    body(std::size_t{0}, std::int64_t{0}, cols);
    return 1;
  }
  const std::int64_t groups = (cols + 63) / 64;
  pool_.parallel_for(pieces, [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t piece = first; piece < last; piece++) {
      body(static_cast<std::size_t>(piece), groups * piece / pieces * 64, std::min(groups * (piece + 1) / pieces * 64, cols));
    }
  });
  return pieces;
}

// First the best logit: it is the answer when greedy, and its score lets a draw skip most columns.
void RowLogits::draw(const float* logits, std::int64_t cols, std::int32_t id_base, float temperature, float floor,
                  const DrawKey& key, Candidate* out) {
  const auto threads = static_cast<std::size_t>(pool_.threads());
  best_.assign(threads, kNobody);
  const auto best_of_pieces = [&] {
    *out = kNobody;
    for (const Candidate& candidate : best_) {  // ascending columns: of equals the first stays
      if (candidate.score > out->score) *out = candidate;
    }
  };
  std::atomic<bool> nan{false};
  for_pieces(cols, kLookColumns, [&](std::size_t piece, std::int64_t begin, std::int64_t end) {
    if (!kernels_.best_logit(logits, begin, end, id_base, &best_[piece])) nan = true;
  });
  if (nan) {
    *out = kNotANumber;
    return;
  }
  best_of_pieces();
  if (temperature <= 0.0F || out->id < 0) return;

  DrawArgs args{logits, id_base, temperature, floor, key, 0.0F};
  args.at_least = kernels_.draw_score(args, out->id - id_base);
  *out = kNobody;
  if (args.at_least == -INFINITY) return;  // not even the best logit takes part
  best_.assign(threads, kNobody);
  for_pieces(cols, kExpColumns, [&](std::size_t piece, std::int64_t begin, std::int64_t end) {
    kernels_.best_draw(args, begin, end, &best_[piece]);
  });
  best_of_pieces();
}

// Columns above a rising threshold are collected; whenever the buffer is full, the k best stay and the threshold
// becomes the lowest of them. Later columns must beat it: of equals the lower id wins.
void RowLogits::top_k(const float* logits, std::int64_t cols, std::int32_t id_base, std::int32_t k, Candidate* out) {
  constexpr std::int64_t kRoom = 4096;
  std::fill(out, out + k, kNobody);
  const std::int64_t wanted = std::min<std::int64_t>(k, cols);
  keys_.resize(static_cast<std::size_t>(2 * wanted + kRoom));
  const auto column_of = [](std::uint64_t key) { return static_cast<std::int64_t>(~static_cast<std::uint32_t>(key)); };
  float threshold = -INFINITY;
  std::int64_t count = 0;
  bool nan = false;
  for (std::int64_t column = 0; column < cols;) {
    count += kernels_.select_above(logits, column, cols, threshold, keys_.data() + count,
                                   static_cast<std::int64_t>(keys_.size()) - count, &column, &nan);
    if (column == cols || count <= wanted) continue;
    std::nth_element(keys_.begin(), keys_.begin() + (wanted - 1), keys_.begin() + count, std::greater<>());
    count = wanted;
    threshold = logits[column_of(keys_[static_cast<std::size_t>(wanted - 1)])];
  }
  if (nan) {
    std::fill(out, out + k, kNotANumber);
    return;
  }
  const std::int64_t found = std::min(count, wanted);
  std::partial_sort(keys_.begin(), keys_.begin() + found, keys_.begin() + count, std::greater<>());
  for (std::int64_t i = 0; i < found; i++) {
    const std::int64_t column = column_of(keys_[static_cast<std::size_t>(i)]);
    out[i] = Candidate{logits[column], logits[column], static_cast<std::int32_t>(id_base + column)};
  }
}

void RowLogits::weigh(const float* logits, std::int64_t cols, const NucleusScale& scale, NucleusBin* bins) {
  const auto whole = static_cast<std::size_t>(kNucleusBins);
  bins_.resize(whole * static_cast<std::size_t>(pool_.threads()));
  const std::int64_t pieces = for_pieces(cols, kExpColumns, [&](std::size_t piece, std::int64_t begin, std::int64_t end) {
    NucleusBin* const mine = bins_.data() + piece * whole;
    std::fill_n(mine, whole, NucleusBin{0, 0});
    kernels_.weigh(logits, scale, begin, end, mine);
  });
  std::copy_n(bins_.begin(), whole, bins);
  for (std::size_t i = whole; i < whole * static_cast<std::size_t>(pieces); i++) {
    bins[i % whole].weight += bins_[i].weight;
    bins[i % whole].columns += bins_[i].columns;
  }
}

// Every piece writes where its columns would lie if all were selected; then the gaps are closed.
void RowLogits::select(const float* logits, std::int64_t cols, const NucleusScale& scale, std::int32_t first, std::int32_t last,
                    std::int32_t* columns, float* values) {
  selected_.assign(2 * static_cast<std::size_t>(pool_.threads()), 0);  // where a piece begins, how many it has
  const std::int64_t pieces = for_pieces(cols, kLookColumns, [&](std::size_t piece, std::int64_t begin, std::int64_t end) {
    const std::size_t at = 2 * piece;
    selected_[at] = begin;
    selected_[at + 1] = kernels_.select(logits, scale, first, last, begin, end, columns + begin, values + begin);
  });
  std::int64_t next = 0;
  for (std::size_t at = 0; at < 2 * static_cast<std::size_t>(pieces); at += 2) {
    const std::int64_t begin = selected_[at], count = selected_[at + 1];
    std::copy_n(columns + begin, count, columns + next);
    std::copy_n(values + begin, count, values + next);
    next += count;
  }
}

}  // namespace herd
