#include "runtime/kv/kv_layout_id.h"

#include <gtest/gtest.h>

#include <set>

namespace herd::kv {
namespace {

TEST(KvLayoutId, NamesEverythingThatMovesAByte) {
  const KvLayout layout{DType::kBF16, 16, 3, 64};
  EXPECT_EQ(kv_layout_id("cpu-1", layout, 30), "cpu-1/bfloat16/30x16x3x64");
  std::set<std::string> ids{kv_layout_id("cpu-1", layout, 30), kv_layout_id("sm90-1", layout, 30),
                            kv_layout_id("cpu-1", layout, 31), kv_layout_id("cpu-1", {DType::kF32, 16, 3, 64}, 30),
                            kv_layout_id("cpu-1", {DType::kBF16, 32, 3, 64}, 30),
                            kv_layout_id("cpu-1", {DType::kBF16, 16, 4, 64}, 30),
                            kv_layout_id("cpu-1", {DType::kBF16, 16, 3, 128}, 30)};
  EXPECT_EQ(ids.size(), 7U);
}

}  // namespace
}  // namespace herd::kv
