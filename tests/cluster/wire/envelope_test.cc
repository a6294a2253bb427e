#include "cluster/wire/envelope.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "cluster/wire/generate_codec.h"
#include "kernels/crc32c.h"

namespace herd::wire {
namespace {

constexpr step::AttemptKey kAttempt{GatewayId(5), SequenceId(7), 2};
constexpr routing::ReplicaGeneration kReplica{ReplicaId(8), Epoch(4)};

std::vector<std::byte> sealed_abort() { return seal(encode(kAttempt), Epoch(3), kReplica).value(); }

TEST(Frame, OpensAsItWasSealed) {
  const Frame frame = encode(kAttempt);
  const auto opened = open(sealed_abort());
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  EXPECT_EQ(opened->frame, frame);
  EXPECT_EQ(opened->header.cluster_epoch, Epoch(3));
  EXPECT_EQ(opened->header.replica, kReplica);
}

TEST(Frame, CutOffAnywhereIsRefused) {
  const auto bytes = sealed_abort();
  for (std::size_t length = 0; length < bytes.size(); ++length)
    EXPECT_FALSE(open(std::span(bytes).first(length)).has_value()) << length;
}

TEST(Frame, WithAnyFlippedBitIsRefused) {
  const auto bytes = sealed_abort();
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto flipped = bytes;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(open(flipped).has_value()) << bit;
  }
}

TEST(FrameHeader, OfALengthBeyondItsKindIsRefusedBeforeThePayload) {
  auto bytes = sealed_abort();
  for (std::size_t at = 8; at < 12; ++at) bytes[at] = std::byte{0xFF};
  const auto header = parse_header(std::span<const std::byte>(bytes).first<kFrameHeaderBytes>());
  ASSERT_FALSE(header.has_value());
  EXPECT_NE(header.error().message().find("at most"), std::string::npos);
}

// Its checksum is right, so that nothing but the field itself can be at fault.
TEST(FrameHeader, WithSomethingInItsReservedFieldIsRefused) {
  auto bytes = sealed_abort();
  bytes[36] = std::byte{1};
  std::fill_n(bytes.begin() + 12, 4, std::byte{0});
  const std::uint32_t crc = crc32c(bytes);
  std::memcpy(bytes.data() + 12, &crc, sizeof crc);
  const auto opened = open(bytes);
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().message().find("reserved"), std::string::npos) << opened.error().message();
}

TEST(Frame, ThatIsTooLongForItsKindIsNotSealed) {
  for (const auto kind : {FrameKind::kHello, FrameKind::kSubmission, FrameKind::kAbort, FrameKind::kTokenDeltas,
                          FrameKind::kStepPlan, FrameKind::kStepResult, FrameKind::kGatewayJoin,
                          FrameKind::kClusterView, FrameKind::kReplicaLoss, FrameKind::kRankSpec, FrameKind::kReplicaReport,
                          FrameKind::kBlockPart, FrameKind::kMoveAsk, FrameKind::kMoveGrant, FrameKind::kMoveStop,
                          FrameKind::kMoveFound, FrameKind::kMoveOver}) {
    const std::uint32_t words_max = frame_words_max(kind);
    EXPECT_GT(words_max, 0U);
    EXPECT_LE(words_max * 8ULL, 16ULL << 20) << "no message between nodes is longer than 16 MiB";
    EXPECT_TRUE(seal({kind, Words(words_max)}, Epoch(1)).has_value());
    EXPECT_FALSE(seal({kind, Words(words_max + 1)}, Epoch(1)).has_value());
    EXPECT_FALSE(seal({kind, {}}, Epoch(1)).has_value());
  }
  EXPECT_FALSE(seal({FrameKind::kUnknown, Words(1)}, Epoch(1)).has_value());
}

}  // namespace
}  // namespace herd::wire
