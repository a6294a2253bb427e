#include "cluster/wire/envelope.h"

#include <gtest/gtest.h>

#include <string_view>

#include "cluster/wire/generate_codec.h"

namespace herd::wire {
namespace {

std::vector<std::byte> sealed_abort() { return seal(encode(Abort{SequenceId(7)}), Epoch(3), Epoch(4)); }

// RFC 3720 appendix B.4, and the usual check value of the polynomial.
TEST(Crc32c, EqualsThePublishedVectors) {
  const auto of = [](std::string_view text) { return crc32c(std::as_bytes(std::span(text.data(), text.size()))); };
  EXPECT_EQ(of("123456789"), 0xE3069283U);
  EXPECT_EQ(of(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(of(std::string(32, '\xFF')), 0x62A8AB43U);
  EXPECT_EQ(of(""), 0U);
}

TEST(Crc32c, ContinuesOverPieces) {
  const std::string_view text = "a frame in two pieces";
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut)
    EXPECT_EQ(crc32c(bytes.subspan(cut), crc32c(bytes.first(cut))), crc32c(bytes));
}

TEST(Frame, OpensAsItWasSealed) {
  const Frame frame = encode(Abort{SequenceId(7)});
  const auto opened = open(seal(frame, Epoch(3), Epoch(4)));
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  EXPECT_EQ(opened->frame, frame);
  EXPECT_EQ(opened->header.cluster_epoch, Epoch(3));
  EXPECT_EQ(opened->header.group_epoch, Epoch(4));
  EXPECT_EQ(opened->header.id, 7U);
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

}  // namespace
}  // namespace herd::wire
