// A GGUF model in parts: any of them, or their folder, is the whole model; a part that is missing, renamed or of another
// model is named.

#include "runtime/checkpoint/gguf_parts.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/checkpoint/model_folder.h"
#include "runtime/checkpoint/open_model.h"
#include "tests/runtime/tiny_checkpoint.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;
using namespace testing;

TEST(GgufPartName, IsWhatGgufSplitWrites) {
  const auto name = gguf_part_name("a-00001-of-3-00002-of-00003.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->stem, "a-00001-of-3");
  EXPECT_EQ(name->number, 2);
  EXPECT_EQ(name->count, 3);
  EXPECT_EQ(name->of(3), "a-00001-of-3-00003-of-00003.gguf");
  EXPECT_EQ(gguf_part_name("-00001-of-00001.GGUF")->of(1), "-00001-of-00001.GGUF");
  for (const char* other :
       {"", ".gguf", "a.gguf", "a-1-of-3.gguf", "a-00001-of-00003", "a-00001-of-00003.safetensors", "a-00000-of-00003.gguf",
        "a-00004-of-00003.gguf", "a-000001-of-00003.gguf", "a-00001-of-99999999999999999999.gguf", "a-00001_of-00003.gguf",
        "00001-of-00003.gguf", "a-00001-of--0003.gguf"}) {
    EXPECT_FALSE(gguf_part_name(other)) << other;
  }
}

// The tiny model as gguf-split cuts it: the metadata in the first part, a share of the tensors in each.
struct Parts : TempDirectory {
  explicit Parts(std::size_t count, std::size_t first_takes = 2) : tensors(tiny_model(true, true)), files(count) {
    const GgufWriter whole = tiny_gguf(tensors);
    files[0].entries = whole.entries;
    files[0].entry_count = whole.entry_count;
    for (std::size_t i = 0; i < whole.tensors.size(); ++i)
      files[i < first_takes ? 0 : i % (count - 1) + 1].tensors.push_back(whole.tensors[i]);
    for (std::size_t i = 0; i < count; ++i) {
      numbers.push_back(static_cast<int>(i));
      counts.push_back(static_cast<int>(count));
      totals.push_back(static_cast<int>(whole.tensors.size()));
      names.push_back(GgufPartName{"m", 1, static_cast<int>(count), ".gguf"}.of(static_cast<int>(i) + 1));
    }
  }
  // The paths, in the order of the parts. An empty name: the part is not written; a negative number or count: not stated.
  [[nodiscard]] std::vector<std::string> save() const {
    std::vector<std::string> paths;
    for (std::size_t i = 0; i < files.size(); ++i) {
      GgufWriter file = files[i];
      if (numbers[i] >= 0) file.scalar("split.no", 2, static_cast<std::uint16_t>(numbers[i]));
      if (counts[i] >= 0) file.scalar("split.count", 2, static_cast<std::uint16_t>(counts[i]));
      if (totals[i] >= 0) file.scalar("split.tensors.count", 5, static_cast<std::int32_t>(totals[i]));
      if (!names[i].empty()) paths.push_back(write(names[i], file.bytes()));
    }
    return paths;
  }
  std::vector<FloatTensor> tensors;
  std::vector<GgufWriter> files;
  std::vector<int> numbers, counts, totals;  // of split.no, split.count, split.tensors.count
  std::vector<std::string> names;
};

TEST(GgufParts, AnyPartAndTheirFolderAreTheModel) {
  for (const std::size_t first_takes : {0u, 2u}) {
    Parts parts(3, first_takes);
    parts.files[2].tensors.push_back({"rope_freqs.weight", {kHeadDim / 2}, 0, pack({1, 1, 2, 8}, "F32")});
    for (int& total : parts.totals) ++total;
    const std::vector<std::string> paths = parts.save();
    const TempDirectory config;
    config.write("config.json", kConfig);
    std::vector<std::pair<std::string, std::string>> doors = {{parts.path(), ""}, {config.path(), parts.path()}};
    for (const std::string& path : paths) {
      doors.emplace_back(path, "");
      doors.emplace_back(config.path(), path);
    }
    for (const auto& [model, weights] : doors) {
      const auto checkpoint = open_checkpoint(model, {.weight_path = weights, .layers = 0});
      ASSERT_TRUE(checkpoint) << checkpoint.error().message();
      expect_same_rows(**checkpoint, parts.tensors);
      EXPECT_EQ((*checkpoint)->config().rope.frequency_divisors, (std::vector<float>{1, 1, 2, 8}));
      EXPECT_EQ((*checkpoint)->gguf()->file(), paths[0]) << "the vocabulary is the first part's";
      EXPECT_EQ((*checkpoint)->text().chat_template, "{{ messages }}");
      EXPECT_EQ((*checkpoint)->info("model.norm.weight")->file, paths[first_takes == 0 ? 2 : 0]);
    }
  }
}

TEST(GgufParts, AFileAloneIsOnePart) {
  for (const int count : {-1, 0, 1}) {
    const TempDirectory directory;
    GgufWriter writer = tiny_gguf(tiny_model(true, false));
    if (count >= 0) writer.scalar("split.count", 2, static_cast<std::uint16_t>(count));
    const auto parts = open_gguf_parts(directory.write("m-00001-of-00002.gguf", writer.bytes()));
    ASSERT_TRUE(parts) << parts.error().message();
    EXPECT_EQ(parts->size(), 1u);
    EXPECT_EQ(main_encoding(*parts), "float32");
    EXPECT_EQ(find_tensor(*parts, "output_norm.weight").tensor->shape, std::vector<std::int64_t>{kHidden});
    EXPECT_EQ(find_tensor(*parts, "nothing").file, nullptr);
  }
}

TEST(GgufParts, ContradictionsNameThePart) {
  const struct {
    std::vector<std::string> expected;
    std::function<void(Parts&)> spoil;
  } cases[] = {
      {{"is one of 3 parts of a model; missing beside it: m-00002-of-00003.gguf"}, [](Parts& p) { p.names[1] = ""; }},
      {{"m-00002-of-00003.gguf: is one of 3 parts", "missing beside it: m-00001-of-00003.gguf, m-00003-of-00003.gguf"},
       [](Parts& p) { p.names[0] = p.names[2] = ""; }},
      {{"m-00002-of-00003.gguf: split.no: it is part 3 of the model, but part 2 by its name (renamed?)"},
       [](Parts& p) { std::swap(p.names[1], p.names[2]); }},
      {{"m-00003-of-00003.gguf: split.no: it is part 2 of the model"}, [](Parts& p) { p.numbers[2] = 1; }},
      {{"m-00002-of-00003.gguf: split.no: is missing"}, [](Parts& p) { p.numbers[1] = -1; }},
      {{"m-00003-of-00003.gguf: split.count: 4, but by its name the model has 3 parts"}, [](Parts& p) { p.counts[2] = 4; }},
      {{"m-00003-of-00003.gguf: split.count: 1, but by its name the model has 3 parts"}, [](Parts& p) { p.counts[2] = -1; }},
      {{"split.count: 5000 is not in [0, 4096]"}, [](Parts& p) { p.counts[0] = 5000; }},
      {{"m-00001-of-00003.gguf: split.tensors.count: 30, but the 3 parts have 27 tensors together"},
       [](Parts& p) { p.totals[0] = 30; }},
      {{"m-00001-of-00003.gguf: model.layers.", ": tensor is missing"},
       [](Parts& p) {
         p.files[2].tensors.pop_back();
         p.totals = {-1, -1, -1};
       }},
      {{"(output_norm.weight): occurs twice with different values, first in "},
       [](Parts& p) {
         p.files[2].tensors.push_back(find(p.files[0], "output_norm.weight"));
         p.files[2].tensors.back().data[0] ^= 1;
         p.totals = {28, 28, 28};
       }},
  };
  for (const auto& broken : cases) {
    Parts parts(3);
    broken.spoil(parts);
    (void)parts.save();
    const std::string error = error_of(parts.path());
    for (const std::string& part : broken.expected) expect_contains(error, part);
  }
  const Parts parts(3);
  (void)parts.save();
  parts.write(parts.names[1], "{}");
  expect_contains(error_of(parts.path()), "m-00002-of-00003.gguf: does not begin with GGUF");
  const std::string renamed = parts.path() + "/whole.gguf";
  fs::rename(parts.path() + "/" + parts.names[0], renamed);
  expect_contains(error_of(renamed), "whole.gguf: split.count: is one of 3 parts of a model, but its name does not end");
  EXPECT_EQ(open_checkpoint(parts.path() + "/" + parts.names[2]).error().code(), StatusCode::kMissing);
}

// The matrices of a model as bfloat16, which holds all of its values.
GgufWriter halved(GgufWriter writer) {
  for (GgufWriter::Tensor& tensor : writer.tensors) {
    if (tensor.dims.size() != 2) continue;
    std::string data;
    for (std::size_t i = 0; i < tensor.data.size(); i += 4) data.append(tensor.data, i + 2, 2);
    tensor.data = data;
    tensor.type = 30;
  }
  return writer;
}

// A folder of several models, one of them in parts: the encoding that is asked for chooses, else the list is shown.
TEST(GgufFolder, TheEncodingChooses) {
  Parts parts(2);
  for (GgufWriter& file : parts.files) file = halved(file);
  const std::string first = parts.save().front();
  const std::string whole = parts.write("a.gguf", tiny_gguf(parts.tensors).bytes());
  parts.write("z.gguf", "GGUF");
  const std::string list = parts.path() + ": has several GGUF models (a.gguf in float32, m-00001-of-00002.gguf in bfloat16, " +
                           "z.gguf, which cannot be read)";
  const std::string way_out = "; name the file of one of them (--quantization-encoding chooses where only one is in it)";
  EXPECT_EQ(gguf_in(parts.path(), "").error().message(), list + way_out);
  EXPECT_EQ(gguf_in(parts.path(), "q8_0").error().message(), list + ", none of them in q8_0" + way_out);
  EXPECT_EQ(*gguf_in(parts.path(), "float32"), whole);
  EXPECT_EQ(*gguf_in(parts.path(), "bfloat16"), first);
  for (const std::string& weights : {std::string(), parts.path()}) {
    ModelFiles files;
    files.path = parts.path();
    files.weight_path = weights;
    expect_contains(open_model(files).error().message(), "has several GGUF models");
    const auto model = open_model(files, "bfloat16");
    ASSERT_TRUE(model) << model.error().message();
    EXPECT_EQ(model->files.path, files.path);
    EXPECT_EQ(model->files.weight_path, first) << "ranks open it by its name";
    EXPECT_EQ(model->own_encoding(), "bfloat16");
    expect_same_rows(*model->checkpoint, parts.tensors);
    EXPECT_EQ(open_model(model->files)->own_encoding(), "bfloat16");
  }
  parts.write("b.gguf", halved(tiny_gguf(parts.tensors)).bytes());
  expect_contains(gguf_in(parts.path(), "bfloat16").error().message(), ", more than one of them in bfloat16; name the file");
  EXPECT_EQ(*gguf_in(parts.path(), "float32"), whole);
}

// One model needs no choice: the encoding is then what it is computed in.
TEST(GgufFolder, OneModelIsTakenWhateverTheEncoding) {
  const TempDirectory folder;
  ModelFiles files;
  files.path = folder.path();
  EXPECT_EQ(*gguf_in(folder.path(), "bfloat16"), "");
  folder.write("m.gguf", tiny_gguf(tiny_model(true, false)).bytes());
  const auto model = open_model(files, "bfloat16");
  EXPECT_EQ(model->own_encoding(), "float32");
  EXPECT_EQ(model->files, files);
  const ModelDirectory directory(tiny_model(true, false));
  directory.write("a.gguf", "GGUF");
  directory.write("b.gguf", "GGUF");
  files.path = directory.path();
  EXPECT_EQ(open_model(files, "bfloat16")->files, files) << "safetensors come first";
}

}  // namespace
}  // namespace herd::model
