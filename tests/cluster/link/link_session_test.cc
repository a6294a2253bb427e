#include "cluster/link/link_session.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <fstream>

#include "cluster/wire/control_codec.h"
#include "cluster/wire/link_codec.h"
#include "tests/cluster/link/link_pair.h"

namespace herd::link {
namespace {

using handshake::Role;
using wire::FrameKind;
using Fate = LinkSession::Fate;

constexpr routing::ReplicaGeneration kReplica{ReplicaId(2), Epoch(7)};

Status send(LinkSession& session, const wire::Frame& frame, Instant now = {}) {
  return session.send(frame.kind, wire::seal(frame, Epoch(5), kReplica).value(), now);
}

void expect_closed(const LinkSession& session, const std::string& cause) {
  EXPECT_EQ(session.fate(), Fate::kClosed);
  EXPECT_NE(session.why().message().find(cause), std::string::npos) << session.why().message();
  EXPECT_NE(session.why().message().find("10.0.0.7:4000"), std::string::npos) << session.why().message();
}

TEST(LinkSession, BothSidesOpenOnceTheyHaveHeardEachOther) {
  LinkPair pair;
  EXPECT_FALSE(pair.gateway.is_open());
  pair.leader.on_bytes(drain(pair.gateway, {}), {});
  EXPECT_TRUE(pair.leader.is_open());
  EXPECT_FALSE(pair.gateway.is_open());
  pair.gateway.on_bytes(drain(pair.leader, {}), {});
  EXPECT_TRUE(pair.gateway.is_open());
  const auto events = pair.gateway.take_events();
  ASSERT_EQ(events.size(), 1U);
  const auto& opened = std::get<PeerOpened>(events[0]);
  EXPECT_EQ(opened.hello, hello_of(Role::kRank, "a"));
  EXPECT_EQ(opened.agreement.protocol, handshake::own_protocols().max);
}

// Every size around the borders of a fragment, in whatever pieces the bytes come.
TEST(LinkSession, FramesArriveAsTheyWereSent) {
  for (const std::size_t piece : {1UL, 7UL, 16UL, 4096UL, 100'000UL}) {
    LinkPair pair;
    pair.open();
    std::vector<wire::Frame> sent;
    for (const std::size_t words : {1UL, 2040UL, 2041UL, 2042UL, 4087UL, 4088UL, 20'000UL}) {
      sent.push_back(frame_of(FrameKind::kSubmission, words, words));
      ASSERT_TRUE(send(pair.gateway, sent.back()).ok());
    }
    const auto bytes = drain(pair.gateway, {});
    for (std::size_t at = 0; at < bytes.size(); at += piece)
      pair.leader.on_bytes(std::span(bytes).subspan(at, std::min(piece, bytes.size() - at)), {});
    const auto frames = frames_of(pair.leader);
    ASSERT_EQ(frames.size(), sent.size()) << pair.leader.why().message();
    for (std::size_t i = 0; i < sent.size(); ++i) {
      EXPECT_EQ(frames[i].frame, sent[i]);
      EXPECT_EQ(frames[i].header.cluster_epoch, Epoch(5));
      EXPECT_EQ(frames[i].header.replica, kReplica);
    }
  }
}

// A prompt of 4 MB is under way when a shorter word comes: it goes with the next record.
TEST(LinkSession, ALongFrameDoesNotDelayTheLanesBeforeIt) {
  LinkPair pair;
  pair.open();
  ASSERT_TRUE(send(pair.gateway, frame_of(FrameKind::kSubmission, 1U << 19)).ok());
  std::vector<std::byte> first(pair.gateway.output().begin(), pair.gateway.output().end());
  pair.gateway.on_written(first.size(), {});
  ASSERT_TRUE(send(pair.gateway, frame_of(FrameKind::kGatewayJoin, 4)).ok());  // behind 4 MB
  const auto next = pair.gateway.output();
  first.insert(first.end(), next.begin(), next.end());
  pair.leader.on_bytes(first, {});
  const auto frames = frames_of(pair.leader);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].header.kind, FrameKind::kGatewayJoin);
}

TEST(SendQueue, EarlierLanesGoFirstAndTheLastOneIsNotForgotten) {
  SendQueue queue;
  const std::vector<std::byte> full(kPayloadBytesMax);
  for (int i = 0; i < 40; ++i) queue.push(Lane::kTokens, full);
  for (int i = 0; i < 40; ++i) queue.push(Lane::kRequests, full);
  int requests = 0;
  for (int i = 0; i < 40; ++i) {
    std::vector<std::byte> record;
    queue.fill(record);
    ASSERT_EQ(record.size(), kRecordBytesMax);
    const auto header = parse_fragment_header(std::span(record).first<kFragmentHeaderBytes>());
    requests += header->lane == Lane::kRequests ? 1 : 0;
  }
  EXPECT_EQ(requests, 5);
  EXPECT_EQ(queue.bytes(), 40 * kPayloadBytesMax);
}

TEST(SendQueue, SmallFramesShareARecord) {
  SendQueue queue;
  for (int i = 0; i < 100; ++i) queue.push(Lane::kTokens, std::vector<std::byte>(64));
  std::vector<std::byte> record;
  queue.fill(record);
  EXPECT_EQ(record.size(), 100 * (64 + kFragmentHeaderBytes));
  EXPECT_TRUE(queue.empty());
}

TEST(LinkSession, AnAbortDoesNotOvertakeItsSubmission) {
  EXPECT_EQ(lane_of(FrameKind::kAbort), lane_of(FrameKind::kSubmission));
}

struct HelloRow {
  const char* name;
  void (*change)(handshake::Hello&);
  const char* cause;
};
class RefusedHello : public testing::TestWithParam<HelloRow> {};
INSTANTIATE_TEST_SUITE_P(
    Rows, RefusedHello,
    testing::Values(HelloRow{"cluster", [](auto& h) { h.cluster = "other"; }, "it belongs to cluster \"other\", this process to \"test\""},
                    HelloRow{"version", [](auto& h) { h.protocol_min = h.protocol_max = 9; }, "it speaks protocol versions 9 to 9, this process 1 to 1"},
                    HelloRow{"role", [](auto& h) { h.role = Role::kCoordinator; }, "this process expects gateway \"g\" here"},
                    HelloRow{"name", [](auto& h) { h.node = "h"; }, "this process expects gateway \"g\" here"}),
    [](const auto& row) { return std::string(row.param.name); });

// The refused side hears why, and both have a text with the cause.
TEST_P(RefusedHello, EndsBothSidesWithTheCause) {
  LinkRules rules = rules_of(Role::kGateway, "g", {{Role::kRank, ""}});
  GetParam().change(rules.mine);
  LinkSession gateway(rules, {});
  LinkSession leader(rules_of(Role::kRank, "a", {{Role::kGateway, "g"}}), {});
  leader.on_bytes(drain(gateway, {}), {});
  EXPECT_EQ(leader.fate(), Fate::kFarewell);
  EXPECT_FALSE(leader.is_open());
  const auto answer = drain(leader, {});
  expect_closed(leader, GetParam().cause);
  gateway.on_bytes(answer, {});
  expect_closed(gateway, "it refused this process: ");
  EXPECT_NE(gateway.why().message().find(GetParam().cause), std::string::npos) << gateway.why().message();
  EXPECT_TRUE(gateway.take_events().empty());
}

TEST(LinkSession, AHelloMustBeThatOfTheCertificate) {
  const struct {
    PeerName certificate;
    bool right;
  } rows[] = {{{Role::kNode, "a"}, true}, {{Role::kNode, "b"}, false}, {{Role::kGateway, "a"}, false}};
  for (const auto& row : rows) {
    LinkPair pair;
    pair.gateway.on_secured(row.certificate);
    pair.gateway.on_bytes(drain(pair.leader, {}), {});
    EXPECT_EQ(pair.gateway.is_open(), row.right);
    if (!row.right) {
      (void)drain(pair.gateway, {});
      expect_closed(pair.gateway, "it calls itself rank \"a\", its certificate is that of " + peer_text(row.certificate));
    }
  }
}

struct BytesRow {
  const char* name;
  std::vector<std::byte> (*bytes)();
  const char* cause;
};
class RefusedBytes : public testing::TestWithParam<BytesRow> {};
INSTANTIATE_TEST_SUITE_P(
    BeforeHello, RefusedBytes,
    testing::Values(
        BytesRow{"http", [] { return text_bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); }, "no fragment of a herd connection"},
        BytesRow{"zeros", [] { return std::vector<std::byte>(64); }, "no fragment of a herd connection"},
        BytesRow{"lane", [] { return fragment_of(frame_of(FrameKind::kPing, 4), static_cast<Lane>(4), 1); }, "unknown lane 4"},
        BytesRow{"ping", [] { return fragment_of(wire::encode(handshake::Ping()), Lane::kLink, 1); }, "kind 12 before its hello"},
        BytesRow{"other_lane", [] { return fragment_of(wire::encode(hello_of(Role::kGateway, "g")), Lane::kTokens, 1); }, "kind 1 in lane 2"},
        BytesRow{"sequence", [] { return fragment_of(wire::encode(hello_of(Role::kGateway, "g")), Lane::kLink, 2); }, "fragment 2 after fragment 0"},
        BytesRow{"short_frame", [] { return fragment_of(std::vector<std::byte>(8), Lane::kLink, 1); }, "shorter than a header"},
        BytesRow{"no_frame", [] { return fragment_of(std::vector<std::byte>(48), Lane::kLink, 1); }, "not a herd frame"},
        BytesRow{"odd_length", [] { return fragment_of(std::vector<std::byte>(12), Lane::kLink, 1); }, "fragment of 12 bytes"},
        BytesRow{"long_fragment", [] { return fragment_of(std::vector<std::byte>(kPayloadBytesMax + 8), Lane::kLink, 1); }, "fragment of 16376 bytes"},
        BytesRow{"long_hello",
                 [] {
                   auto sealed = wire::seal(frame_of(FrameKind::kHello, 512), Epoch(0)).value();
                   const std::uint32_t words = 513;  // announced only
                   std::memcpy(sealed.data() + 8, &words, 4);
                   return fragment_of(sealed, Lane::kLink, 1);
                 },
                 "513 words, at least 1 and at most 512"},
        BytesRow{"no_message", [] { return fragment_of(frame_of(FrameKind::kHello, 8), Lane::kLink, 1); }, "hello: "},
        BytesRow{"checksum",
                 [] {
                   auto sealed = wire::seal(wire::encode(hello_of(Role::kGateway, "g")), Epoch(0)).value();
                   sealed.back() ^= std::byte{1};
                   return fragment_of(sealed, Lane::kLink, 1);
                 },
                 "wrong checksum"}),
    [](const auto& row) { return std::string(row.param.name); });
TEST_P(RefusedBytes, CloseTheConnectionHard) {
  LinkPair pair;
  pair.leader.on_bytes(GetParam().bytes(), {});
  expect_closed(pair.leader, GetParam().cause);
  EXPECT_TRUE(pair.leader.output().empty());
  EXPECT_TRUE(pair.leader.take_events().empty());
}

TEST(LinkSession, AnOpenConnectionRefusesWhatThePeersRoleHasNoRightTo) {
  const struct {
    FrameKind kind;
    const char* cause;
  } rows[] = {{FrameKind::kTokenDeltas, "kind 4, which a gateway has no right to send to a rank"},
              {FrameKind::kRankSpec, "kind 11, which a gateway has no right to send to a rank"},
              {FrameKind::kHello, "a second hello"}};
  for (const auto& row : rows) {
    LinkPair pair;
    pair.open();
    pair.leader.on_bytes(fragment_of(frame_of(row.kind, 4), lane_of(row.kind), 2), {});
    expect_closed(pair.leader, row.cause);
  }
}

TEST(LinkSession, ALeadersLossComesBehindTheTokensItMadeBefore) {
  LinkPair pair;
  pair.open();
  for (const FrameKind kind : {FrameKind::kTokenDeltas, FrameKind::kTokenDeltas, FrameKind::kReplicaLoss})
    ASSERT_TRUE(send(pair.leader, frame_of(kind, 4)).ok());
  pair.gateway.on_bytes(drain(pair.leader, {}), {});
  std::vector<FrameKind> kinds;
  for (const auto& frame : frames_of(pair.gateway)) kinds.push_back(frame.header.kind);
  EXPECT_EQ(kinds, (std::vector{FrameKind::kTokenDeltas, FrameKind::kTokenDeltas, FrameKind::kReplicaLoss}));
}

TEST(LinkSession, ARepeatedOrReorderedFragmentEndsTheConnection) {
  LinkPair pair;
  pair.open();
  ASSERT_TRUE(send(pair.gateway, frame_of(FrameKind::kAbort, 4)).ok());
  const auto bytes = drain(pair.gateway, {});
  pair.leader.on_bytes(bytes, {});
  EXPECT_EQ(frames_of(pair.leader).size(), 1U);
  pair.leader.on_bytes(bytes, {});
  expect_closed(pair.leader, "fragment 2 after fragment 2: one is missing, repeated or out of order");
}

TEST(LinkSession, AFragmentOfAFrameIsAsLongAsItBelongs) {
  LinkPair pair;
  pair.open();
  const auto sealed = wire::seal(frame_of(FrameKind::kSubmission, 5000), Epoch(0)).value();
  pair.leader.on_bytes(fragment_of(std::span(sealed).first(48), Lane::kRequests, 2), {});
  expect_closed(pair.leader, "a fragment of 48 bytes where 16368 belong");
}

TEST(LinkSession, WhoSaysNoHelloInTimeIsCutOff) {
  LinkPair pair;
  EXPECT_EQ(pair.leader.deadline(), at_seconds(3));
  const auto hello = drain(pair.gateway, {});
  pair.leader.on_bytes(std::span(hello).first(hello.size() - 1), at_seconds(2.9));  // slowly does not help
  pair.leader.on_time(at_seconds(2.99));
  EXPECT_EQ(pair.leader.fate(), Fate::kOpen);
  pair.leader.on_time(at_seconds(3));
  expect_closed(pair.leader, "somebody at 10.0.0.7:4000: no hello within 3 s");
}

// On its timer from `now` on, for as long as it stays open: the seconds.
double wait_for_end(LinkSession& session, double now) {
  const double begin = now;
  while (session.is_open()) {
    now = std::max(now, static_cast<double>(session.deadline().ns) * 1e-9);
    session.on_time(at_seconds(now));
    (void)drain(session, at_seconds(now));
  }
  return now - begin;
}

TEST(LinkSession, PingsComeEveryHalfSecondAndSilenceEndsTheConnection) {
  LinkPair pair;
  pair.open();
  EXPECT_EQ(pair.leader.deadline(), at_seconds(0.5));
  pair.leader.on_time(at_seconds(0.5));
  const auto ping = drain(pair.leader, at_seconds(0.5));
  EXPECT_FALSE(ping.empty());
  pair.gateway.on_bytes(ping, at_seconds(0.5));
  EXPECT_TRUE(pair.gateway.take_events().empty());
  const double silent_s = wait_for_end(pair.gateway, 0.5);
  expect_closed(pair.gateway, "rank \"a\" at 10.0.0.7:4000: silent for 1.");
  EXPECT_TRUE(pair.gateway.peer_hangs());
  EXPECT_GE(silent_s, 1.5);
  EXPECT_LE(silent_s, 2.0);
}

// Pings that come every half second, then none.
double silence_after(const std::vector<double>& intervals) {
  LinkPair pair;
  pair.open();
  double now = 0;
  for (const double interval : intervals) {
    for (const double next = now + interval; now < next; now = std::min(next, now + 0.1)) {
      pair.gateway.on_time(at_seconds(now));
      pair.leader.on_bytes(drain(pair.gateway, at_seconds(now)), at_seconds(now));
    }
    pair.leader.on_time(at_seconds(now));
    pair.gateway.on_bytes(drain(pair.leader, at_seconds(now)), at_seconds(now));
    EXPECT_TRUE(pair.gateway.is_open()) << now;
  }
  return wait_for_end(pair.gateway, now);
}

TEST(LinkSession, APeerThatPingsRegularlyIsGivenUpSooner) {
  std::vector<double> late(40, 0.55);
  const double regular_s = silence_after(late);
  EXPECT_NEAR(regular_s, 1.55, 1e-6);  // the least there is, and the last look
  for (const std::size_t at : {8U, 17U, 23U, 31U}) late[at] = 1.4;
  const double sometimes_late_s = silence_after(late);
  EXPECT_GT(sometimes_late_s, regular_s + 0.2);
  for (std::size_t at = 0; at < late.size(); at += 2) late[at] = 1.4;
  EXPECT_NEAR(silence_after(late), 3.05, 1e-6);  // the most
}

// A timer may be served before the bytes that have come: the peer has spoken in time.
TEST(LinkSession, WhatLiesUnreadIsReadBeforeAPeerIsGivenUp) {
  LinkPair pair;
  pair.open();
  pair.leader.on_time(at_seconds(0.5));
  const auto ping = drain(pair.leader, at_seconds(0.5));
  double now = 0;
  while (pair.gateway.is_open() && now < 1.95) {
    now += 0.05;
    pair.gateway.on_time(at_seconds(now));
    (void)drain(pair.gateway, at_seconds(now));
  }
  ASSERT_TRUE(pair.gateway.is_open());
  pair.gateway.on_bytes(ping, at_seconds(now));
  pair.gateway.on_time(at_seconds(now + 0.1));
  EXPECT_TRUE(pair.gateway.is_open());
}

// A process that was stopped for a minute finds late timers and a full socket: the peer is not to blame.
TEST(LinkSession, WhoSleptDoesNotTakeThePeerForSilent) {
  LinkPair pair;
  pair.open();
  pair.gateway.on_time(at_seconds(60));
  EXPECT_TRUE(pair.gateway.is_open());
  EXPECT_GE(wait_for_end(pair.gateway, 60), 1.5);
  expect_closed(pair.gateway, "silent for ");
}

TEST(LinkSession, APeerThatDoesNotReadIsCutOff) {
  LinkPair pair;
  pair.open();
  ASSERT_TRUE(send(pair.leader, frame_of(FrameKind::kTokenDeltas, 4), at_seconds(1)).ok());
  for (double now = 1; now < 3; now += 0.25) {
    pair.gateway.on_time(at_seconds(now));
    pair.leader.on_bytes(drain(pair.gateway, at_seconds(now)), at_seconds(now));  // it pings, so it is not silent
    pair.leader.on_time(at_seconds(now));
    ASSERT_EQ(pair.leader.fate(), Fate::kOpen) << now;
  }
  pair.leader.on_time(at_seconds(3));
  expect_closed(pair.leader, "it has not read for 2 s");
  EXPECT_TRUE(pair.leader.peer_hangs());
}

TEST(LinkSession, APeerThatDoesNotReadCostsBoundedMemory) {
  LinkPair pair;
  pair.open();
  const wire::Frame mib = frame_of(FrameKind::kTokenDeltas, 1U << 17);
  int sent = 0;
  Status status;
  while (status.ok()) {
    status = send(pair.leader, mib);
    ASSERT_LE(pair.leader.queued_bytes(), (std::size_t{64} << 20) + 64 * 1024);
    ASSERT_LT(++sent, 100);
  }
  EXPECT_GE(sent, 63);
  expect_closed(pair.leader, "it does not read: ");
  EXPECT_EQ(send(pair.leader, mib).code(), StatusCode::kAborted);
}

TEST(LinkSession, SubmissionsAreRefusedBeforeAnythingElseSuffers) {
  LinkPair pair;
  pair.open();
  const wire::Frame mib = frame_of(FrameKind::kSubmission, 1U << 17);
  int sent = 0;
  while (send(pair.gateway, mib).ok()) ASSERT_LT(++sent, 100);
  EXPECT_GE(sent, 31);
  EXPECT_EQ(send(pair.gateway, mib).code(), StatusCode::kOverloaded);
  EXPECT_TRUE(send(pair.gateway, frame_of(FrameKind::kAbort, 4)).ok());
  EXPECT_TRUE(pair.gateway.is_open());
}

// What was announced costs nothing: a frame of 8 MiB that stays away takes one fragment's memory; and who does not consume
// what it was given is given no more.
TEST(LinkSession, AnOwnerThatDoesNotConsumeStopsTheReading) {
  LinkRules rules = rules_of(Role::kRank, "a", {{Role::kGateway, ""}});
  rules.limits.unconsumed_bytes_max = 100'000;
  LinkSession leader(rules, {});
  LinkPair pair;
  leader.on_bytes(drain(pair.gateway, {}), {});
  pair.gateway.on_bytes(drain(leader, {}), {});
  EXPECT_TRUE(leader.wants_bytes());
  ASSERT_TRUE(send(pair.gateway, frame_of(FrameKind::kSubmission, 20'000)).ok());
  leader.on_bytes(drain(pair.gateway, {}), {});
  EXPECT_FALSE(leader.wants_bytes());
  for (double now = 0.5; now < 5; now += 0.5) {  // nothing is read, so nothing can be heard
    leader.on_time(at_seconds(now));
    (void)drain(leader, at_seconds(now));
  }
  EXPECT_TRUE(leader.is_open());
  leader.on_consumed(160'000, at_seconds(5));
  EXPECT_TRUE(leader.wants_bytes());
  EXPECT_GE(leader.deadline(), at_seconds(5));
}

TEST(LinkSession, FinishSendsWhatWaitsAndSaysGoodbye) {
  LinkPair pair;
  pair.open();
  ASSERT_TRUE(send(pair.leader, frame_of(FrameKind::kTokenDeltas, 9000)).ok());
  pair.leader.finish({StatusCode::kAborted, "draining\n"}, {});
  EXPECT_EQ(send(pair.leader, frame_of(FrameKind::kTokenDeltas, 4)).code(), StatusCode::kAborted);
  pair.gateway.on_bytes(drain(pair.leader, {}), {});
  expect_closed(pair.leader, "closed by this process: draining");
  EXPECT_EQ(frames_of(pair.gateway).size(), 1U);
  expect_closed(pair.gateway, "rank \"a\" at 10.0.0.7:4000: it closed the connection: draining ");
}

TEST(LinkSession, AFarewellThatIsNotReadEnds) {
  LinkPair pair;
  pair.open();
  pair.leader.finish({}, {});
  EXPECT_FALSE(pair.leader.output().empty());
  pair.leader.on_time(pair.leader.deadline());
  EXPECT_EQ(pair.leader.fate(), Fate::kClosed);
}

TEST(LinkSession, ALostConnectionNamesThePeer) {
  LinkPair pair;
  pair.leader.on_end("end of file");
  expect_closed(pair.leader, "the connection ended before its hello: end of file");
  pair.open();
  LinkPair other;
  other.open();
  other.gateway.on_end("reset");
  EXPECT_FALSE(other.gateway.peer_hangs());
  expect_closed(other.gateway, "rank \"a\" at 10.0.0.7:4000: the connection is lost: reset");
}

TEST(PeerName, UrisRoundTripAndOthersAreRefused) {
  for (const Role role : {Role::kCoordinator, Role::kNode, Role::kGateway, Role::kOperator}) {
    const PeerName peer{role, "a-1.b_C"};
    EXPECT_EQ(parse_certificate_uri(certificate_uri(peer)).value(), peer);
  }
  for (const char* uri : {"", "herd:", "herd:node", "herd:node/", "herd:rank/a", "herd:root/a", "http://node/a", "herd:node/a/b",
                          "herd:node/a b", "herd:node/-a", "herd:Node/a"})
    EXPECT_FALSE(parse_certificate_uri(uri).has_value()) << uri;
  EXPECT_FALSE(parse_certificate_uri("herd:node/" + std::string(64, 'a')).has_value());
}

// The bytes of a connection as protocol 1 has them: hello, two frames in one record, goodbye.
TEST(LinkGolden, TheBytesOfAConnectionStayAsTheyAre) {
  LinkPair pair;
  std::vector<std::byte> bytes = drain(pair.leader, {});
  pair.open();
  pair.leader.on_bytes(drain(pair.gateway, {}), {});
  pair.leader.on_time(at_seconds(0.5));
  ASSERT_TRUE(send(pair.leader, frame_of(FrameKind::kTokenDeltas, 2, 0x0102030405060708)).ok());
  pair.leader.finish({StatusCode::kAborted, "draining"}, at_seconds(0.5));
  const auto rest = drain(pair.leader, at_seconds(0.5));
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  std::string hex;
  for (const std::byte byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", std::to_integer<unsigned>(byte));
    hex += digits;
  }
  std::ifstream file("tests/cluster/link/golden/v1.hex");
  std::string golden;
  file >> golden;
  EXPECT_EQ(hex, golden);
}

}  // namespace
}  // namespace herd::link
