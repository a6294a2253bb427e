// The operations on logits of kernels/ops.h on a GPU: the bits of the reference.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "kernels/math.h"
#include "tests/kernels/cuda/cuda_fixture.h"
#include "tests/kernels/cuda/sampling_logits.h"

namespace herd {
namespace {

using namespace herd::testing;  // NOLINT

std::string text(const Candidate& c) {
  char buffer[80];
  std::snprintf(buffer, sizeof(buffer), "{%a, %a, %d}", static_cast<double>(c.score), static_cast<double>(c.logit),
                static_cast<int>(c.id));
  return buffer;
}
bool same(const Candidate& a, const Candidate& b) {
  return same_bits(a.score, b.score) && same_bits(a.logit, b.logit) && a.id == b.id;
}

class CudaSampling : public CudaTest {};

TEST_F(CudaSampling, TheMaxAndSumOfALeafAreTheReferences) {
  Random random(21);
  constexpr std::int64_t kColumns = 1000;
  constexpr std::int64_t kStride = 1007;
  std::vector<float> logits;
  for (int kind = 0; kind < kRowKinds; kind++) {
    const std::vector<float> row = logits_of(random, static_cast<RowKind>(kind), kStride);
    logits.insert(logits.end(), row.begin(), row.end());
  }
  const TensorView view{logits.data(), DType::kF32, kRowKinds, kColumns, kStride};
  const DeviceArray<float> dlogits(device(), logits);
  TensorView dview = view;
  dview.data = dlogits.data();
  struct Leaf {
    std::int64_t begin, end;
  };
  for (const Leaf& leaf : {Leaf{0, 1000}, Leaf{0, 1}, Leaf{0, 16}, Leaf{16, 31}, Leaf{32, 160}, Leaf{160, 289},
                           Leaf{992, 1007}, Leaf{48, 48}}) {
    std::vector<MaxSum> expected(kRowKinds);
    const DeviceArray<MaxSum> out(device(), std::size_t{kRowKinds});
    ops().leaf_max_sum(dview, leaf.begin, leaf.end, out.data());
    reference().leaf_max_sum(view, leaf.begin, leaf.end, expected.data());
    const std::vector<MaxSum> actual = out.host();
    for (std::size_t row = 0; row < kRowKinds; row++) {
      EXPECT_TRUE(same_bits(actual[row].max, expected[row].max) && same_bits(actual[row].sum, expected[row].sum))
          << "row " << row << " of [" << leaf.begin << ", " << leaf.end << "): {" << actual[row].max << ", "
          << actual[row].sum << "}, not {" << expected[row].max << ", " << expected[row].sum << "}";
    }
    EXPECT_TRUE(out.border_intact());
  }
}

TEST_F(CudaSampling, ADrawIsTheReferencesForEveryTemperatureFloorAndIdBase) {
  Random random(22);
  for (int kind = 0; kind < kRowKinds; kind++) {
    for (const std::int64_t columns : {0, 1, 7, 1024, 4099}) {
      const std::vector<float> logits = logits_of(random, static_cast<RowKind>(kind), columns);
      const DeviceArray<float> dlogits(device(), logits);
      for (const float temperature : {0.0F, 1e-4F, 0.7F, 40.0F}) {
        const DrawKey key{random.next(), static_cast<std::uint32_t>(random.below(9)),
                          static_cast<std::uint32_t>(random.below(9)), kDrawPurposeSample};
        const float floor = one_of(random, {-math::kInf, 0.0F, 2.0F});
        const std::int32_t id_base = one_of(random, {0, 16, 12345, 2000000002});
        Candidate expected;
        const DeviceArray<Candidate> out(device(), std::size_t{1});
        ops().draw(dlogits.data(), columns, id_base, temperature, floor, key, out.data());
        reference().draw(logits.data(), columns, id_base, temperature, floor, key, &expected);
        EXPECT_TRUE(same(out.host()[0], expected))
            << "kind " << kind << ", " << columns << " columns, temperature " << temperature << ", base " << id_base
            << ": " << text(out.host()[0]) << ", not " << text(expected);
      }
    }
  }
}

TEST_F(CudaSampling, TheBestColumnsAreTheReferencesHoweverManyAreAskedFor) {
  Random random(23);
  for (int kind = 0; kind < kRowKinds; kind++) {
    for (const std::int64_t columns : {0, 1, 33, 1000, 6001}) {
      const std::vector<float> logits = logits_of(random, static_cast<RowKind>(kind), columns);
      const DeviceArray<float> dlogits(device(), logits);
      for (const std::int32_t k : {1, 20, 256, 2049, 6500}) {
        const auto count = static_cast<std::size_t>(k);
        std::vector<Candidate> expected(count);
        const DeviceArray<Candidate> out(device(), count);
        ops().top_k(dlogits.data(), columns, 7, k, out.data());
        reference().top_k(logits.data(), columns, 7, k, expected.data());
        const std::vector<Candidate> actual = out.host();
        std::size_t place = 0;
        while (place < count && same(actual[place], expected[place])) place++;
        EXPECT_EQ(place, count) << "kind " << kind << ", " << columns << " columns: " << text(actual[place]) << ", not "
                                << text(expected[place]);
        EXPECT_TRUE(out.border_intact());
      }
    }
  }
}

// Steps of equal logits that fall together with the sizes of the runs the device sorts (2,048 wanted, 4,096 at most).
TEST_F(CudaSampling, TheBestColumnsOfStepsOfEqualLogitsAreTheReferences) {
  struct Step {
    int columns;
    float logit;
  };
  Random random(28);
  for (const std::vector<Step>& steps : std::vector<std::vector<Step>>{
           {{2040, 20.0F}, {4090, 3.0F}, {70, -1.0F}},
           {{2047, 20.0F}, {1, 19.0F}, {2048, 18.0F}, {1, -18.0F}},
           {{2048, 1.0F}, {4096, 0.5F}},
           {{4096, -0.0F}, {1, -1.0F}},
           {{1, 100.0F}, {4097, 99.0F}, {3, -99.0F}}}) {
    std::vector<float> logits;
    for (const Step& step : steps) logits.insert(logits.end(), static_cast<std::size_t>(step.columns), step.logit);
    for (std::size_t i = logits.size() - 1; i > 0; i--) {
      std::swap(logits[i], logits[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(i) + 1))]);
    }
    const auto columns = static_cast<std::int64_t>(logits.size());
    const DeviceArray<float> dlogits(device(), logits);
    for (const std::int64_t k : {std::int64_t{2047}, std::int64_t{2048}, std::int64_t{2049}, columns}) {
      const auto count = static_cast<std::size_t>(k);
      std::vector<Candidate> expected(count);
      const DeviceArray<Candidate> out(device(), count);
      ops().top_k(dlogits.data(), columns, 0, static_cast<std::int32_t>(k), out.data());
      reference().top_k(logits.data(), columns, 0, static_cast<std::int32_t>(k), expected.data());
      const std::vector<Candidate> actual = out.host();
      std::size_t place = 0;
      while (place < count && same(actual[place], expected[place])) place++;
      EXPECT_EQ(place, count) << steps[0].columns << " columns at " << steps[0].logit << " first, k = " << k;
    }
  }
}

}  // namespace
}  // namespace herd
