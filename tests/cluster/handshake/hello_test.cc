// Who may talk to whom: a table of pairs, and what each refusal says.

#include "cluster/handshake/hello.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace herd::handshake {
namespace {

Hello rank() {
  Hello hello;
  hello.cluster = "lab";
  hello.role = Role::kRank;
  hello.node = "n1";
  hello.incarnation = 11;
  hello.protocol_min = 3;
  hello.protocol_max = 4;
  hello.build_id = "build a";
  hello.model = "llama";
  hello.text_digest = "text 1";
  hello.config_digest = "config 1";
  return hello;
}

Hello gateway() {
  Hello hello = rank();
  hello.role = Role::kGateway;
  hello.node = "n2";
  hello.incarnation = 12;
  hello.model = hello.text_digest = "";
  return hello;
}

using Change = std::function<void(Hello&)>;

TEST(Agree, LetsThoseTalkWhoCan) {
  const struct {
    const char* name;
    Hello mine;
    Change change;  // of a rank's
    Agreement agreement;
  } kCases[] = {
      {"equal ranks", rank(), [](Hello&) {}, {4, true}},
      {"a gateway without a model", gateway(), [](Hello&) {}, {4, true}},
      {"the next version", rank(), [](Hello& h) { h.protocol_min = 4, h.protocol_max = 5; }, {4, true}},
      {"the version before", rank(), [](Hello& h) { h.protocol_min = 2, h.protocol_max = 3; }, {3, true}},
      {"a wider range", rank(), [](Hello& h) { h.protocol_min = 1, h.protocol_max = 9; }, {4, true}},
      {"another build", rank(), [](Hello& h) { h.build_id = "build b"; }, {4, true}},
      {"another config", rank(), [](Hello& h) { h.config_digest = "config 2"; }, {4, false}},
      {"another model", rank(), [](Hello& h) { h.model = "llama 2", h.text_digest = "text 2"; }, {4, true}},
  };
  for (const auto& c : kCases) {
    Hello theirs = rank();
    theirs.incarnation = 13;
    c.change(theirs);
    for (const auto& agreed : {agree(c.mine, theirs), agree(theirs, c.mine)}) {
      ASSERT_TRUE(agreed.has_value()) << c.name << ": " << agreed.error().message();
      EXPECT_EQ(*agreed, c.agreement) << c.name;
    }
  }
}

TEST(Agree, RefusesAndSaysBothValues) {
  const struct {
    Change change;
    const char* says[2];
  } kCases[] = {
      {[](Hello& h) { h.cluster = "field"; }, {"\"lab\"", "\"field\""}},
      {[](Hello& h) { h.protocol_min = 5, h.protocol_max = 6; }, {"3 to 4", "5 to 6"}},
      {[](Hello& h) { h.protocol_min = 1, h.protocol_max = 2; }, {"3 to 4", "1 to 2"}},
      {[](Hello& h) { h.protocol_min = 0; }, {"protocol", "0 to 4"}},
      {[](Hello& h) { h.protocol_min = 5; }, {"protocol", "5 to 4"}},
      {[](Hello& h) { h.cluster = ""; }, {"cluster", "no name"}},
      {[](Hello& h) { h.node = ""; }, {"node", "no name"}},
      {[](Hello& h) { h.incarnation = 0; }, {"incarnation", "0"}},
      {[](Hello& h) { h.model = ""; }, {"model", "rank"}},
      {[](Hello& h) { h.build_id = std::string(257, 'b'); }, {"build id", "256"}},
      {[](Hello& h) { h.node = "n1\n"; }, {"node", "control character"}},
  };
  for (const auto& c : kCases) {
    Hello theirs = rank();
    c.change(theirs);
    const auto agreed = agree(rank(), theirs);
    ASSERT_FALSE(agreed.has_value()) << c.says[0];
    for (const char* word : c.says)
      EXPECT_NE(agreed.error().message().find(word), std::string::npos) << word << ": " << agreed.error().message();
    EXPECT_FALSE(agree(theirs, rank()).has_value()) << c.says[0];
  }
}

}  // namespace
}  // namespace herd::handshake
