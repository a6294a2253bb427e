#include "endpoint/access/access_digest.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace herd::access {
namespace {

constexpr const char* kTwo = "a key=sk-aaaaaaaa weight=2\nb key=sk-bbbbbbbb in_flight=3\n";

std::string digest_of(const std::string& text) {
  const auto keys = ApiKeys::from_text(text, "keys");
  EXPECT_TRUE(keys) << text;
  return keys ? keys_digest(keys->get()) : "";
}

TEST(AccessDigest, OfTheSameKeysIsTheSameOnEveryGateway) {
  EXPECT_EQ(digest_of(kTwo), digest_of(kTwo)) << "salts that are drawn do not count";
  EXPECT_EQ(digest_of(kTwo), digest_of("# in another order\nb in_flight=3 key=sk-bbbbbbbb\n\na weight=2 key=sk-aaaaaaaa\n"));
  EXPECT_EQ(digest_of(kTwo).size(), 16u);
  EXPECT_EQ(digest_of(kTwo).find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(keys_digest(nullptr), "-");
}

TEST(AccessDigest, OfOtherKeysNamesOrLimitsIsAnother) {
  const std::string salted = "sha256=0011223344556677:" + std::string(64, 'a');
  const std::set<std::string> all{digest_of(kTwo),
                                  digest_of("a key=sk-aaaaaaaa weight=2\n"),
                                  digest_of("a key=sk-aaaaaaaa weight=3\nb key=sk-bbbbbbbb in_flight=3\n"),
                                  digest_of("a key=sk-aaaaaaaa weight=2\nb key=sk-bbbbbbbb in_flight=4\n"),
                                  digest_of("a key=sk-aaaaaaab weight=2\nb key=sk-bbbbbbbb in_flight=3\n"),
                                  digest_of("c key=sk-aaaaaaaa weight=2\nb key=sk-bbbbbbbb in_flight=3\n"),
                                  digest_of("a " + salted + "\n"),
                                  digest_of("b " + salted + "\n")};
  EXPECT_EQ(all.size(), 8u);
}

TEST(AccessDigest, OfAResumeKeyTellsItFromOthers) {
  std::array<std::uint8_t, EventIdCodec::kKeyBytes> key{};
  const std::string zeros = resume_digest(key);
  EXPECT_EQ(zeros.size(), 16u);
  EXPECT_EQ(zeros, resume_digest(key));
  key.back() = 1;
  EXPECT_NE(zeros, resume_digest(key));
}

}  // namespace
}  // namespace herd::access
