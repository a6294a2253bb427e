#include "kernels/splitmix64.h"

#include <gtest/gtest.h>

namespace herd {
namespace {

// The first numbers of the generator seeded with 1234567, as in the authors' and in Java's SplittableRandom.
TEST(SplitMix64, GivesThePublishedSequence) {
  std::uint64_t state = 1234567;
  for (const std::uint64_t expected : {6457827717110365317ULL, 3203168211198807973ULL, 9817491932198370423ULL,
                                       4593380528125082431ULL, 16408922859458223821ULL})
    EXPECT_EQ(splitmix64_finish(state += kSplitMix64Step), expected);
}

}  // namespace
}  // namespace herd
