// Two builds on one connection: each pair speaks the newest version that both know, and a submission means the same at both ends.

#include "tests/commands/next/next_protocol.h"

#include <gtest/gtest.h>

#include "actors/link/link_host.h"
#include "cluster/handshake/hello.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/spoken.h"
#include "tests/actors/link/link_ground.h"

namespace herd::next {
namespace {

using handshake::Role;

step::Submission submission_of(std::uint32_t prompt_tokens, std::uint32_t max_tokens) {
  step::Submission submission;
  submission.tokens.assign(prompt_tokens, 7);
  submission.prompt_tokens = prompt_tokens;
  submission.max_tokens = max_tokens;
  return submission;
}

TEST(NextProtocol, IsSpokenBesideTheOneBefore) {
  EXPECT_EQ(handshake::own_protocols().min, kOlderProtocol);
  EXPECT_EQ(handshake::own_protocols().max, kNextProtocol);
  EXPECT_EQ(handshake::Hello().protocol_max, kNextProtocol);
}

// Else a build that spoke the wrong version would do no harm, and no test could tell.
TEST(NextProtocol, MeansSomethingElseByTheSameField) {
  const wire::Frame frame = wire::encode(submission_of(5, 64));
  EXPECT_FALSE(wire::as_spoken(frame, kOlderProtocol).has_value());
  const auto newer = wire::as_spoken(frame, kNextProtocol);
  ASSERT_TRUE(newer.has_value());
  EXPECT_EQ(wire::decode_submission(newer->words).value().max_tokens, 69U);
  wire::Frame heard = *newer;
  ASSERT_TRUE(wire::as_heard(heard, kNextProtocol).ok());
  EXPECT_EQ(heard, frame);
  heard = wire::encode(submission_of(5, 4));
  EXPECT_FALSE(wire::as_heard(heard, kNextProtocol).ok());
}

struct Pair {
  std::uint32_t gateway;  // the newest version that it speaks
  std::uint32_t leader;
};

class TwoBuilds : public testing::TestWithParam<Pair> {};
INSTANTIATE_TEST_SUITE_P(OnOneConnection, TwoBuilds,
                         testing::Values(Pair{1, 1}, Pair{1, 2}, Pair{2, 1}, Pair{2, 2}), [](const auto& row) {
                           return "gateway_" + std::to_string(row.param.gateway) + "_leader_" + std::to_string(row.param.leader);
                         });

TEST_P(TwoBuilds, UnderstandASubmission) {
  link::Record gateway, leader;
  const auto host = [](Role role, const char* name, link::Record& record, std::uint32_t newest) {
    link::LinkHostConfig config = link::host_config(role, name, std::nullopt, record);
    config.mine.protocol_max = newest;
    return link::LinkHost::start(std::move(config)).value();
  };
  const auto gateways = host(Role::kGateway, "g", gateway, GetParam().gateway);
  const auto leaders = host(Role::kRank, "a", leader, GetParam().leader);
  const auto port = leaders->listen("127.0.0.1", 0, link::kGateways, leader.opener()).value();
  const auto dial = gateways->dial("127.0.0.1", port, link::kRanks, gateway.opener());
  ASSERT_TRUE(gateway.opened() && leader.opened()) << gateway.lines() << leader.lines();
  const wire::Frame sent = wire::encode(submission_of(5, 64));
  ASSERT_TRUE(gateway.link()->send(sent, Epoch(1), {ReplicaId(2), Epoch(7)}).ok());
  ASSERT_TRUE(leader.frames(1)) << leader.lines();
  EXPECT_EQ(leader.frame(0).frame, sent);
}

// What is none of the agreed version ends the connection, as any message that cannot be read does.
TEST(TwoBuildsOfTheNextVersion, RefuseASubmissionThatHasNoMeaning) {
  link::Record gateway, leader;
  const auto gateways = link::LinkHost::start(link::host_config(Role::kGateway, "g", std::nullopt, gateway)).value();
  const auto leaders = link::LinkHost::start(link::host_config(Role::kRank, "a", std::nullopt, leader)).value();
  const auto port = leaders->listen("127.0.0.1", 0, link::kGateways, leader.opener()).value();
  const auto dial = gateways->dial("127.0.0.1", port, link::kRanks, gateway.opener());
  ASSERT_TRUE(gateway.opened() && leader.opened());
  wire::Frame noise{wire::FrameKind::kSubmission, wire::Words(20, 1)};
  ASSERT_TRUE(gateway.link()->send(noise, Epoch(1), {ReplicaId(2), Epoch(7)}).ok());
  EXPECT_TRUE(leader.told("submission: ")) << leader.lines();
}

}  // namespace
}  // namespace herd::next
