// Logits: log-sum-exp of a leaf, the best column, a Gumbel-max draw, columns above a threshold. Included once per
// instruction set.
//
// A draw looks at 64 ids at a time (16 Philox blocks of 4 words) and skips work by bounds that hold for the computed
// values, not only for the real ones: g <= 22.88 for every word; and g <= -log(u) <= -floor(log2 u) · ln 2, because
// -log1p(-u) >= u. 0.001 of slack covers the rounding of two logs and an addition (< 1e-5) many times.

namespace herd {
namespace HERD_ISA {
namespace {

HERD_SIMD V16 load_logits(const float* row, std::int64_t column, std::int64_t begin, std::int64_t end) {
  if (column >= begin && column + 16 <= end) return load(row + column);
  alignas(64) float lanes[16];
  for (std::int64_t i = 0; i < 16; i++) {
    lanes[i] = column + i >= begin && column + i < end ? row[column + i] : -math::kInf;
  }
  return load(lanes);
}

void leaf_max_sum(const TensorView& logits, std::int64_t leaf_begin, std::int64_t leaf_end, MaxSum* out,
                  std::int64_t begin, std::int64_t end) {
  for (std::int64_t row = begin; row < end; row++) {
    const float* values = static_cast<const float*>(logits.data) + row * logits.row_stride;
    V16 highest = set1(-math::kInf);
    M16 nan = mnone();
    for (std::int64_t c = leaf_begin; c < leaf_end; c += 16) {
      const V16 v = load_logits(values, c, leaf_begin, leaf_end);
      highest = max(highest, v);
      nan = mor(nan, compare<_CMP_UNORD_Q>(v, v));
    }
    if (mbits(nan) != 0) {
      out[row].max = math::kNan;
      out[row].sum = math::kNan;
      continue;
    }
    const float max = max_lane(highest) + 0.0F;  // -0 becomes +0
    out[row].max = max;
    out[row].sum = 0.0F;
    if (max == -math::kInf) continue;
    V16 sum = zero();
    for (std::int64_t c = leaf_begin; c < leaf_end; c += 16) {  // exp(-inf) = +0 beyond the end: s + 0 = s
      sum = add(sum, exp16(sub(load_logits(values, c, leaf_begin, leaf_end), set1(max))));
    }
    out[row].sum = tree_sum(sum);
  }
}

bool best_logit(const float* logits, std::int64_t begin, std::int64_t end, std::int32_t id_base, Candidate* out) {
  V16 highest = set1(-math::kInf);
  M16 nan = mnone();
  for (std::int64_t c = begin; c < end; c += 16) {
    const V16 v = load_logits(logits, c, begin, end);
    highest = max(highest, v);
    nan = mor(nan, compare<_CMP_UNORD_Q>(v, v));
  }
  if (mbits(nan) != 0) return false;
  const float max = max_lane(highest);
  out->score = -math::kInf;
  out->logit = -math::kInf;
  out->id = -1;
  if (max == -math::kInf) return true;
  for (std::int64_t c = begin; c < end; c += 16) {
    const std::uint32_t found = mbits(compare<_CMP_EQ_OQ>(load_logits(logits, c, begin, end), set1(max)));
    if (found == 0) continue;
    const std::int64_t column = c + __builtin_ctz(found);
    out->score = logits[column];
    out->logit = logits[column];
    out->id = static_cast<std::int32_t>(id_base + column);
    return true;
  }
  return true;
}

float draw_score(const DrawArgs& args, std::int64_t column) {
  const float scaled = args.logits[column] / args.temperature;
  if (scaled == -math::kInf || !(scaled >= args.floor)) return -math::kInf;
  const auto id = static_cast<std::uint32_t>(args.id_base + column);
  return scaled + gumbel_of(draw_word(args.key.seed, args.key.choice, args.key.output_index, args.key.purpose, id));
}

// No lane is NaN here.
void best_draw(const DrawArgs& args, std::int64_t begin, std::int64_t end, Candidate* out) {
  constexpr float kGumbelBound = 22.89F;
  constexpr float kSlack = 0.001F;
  constexpr float kMinusLn2 = -0.6931473F;  // a little more than ln 2 away from zero
  out->score = -math::kInf;
  out->logit = -math::kInf;
  out->id = -1;
  float best = args.at_least;
  const V16 temperature = set1(args.temperature);
  const V16 floor = set1(args.floor);
  // Blocks of 64 ids begin at multiples of 64, so that the words of one Philox block stay together.
  const std::int64_t first = (args.id_base + begin) / 64 * 64 - args.id_base;
  // Lane 4 j + i holds the block of ids 16 i + 4 j ..: the transposition below then puts ids in order.
  const I16 order = iadd(shl<2>(iand(ilanes(), iset1(3))), shr<2>(ilanes()));
  for (std::int64_t c = first; c < end; c += 64) {
    V16 scaled[4];
    M16 hope = mnone();
    for (int j = 0; j < 4; j++) {
      const V16 v = div(load_logits(args.logits, c + 16 * j, begin, end), temperature);
      const M16 part = mand(compare<_CMP_GE_OQ>(v, floor), compare<_CMP_NEQ_OQ>(v, set1(-math::kInf)));
      scaled[j] = select(part, v, set1(-math::kInf));
      hope = mor(hope, mand(part, compare<_CMP_GE_OQ>(add(v, set1(kGumbelBound)), set1(best))));
    }
    if (mbits(hope) == 0) continue;
    I16 words[4];
    words[0] = iset1(static_cast<std::int32_t>(args.key.choice));
    words[1] = iset1(static_cast<std::int32_t>(args.key.output_index));
    words[2] = iset1(static_cast<std::int32_t>(args.key.purpose));
    words[3] = iadd(iset1(static_cast<std::int32_t>((args.id_base + c) / 4)), order);
    philox16(words, static_cast<std::uint32_t>(args.key.seed), static_cast<std::uint32_t>(args.key.seed >> 32));
    transpose4(words);
    for (int j = 0; j < 4; j++) {
      const V16 u = uniform16(words[j]);
      const V16 exponent = to_f32(isub(shr<23>(as_int(u)), iset1(127)));  // floor(log2 u), u is normal
      const V16 bound = add(scaled[j], fma(exponent, set1(kMinusLn2), set1(kSlack)));
      if (mbits(compare<_CMP_GE_OQ>(bound, set1(best))) == 0) continue;
      const V16 score = add(scaled[j], gumbel16(u));
      const float highest = max_lane(score);
      if (!(highest > out->score && highest >= best)) continue;
      const int lane = __builtin_ctz(mbits(compare<_CMP_EQ_OQ>(score, set1(highest))));
      const std::int64_t column = c + 16 * j + lane;
      out->score = highest;
      out->logit = args.logits[column];
      out->id = static_cast<std::int32_t>(args.id_base + column);
      best = highest;
    }
  }
}

// Key: the logit's bits made unsigned and ascending (-0 as +0), then ~column: descending keys are (logit descending,
// column ascending).
std::int64_t select_above(const float* logits, std::int64_t begin, std::int64_t end, float threshold,
                          std::uint64_t* keys, std::int64_t capacity, std::int64_t* next, bool* nan) {
  std::int64_t count = 0;
  M16 unordered = mnone();
  std::int64_t c = begin;
  for (; c < end && count + 16 <= capacity; c += 16) {
    const V16 v = load_logits(logits, c, begin, end);
    unordered = mor(unordered, compare<_CMP_UNORD_Q>(v, v));
    std::uint32_t found = mbits(compare<_CMP_GT_OQ>(v, set1(threshold)));
    for (; found != 0; found &= found - 1) {
      const std::int64_t column = c + __builtin_ctz(found);
      const std::uint32_t bits = bits_of(logits[column] + 0.0F);
      const std::uint32_t ascending = (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
      keys[count] = std::uint64_t{ascending} << 32 | (0xffffffffU - static_cast<std::uint32_t>(column));
      count++;
    }
  }
  *next = c < end ? c : end;
  if (mbits(unordered) != 0) *nan = true;
  return count;
}

void logit_range(const float* logits, std::int64_t begin, std::int64_t end, LogitRange* out) {
  V16 highest = set1(-math::kInf);
  V16 lowest = set1(-math::kInf);  // negated
  M16 nan = mnone();
  for (std::int64_t c = begin; c < end; c += 16) {
    const V16 v = load_logits(logits, c, begin, end);
    highest = max(highest, v);
    lowest = max(lowest, select(compare<_CMP_GT_OQ>(v, set1(-math::kInf)), neg(v), set1(-math::kInf)));
    nan = mor(nan, compare<_CMP_UNORD_Q>(v, v));
  }
  const bool number = mbits(nan) == 0;
  out->max = number ? max_lane(highest) + 0.0F : math::kNan;  // -0 becomes +0
  out->min = number ? 0.0F - max_lane(lowest) : math::kNan;
}

// nucleus_bin, line by line.
HERD_SIMD I16 nucleus_bin16(V16 t, const NucleusScale& scale) {
  const V16 last = set1(static_cast<float>(kNucleusBins - 1));
  const V16 top = set1(scale.top);
  const V16 steps = select(compare<_CMP_GE_OQ>(t, top), zero(), mul(sub(top, t), set1(scale.steps)));
  const V16 bounded = select(compare<_CMP_LT_OQ>(steps, last), steps, last);
  return iand(as_int(add(bounded, set1(0x1p23F))), iset1(0x7fffff));
}

// Weights are computed 16 at a time and added one by one: lanes may share a bin. When all do, as in rows of ties, they are added in
// a register first: a sum in memory would be waited for 16 times.
void weigh(const float* logits, const NucleusScale& scale, std::int64_t begin, std::int64_t end, NucleusBin* bins) {
  const V16 one = set1(kNucleusOne);
  const __m128i column = _mm_set_epi64x(1, 0);
  for (std::int64_t c = begin; c < end; c += 16) {
    const V16 t = div(load_logits(logits, c, begin, end), set1(scale.temperature));
    std::uint32_t part = mbits(compare<_CMP_GE_OQ>(t, set1(scale.floor)));
    if (part == 0) continue;
    const V16 below = mul(exp16(sub(t, set1(scale.max))), one);
    alignas(64) float weight[16];
    alignas(64) std::int32_t bin[16];
    store(weight, select(compare<_CMP_GE_OQ>(t, set1(scale.max)), one, below));
    const I16 bins16 = nucleus_bin16(t, scale);
    istore(bin, bins16);
    const auto lane_sum = [&](int lane) __attribute__((always_inline)) {
      return _mm_or_si128(_mm_cvtsi64_si128(static_cast<std::int64_t>(weight[lane])), column);
    };
    const auto add = [&](int lane, __m128i sum) __attribute__((always_inline)) {
      auto* const sums = reinterpret_cast<__m128i*>(bins + bin[lane]);
      _mm_storeu_si128(sums, _mm_add_epi64(_mm_loadu_si128(sums), sum));
    };
    const auto add_lane = [&](int lane) __attribute__((always_inline)) { add(lane, lane_sum(lane)); };
    const I16 first = iset1(bin[0]);
    if (part == 0xffff && mbits(mor(ilt(bins16, first), ilt(first, bins16))) == 0) {
      __m128i sum = lane_sum(0);
#pragma GCC unroll 16
      for (int lane = 1; lane < 16; lane++) sum = _mm_add_epi64(sum, lane_sum(lane));
      add(0, sum);
    } else if (part == 0xffff) {
#pragma GCC unroll 16
      for (int lane = 0; lane < 16; lane++) add_lane(lane);
    } else {
      for (; part != 0; part &= part - 1) add_lane(__builtin_ctz(part));
    }
  }
}

std::int64_t select(const float* logits, const NucleusScale& scale, std::int32_t first, std::int32_t last,
                    std::int64_t begin, std::int64_t end, std::int32_t* columns, float* values) {
  std::int64_t count = 0;
  for (std::int64_t c = begin; c < end; c += 16) {
    const V16 t = div(load_logits(logits, c, begin, end), set1(scale.temperature));
    const M16 part = compare<_CMP_GE_OQ>(t, set1(scale.floor));
    if (mbits(part) == 0) continue;
    const I16 bin = nucleus_bin16(t, scale);
    const std::uint32_t outside = mbits(mor(ilt(bin, iset1(first)), ilt(iset1(last), bin)));
    for (std::uint32_t found = mbits(part) & ~outside; found != 0; found &= found - 1) {
      const std::int64_t column = c + __builtin_ctz(found);
      columns[count] = static_cast<std::int32_t>(column);
      values[count] = logits[column];
      count++;
    }
  }
  return count;
}

}  // namespace
}  // namespace HERD_ISA
}  // namespace herd
