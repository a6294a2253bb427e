// Opening a model once for all that need it: with its weights, or from config.json alone.

#include "runtime/checkpoint/open_model.h"

#include <gtest/gtest.h>

#include "tests/runtime/tiny_checkpoint.h"

namespace herd::model {
namespace {

using testing::TempDirectory;

TEST(OpenModel, WithRandomWeightsNeedsConfigJsonAlone) {
  const TempDirectory folder;
  folder.write("config.json", testing::kConfig);
  ModelFiles files;
  files.path = folder.path();
  EXPECT_FALSE(open_model(files).has_value()) << "there are no weights";
  files.random_weights = true;
  files.layers = 1;
  files.random_seed = 7;
  const auto model = open_model(files);
  ASSERT_TRUE(model.has_value()) << model.error().message();
  EXPECT_EQ(model->checkpoint, nullptr);
  EXPECT_EQ(model->gguf(), nullptr);
  EXPECT_EQ(model->config().layers, 1);
  EXPECT_EQ(model->config().vocab_size, testing::kVocab);
  EXPECT_EQ(model->own_encoding(), "bfloat16");
  EXPECT_EQ(model->files.random_seed, 7U);
  files.layers = 99;
  EXPECT_EQ(open_model(files)->config().layers, testing::kLayers) << "no more than there are";
}

TEST(OpenModel, OfACheckpointHasWhatTheCheckpointSays) {
  ModelFiles files;
  files.path = "config/demo_model";
  const auto model = open_model(files);
  ASSERT_TRUE(model.has_value()) << model.error().message();
  ASSERT_NE(model->checkpoint, nullptr);
  EXPECT_EQ(model->gguf(), nullptr);
  EXPECT_EQ(model->own_encoding(), model->checkpoint->default_encoding());
  EXPECT_EQ(model->config().vocab_size, model->checkpoint->config().vocab_size);
  EXPECT_EQ(model->description.generation, model->checkpoint->generation());
  EXPECT_EQ(model->description.text.tokenizer_json, "config/demo_model/tokenizer.json");
  EXPECT_EQ(model->warnings, model->checkpoint->warnings());
}

}  // namespace
}  // namespace herd::model
