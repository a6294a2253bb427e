// One safetensors file: what the reference reader accepts is accepted, everything else is refused by name.

#include "runtime/checkpoint/safetensors_file.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/runtime/checkpoint_bytes.h"

namespace herd::model {
namespace {

using testing::append;
using testing::as_bytes;
using testing::safetensors_bytes;

std::string safetensors_error(std::string_view bytes) {
  const auto file = SafetensorsFile::parse(as_bytes(bytes), "w.safetensors");
  return file ? "" : file.error().message();
}

TEST(SafetensorsFile, ListsTensorsByName) {
  const std::string header = R"({"b":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[8,11]},)"
                             R"("__metadata__":{"format":"pt","x":"y"},)"
                             R"("empty":{"shape":[0,4],"dtype":"BF16","data_offsets":[8,8]},)"
                             R"("a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
                             R"("s\u0041":{"dtype":"F16","shape":[],"data_offsets":[11,13]}}   )";
  const std::string bytes = safetensors_bytes(header, "AAAABBBBCCCDD");
  const auto file = SafetensorsFile::parse(as_bytes(bytes), "w.safetensors");
  ASSERT_TRUE(file) << file.error().message();
  ASSERT_EQ(file->tensors().size(), 4u);
  const SafetensorsTensor* a = file->find("a");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->shape, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(a->encoding(), WeightFormat::kF32);
  EXPECT_EQ(a->end - a->begin, 8u);
  std::byte first;
  ASSERT_TRUE(file->bytes()->read(file->find("b")->begin, std::span(&first, 1)).ok());
  EXPECT_EQ(static_cast<char>(first), 'C');
  EXPECT_FALSE(file->find("b")->encoding());
  EXPECT_EQ(file->find("sA")->encoding(), WeightFormat::kF16);
  EXPECT_TRUE(file->find("sA")->shape.empty());
  EXPECT_EQ(file->find("c"), nullptr);
}

TEST(SafetensorsFile, AFileWithoutTensorsIsEmpty) {
  EXPECT_EQ(safetensors_error(safetensors_bytes("{}", "")), "");
  EXPECT_EQ(safetensors_error(safetensors_bytes(R"({"__metadata__":{}})", "")), "");
}

// As the reference reader: fields of a later version, metadata that is null.
TEST(SafetensorsFile, UnknownFieldsAreSkipped) {
  for (const char* more :
       {R"("more":1)", R"("more":-1)", R"("more":2.5)", R"("more":null)", R"("more":true)", R"("more":"x")",
        R"("more":[])", R"("more":{})", R"("more":[[1],{"dtype":"X","a":[null]}],"most":{"b":{"shape":"y"}})"}) {
    const std::string entries[] = {R"({"dtype":"F32",)" + std::string(more) + R"(,"shape":[1],"data_offsets":[0,4]})",
                                   R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],)" + std::string(more) + "}"};
    for (const std::string& entry : entries) {
      const std::string bytes = safetensors_bytes(R"({"t":)" + entry + R"(,"__metadata__":null})", "AAAA");
      const auto file = SafetensorsFile::parse(as_bytes(bytes), "w.safetensors");
      ASSERT_TRUE(file) << entry << "\n  gave: " << file.error().message();
      ASSERT_EQ(file->tensors().size(), 1u);
      EXPECT_EQ(file->tensors()[0].shape, (std::vector<std::int64_t>{1}));
      EXPECT_EQ(file->tensors()[0].encoding(), WeightFormat::kF32);
    }
  }
}

TEST(SafetensorsFile, OtherFilesAreSaidToBeWhatTheyAre) {
  const std::pair<std::string, const char*> files[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "a Git LFS pointer"},
      {"<!DOCTYPE html><html>not found</html>", "a page of HTML"},
      {"GGUF\3 and more than eight bytes", "a GGUF file"},
      {std::string("PK\3\4\0\0\0\0\0\0", 10), "a zip archive"},
      {std::string("\x80\2\x8a\nl\xfc\x9c\x46\xf9\x20", 10), "a Python pickle"},
  };
  for (const auto& [bytes, expected] : files) {
    EXPECT_NE(safetensors_error(bytes).find(std::string("is not a safetensors file: it is ") + expected), std::string::npos)
        << safetensors_error(bytes);
  }
}

TEST(SafetensorsFile, BrokenHeadersAreRefusedByName) {
  const auto entry = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return R"({"t":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  const struct {
    std::string header;
    std::string data;
    std::string expected;
  } cases[] = {
      {"", "", "does not begin with {"},
      {" {}", "", "does not begin with {"},
      {"[]", "", "does not begin with {"},
      {"{", "", "not valid JSON"},
      {"{}x", "", "not valid JSON"},
      {"{\"t\":1}", "", "t: the entry is not an object"},
      {"{\"t\":[1]}", "", "t: the entry is not an object"},
      {"{\"t\":{}}", "", "t: dtype is missing"},
      {R"({"t":{"dtype":"F32","data_offsets":[0,4]}})", "AAAA", "t: shape is missing"},
      {R"({"t":{"dtype":"F32","shape":[1]}})", "AAAA", "t: data_offsets is missing"},
      {R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1},"u":1})", "AAAA", "u: the entry is not an object"},
      {R"({"t":{"dtype":"F32","more":{"data_offsets":[0,4]},"shape":[1]}})", "AAAA", "t: data_offsets is missing"},
      {R"({"t":null})", "", "t: the entry is not an object"},
      {R"({"t":{"dtype":"F32","more":)" + std::string(200, '[') + "1", "AAAA", "not valid JSON"},
      {R"({"t":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "AAAA",
       "t: key \"dtype\" occurs twice"},
      {entry("\"F33\"", "[1]", "[0,4]"), "AAAA", "t: dtype \"F33\" is unknown"},
      {entry("1", "[1]", "[0,4]"), "AAAA", "t: dtype is not a string"},
      {entry("\"F32\"", "1", "[0,4]"), "AAAA", "t: shape is not a list"},
      {entry("\"F32\"", "[-1]", "[0,4]"), "AAAA", "t: shape is not a list"},
      {entry("\"F32\"", "[1.5]", "[0,4]"), "AAAA", "t: shape is not a list"},
      {entry("\"F32\"", "[[1]]", "[0,4]"), "AAAA", "t: shape is not a list"},
      {entry("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), "AAAA", "t: shape has more than 8 dimensions"},
      {entry("\"F32\"", "[4294967296,4294967296]", "[0,4]"), "AAAA", "t: shape is too large"},
      {entry("\"F32\"", "[18446744073709551615]", "[0,4]"), "AAAA", "t: shape is too large"},
      {entry("\"F32\"", "[2]", "[0,4]"), "AAAA", "t: shape and dtype need 8 bytes, data_offsets give 4"},
      {entry("\"F6_E2M3\"", "[1]", "[0,1]"), "A", "t: its elements do not fill whole bytes"},
      {entry("\"F32\"", "[1]", "[0,4]"), "AAA", "t: data_offsets end at 4, the file has 3 bytes of data"},
      {entry("\"F32\"", "[1]", "[0,4]"), "AAAAA", "1 bytes of data belong to no tensor"},
      {entry("\"F32\"", "[1]", "[1,5]"), "AAAAA", "t: leaves a gap before byte 1"},
      {entry("\"F32\"", "[1]", "[4,0]"), "AAAA", "t: data_offsets is not [begin, end]"},
      {entry("\"F32\"", "[1]", "[0]"), "AAAA", "t: data_offsets is not [begin, end]"},
      {entry("\"F32\"", "[1]", "[0,4,8]"), "AAAA", "t: data_offsets is not [begin, end]"},
      {R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"t":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       "AAAA", "t: occurs twice"},
      {R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"\u0074":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       "AAAA", "t: occurs twice"},
      {R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"u":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
       "AAA", "u: overlaps another tensor"},
      {R"({"__metadata__":{"a":1}})", "", "__metadata__ is not a map of strings"},
      {R"({"__metadata__":{"a":"1","a":"2"}})", "", "__metadata__: key \"a\" occurs twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", "", "key \"__metadata__\" occurs twice"},
      {"{\"" + std::string(2000, 'n') + "\":{}}", "", "more than 1024 bytes"},
      {"{\"\xff\":{}}", "", "not valid JSON"},
      {R"({"t":{"dtype":")" + std::string(100, 'x') + R"("}})", "", "t: dtype is unknown"},
  };
  for (const auto& broken : cases) {
    const std::string error = safetensors_error(safetensors_bytes(broken.header, broken.data));
    EXPECT_NE(error.find(broken.expected), std::string::npos) << broken.header << "\n  gave: " << error;
    EXPECT_EQ(error.find("w.safetensors: "), 0u) << error;
  }
}

TEST(SafetensorsFile, EveryTruncationIsRefused) {
  const std::string bytes = safetensors_bytes({{"a", {2}, {1, 2}}, {"b", {1, 2}, {3, 4}}}, "F32");
  ASSERT_EQ(safetensors_error(bytes), "");
  for (std::size_t n = 0; n < bytes.size(); ++n) EXPECT_NE(safetensors_error(std::string_view(bytes).substr(0, n)), "") << n;
}

TEST(SafetensorsFile, HeaderLengthsBeyondTheFileAreRefused) {
  for (const std::uint64_t length : {std::uint64_t{3}, std::uint64_t{100'000'001}, ~std::uint64_t{0}}) {
    std::string bytes;
    append(bytes, length);
    EXPECT_NE(safetensors_error(bytes + "{}").find("header length"), std::string::npos);
  }
}

TEST(SafetensorsFile, LargeHostileHeadersEndQuickly) {
  const auto begin = std::chrono::steady_clock::now();
  std::string numbers = "{\"t\":{\"shape\":[";
  for (int i = 0; i < 1'000'000; ++i) numbers += "1,";
  EXPECT_NE(safetensors_error(safetensors_bytes(numbers + "1]}}", "")), "");
  std::string nested(1'000'000, '[');
  EXPECT_NE(safetensors_error(safetensors_bytes("{\"t\":" + nested, "")), "");
  std::string same = "{";
  for (int i = 0; i < 100'000; ++i) same += R"("t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)";
  same.back() = '}';
  EXPECT_NE(safetensors_error(safetensors_bytes(same, "")).find("t: occurs twice"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(SafetensorsFile, OpensOnlyRegularFiles) {
  const testing::TempDirectory directory;
  EXPECT_EQ(SafetensorsFile::open(directory.path() + "/none").error().code(), StatusCode::kMissing);
  EXPECT_EQ(SafetensorsFile::open(directory.path()).error().code(), StatusCode::kBadInput);
  const auto empty = SafetensorsFile::open(directory.write("empty.safetensors", ""));
  ASSERT_FALSE(empty);
  EXPECT_NE(empty.error().message().find("shorter than the 8 bytes"), std::string::npos);
}

}  // namespace
}  // namespace herd::model
