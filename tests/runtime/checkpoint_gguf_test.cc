// One GGUF file: typed metadata, tensor table, and every way in which a header can lie.

#include "runtime/checkpoint/gguf_file.h"

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/runtime/checkpoint_bytes.h"

namespace herd::model {
namespace {

using testing::append;
using testing::as_bytes;
using testing::GgufWriter;

std::string gguf_error(std::string_view bytes) {
  const auto file = GgufFile::parse(as_bytes(bytes), "m.gguf");
  return file ? "" : file.error().message();
}

GgufWriter small_file() {
  GgufWriter writer;
  writer.text("general.architecture", "llama");
  writer.scalar("a.u8", 0, std::uint8_t{200});
  writer.scalar("a.i8", 1, std::int8_t{-3});
  writer.scalar("a.u16", 2, std::uint16_t{60000});
  writer.scalar("a.i16", 3, std::int16_t{-300});
  writer.u32("a.u32", 4'000'000'000u);
  writer.scalar("a.i32", 5, std::int32_t{-70000});
  writer.f32("a.f32", 0.5F);
  writer.scalar("a.bool", 7, std::uint8_t{1});
  writer.scalar("a.u64", 10, std::uint64_t{1} << 40);
  writer.scalar("a.i64", 11, std::int64_t{-1});
  writer.scalar("a.f64", 12, 1e-5);
  writer.scalar("a.huge", 10, ~std::uint64_t{0});
  writer.texts("a.texts", {"x", "", "long text"});
  writer.i32s("a.i32s", {1, -2, 3});
  writer.tensors.push_back({"w", {32, 2}, 8, std::string(68, 'q')});
  writer.tensors.push_back({"v", {3}, 0, std::string(12, 'f')});
  return writer;
}

TEST(GgufFile, ReadsEveryMetadataType) {
  for (const std::uint32_t version : {2u, 3u}) {
    GgufWriter writer = small_file();
    writer.version = version;
    const std::string bytes = writer.bytes();
    const auto file = GgufFile::parse(as_bytes(bytes), "m.gguf");
    ASSERT_TRUE(file) << file.error().message();
    EXPECT_EQ(file->version(), version);
    const std::pair<const char*, std::int64_t> integers[] = {{"a.u8", 200},
                                                             {"a.i8", -3},
                                                             {"a.u16", 60000},
                                                             {"a.i16", -300},
                                                             {"a.u32", 4000000000},
                                                             {"a.i32", -70000},
                                                             {"a.u64", std::int64_t{1} << 40},
                                                             {"a.i64", -1}};
    for (const auto& [key, expected] : integers) EXPECT_EQ(file->integer(key)->value(), expected) << key;
    EXPECT_EQ(file->number("a.f32")->value(), 0.5);
    EXPECT_EQ(file->number("a.f64")->value(), 1e-5);
    EXPECT_EQ(file->number("a.i8")->value(), -3.0);
    EXPECT_EQ(file->boolean("a.bool")->value(), true);
    EXPECT_EQ(file->string("general.architecture")->value(), "llama");
    EXPECT_EQ(*file->strings("a.texts"), (std::vector<std::string_view>{"x", "", "long text"}));
    EXPECT_EQ(*file->integers("a.i32s"), (std::vector<std::int64_t>{1, -2, 3}));
    EXPECT_FALSE(file->integer("absent")->has_value());
    EXPECT_TRUE(file->strings("absent")->empty());
    EXPECT_EQ(file->integer("a.f32").error().message(), "m.gguf: a.f32: is f32, expected an integer below 2^63");
    EXPECT_NE(file->integer("a.huge").error().message().find("a.huge: is u64"), std::string::npos);
    EXPECT_NE(file->strings("a.i32s").error().message().find("is an array of i32"), std::string::npos);
    EXPECT_NE(file->number("a.texts").error().message().find("is an array of string"), std::string::npos);
  }
}

// Nobody needs what they hold: what stands behind them is read, and whoever asks for one is told what it is.
TEST(GgufFile, ArraysOfArraysArePassedOver) {
  GgufWriter writer = small_file();
  writer.begin_entry("b.nested", 9);
  append(writer.entries, std::uint32_t{9});
  append(writer.entries, std::uint64_t{3});
  append(writer.entries, std::uint32_t{8});  // strings
  append(writer.entries, std::uint64_t{2});
  GgufWriter::put_string(writer.entries, "one");
  GgufWriter::put_string(writer.entries, "");
  append(writer.entries, std::uint32_t{3});  // i16
  append(writer.entries, std::uint64_t{1});
  append(writer.entries, std::int16_t{-1});
  append(writer.entries, std::uint32_t{9});  // arrays, none
  append(writer.entries, std::uint64_t{0});
  writer.u32("c.behind", 5);
  const std::string bytes = writer.bytes();
  const auto file = GgufFile::parse(as_bytes(bytes), "m.gguf");
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->integer("c.behind")->value(), 5);
  EXPECT_EQ(file->value("b.nested")->count, 3u);
  const std::string wrong = "m.gguf: b.nested: is an array of array, expected ";
  EXPECT_EQ(file->integers("b.nested").error().message(), wrong + "an array of integers below 2^63");
  EXPECT_EQ(file->strings("b.nested").error().message(), wrong + "an array of strings");
  EXPECT_EQ(file->floats("b.nested").error().message(), wrong + "an array of f32");
  EXPECT_EQ(file->integer("b.nested").error().message(), wrong + "an integer below 2^63");
  EXPECT_NE(file->find("w"), nullptr);
  for (std::size_t n = 0; n < bytes.size(); ++n) EXPECT_NE(gguf_error(std::string_view(bytes).substr(0, n)), "") << n;
}

TEST(GgufFile, ListsTensorsInHuggingFaceOrder) {
  const std::string bytes = small_file().bytes();
  const auto file = GgufFile::parse(as_bytes(bytes), "m.gguf");
  ASSERT_TRUE(file) << file.error().message();
  const GgufTensor* w = file->find("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->shape, (std::vector<std::int64_t>{2, 32}));
  EXPECT_EQ(w->encoding(), WeightFormat::kQ8_0);
  EXPECT_EQ(w->encoding_text(), "q8_0");
  EXPECT_EQ(w->end - w->begin, 68u);
  char byte;
  ASSERT_TRUE(file->bytes()->read(w->begin + 67, std::as_writable_bytes(std::span(&byte, 1))).ok());
  EXPECT_EQ(byte, 'q');
  ASSERT_TRUE(file->bytes()->read(file->find("v")->begin, std::as_writable_bytes(std::span(&byte, 1))).ok());
  EXPECT_EQ(byte, 'f');
}

TEST(GgufFile, ListsTypesItCannotRead) {
  GgufWriter writer;
  writer.tensors.push_back({"k", {256}, 11, std::string(110, 'k')});
  writer.tensors.push_back({"future", {5}, 99, std::string(3, 'f')});
  const std::string bytes = writer.bytes();
  const auto file = GgufFile::parse(as_bytes(bytes), "m.gguf");
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->find("k")->type_name(), "Q3_K");
  EXPECT_EQ(file->find("k")->encoding_text(), "q3_k");
  EXPECT_FALSE(file->find("k")->encoding());
  EXPECT_EQ(file->find("future")->type_name(), "type 99");
  EXPECT_EQ(file->find("future")->encoding_text(), "type 99");
}

TEST(GgufFile, BrokenFilesAreRefusedByName) {
  const std::string q8(34, 'q');
  const struct {
    const char* expected;
    std::function<void(GgufWriter&)> spoil;
  } cases[] = {
      {"version 1 is not supported", [](GgufWriter& w) { w.version = 1; }},
      {"version 4 is not supported", [](GgufWriter& w) { w.version = 4; }},
      {"big-endian", [](GgufWriter& w) { w.version = 0x03000000; }},
      {"tensor count 18446744073709551615 does not fit",
       [](GgufWriter& w) { w.extra_tensors = ~std::uint64_t{0} - 2; }},
      {"tensor count 1000001 does not fit", [](GgufWriter& w) { w.extra_tensors = 999'999; }},
      {"metadata count 9223372036854775823 does not fit",
       [](GgufWriter& w) { w.extra_entries = std::uint64_t{1} << 63; }},
      {"general.alignment: 48 is not a power of two", [](GgufWriter& w) { w.u32("general.alignment", 48); }},
      {"general.alignment: 0 is not a power of two", [](GgufWriter& w) { w.u32("general.alignment", 0); }},
      {"general.alignment: 8192 is not a power of two", [](GgufWriter& w) { w.u32("general.alignment", 8192); }},
      {"general.alignment: is string", [](GgufWriter& w) { w.text("general.alignment", "32"); }},
      {"key \"a.u8\": occurs twice", [](GgufWriter& w) { w.u32("a.u8", 1); }},
      {"key \"n\": has arrays in arrays, more than 4 deep",
       [](GgufWriter& w) {
         w.begin_entry("n", 9);
         for (int depth = 1; depth <= 5; ++depth) {
           append(w.entries, std::uint32_t{depth == 5 ? 0u : 9u});
           append(w.entries, std::uint64_t{1});
         }
         append(w.entries, std::uint8_t{7});
       }},
      {"key \"n\": value type 13 is unknown",
       [](GgufWriter& w) {
         w.begin_entry("n", 9);
         append(w.entries, std::uint32_t{9});
         append(w.entries, std::uint64_t{1});
         append(w.entries, std::uint32_t{13});
         append(w.entries, std::uint64_t{1});
       }},
      {"key \"n\": value type 13 is unknown", [](GgufWriter& w) { w.scalar("n", 13, std::uint64_t{0}); }},
      {"key \"n\": 1152921504606846976 elements do not fit",
       [](GgufWriter& w) {
         w.begin_entry("n", 9);
         append(w.entries, std::uint32_t{4});
         append(w.entries, std::uint64_t{1} << 60);
       }},
      {"key \"n\": a string goes beyond",
       [](GgufWriter& w) {
         w.begin_entry("n", 8);
         append(w.entries, ~std::uint64_t{0});
       }},
      {"a metadata key goes beyond", [](GgufWriter& w) { w.u32(std::string(65536, 'k'), 1); }},
      {"a tensor's name goes beyond",
       [](GgufWriter& w) {
         w.tensors.push_back({std::string(257, 'n'), {1}, 0, "ffff"});
       }},
      {"w: occurs twice",
       [](GgufWriter& w) {
         w.tensors.push_back({"w", {1}, 0, "ffff"});
       }},
      {"t: has 0 dimensions",
       [](GgufWriter& w) {
         w.tensors.push_back({"t", {}, 0, "ffff"});
       }},
      {"t: has 5 dimensions",
       [](GgufWriter& w) {
         w.tensors.push_back({"t", {1, 1, 1, 1, 1}, 0, "ffff"});
       }},
      {"t: dimension 1 of 0 is zero",
       [](GgufWriter& w) {
         w.tensors.push_back({"t", {4, 0}, 0, ""});
       }},
      {"t: dimension 1 of 4294967296 is zero or too large",
       [](GgufWriter& w) {
         w.tensors.push_back({"t", {std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0, ""});
       }},
      {"t: rows of 33 elements are not whole Q8_0 blocks of 32",
       [&](GgufWriter& w) {
         w.tensors.push_back({"t", {33}, 8, q8});
       }},
      {"t: offset 4 is not a multiple of the alignment",
       [](GgufWriter& w) {
         w.tensors.push_back({"t", {1}, 0, "ffff", 4});
       }},
      {"t: overlaps another tensor",
       [](GgufWriter& w) {
         w.tensors.push_back({"t", {16}, 0, std::string(64, 'f'), 32});
       }},
      {"t: its data end at byte",
       [](GgufWriter& w) {
         w.tensors.push_back({"t", {1000}, 0, "ffff"});
       }},
      {"t: its data end at byte",
       [](GgufWriter& w) {
         w.tensors.push_back({"t", {1}, 0, "ffff", std::int64_t{1} << 40});
       }},
  };
  for (const auto& broken : cases) {
    GgufWriter writer = small_file();
    broken.spoil(writer);
    const std::string error = gguf_error(writer.bytes());
    EXPECT_NE(error.find(broken.expected), std::string::npos)
        << "expected: " << broken.expected << "\n  gave: " << error;
    EXPECT_EQ(error.find("m.gguf: "), 0u) << error;
  }
  EXPECT_EQ(gguf_error("GGML"), "m.gguf: does not begin with GGUF");
}

TEST(GgufFile, EveryTruncationIsRefused) {
  const std::string bytes = small_file().bytes();
  ASSERT_EQ(gguf_error(bytes), "");
  for (std::size_t n = 0; n < bytes.size(); ++n) EXPECT_NE(gguf_error(std::string_view(bytes).substr(0, n)), "") << n;
}

// Their cost is that of their bytes: a square of the count would not end within this test's life.
TEST(GgufFile, HostileCountsEnd) {
  GgufWriter writer;
  writer.extra_entries = 1'000'000;
  writer.entries = std::string(13'000'000, '\0');  // a million times: empty key, u8, 0
  EXPECT_NE(gguf_error(writer.bytes()).find("occurs twice"), std::string::npos);
  GgufWriter strings;
  strings.begin_entry("n", 9);
  append(strings.entries, std::uint32_t{8});
  append(strings.entries, std::uint64_t{1} << 22);
  strings.entries += std::string(std::size_t{8} << 22, '\0');
  EXPECT_EQ(gguf_error(strings.bytes()), "");
}

}  // namespace
}  // namespace herd::model
