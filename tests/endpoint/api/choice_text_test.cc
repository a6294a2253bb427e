// ChoiceText: what a reader sees of one sequence, and how it ended.

#include <gtest/gtest.h>

#include <random>

#include "endpoint/api/choice_text.h"
#include "tests/endpoint/api/api_fixture.h"

namespace herd::api {
namespace {

using step::FinishReason;

// A token per byte; the pieces, joined by '|'.
std::string pieces(ChoiceText& choice, std::string_view text) {
  std::string joined;
  for (const char byte : text) joined += choice.take(token_delta(1, static_cast<std::uint8_t>(byte))) + "|";
  return joined;
}

TEST(ChoiceText, EachTokenReleasesItsText) {
  ChoiceText choice(&bytes(), {});
  EXPECT_EQ(pieces(choice, "abc"), "a|b|c|");
  EXPECT_EQ(choice.finish(), FinishReason::kNone);
}

TEST(ChoiceText, HalfACharacterIsHeldBackUntilItIsWhole) {
  ChoiceText choice(&bytes(), {});
  EXPECT_EQ(pieces(choice, "\xC3\xA9x"), "|\xC3\xA9|x|");
}

TEST(ChoiceText, TheLastTokenFlushesHalfACharacterAsAReplacement) {
  ChoiceText choice(&bytes(), {});
  EXPECT_EQ(pieces(choice, "a"), "a|");
  EXPECT_EQ(choice.take(token_delta(1, 0xC3, FinishReason::kLength)), "\xEF\xBF\xBD");
  EXPECT_EQ(choice.finish(), FinishReason::kLength);
}

TEST(ChoiceText, TheBeginningOfAStopStringIsHeldBackAndReleasedWhenItIsNone) {
  ChoiceText choice(&bytes(), {.stop = {"END"}});
  EXPECT_EQ(pieces(choice, "xENDO"), "x|||||");
  ChoiceText other(&bytes(), {.stop = {"END"}});
  EXPECT_EQ(pieces(other, "xENxEN"), "x|||ENx|||");
  EXPECT_EQ(other.take(end_delta(1, FinishReason::kLength)), "EN");
  EXPECT_EQ(other.finish(), FinishReason::kLength);
  EXPECT_FALSE(other.ended_by_stop_string());
}

TEST(ChoiceText, AStopStringEndsTheTextBeforeTheReplicaKnows) {
  ChoiceText choice(&bytes(), {.stop = {"no", "END"}});
  EXPECT_EQ(pieces(choice, "aEND"), "a||||");
  EXPECT_EQ(choice.finish(), FinishReason::kStop);
  EXPECT_TRUE(choice.ended_by_stop_string());
  EXPECT_EQ(choice.stop_string(), "END");
  EXPECT_FALSE(choice.stop_token());
}

TEST(ChoiceText, TheStopStringIsPartOfTheTextWhenAskedFor) {
  ChoiceText choice(&bytes(), {.stop = {"END"}, .include_stop = true});
  EXPECT_EQ(pieces(choice, "aEND"), "a|||END|");
  EXPECT_EQ(choice.stop_string(), "END");
}

TEST(ChoiceText, NothingComesAfterTheEnd) {
  ChoiceText stopped(&bytes(), {.stop = {"E"}});
  EXPECT_EQ(pieces(stopped, "aEbc"), "a||||");
  EXPECT_EQ(stopped.take(end_delta(1, FinishReason::kAborted)), "");
  EXPECT_EQ(stopped.finish(), FinishReason::kStop) << "the first end counts";

  ChoiceText ended(&bytes(), {});
  EXPECT_EQ(ended.take(token_delta(1, 'a', FinishReason::kLength)), "a");
  EXPECT_EQ(ended.take(token_delta(1, 'b')), "");
  EXPECT_EQ(ended.finish(), FinishReason::kLength);
}

TEST(ChoiceText, TheIdThatEndsASequenceShowsNoText) {
  ChoiceText choice(&bytes(), {});
  EXPECT_EQ(choice.take(token_delta(1, 'a')), "a");
  EXPECT_EQ(choice.take(token_delta(1, 'z', FinishReason::kStop)), "");
  EXPECT_EQ(choice.stop_token(), TokenId{'z'});
  EXPECT_FALSE(choice.ended_by_stop_string());
}

TEST(ChoiceText, TheIdThatEndsASequenceShowsItsTextWhenAskedFor) {
  ChoiceText with(&bytes(), {.stop = {}, .include_stop = true});
  EXPECT_EQ(with.take(token_delta(1, 'z', FinishReason::kStop)), "z");
  ChoiceText special(&bytes(), {.stop = {}, .include_stop = true, .skip_special = false});
  EXPECT_EQ(special.take(token_delta(1, kEnd, FinishReason::kStop)), "<|end|>");
  ChoiceText skipped(&bytes(), {.stop = {}, .include_stop = true});
  EXPECT_EQ(skipped.take(token_delta(1, kEnd, FinishReason::kStop)), "") << "a special token shows no text";
}

TEST(ChoiceText, AnEndByIdReleasesWhatWasHeldBack) {
  ChoiceText choice(&bytes(), {.stop = {"END"}});
  EXPECT_EQ(pieces(choice, "xEN"), "x|||");
  EXPECT_EQ(choice.take(token_delta(1, kEnd, FinishReason::kStop)), "EN");
  EXPECT_FALSE(choice.ended_by_stop_string());
}

TEST(ChoiceText, AStopStringInTheLastTokenCountsAsAStop) {
  ChoiceText choice(&bytes(), {.stop = {"END"}});
  EXPECT_EQ(pieces(choice, "EN"), "||");
  EXPECT_EQ(choice.take(token_delta(1, 'D', FinishReason::kLength)), "");
  EXPECT_EQ(choice.finish(), FinishReason::kStop);
  EXPECT_EQ(choice.stop_string(), "END");
}

TEST(ChoiceText, AStopStringWithinTheMinimumNeverCounts) {
  ChoiceText choice(&bytes(), {.stop = {"END"}, .min_tokens = 4});
  EXPECT_EQ(pieces(choice, "ENDx"), "||END|x|");
  EXPECT_EQ(choice.finish(), FinishReason::kNone);
  EXPECT_EQ(pieces(choice, "yEND"), "y||||");
  EXPECT_EQ(choice.stop_string(), "END");
}

TEST(ChoiceText, AStopStringThatIsASpecialTokenIsTheReasonWhenItsIdEndsTheSequence) {
  for (const bool skip : {true, false}) {
    ChoiceText choice(&bytes(), {.stop = {"no", "<|end|>"}, .skip_special = skip});
    EXPECT_EQ(pieces(choice, "xn"), "x||");
    EXPECT_EQ(choice.take(token_delta(1, kEnd, FinishReason::kStop)), "n") << "what was held back comes out";
    EXPECT_EQ(choice.finish(), FinishReason::kStop);
    EXPECT_EQ(choice.stop_string(), "<|end|>");
    EXPECT_FALSE(choice.stop_token());
    ChoiceText with(&bytes(), {.stop = {"no", "<|end|>"}, .include_stop = true, .skip_special = skip});
    EXPECT_EQ(pieces(with, "xn"), "x||");
    EXPECT_EQ(with.take(token_delta(1, kEnd, FinishReason::kStop)), "n<|end|>");
    EXPECT_EQ(with.stop_string(), "<|end|>");
    EXPECT_EQ(with.take(token_delta(1, 'z')), "");
  }
}

TEST(ChoiceText, SpecialStopStringsAreStopIds) {
  const std::vector<std::string> stop = {"a", "<|end|>", "<|end|>x", "<|other|>"};
  std::vector<TokenId> ids = {7};
  for (int time = 0; time < 2; ++time) {  // once each
    add_special_stops(bytes(), stop, kEnd + 1, ids);
    EXPECT_EQ(ids, (std::vector<TokenId>{7, kEnd}));
  }
  std::vector<TokenId> none;
  add_special_stops(bytes(), stop, kEnd, none);
  EXPECT_TRUE(none.empty()) << "the model has no such row";
}

TEST(ChoiceText, WithoutATokenizerThereIsAnEndButNoText) {
  ChoiceText choice(nullptr, {.stop = {"a"}});
  EXPECT_EQ(choice.take(token_delta(1, 'a')), "");
  EXPECT_EQ(choice.finish(), FinishReason::kNone);
  EXPECT_EQ(choice.take(token_delta(1, 5, FinishReason::kStop)), "");
  EXPECT_EQ(choice.finish(), FinishReason::kStop);
  EXPECT_EQ(choice.stop_token(), TokenId{5});
}

// Any bytes, any stop strings: the pieces are the whole text up to the first stop string, found by looking for it.
TEST(ChoiceText, PiecesAddUpToTheTextBeforeTheStopString) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 3000; ++round) {
    const std::vector<std::string> stops = round % 3 == 0   ? std::vector<std::string>{}
                                           : round % 3 == 1 ? std::vector<std::string>{"ab", "aab"}
                                                            : std::vector<std::string>{"bb\xC3\xA9", "ba"};
    const bool include = random() % 2 == 0;
    ChoiceText choice(&bytes(), {.stop = stops, .include_stop = include});
    std::vector<TokenId> ids(1 + random() % 12);
    std::string text;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      constexpr TokenId kLetters[] = {'a', 'b', 0xC3, 0xA9};
      ids[i] = kLetters[random() % 4];
      text += choice.take(token_delta(1, ids[i], i + 1 == ids.size() ? FinishReason::kLength : FinishReason::kNone));
    }
    std::string expected = bytes().decode(ids, true);
    std::size_t first_end = std::string::npos;
    std::size_t length = 0;
    for (const std::string& stop : stops) {
      const std::size_t at = expected.find(stop);
      if (at == std::string::npos) continue;
      const std::size_t end = at + stop.size();
      if (end > first_end || (end == first_end && stop.size() < length)) continue;
      first_end = end;
      length = stop.size();
    }
    const bool stopped = first_end != std::string::npos;
    if (stopped) expected.resize(include ? first_end : first_end - length);
    ASSERT_EQ(text, expected) << "round " << round;
    ASSERT_EQ(choice.finish(), stopped ? FinishReason::kStop : FinishReason::kLength) << "round " << round;
    ASSERT_EQ(choice.ended_by_stop_string(), stopped) << "round " << round;
  }
}

}  // namespace
}  // namespace herd::api
