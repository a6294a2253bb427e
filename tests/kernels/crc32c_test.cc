#include "kernels/crc32c.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace herd {
namespace {

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

TEST(Crc32c, InstructionAndTablesAgree) {
  std::string text(200, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * i * 7 + 3);
  for (std::size_t begin = 0; begin < 9; ++begin) {
    for (std::size_t end = begin; end <= text.size(); ++end) {
      const auto bytes = std::as_bytes(std::span(text.data() + begin, end - begin));
      ASSERT_EQ(crc32c(bytes, 12345), crc32c_by_table(bytes, 12345)) << begin << " to " << end;
    }
  }
}

}  // namespace
}  // namespace herd
