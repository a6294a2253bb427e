#include "kernels/philox.h"

#include <array>
#include <cmath>

#include <gtest/gtest.h>

#include "kernels/device.h"

namespace herd {
namespace {

// kat_vectors of Random123 (Salmon et al. 2011), lines "philox4x32 10".
TEST(Philox, GivesTheKnownAnswers) {
  struct Known {
    PhiloxBlock counter;
    std::uint32_t key[2];
    PhiloxBlock answer;
  };
  const Known known[] = {
      {{{0, 0, 0, 0}}, {0, 0}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
      {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
       {0xffffffff, 0xffffffff},
       {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
      {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
       {0xa4093822, 0x299f31d0},
       {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
  };
  for (const Known& k : known) {
    const PhiloxBlock block = philox4x32(k.counter, k.key[0], k.key[1]);
    for (int i = 0; i < 4; i++) EXPECT_EQ(block.word[i], k.answer.word[i]);
  }
}

TEST(Philox, DrawWordPlacesItsArguments) {
  const PhiloxBlock block = philox4x32({{7, 8, 9, 1234}}, 0x55667788U, 0x11223344U);
  for (std::uint32_t i = 0; i < 4; i++) {
    EXPECT_EQ(draw_word(0x1122334455667788ULL, 7, 8, 9, 1234 * 4 + i), block.word[i]);
  }
}

TEST(Gumbel, UniformIsInsideZeroAndOne) {
  set_kernel_float_mode();
  EXPECT_EQ(uniform_of(0), 0x1p-33F);
  EXPECT_EQ(uniform_of(0xffffffffU), 1.0F - 0x1p-24F);
  EXPECT_EQ(uniform_of(0x80000000U), 0.5F);
  float before = 0.0F;
  for (std::uint64_t x = 0; x < (1ULL << 32); x += 4099) {
    const float u = uniform_of(static_cast<std::uint32_t>(x));
    ASSERT_GE(u, before);
    ASSERT_LT(u, 1.0F);
    before = u;
  }
}

TEST(Gumbel, IsFiniteAndAccurateFromEndToEnd) {
  set_kernel_float_mode();
  for (std::uint64_t x = 0; x < (1ULL << 32); x = x < 100000 ? x + 7 : x + 8191) {
    for (const std::uint32_t word : {static_cast<std::uint32_t>(x), ~static_cast<std::uint32_t>(x)}) {
      const float g = gumbel_of(word);
      ASSERT_GT(g, -2.82F);
      ASSERT_LT(g, 22.88F);
      ASSERT_NEAR(g, -std::log(-std::log1p(-static_cast<double>(uniform_of(word)))), 1e-6) << word;
    }
  }
}

// The way a draw uses it: argmax(log p + g) over ids follows p. Fixed seed, so the statistic is one number.
TEST(Gumbel, MaxFollowsTheDistribution) {
  set_kernel_float_mode();
  constexpr std::array<double, 8> kProbability = {0.4, 0.25, 0.15, 0.1, 0.05, 0.03, 0.015, 0.005};
  constexpr int kDraws = 40000;
  std::array<int, 8> wins{};
  for (std::uint32_t draw = 0; draw < kDraws; draw++) {
    std::size_t best = 0;
    float best_score = -1e30F;
    for (std::uint32_t id = 0; id < 8; id++) {
      const float score = log_f32(static_cast<float>(kProbability[id])) + gumbel_of(draw_word(42, 0, draw, 0, id));
      if (score > best_score) {
        best_score = score;
        best = id;
      }
    }
    wins[best]++;
  }
  double chi_square = 0;
  for (std::size_t id = 0; id < 8; id++) {
    const double expected = kProbability[id] * kDraws;
    chi_square += (wins[id] - expected) * (wins[id] - expected) / expected;
  }
  EXPECT_LT(chi_square, 18.48);  // 7 degrees of freedom, 1 %
}

}  // namespace
}  // namespace herd
