// Files that are there whole or not at all.

#include "runtime/files/new_file.h"

#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "tests/runtime/checkpoint_bytes.h"

namespace herd::files {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::size_t entries(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(NewFile, TakesItsNameWhenItIsComplete) {
  const model::testing::TempDirectory folder;
  const std::filesystem::path path = std::filesystem::path(folder.path()) / "new";
  auto file = NewFile::create(path.string(), 6, false);
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_TRUE((*file)->write(3, bytes_of("def")).ok());
  EXPECT_TRUE((*file)->write(0, bytes_of("abc")).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE((*file)->complete().ok());
  EXPECT_EQ(content(path), "abcdef");
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(NewFile, LeavesNothingWhenItIsGivenUp) {
  const model::testing::TempDirectory folder;
  for (const bool replaces : {false, true}) {
    auto file = NewFile::create((std::filesystem::path(folder.path()) / "new").string(), 3, replaces);
    ASSERT_TRUE(file);
    EXPECT_TRUE((*file)->write(0, bytes_of("abc")).ok());
  }
  EXPECT_EQ(entries(folder.path()), 0u);
}

TEST(NewFile, ReplacesOnlyWhereThatIsAskedFor) {
  const model::testing::TempDirectory folder;
  folder.write("old", "old");
  const std::filesystem::path path = std::filesystem::path(folder.path()) / "old";
  const auto refused = NewFile::create(path.string(), 3, false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::kUsage);
  auto file = NewFile::create(path.string(), 3, true);
  ASSERT_TRUE(file);
  EXPECT_TRUE((*file)->write(0, bytes_of("new")).ok());
  EXPECT_EQ(content(path), "old");
  EXPECT_TRUE((*file)->complete().ok());
  EXPECT_EQ(content(path), "new");
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(NewFile, DoesNotTakeANameThatAppearedMeanwhile) {
  const model::testing::TempDirectory folder;
  const std::filesystem::path path = std::filesystem::path(folder.path()) / "new";
  auto file = NewFile::create(path.string(), 1, false);
  ASSERT_TRUE(file);
  folder.write("new", "another's");
  EXPECT_FALSE((*file)->complete().ok());
  EXPECT_EQ(content(path), "another's");
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(NewFile, RefusesWhatIsNoPlaceForAFile) {
  const model::testing::TempDirectory folder;
  const std::filesystem::path root(folder.path());
  EXPECT_EQ(NewFile::create(root.string(), 0, true).error().code(), StatusCode::kUsage);
  EXPECT_EQ(NewFile::create((root / "none" / "new").string(), 0, true).error().code(), StatusCode::kMissing);
  EXPECT_EQ(NewFile::create((root / "new").string(), std::uint64_t{1} << 60, true).error().code(), StatusCode::kMissing);
  EXPECT_EQ(entries(root), 0u);
}

}  // namespace
}  // namespace herd::files
