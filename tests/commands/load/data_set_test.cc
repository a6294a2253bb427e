// Data sets: files as people have them, and files that are none.

#include "commands/load/data_set_json.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace herd::load {
namespace {

class DataSet : public testing::Test {
 protected:
  DataSet() : path_(testing::TempDir() + "data_set_" + testing::UnitTest::GetInstance()->current_test_info()->name()) {}
  ~DataSet() override { std::filesystem::remove(path_); }
  DataSetOptions file(const std::string& text) {
    std::ofstream(path_, std::ios::binary) << text;
    DataSetOptions options;
    options.path = path_;
    return options;
  }
  std::string path_;
};

std::string conversation(const std::string& prompt, const std::string& reply) {
  return R"({"id":"x","conversations":[{"from":"human","value":")" + prompt + R"("},{"from":"gpt","value":")" + reply +
         R"("}]})";
}

std::string array(const std::string& inside) { return std::string("[").append(inside).append("]"); }

TEST_F(DataSet, CustomIsAPromptALine) {
  const auto requests =
      read_custom(file("{\"prompt\": \"What is this?\", \"output_tokens\": 7}\n\n  \r\n"
                       "{\"prompt\": \"a\\n\\u00e9\", \"output_tokens\": null, \"other\": [1]}"));
  ASSERT_TRUE(requests) << requests.error().message();
  ASSERT_EQ(requests->size(), 2U);
  EXPECT_EQ((*requests)[0].text, "What is this?");
  EXPECT_EQ((*requests)[0].output_tokens, 7U);
  EXPECT_EQ((*requests)[0].prompt_tokens, 4U) << "13 bytes, a quarter each";
  EXPECT_EQ((*requests)[1].text, "a\n\xC3\xA9");
  EXPECT_EQ((*requests)[1].output_tokens, 256U);
}

TEST_F(DataSet, CustomErrorsNameTheLine) {
  for (const char* bad : {"{\"prompt\": 3}", "{\"prompt\": \"\"}", "{}", "[]", "{\"prompt\": \"a\"", "\"a\"",
                          "{\"prompt\":\"a\",\"output_tokens\":0}", "{\"prompt\":\"a\",\"output_tokens\":1.5}",
                          "{\"prompt\":\"a\",\"output_tokens\":99999999}", "{\"prompt\":\"\xff\"}"}) {
    const auto requests = read_custom(file(std::string("{\"prompt\":\"ok\"}\n") + bad + "\n"));
    ASSERT_FALSE(requests) << bad;
    EXPECT_EQ(requests.error().code(), StatusCode::kBadInput) << bad;
    EXPECT_NE(requests.error().message().find(path_ + ":2: "), std::string::npos) << requests.error().message();
  }
}

TEST_F(DataSet, EmptyMissingAndTooManyAreSaid) {
  EXPECT_EQ(read_custom(file("\n\n")).error().code(), StatusCode::kBadInput);
  EXPECT_EQ(read_sharegpt(file("[]")).error().code(), StatusCode::kBadInput);
  DataSetOptions none;
  none.path = path_ + ".none";
  EXPECT_EQ(read_custom(none).error().code(), StatusCode::kMissing);
  EXPECT_EQ(read_sharegpt(none).error().code(), StatusCode::kMissing);
  DataSetOptions two = file("{\"prompt\":\"a\"}\n{\"prompt\":\"b\"}\n{\"prompt\":\"c\"}\n");
  two.records_max = 2;
  EXPECT_EQ(read_custom(two).error().code(), StatusCode::kBadInput);
}

TEST_F(DataSet, AFolderIsNoDataSet) {
  DataSetOptions folder;
  folder.path = testing::TempDir();
  EXPECT_EQ(read_custom(folder).error().code(), StatusCode::kMissing);
  EXPECT_EQ(read_sharegpt(folder).error().code(), StatusCode::kMissing);
}

TEST_F(DataSet, ALineWithoutEndIsRefused) {
  const auto requests = read_custom(file("{\"prompt\":\"" + std::string(std::size_t{17} << 20, 'a')));
  ASSERT_FALSE(requests);
  EXPECT_NE(requests.error().message().find("longer than"), std::string::npos);
}

TEST_F(DataSet, ShareGptTakesTheFirstTwoTurns) {
  DataSetOptions options = file(
      "[ " + conversation("A question, with ] and } and \\\" and \\\\", "An answer of thirty-two bytes...") + " ,\n" +
      R"({"conversations":[{"value":"only one turn here"}]},{"no":"turns"},)" +
      R"({"conversations":[{"value":3},{"value":"b"}]},)" +
      conversation("tiny", "An answer of thirty-two bytes...") + "," + conversation("A long enough question", "ok") +
      "," + conversation(std::string(5000, 'a'), "An answer of thirty-two bytes...") + "," +
      conversation("A long enough question", std::string(8200, 'b')) + "]\n");
  options.output_len = 0;
  const auto requests = read_sharegpt(options);
  ASSERT_TRUE(requests) << requests.error().message();
  ASSERT_EQ(requests->size(), 1U)
      << "one turn, no turns, no text, 1 token in, 1 token out, 1250 in, 2050 out: left out";
  EXPECT_EQ(requests->front().text, "A question, with ] and } and \" and \\");
  EXPECT_EQ(requests->front().output_tokens, 8U);
}

TEST_F(DataSet, ShareGptWithAFixedLengthKeepsShortReplies) {
  DataSetOptions options = file(array(conversation("A long enough question", "ok")));
  options.output_len = 50;
  const auto requests = read_sharegpt(options);
  ASSERT_TRUE(requests);
  EXPECT_EQ(requests->front().output_tokens, 50U);
}

TEST_F(DataSet, ATokenizerCountsWhenThereIsOne) {
  DataSetOptions options = file(array(conversation("a b c d e", "f g h i j k")));
  options.output_len = 0;
  options.count_tokens = [](const std::string& text) { return static_cast<std::uint32_t>((text.size() + 1) / 2); };
  const auto requests = read_sharegpt(options);
  ASSERT_TRUE(requests);
  EXPECT_EQ(requests->front().prompt_tokens, 5U);
  EXPECT_EQ(requests->front().output_tokens, 6U);
}

TEST_F(DataSet, BrokenShareGptIsSaid) {
  const std::string good = conversation("A long enough question", "An answer of thirty-two bytes...");
  for (const std::string& bad :
       {std::string(), std::string("{}"), array(good).substr(0, good.size() + 1), array(good + " " + good),
        array(good + ","), array("1"), array(good).substr(0, 40),
        array(good + "," + good.substr(0, good.size() - 2) + "}"), std::string("[{\"conversations\": nope}]")}) {
    const auto requests = read_sharegpt(file(bad));
    ASSERT_FALSE(requests) << bad;
    EXPECT_EQ(requests.error().code(), StatusCode::kBadInput) << bad;
  }
}

}  // namespace
}  // namespace herd::load
