#include "runtime/text/hex.h"

#include <gtest/gtest.h>

namespace herd::text {
namespace {

TEST(Hex, WritesTwoLowerCaseDigitsAByte) {
  const std::vector<std::uint8_t> bytes = {0x00, 0x0F, 0xA5, 0xFF};
  EXPECT_EQ(hex(bytes), "000fa5ff");
  EXPECT_EQ(hex({}), "");
}

TEST(Hex, ReadsDigitsOfEitherCase) {
  EXPECT_EQ(hex_bytes("000fA5ff"), (std::vector<std::uint8_t>{0x00, 0x0F, 0xA5, 0xFF}));
  EXPECT_EQ(hex_bytes(""), std::vector<std::uint8_t>());
}

TEST(Hex, RefusesAnOddNumberAndWhatIsNoDigit) {
  for (const char* digits : {"0", "abc", "0g", "g0", " 0", "0x", "-1", "\xFF""0"}) EXPECT_EQ(hex_bytes(digits), std::nullopt) << digits;
}

TEST(Hex, EveryByteHasTheValueItsDigitSays) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::size_t at = std::string_view("0123456789abcdefABCDEF").find(static_cast<char>(byte));
    const int expected = byte == 0 || at == std::string_view::npos ? -1 : static_cast<int>(at < 16 ? at : at - 6);
    EXPECT_EQ(hex_value(static_cast<char>(byte)), expected) << byte;
  }
}

}  // namespace
}  // namespace herd::text
