#include "endpoint/access/api_keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "endpoint/access/hmac_sha256.h"
#include "endpoint/access/secret_file.h"
#include "runtime/text/hex.h"

namespace herd::access {
namespace {

namespace fs = std::filesystem;

std::string hex(const auto& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) text += {kDigits[byte >> 4], kDigits[byte & 15]};
  return text;
}

std::string numbered(std::string text, int number) { return text.append(std::to_string(number)); }

// SALT:HASH as a key file has it.
std::string salted(const std::string& key, const std::string& salt_hex = "00112233445566778899aabbccddeeff") {
  const auto salt = *text::hex_bytes(salt_hex);
  return salt_hex + ":" + hex(sha256({salt, std::vector<std::uint8_t>(key.begin(), key.end())}));
}

std::shared_ptr<const ApiKeys> keys_of(const std::string& text) {
  auto keys = ApiKeys::from_text(text, "keys");
  EXPECT_TRUE(keys) << keys.error().message();
  return keys ? *keys : nullptr;
}

TEST(ApiKeys, ReadsNamesKeysAndLimits) {
  const auto keys = keys_of(
      "# who may call\n"
      "\n"
      "alice key=sk-alice-1 requests_per_minute=60 prompt_tokens_per_minute=1e6 output_tokens_per_minute=0.5 "
      "in_flight=8 weight=2\n"
      "  \t # indented comment\n"
      "\tbob.B_2-c\t \tsha256=" +
      salted("sk-bob-22") + "  weight=0.001 \n" + "carol weight=1000 key=sk-carol-3");
  ASSERT_TRUE(keys);
  ASSERT_EQ(keys->keys().size(), 3U);
  const ApiKey& alice = keys->keys()[0];
  EXPECT_EQ(alice.name, "alice");
  EXPECT_EQ(alice.limits, (admission::TenantLimits{.requests_per_minute = 60,
                                                 .prompt_tokens_per_minute = 1e6,
                                                 .output_tokens_per_minute = 0.5,
                                                 .in_flight_max = 8,
                                                 .weight = 2}));
  EXPECT_EQ(keys->keys()[1].name, "bob.B_2-c");
  EXPECT_EQ(keys->keys()[1].limits.weight, 0.001);
  EXPECT_EQ(keys->keys()[2].limits, (admission::TenantLimits{.weight = 1000}));
  EXPECT_EQ(keys->find("Bearer sk-alice-1"), &keys->keys()[0]);
  EXPECT_EQ(keys->find("Bearer sk-bob-22"), &keys->keys()[1]);
  EXPECT_EQ(keys->find("Bearer sk-carol-3"), &keys->keys()[2]);
}

// So that a key's line can be made by hand: printf 'SALT bytes''KEY' | sha256sum.
TEST(ApiKeys, HashesTheSaltsBytesThenTheKey) {
  // printf '\0\1\2\3\4\5\6\7sk-by-hand' | sha256sum
  const auto keys =
      keys_of("hand sha256=0001020304050607:cb1ab7b6e866ca6385521cd7fe5fd9d2e8ded895653cac263e62c98fdc72b580");
  ASSERT_TRUE(keys);
  EXPECT_NE(keys->find("Bearer sk-by-hand"), nullptr);
}

TEST(ApiKeys, TakesTheSchemeInAnyCaseAndTheKeyAsItIs) {
  const auto keys = keys_of("alice key=sk-Alice-1");
  for (const char* header : {"Bearer sk-Alice-1", "bearer sk-Alice-1", "BEARER sk-Alice-1", "bEaReR sk-Alice-1",
                             "Bearer  sk-Alice-1", "bearer     sk-Alice-1"})
    EXPECT_EQ(keys->find(header), &keys->keys()[0]) << header;
  for (const char* header : {"", "Bearer", "Bearer ", "Bearer  ", "Bearer \tsk-Alice-1", "Bearer\tsk-Alice-1", "Bearer sk-Alice-1 ",
                             " Bearer sk-Alice-1", "Bearersk-Alice-1", "Basic sk-Alice-1", "sk-Alice-1",
                             "Bearer sk-alice-1", "Bearer sk-Alice-", "Bearer sk-Alice-12", "Bearer Bearer sk-Alice-1",
                             "Bearer sk-Alice-1,", "Bearer alice", "Bearer key=sk-Alice-1", "Bearer: sk-Alice-1"})
    EXPECT_EQ(keys->find(header), nullptr) << header;
  EXPECT_EQ(keys->find(std::string("Bearer sk-Alice-1\0", 18)), nullptr);
  EXPECT_EQ(keys->find("Bearer " + std::string(1 << 20, 'x')), nullptr);
}

TEST(ApiKeys, FindsEachOfManyUnderManySalts) {
  std::string text;
  for (int i = 0; i < 300; ++i) {
    const std::string key = numbered("sk-number-", i);
    const std::string name = numbered("n", i);
    if (i % 3 == 0) text += name + " key=" + key + "\n";
    if (i % 3 == 1) text += name + " sha256=" + salted(key) + "\n";
    if (i % 3 == 2) text += name + " sha256=" + salted(key, numbered("00000000000000", 10 + i % 50)) + "\n";
  }
  const auto keys = keys_of(text);
  ASSERT_TRUE(keys);
  for (int i = 0; i < 300; ++i) {
    const ApiKey* found = keys->find(numbered("Bearer sk-number-", i));
    ASSERT_NE(found, nullptr) << i;
    EXPECT_EQ(found->name, numbered("n", i));
  }
  EXPECT_EQ(keys->find("Bearer sk-number-300"), nullptr);
}

TEST(ApiKeys, NamesTenantsTheSameEverywhereAndApart) {
  const auto one = keys_of("alice key=sk-alice-1\nbob key=sk-bob-22");
  const auto other = keys_of("bob key=another-one\ncarol key=sk-carol-3\nalice key=and-another");
  EXPECT_EQ(one->keys()[0].tenant, other->keys()[2].tenant);
  EXPECT_EQ(one->keys()[1].tenant, other->keys()[0].tenant);
  EXPECT_EQ(one->keys()[0].tenant.value, 0x0ABF06675106DE69ULL);  // sha256("herd tenant alice"), first 8 bytes
  std::set<admission::TenantId> tenants;
  for (const ApiKey& key : other->keys()) tenants.insert(key.tenant);
  EXPECT_EQ(tenants.size(), 3U);
  EXPECT_FALSE(tenants.contains(admission::TenantId(0)));
}

struct BadLine {
  std::string line;
  std::string says;
};
void PrintTo(const BadLine& bad, std::ostream* out) { *out << testing::PrintToString(bad.line); }

class BadLines : public testing::TestWithParam<BadLine> {};

TEST_P(BadLines, AreRefusedWithTheirPlaceAndWithoutTheirSecrets) {
  const auto keys = ApiKeys::from_text("# first\ngood key=sk-good-000\n" + GetParam().line + "\n", "dir/keys.txt");
  ASSERT_FALSE(keys);
  EXPECT_EQ(keys.error().code(), StatusCode::kBadInput);
  const std::string& message = keys.error().message();
  EXPECT_TRUE(message.starts_with("dir/keys.txt:3: ")) << message;
  EXPECT_NE(message.find(GetParam().says), std::string::npos) << message;
  for (const char* secret : {"secret", "SECRET", "sk-good", "0011223344556677"})
    EXPECT_EQ(message.find(secret), std::string::npos) << message;
}

const std::string kHash = std::string(64, 'a');
INSTANTIATE_TEST_SUITE_P(
    ApiKeys, BadLines,
    testing::Values(
        BadLine{"alice", "neither key= nor sha256="}, BadLine{"sk-secret-alone", "neither key= nor sha256="},
        BadLine{"alice weight=2", "neither key= nor sha256="},
        BadLine{"alice key=sk-secret-1 sha256=0011223344556677:" + kHash, "both key= and sha256="},
        BadLine{"alice key=sk-secret-1 key=sk-secret-2", "key= is given twice"},
        BadLine{"alice key=sk-secret-1 weight=1 weight=1", "weight= is given twice"},
        BadLine{"alice key=", "at least 8"}, BadLine{"alice key=secret7", "at least 8"},
        BadLine{"alice key=secret-" + std::string(506, 'x'), "at most 512"},
        BadLine{"alice key=sk-secret-\xC3\xA4", "visible ASCII"}, BadLine{"alice key = sk-secret-1", "word 2"},
        BadLine{"alice key= sk-secret-1", "at least 8"}, BadLine{"alice sk-secret-1", "word 2"},
        BadLine{"alice key=sk-secret-1 # comment", "word 3"}, BadLine{"alice key=sk-secret-1 =", "word 3"},
        BadLine{"alice KEY=sk-secret-1", "word 2"}, BadLine{"alice key:sk-secret-1", "word 2"},
        BadLine{"alice key=sk-secret-1 limit=5", "word 3"}, BadLine{"alice key=sk-secret-1 weight", "word 3"},
        BadLine{"key=sk-secret-1", "begin with a name"}, BadLine{"al/ice key=sk-secret-1", "begin with a name"},
        BadLine{"al\xC3\xAF"
                "ce key=sk-secret-1",
                "begin with a name"},
        BadLine{"\"alice\" key=sk-secret-1", "begin with a name"},
        BadLine{std::string(65, 'n') + " key=sk-secret-1", "begin with a name"},
        BadLine{"alice key=sk-secret-1\r", "control character"},
        BadLine{std::string("alice key=sk-secret\0-1", 22), "control character"},
        BadLine{"alice key=sk-secret\x7F-1", "control character"},
        BadLine{"alice\vkey=sk-secret-1", "control character"}, BadLine{"alice sha256=", "SALT_HEX:HASH_HEX"},
        BadLine{"alice sha256=" + kHash, "SALT_HEX:HASH_HEX"}, BadLine{"alice sha256=:" + kHash, "the salt"},
        BadLine{"alice sha256=00112233445566:" + kHash, "the salt"},
        BadLine{"alice sha256=001122334455667:" + kHash, "the salt"},
        BadLine{"alice sha256=001122334455667g:" + kHash, "the salt"},
        BadLine{"alice sha256=" + std::string(130, '0') + ":" + kHash, "the salt"},
        BadLine{"alice sha256=0011223344556677:", "the hash"},
        BadLine{"alice sha256=0011223344556677:" + kHash.substr(2), "the hash"},
        BadLine{"alice sha256=0011223344556677:" + kHash + "aa", "the hash"},
        BadLine{"alice sha256=0011223344556677:" + kHash + ":aa", "the hash"},
        BadLine{"alice sha256=0011223344556677:" + kHash.substr(1) + "g", "the hash"},
        BadLine{"alice key=sk-secret-1 weight=0", "weight= needs a number from 0.001 to 1000"},
        BadLine{"alice key=sk-secret-1 weight=1001", "weight= needs"},
        BadLine{"alice key=sk-secret-1 weight=-1", "weight= needs"},
        BadLine{"alice key=sk-secret-1 weight=nan", "weight= needs"},
        BadLine{"alice key=sk-secret-1 weight=", "weight= needs"},
        BadLine{"alice key=sk-secret-1 weight=1x", "weight= needs"},
        BadLine{"alice key=sk-secret-1 weight=+1", "weight= needs"},
        BadLine{"alice key=sk-secret-1 weight=0x1", "weight= needs"},
        BadLine{"alice key=sk-secret-1 requests_per_minute=-1", "requests_per_minute= needs a number from 0 to"},
        BadLine{"alice key=sk-secret-1 requests_per_minute=inf", "requests_per_minute= needs"},
        BadLine{"alice key=sk-secret-1 requests_per_minute=1e400", "requests_per_minute= needs"},
        BadLine{"alice key=sk-secret-1 prompt_tokens_per_minute=1e13", "prompt_tokens_per_minute= needs"},
        BadLine{"alice key=sk-secret-1 output_tokens_per_minute=secret", "output_tokens_per_minute= needs"},
        BadLine{"alice key=sk-secret-1 in_flight=1.5", "in_flight= needs a whole number"},
        BadLine{"alice key=sk-secret-1 in_flight=-1", "in_flight= needs"},
        BadLine{"alice key=sk-secret-1 in_flight=1000001", "in_flight= needs"},
        BadLine{"good key=sk-secret-1", "the name of dir/keys.txt:2 again"},
        BadLine{"alice key=sk-good-000", "the key of dir/keys.txt:2 again"},
        BadLine{"alice sha256=" + salted("sk-good-000"), "again"}));

TEST(ApiKeys, RefusesAHashTwiceUnderOneSalt) {
  const auto keys = ApiKeys::from_text("a sha256=" + salted("sk-same-1") + "\nb sha256=" + salted("sk-same-1"), "f");
  ASSERT_FALSE(keys);
  EXPECT_EQ(keys.error().message(), "f:2: the key of f:1 again");
}

TEST(ApiKeys, RefusesAFileWithoutAKey) {
  for (const char* text : {"", "\n", "# nothing\n", "  \t\n\n#"}) {
    const auto keys = ApiKeys::from_text(text, "f");
    ASSERT_FALSE(keys) << text;
    EXPECT_EQ(keys.error().code(), StatusCode::kBadInput);
  }
}

TEST(ApiKeys, BoundsTheFile) {
  EXPECT_TRUE(ApiKeys::from_text("a key=sk-12345\n#" + std::string((1 << 20) - 16, 'x'), "f"));
  EXPECT_FALSE(ApiKeys::from_text("a key=sk-12345\n#" + std::string((1 << 20) - 15, 'x'), "f"));
  std::string text;
  for (int i = 0; i < 10000; ++i) text += numbered("n", i) + " key=sk-key-" + std::to_string(i) + "\n";
  const auto most = ApiKeys::from_text(text, "f");
  ASSERT_TRUE(most) << most.error().message();
  EXPECT_EQ((*most)->find("Bearer sk-key-9999"), &(*most)->keys()[9999]);
  const auto more = ApiKeys::from_text(text + "another key=sk-another\n", "f");
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().message(), "f:10001: more than 10,000 keys");
}

TEST(ApiKeys, BoundsTheSaltsOfAFile) {
  std::string text;
  for (int i = 0; i < 128; ++i)
    text += numbered("n", i) + " sha256=" + salted(numbered("sk-key-", i), numbered("000000000000", 1000 + i)) + "\n";
  const auto most = ApiKeys::from_text(text + "shares sha256=" + salted("sk-shares-1", "0000000000001000"), "f");
  ASSERT_TRUE(most) << most.error().message();
  EXPECT_EQ((*most)->find("Bearer sk-key-127"), &(*most)->keys()[127]);
  EXPECT_EQ((*most)->find("Bearer sk-shares-1"), &(*most)->keys()[128]);
  for (const std::string& another : {"other sha256=" + salted("sk-other-1"), std::string("plain key=sk-plain-1")}) {
    const auto more = ApiKeys::from_text(text + another, "f");
    ASSERT_FALSE(more) << another;
    EXPECT_EQ(more.error().code(), StatusCode::kBadInput);
    EXPECT_EQ(more.error().message(), "f:129: more than 128 different salts: keys may share one");
  }
}

TEST(ApiKeys, TakesTheKeysOfTheCommandLine) {
  const auto keys = ApiKeys::from_keys({"sk-first-1", "sk-second-2"});
  ASSERT_TRUE(keys);
  EXPECT_EQ((*keys)->keys()[1].name, "key-2");
  EXPECT_EQ((*keys)->keys()[1].limits, admission::TenantLimits{});
  EXPECT_EQ((*keys)->find("Bearer sk-second-2"), &(*keys)->keys()[1]);
  EXPECT_EQ((*keys)->find("Bearer sk-third-3"), nullptr);
  for (const std::vector<std::string>& bad : {std::vector<std::string>{"secret7"},
                                              {"sk-secret-1", ""},
                                              {"sk-secret 1"},
                                              {"sk-secret-1", "sk-secret-1"},
                                              {std::string(513, 'x')}}) {
    const auto refused = ApiKeys::from_keys(bad);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), StatusCode::kUsage);
    EXPECT_NE(refused.error().message().find("--api-key"), std::string::npos);
    EXPECT_EQ(refused.error().message().find("secret"), std::string::npos) << refused.error().message();
  }
  const auto none = ApiKeys::from_keys({});
  ASSERT_TRUE(none);
  EXPECT_EQ((*none)->find("Bearer anything-at-all"), nullptr);
}

TEST(ApiKeys, LoadsAFileOnlyItsOwnerCanRead) {
  std::string name = (fs::temp_directory_path() / "herd_keys_XXXXXX").string();
  const fs::path folder = mkdtemp(name.data());
  const std::string path = folder / "keys";
  std::ofstream(path) << "alice key=sk-alice-1\n";
  for (const mode_t mode : {0600, 0400, 0700}) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    const auto keys = ApiKeys::load(path);
    ASSERT_TRUE(keys) << keys.error().message();
    EXPECT_NE((*keys)->find("Bearer sk-alice-1"), nullptr);
  }
  for (const mode_t mode : {0640, 0604, 0660, 0666, 0644}) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    const auto keys = ApiKeys::load(path);
    ASSERT_FALSE(keys);
    EXPECT_EQ(keys.error().code(), StatusCode::kBadInput);
    EXPECT_NE(keys.error().message().find("chmod 600"), std::string::npos);
  }
  EXPECT_EQ(ApiKeys::load(folder / "none").error().code(), StatusCode::kMissing);
  EXPECT_EQ(ApiKeys::load(folder).error().code(), StatusCode::kBadInput);
  fs::remove_all(folder);
}

TEST(ApiKeys, LoadsRootsFileThatItsGroupMayRead) {
  constexpr uid_t kService = 65534;
  if (geteuid() != 0) GTEST_SKIP() << "only root can play both parts";
  std::string name = (fs::temp_directory_path() / "herd_keys_XXXXXX").string();
  const fs::path folder = mkdtemp(name.data());
  ASSERT_EQ(chmod(folder.c_str(), 0755), 0);
  const std::string path = folder / "keys";
  std::ofstream(path) << "alice key=sk-alice-1\n";
  ASSERT_EQ(chown(path.c_str(), 0, kService), 0);
  // 0: taken; 1: refused.
  const auto loaded = [&](mode_t mode) {
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    const pid_t child = fork();
    if (child == 0) _exit(setgid(kService) == 0 && setuid(kService) == 0 ? (ApiKeys::load(path) ? 0 : 1) : 2);
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
  };
  for (const mode_t mode : {0440, 0640}) EXPECT_EQ(loaded(mode), 0) << std::oct << mode;
  for (const mode_t mode : {0660, 0650, 0444, 0642, 0400}) EXPECT_EQ(loaded(mode), 1) << std::oct << mode;
  fs::remove_all(folder);
}

}  // namespace
}  // namespace herd::access
