// Every message: what goes in comes out, and whatever else comes in is refused or valid.

#include <gtest/gtest.h>

#include "tests/cluster/wire/random_values.h"

namespace herd::wire {
namespace {

constexpr int kValues = 500;

// One message kind behind one shape, so that each property is written once.
template <auto Draw, auto Decode>
struct Codec {
  static auto random(Random& random) { return Draw(random); }
  static auto decode(std::span<const std::uint64_t> words) { return Decode(words); }
};

template <class Codec>
class EveryMessage : public testing::Test {};
using Codecs = testing::Types<
    Codec<random_plan, decode_step_plan>, Codec<random_result, decode_step_result>,
    Codec<random_block_part, decode_block_part>, Codec<random_submission, decode_submission>,
    Codec<random_deltas, decode_token_deltas>, Codec<random_attempt, decode_abort>, Codec<random_hello, decode_hello>,
    Codec<random_join, decode_gateway_join>, Codec<random_view, decode_cluster_view>,
    Codec<random_loss, decode_replica_loss>, Codec<random_rank_spec, decode_rank_spec>, Codec<random_ping, decode_ping>,
    Codec<random_goodbye, decode_goodbye>, Codec<random_node_join, decode_node_join>,
    Codec<random_assignment, decode_assignment>, Codec<random_place_ask, decode_place_ask>,
    Codec<random_placed, decode_placed>, Codec<random_serving, decode_serving>, Codec<random_given_up, decode_given_up>,
    Codec<random_rank_loading, decode_rank_loading>, Codec<random_rank_ready, decode_rank_ready>,
    Codec<random_form_replica, decode_form_replica>, Codec<random_join_group, decode_join_group>,
    Codec<random_rank_joined, decode_rank_joined>, Codec<random_leave_group, decode_leave_group>,
    Codec<random_rank_left, decode_rank_left>, Codec<random_rank_failed, decode_rank_failed>,
    Codec<random_stop_replica, decode_stop_replica>, Codec<random_rank_ended, decode_rank_ended>,
    Codec<random_generation_ended, decode_generation_ended>, Codec<random_replica_report, decode_replica_report>,
    Codec<random_move_ask, decode_move_ask>, Codec<random_move_grant, decode_move_grant>,
    Codec<random_move_stop, decode_move_stop>, Codec<random_move_found, decode_move_found>,
    Codec<random_move_over, decode_move_over>,
    Codec<random_process_reports, decode_process_reports>, Codec<random_status_ask, decode_status_ask>,
    Codec<random_cluster_status, decode_cluster_status>, Codec<random_drain_ask, decode_drain_ask>,
    Codec<random_reload_ask, decode_reload_ask>, Codec<random_order_answer, decode_order_answer>,
    Codec<random_reload_prepare, decode_reload_prepare>, Codec<random_reload_prepared, decode_reload_prepared>,
    Codec<random_reload_decision, decode_reload_decision>, Codec<random_node_leaving, decode_node_leaving>,
    Codec<random_quota_demand, decode_quota_demand>, Codec<random_quota_shares, decode_quota_shares>>;
TYPED_TEST_SUITE(EveryMessage, Codecs);

TYPED_TEST(EveryMessage, ComesBackAsItWas) {
  Random random(1);
  for (int i = 0; i < kValues; ++i) {
    const auto value = TypeParam::random(random);
    ASSERT_TRUE(validate(value).ok()) << validate(value).message();
    const auto decoded = TypeParam::decode(encode(value).words);
    ASSERT_TRUE(decoded.has_value()) << decoded.error().message();
    EXPECT_EQ(*decoded, value);
  }
}

TYPED_TEST(EveryMessage, CutOffAtAnyWordIsRefused) {
  Random random(2);
  for (int i = 0; i < 20; ++i) {
    const Words words = encode(TypeParam::random(random)).words;
    for (std::size_t length = 0; length < words.size(); ++length)
      EXPECT_FALSE(TypeParam::decode(std::span(words).first(length)).has_value());
  }
}

TYPED_TEST(EveryMessage, WithWordsTooManyIsRefused) {
  Random random(3);
  Words words = encode(TypeParam::random(random)).words;
  words.push_back(0);
  EXPECT_FALSE(TypeParam::decode(words).has_value());
}

// Any result is a refusal or a value that encode may take again.
TYPED_TEST(EveryMessage, WithAFlippedBitIsRefusedOrValid) {
  Random random(4);
  for (int i = 0; i < 30; ++i) {
    const Words words = encode(TypeParam::random(random)).words;
    for (int flips = 0; flips < 200; ++flips) {
      Words flipped = words;
      for (int bit = 0; bit <= flips % 3; ++bit)
        flipped[random() % flipped.size()] ^= std::uint64_t{1} << (random() % 64);
      const auto decoded = TypeParam::decode(flipped);
      if (!decoded) continue;
      EXPECT_TRUE(validate(*decoded).ok()) << validate(*decoded).message();
      EXPECT_TRUE(TypeParam::decode(encode(*decoded).words).has_value());
    }
  }
}

TYPED_TEST(EveryMessage, OfRandomWordsIsRefusedOrValid) {
  Random random(5);
  for (int i = 0; i < 2000; ++i) {
    Words words(1 + random() % 40);
    for (auto& word : words) word = random() & random();
    words[0] = (words.size() - 1) << 32;  // one segment of the right length: past the first check
    if (const auto decoded = TypeParam::decode(words)) {
      EXPECT_TRUE(validate(*decoded).ok());
    }
  }
}

}  // namespace
}  // namespace herd::wire
