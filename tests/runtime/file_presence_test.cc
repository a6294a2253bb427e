// What lies at a path: files, links to files, links that lead nowhere, folders, nothing.

#include "runtime/files/presence.h"

#include <gtest/gtest.h>

#include "tests/runtime/checkpoint_bytes.h"

namespace herd::files {
namespace {

TEST(Presence, TellsFilesLinksAndFoldersApart) {
  const model::testing::TempDirectory folder;
  const std::filesystem::path root = folder.path();
  folder.write("file", "x");
  std::filesystem::create_symlink("file", root / "link");
  std::filesystem::create_symlink("gone", root / "dead");
  std::filesystem::create_directory(root / "folder");
  const struct {
    const char* name;
    bool file, dead;
  } rows[] = {{"file", true, false}, {"link", true, false}, {"dead", false, true}, {"folder", false, false},
              {"nothing", false, false}, {"file/below", false, false}};
  for (const auto& row : rows) {
    EXPECT_EQ(is_file(root / row.name), row.file) << row.name;
    EXPECT_EQ(is_dead_link(root / row.name), row.dead) << row.name;
    EXPECT_EQ(is_file_or_dead_link(root / row.name), row.file || row.dead) << row.name;
  }
}

}  // namespace
}  // namespace herd::files
