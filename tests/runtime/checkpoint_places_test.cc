// Where a model may lie, and what is said of places that hold none: files are known by their first bytes, folders by
// what is in them.

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/files/file_kind.h"
#include "tests/runtime/tiny_checkpoint.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;
using namespace testing;

TEST(FileKind, IsToldByTheFirstBytes) {
  using files::FileKind;
  const std::pair<std::string, FileKind> cases[] = {
      {"", FileKind::kEmpty},
      {"GGUF", FileKind::kGguf},
      {"GGU", FileKind::kUnknown},
      {"tjgg\1\0\0\0", FileKind::kGgml},
      {"version https://git-lfs.github.com/spec/v1\n", FileKind::kGitLfsPointer},
      {" \n<!doctype HTML>", FileKind::kHtml},
      {"<HTML lang=en>", FileKind::kHtml},
      {safetensors_bytes("{}", ""), FileKind::kSafetensors},
      {"  {\"weight_map\": {}}", FileKind::kJson},
      {"{\"a\":1}\n{}", FileKind::kJson},
      {"PK\3\4", FileKind::kZip},
      {"\x80\2}q", FileKind::kPickle},
      {"\x1f\x8b\x08", FileKind::kGzip},
      {"\x7f" "ELF", FileKind::kUnknown},
  };
  for (const auto& [bytes, kind] : cases) EXPECT_EQ(files::kind_of(bytes), kind) << bytes;
  EXPECT_EQ(files::kind_of_file("/"), FileKind::kUnknown);
  EXPECT_EQ(files::kind_of_file("/nothing/there"), FileKind::kUnknown);
}

// The same bytes under any name, as the model, as its weights, and alone in a folder.
TEST(ModelPlaces, GgufIsKnownByItsBytes) {
  const auto tensors = tiny_model(true, false);
  const std::string bytes = tiny_gguf(tensors).bytes();
  const TempDirectory config;
  config.write("config.json", kConfig);
  for (const char* name : {"sha256-9f2c", "model.GGUF", "model.bin", "model.safetensors.gguf", "m"}) {
    const TempDirectory directory;
    const std::string path = directory.write(name, bytes);
    for (const auto& [model, weights] : {std::pair(path, std::string()), std::pair(path, path),
                                         std::pair(directory.path(), std::string()), std::pair(config.path(), path),
                                         std::pair(config.path(), directory.path())}) {
      const auto checkpoint = open_checkpoint(model, {.weight_path = weights, .layers = 0});
      ASSERT_TRUE(checkpoint) << name << ": " << checkpoint.error().message();
      expect_same_rows(**checkpoint, tensors);
    }
    const std::string link = config.path() + "/link";
    fs::create_symlink(path, link);
    EXPECT_EQ(error_of(link), "");
    fs::remove(link);
  }
}

TEST(ModelPlaces, AFolderIsOneWhateverItsName) {
  const auto tensors = tiny_model(true, false);
  const TempDirectory outer;
  const ModelDirectory inner(tensors);
  const std::string folder = outer.path() + "/tiny.gguf";
  fs::copy(inner.path(), folder);
  for (const auto& [model, weights] : {std::pair(folder, std::string()), std::pair(inner.path(), folder)}) {
    const auto checkpoint = open_checkpoint(model, {.weight_path = weights, .layers = 0});
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    expect_same_rows(**checkpoint, tensors);
  }
}

TEST(ModelPlaces, SafetensorsUnderAnyNameAreWeights) {
  const auto tensors = tiny_model(true, false);
  const TempDirectory directory;
  directory.write("config.json", kConfig);
  const TempDirectory elsewhere;
  for (const char* name : {"weights.bin", "blob"}) {
    const std::string path = elsewhere.write(name, safetensors_bytes(tensors, "F32"));
    const auto checkpoint = open_checkpoint(directory.path(), {.weight_path = path, .layers = 0});
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    expect_same_rows(**checkpoint, tensors);
    expect_contains(error_of(path), name + std::string(": is a safetensors file, which says nothing about its model"));
  }
}

// Who puts an adapter there may mean it.
TEST(ModelPlaces, AnAdapterBesideAModelIsAWarning) {
  const ModelDirectory directory(tiny_model(true, false));
  directory.write("adapter_config.json", "{}");
  const auto checkpoint = open_checkpoint(directory.path());
  ASSERT_TRUE(checkpoint) << checkpoint.error().message();
  ASSERT_EQ((*checkpoint)->warnings().size(), 1u);
  expect_contains((*checkpoint)->warnings()[0], "adapter_config.json: the folder holds a LoRA adapter beside the model");
}

// The folder's text side and generation_config count beside GGUF weights; the GGUF says what they leave open.
TEST(ModelPlaces, TheFolderOfAGgufCounts) {
  const auto tensors = tiny_model(true, false);
  for (const bool has_config : {true, false}) {
    const TempDirectory directory;
    if (has_config) directory.write("config.json", kConfig);
    directory.write("m.gguf", tiny_gguf(tensors).bytes());
    directory.write("tokenizer.json", "{}");
    directory.write("generation_config.json", R"({"eos_token_id":[5],"temperature":0.5})");
    const auto checkpoint = open_checkpoint(directory.path());
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    EXPECT_EQ((*checkpoint)->text().tokenizer_json, directory.path() + "/tokenizer.json");
    EXPECT_EQ((*checkpoint)->text().chat_template, "{{ messages }}");
    EXPECT_EQ((*checkpoint)->generation().temperature, 0.5);
    EXPECT_EQ((*checkpoint)->generation().eos_ids, (std::vector<TokenId>{5, 2, 3}));
    EXPECT_EQ((*checkpoint)->generation().bos_id, 1);
  }
}

// The GGUF describes its model: of a config.json beside it only the ids count, whatever else it says or leaves out.
TEST(ModelPlaces, TheConfigBesideAGgufGivesIdsOnly) {
  const std::string gguf = tiny_gguf(tiny_model(true, false)).bytes();
  for (const char* config : {R"({"model_type":"llama","eos_token_id":7})",
                             R"({"architectures":["OtherModel"],"hidden_size":-1,"eos_token_id":[7]})",
                             R"({"quantization_config":{"quant_method":"gguf"},"sliding_window":4,"eos_token_id":7})"}) {
    const TempDirectory directory;
    directory.write("m.gguf", gguf);
    directory.write("config.json", config);
    const auto checkpoint = open_checkpoint(directory.path());
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    EXPECT_EQ((*checkpoint)->generation().eos_ids, (std::vector<TokenId>{7, 2, 3})) << config;
    EXPECT_TRUE((*checkpoint)->warnings().empty()) << config;
  }
  for (const char* config : {"{", R"({"eos_token_id":"seven"})"}) {
    const TempDirectory directory;
    directory.write("m.gguf", gguf);
    directory.write("config.json", config);
    expect_contains(error_of(directory.path()), "config.json: ");
  }
}

TEST(ModelPlaces, FoldersWithoutAModelSayWhatIsThere) {
  const struct {
    std::function<void(const TempDirectory&)> fill;
    std::vector<std::string> expected;
  } cases[] = {
      {[](const TempDirectory& d) {
         d.write("adapter_config.json", R"({"base_model_name_or_path":"org/base","peft_type":"LORA"})");
         d.write("adapter_model.safetensors", safetensors_bytes("{}", ""));
       },
       {"adapter_config.json: the folder holds a LoRA adapter of org/base, which is not supported yet"}},
      {[](const TempDirectory& d) {
         d.write("config.json", kConfig);
         d.write("adapter_config.json", "{}");
         d.write("adapter_model.safetensors", safetensors_bytes("{}", ""));
       },
       {"adapter_config.json: the folder holds a LoRA adapter, which"}},
      {[](const TempDirectory& d) {
         d.write("config.json", kConfig);
         for (const char* name : {"model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors",
                                  "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors"})
           d.write(name, "");
       },
       {"has neither model.safetensors nor model.safetensors.index.json, but other safetensors files "
        "(model-00001-of-00004.safetensors, model-00002-of-00004.safetensors, model-00003-of-00004.safetensors and 1 "
        "more)",
        "--weight-path"}},
      {[](const TempDirectory& d) {
         d.write("config.json", kConfig);
         d.write("pytorch_model-00001-of-00002.bin", "PK");
         d.write("training_args.bin", "PK");
       },
       {"pytorch_model-00001-of-00002.bin: PyTorch checkpoints are not supported yet"}},
      {[](const TempDirectory& d) {
         d.write("config.json", kConfig);
         d.write("training_args.bin", "PK");
         d.write("README.md", "");
       },
       {"has neither model.safetensors nor model.safetensors.index.json; it has README.md, config.json, "
        "training_args.bin"}},
      {[](const TempDirectory& d) {
         d.write("config.json", kConfig);
         fs::create_symlink("../../blobs/1234", d.path() + "/model.safetensors");
       },
       {"model.safetensors: is a link to ../../blobs/1234, which does not exist"}},
      {[](const TempDirectory& d) {
         fs::create_symlink("gone.json", d.path() + "/config.json");
         d.write("model.safetensors", safetensors_bytes("{}", ""));
       },
       {"config.json: is a link to gone.json, which does not exist"}},
      {[](const TempDirectory& d) { fs::create_symlink("gone", d.path() + "/m.gguf"); },
       {"m.gguf: is a link to gone, which does not exist"}},
      {[](const TempDirectory& d) {
         d.write("m-00001-of-00002.gguf", "GGUF");
         d.write("m-00002-of-00002.gguf", "GGUF");
       },
       {"m-00001-of-00002.gguf: the file ends in its version"}},
      {[](const TempDirectory& d) {
         d.write("a.gguf", "GGUF");
         d.write("b.GGUF", "GGUF");
       },
       {"has several GGUF models (a.gguf, which cannot be read, b.GGUF, which cannot be read); name the file of one"}},
      {[](const TempDirectory& d) { fs::create_directory(d.path() + "/snapshots"); },
       {"it looks like a download cache: name a folder in its snapshots"}},
      {[](const TempDirectory& d) {
         d.write("config.json", kConfig);
         d.write("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 7\n");
       },
       {"model.safetensors: is not a safetensors file: it is a Git LFS pointer, not the file itself"}},
      {[](const TempDirectory& d) { d.write("config.json", "version https://git-lfs.github.com/spec/v1\n"); },
       {"config.json: not valid JSON near byte 0", "it is a Git LFS pointer"}},
      {[](const TempDirectory& d) { d.write("m.gguf", "<!DOCTYPE html>"); },
       {"m.gguf: does not begin with GGUF: it is a page of HTML"}},
  };
  for (const auto& one : cases) {
    const TempDirectory directory;
    one.fill(directory);
    const std::string error = error_of(directory.path());
    for (const std::string& part : one.expected) expect_contains(error, part);
  }
  const TempDirectory directory;
  fs::create_symlink("gone", directory.path() + "/link");
  expect_contains(error_of(directory.path() + "/link"), "/link: is a link to gone, which does not exist");
  // A tokenizer's dead link is named by who needs text.
  const ModelDirectory sound(tiny_model(true, false));
  fs::create_symlink("gone", sound.path() + "/tokenizer.json");
  EXPECT_EQ((*open_checkpoint(sound.path()))->text().tokenizer_json, sound.path() + "/tokenizer.json");
}

}  // namespace
}  // namespace herd::model
