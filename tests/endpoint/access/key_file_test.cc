#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "endpoint/access/event_id.h"

namespace herd::access {
namespace {

namespace fs = std::filesystem;

struct KeyFileTest : testing::Test {
  KeyFileTest() {
    std::string name = (fs::temp_directory_path() / "herd_key_XXXXXX").string();
    folder = mkdtemp(name.data());
  }
  ~KeyFileTest() override { fs::remove_all(folder); }
  std::string write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    const std::string path = folder / name;
    std::ofstream(path) << text;
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }
  static unsigned mode_of(const fs::path& path) {
    struct stat about {};
    EXPECT_EQ(stat(path.c_str(), &about), 0) << path;
    return about.st_mode & 07777;
  }
  static std::string text_of(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  fs::path folder;
};

const std::string kText = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\n";

TEST(RandomKey, IsAnotherEachTime) {
  std::set<std::array<std::uint8_t, EventIdCodec::kKeyBytes>> keys;
  for (int i = 0; i < 100; ++i) keys.insert(random_key());
  EXPECT_EQ(keys.size(), 100U);
}

TEST_F(KeyFileTest, ReadsHexadecimalDigitsOfEitherCase) {
  const auto key = load_or_make_key(write("key", kText));
  ASSERT_TRUE(key) << key.error().message();
  for (std::size_t i = 0; i < key->size(); ++i) EXPECT_EQ((*key)[i], i);
}

TEST_F(KeyFileTest, MakesAKeyForItsOwnerAloneAndFindsItAgain) {
  const std::string path = folder / "a" / "b" / "key";
  const mode_t before = umask(0);  // the worst one
  const auto made = load_or_make_key(path);
  umask(before);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(mode_of(path), 0600U);
  EXPECT_EQ(mode_of(folder / "a"), 0700U);
  EXPECT_EQ(mode_of(folder / "a" / "b"), 0700U);
  EXPECT_EQ(text_of(path).size(), 65U);
  const auto found = load_or_make_key(path);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(*found, *made);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "a" / "b"), {}), 1) << "no draft is left";
}

TEST_F(KeyFileTest, LeavesTheModeOfFoldersThatAreThere) {
  ASSERT_EQ(chmod(folder.c_str(), 0755), 0);
  ASSERT_TRUE(load_or_make_key(folder / "key"));
  EXPECT_EQ(mode_of(folder), 0755U);
}

TEST_F(KeyFileTest, GivesOneKeyToAllThatStartAtOnce) {
  for (int round = 0; round < 20; ++round) {
    const std::string path = folder / std::to_string(round) / "key";
    std::vector<Expected<std::array<std::uint8_t, EventIdCodec::kKeyBytes>>> keys(8, fail(missing("not run")));
    std::vector<std::thread> starters;
    for (auto& key : keys) starters.emplace_back([&key, &path] { key = load_or_make_key(path); });
    for (std::thread& starter : starters) starter.join();
    for (const auto& key : keys) {
      ASSERT_TRUE(key) << key.error().message();
      EXPECT_EQ(*key, *keys[0]);
    }
  }
}

TEST_F(KeyFileTest, RefusesAFileThatOthersHaveRightsTo) {
  for (const mode_t mode : {0640, 0604, 0620, 0602, 0610, 0601, 0644, 0666, 0777}) {
    const auto key = load_or_make_key(write("key", kText, mode));
    ASSERT_FALSE(key) << std::oct << mode;
    EXPECT_EQ(key.error().code(), StatusCode::kBadInput);
    EXPECT_NE(key.error().message().find("chmod 600"), std::string::npos) << key.error().message();
  }
  EXPECT_TRUE(load_or_make_key(write("key", kText, 0400)));
}

TEST_F(KeyFileTest, RefusesAnythingButAKeyAndLeavesItAsItIs) {
  const std::string digits = kText.substr(0, 64);
  for (const std::string& text :
       {std::string(), std::string("\n"), digits, digits + "\n\n", digits + "0\n", digits + "\r\n",
        digits.substr(1) + "\n", digits.substr(1) + "g\n", std::string(" ") + digits.substr(1) + "\n",
        std::string("0x") + digits.substr(2) + "\n", std::string(65, '\0'), std::string(1 << 20, '0')}) {
    const std::string path = write("key", text);
    const auto key = load_or_make_key(path);
    ASSERT_FALSE(key) << text.substr(0, 80);
    EXPECT_EQ(key.error().code(), StatusCode::kBadInput);
    EXPECT_NE(key.error().message().find(path), std::string::npos);
    EXPECT_TRUE(text.size() < 8 || key.error().message().find(text.substr(0, 8)) == std::string::npos);
    EXPECT_EQ(text_of(path), text);
  }
}

TEST_F(KeyFileTest, FollowsALinkToAFile) {
  write("real", kText);
  fs::create_symlink(folder / "real", folder / "link");
  EXPECT_TRUE(load_or_make_key(folder / "link"));
}

TEST_F(KeyFileTest, SaysThatALinkLeadsNowhere) {
  fs::create_symlink(folder / "gone", folder / "link");
  const auto key = load_or_make_key(folder / "link");
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().code(), StatusCode::kMissing);
  EXPECT_FALSE(fs::exists(folder / "gone"));
}

TEST_F(KeyFileTest, RefusesWhatIsNoFile) {
  EXPECT_EQ(load_or_make_key(folder).error().code(), StatusCode::kBadInput);
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(load_or_make_key(pipe).error().code(), StatusCode::kBadInput);
}

TEST_F(KeyFileTest, SaysWhenNoFileCanBeMade) {
  const auto under_a_file = load_or_make_key(write("file", "x") + "/key");
  ASSERT_FALSE(under_a_file);
  EXPECT_EQ(under_a_file.error().code(), StatusCode::kMissing);
  EXPECT_EQ(load_or_make_key("").error().code(), StatusCode::kMissing);
  EXPECT_EQ(load_or_make_key("/proc/herd/key").error().code(), StatusCode::kMissing);
}

TEST_F(KeyFileTest, MakesAKeyBesideTheProcessForABareName) {
  const fs::path before = fs::current_path();
  fs::current_path(folder);
  const auto made = load_or_make_key("key");
  const auto nested = load_or_make_key("sub/key");
  fs::current_path(before);
  EXPECT_TRUE(made) << made.error().message();
  EXPECT_TRUE(nested) << nested.error().message();
  EXPECT_TRUE(fs::exists(folder / "key") && fs::exists(folder / "sub" / "key"));
}

}  // namespace
}  // namespace herd::access
