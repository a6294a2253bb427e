// What is refused of the messages by which replicas tell what they cache and move it, and that the largest of them travel.

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tests/cluster/wire/refused.h"

namespace herd::wire {
namespace {

constexpr std::uint64_t kMillion = std::uint64_t{1} << 20;

// The only number of that width in which two messages differ: where it stands.
template <class Number>
std::size_t place_of_difference(const Words& one, const Words& other) {
  const std::size_t count = one.size() * 8 / sizeof(Number);
  std::vector<Number> a(count), b(count);
  EXPECT_EQ(one.size(), other.size());
  std::memcpy(a.data(), one.data(), one.size() * 8);
  std::memcpy(b.data(), other.data(), one.size() * 8);
  std::size_t place = count, differences = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (a[i] == b[i]) continue;
    place = i;
    ++differences;
  }
  EXPECT_EQ(differences, 1U);
  return place;
}

template <class Number>
Words with_number(Words words, std::size_t place, Number number) {
  std::memcpy(reinterpret_cast<std::byte*>(words.data()) + place * sizeof number, &number, sizeof number);
  return words;
}

// `what` is part of the reason.
void expect_refused(const auto& decoded, const std::string& what) {
  ASSERT_FALSE(decoded.has_value());
  EXPECT_NE(decoded.error().message().find(what), std::string::npos) << decoded.error().message();
}

TEST(MoveAskCodec, RefusesWhatAHolderCouldNotAnswer) {
  const auto refuses = [](auto spoil) { return refused<random_move_ask, decode_move_ask>(spoil); };
  EXPECT_TRUE(refuses([](auto& ask) { ask.move = TransferId(0); }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.kind.numerics.clear(); }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.kind.numerics = std::string(257, 'n'); }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.kind.numerics = "cpu-1\n"; }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.kind.layout.clear(); }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.kind.layout = std::string(257, 'k'); }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.kind.layout = "\x1b[2J"; }));
  for (const std::uint32_t ranks : {1U, 2U, 4U, 8U}) EXPECT_FALSE(refuses([&](auto& ask) { ask.kind.ranks = ranks; })) << ranks;
  for (const std::uint32_t ranks : {0U, 3U, 16U}) EXPECT_TRUE(refuses([&](auto& ask) { ask.kind.ranks = ranks; })) << ranks;
  EXPECT_FALSE(refuses([](auto& ask) { ask.first = static_cast<std::uint32_t>(ask.hashes.size() - 1); }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.first = static_cast<std::uint32_t>(ask.hashes.size()); }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.first = 0, ask.hashes.clear(); })) << "nothing is asked for";
  EXPECT_FALSE(refuses([](auto& ask) { ask.hashes.resize(kMoveBlocksMax); }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.hashes.resize(kMoveBlocksMax + 1); }));
}

// The two halves of its hashes are lists of their own: a list's pointer says how many words of 64 bits it has.
TEST(MoveAskCodec, RefusesHashesWithoutTheirOtherHalf) {
  const Words good = encode(replica::MoveAsk{TransferId(1), {"n", "k", 1}, 0, 0, {{11, 12}, {13, 14}}}).words;
  const auto is_list_of_two = [](std::uint64_t word) { return (word & 3) == 1 && word >> 32 == ((2U << 3) | 5U); };
  std::size_t lists = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    if (!is_list_of_two(good[at])) continue;
    ++lists;
    Words bad = good;
    bad[at] = (bad[at] & 0xFFFFFFFF) | (std::uint64_t{(1U << 3) | 5U} << 32);
    expect_refused(decode_move_ask(bad), "hashes have two halves");
  }
  EXPECT_EQ(lists, 2U);
}

TEST(MoveCodecs, RefuseWhatIsAboutNoMove) {
  EXPECT_TRUE((refused<random_move_grant, decode_move_grant>([](auto& grant) { grant.move = TransferId(0); })));
  EXPECT_TRUE((refused<random_move_stop, decode_move_stop>([](auto& stop) { stop.move = TransferId(0); })));
  EXPECT_TRUE((refused<random_move_found, decode_move_found>([](auto& found) { found.move = TransferId(0); })));
  EXPECT_TRUE((refused<random_move_over, decode_move_over>([](auto& over) { over.move = TransferId(0); })));
}

TEST(MoveGrantCodec, RefusesNoBlocksAndTooMany) {
  const auto grants = [](std::uint32_t blocks) {
    return !refused<random_move_grant, decode_move_grant>([&](auto& grant) { grant.blocks = blocks; });
  };
  EXPECT_TRUE(grants(1) && grants(kMoveBlocksMax));
  EXPECT_FALSE(grants(0));
  EXPECT_FALSE(grants(kMoveBlocksMax + 1));
}

replica::MoveFound two_found(Random&) { return {TransferId(1), {}, {5, 6}}; }

TEST(MoveFoundCodec, RefusesWhatATakerCouldNotCompare) {
  const auto refuses = [](auto spoil) { return refused<two_found, decode_move_found>(spoil); };
  EXPECT_FALSE(refuses([](auto& found) { found.tokens.clear(); }));
  EXPECT_FALSE(refuses([](auto& found) { found.tokens.resize(kMillion); }));
  EXPECT_TRUE(refuses([](auto& found) { found.tokens.resize(kMillion + 1); }));
  EXPECT_TRUE(refuses([](auto& found) { found.tokens[1] = -1; }));
  EXPECT_TRUE(refuses([](auto& found) { found.status = {StatusCode::kMissing, "no such generation"}; })) << "with tokens";
  EXPECT_FALSE(refuses([](auto& found) {
    found.status = {StatusCode::kMissing, "no such generation"};
    found.tokens.clear();
  }));
}

TEST(MoveOverCodec, RefusesAnEndWithoutAReason) {
  EXPECT_TRUE((refused<random_move_over, decode_move_over>([](auto& over) { over.why = {}; })));
}

// A reason may hold anything; it travels as one line of at most 4096 bytes.
TEST(MoveCodecs, SayReasonsOfOneLine) {
  const Status said{StatusCode::kInternal, "first\nsecond\x1b[2J" + std::string(10'000, 'x')};
  const Status heard{StatusCode::kInternal, "first second [2J" + std::string(4096 - 16, 'x')};
  const replica::MoveFound found{TransferId(1), said, {}};
  const replica::MoveOver over{TransferId(1), said};
  EXPECT_FALSE(validate(found).ok());
  EXPECT_FALSE(validate(over).ok());
  EXPECT_EQ(decode_move_found(encode(found).words).value().status, heard);
  EXPECT_EQ(decode_move_over(encode(over).words).value().why, heard);
}

step::Submission with_source(Random& random) {
  step::Submission submission = random_submission(random);
  submission.source = {ReplicaId(3), Epoch(8), "10.0.0.2:7000", 64};
  return submission;
}

TEST(SourceCodec, RefusesWhereNobodyCouldBeAsked) {
  const auto refuses = [](auto spoil) { return refused<with_source, decode_submission>(spoil); };
  EXPECT_FALSE(refuses([](auto& submission) { submission.source = {}; }));
  EXPECT_TRUE(refuses([](auto& submission) { submission.source.epoch = Epoch(0); }));
  EXPECT_TRUE(refuses([](auto& submission) { submission.source.address.clear(); }));
  EXPECT_TRUE(refuses([](auto& submission) { submission.source.address = std::string(257, 'a'); }));
  EXPECT_TRUE(refuses([](auto& submission) { submission.source.address = "host\x1b[2J"; }));
  EXPECT_FALSE(refuses([](auto& submission) { submission.source.tokens = kMillion; }));
  EXPECT_TRUE(refuses([](auto& submission) { submission.source.tokens = kMillion + 1; }));
}

TEST(SourceCodec, RefusesOneThatHasNothing) {
  Random random(9);
  step::Submission submission = with_source(random);
  const Words words = encode(submission).words;
  submission.source.tokens = 65;
  const std::size_t place = place_of_difference<std::uint32_t>(words, encode(submission).words);
  expect_refused(decode_submission(with_number<std::uint32_t>(words, place, 0)), "a source that has no tokens");
}

replica::ReplicaReport with_news(Random& random) {
  replica::ReplicaReport report = random_replica_report(random);
  report.news = kv::BlockNews{kv::BlockNews::Kind::kChanges, 1, 16, 100, {1, 2}, {3}};
  return report;
}

TEST(NewsCodec, RefusesWhatNoCacheHolds) {
  const auto refuses = [](auto spoil) { return refused<with_news, decode_replica_report>(spoil); };
  EXPECT_FALSE(refuses([](auto& report) { report.news->stored.clear(), report.news->evicted.clear(); }));
  EXPECT_FALSE(refuses([](auto& report) { report.news->number = std::numeric_limits<std::uint64_t>::max(); }));
  EXPECT_TRUE(refuses([](auto& report) { report.news->block_size = 0; }));
  EXPECT_TRUE(refuses([](auto& report) { report.news->num_blocks = 0; }));
  EXPECT_FALSE(refuses([](auto& report) { report.news->stored.resize(replica::kNewsKeysMax - 1); }));
  EXPECT_TRUE(refuses([](auto& report) { report.news->stored.resize(replica::kNewsKeysMax); })) << "one more is evicted";
  EXPECT_FALSE(refuses([](auto& report) { report.news->evicted.resize(replica::kNewsKeysMax - 2); }));
  EXPECT_TRUE(refuses([](auto& report) { report.news->evicted.resize(replica::kNewsKeysMax - 1); }));
}

// A number of the schema is of one kind for ever, and one that this build does not know is none.
TEST(NewsCodec, CarriesEveryKindUnderItsOwnNumber) {
  using Kind = kv::BlockNews::Kind;
  Random random(9);
  replica::ReplicaReport report = with_news(random);
  const Words words = encode(report).words;
  report.news->kind = Kind::kAll;
  const std::size_t place = place_of_difference<std::uint16_t>(words, encode(report).words);
  const std::pair<Kind, std::uint16_t> kinds[] = {{Kind::kChanges, 1}, {Kind::kAll, 2}, {Kind::kMore, 3}};
  for (const auto& [kind, number] : kinds) {
    report.news->kind = kind;
    EXPECT_EQ(encode(report).words, with_number(words, place, number));
    EXPECT_EQ(decode_replica_report(encode(report).words).value(), report);
  }
  for (const std::uint16_t number : {std::uint16_t{0}, std::uint16_t{4}, std::uint16_t{65535}})
    expect_refused(decode_replica_report(with_number(words, place, number)), "their kind is unknown");
}

TEST(ReportCodec, RefusesSecondsThatCannotBe) {
  const auto refuses = [](auto spoil) { return refused<random_replica_report, decode_replica_report>(spoil); };
  for (const double seconds : {-0.5, double{NAN}, double{INFINITY}}) {
    EXPECT_TRUE(refuses([&](auto& report) { report.stats.saved_s = seconds; })) << seconds;
    EXPECT_TRUE(refuses([&](auto& report) { report.stats.moves.token_s = seconds; })) << seconds;
  }
}

TEST(SchedulerCodec, RefusesPlansThatCopyTooManyBlocks) {
  const auto copies = [](std::uint32_t blocks) {
    return !refused<random_form_replica, decode_form_replica>([&](auto& order) { order.scheduler.transfer_blocks_per_step = blocks; });
  };
  EXPECT_TRUE(copies(0) && copies(1024));
  EXPECT_FALSE(copies(1025));
}

// What the limits of a kind allow fits into its longest frame.
TEST(MoveCodecs, SealTheLargest) {
  const std::string name(256, 'n');
  const Status why{StatusCode::kInternal, std::string(kErrorMessageBytesMax, 'w')};
  travels(replica::MoveAsk{TransferId(1), {name, name, 8}, 1, 0, std::vector<kv::BlockHash>(kMoveBlocksMax)}, decode_move_ask);
  travels(replica::MoveGrant{TransferId(~std::uint64_t{0}), kMoveBlocksMax}, decode_move_grant);
  travels(replica::MoveStop{TransferId(~std::uint64_t{0})}, decode_move_stop);
  travels(replica::MoveFound{TransferId(1), {}, std::vector<TokenId>(kMillion)}, decode_move_found);
  travels(replica::MoveFound{TransferId(1), why, {}}, decode_move_found);
  travels(replica::MoveOver{TransferId(1), why}, decode_move_over);
  Random random(3);
  replica::ReplicaReport report = with_news(random);
  report.stats.moves.fetches = 1;
  report.news->stored.resize(replica::kNewsKeysMax - report.news->evicted.size());
  travels(report, decode_replica_report);
}

}  // namespace
}  // namespace herd::wire
