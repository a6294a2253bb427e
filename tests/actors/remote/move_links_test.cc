// Two leaders' connections for KV blocks, and replicas that keep what they hear.

#include "actors/remote/move_links.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <numeric>
#include <vector>

#include "tests/actors/link/link_ground.h"

namespace herd::actors {
namespace {

using routing::ReplicaGeneration;

constexpr ReplicaGeneration kTakes{ReplicaId(0), Epoch(10)}, kHolds{ReplicaId(1), Epoch(11)};

struct Heard {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<MoveHeard> all;

  // The event number `index` (from 0) of that type; null: none comes, or it is of another type.
  template <class Event>
  std::shared_ptr<const Event> event(std::size_t index) {
    std::unique_lock lock(mutex);
    if (!changed.wait_for(lock, link::kLong, [&] { return all.size() > index; })) return nullptr;
    const auto* found = std::get_if<Event>(&all[index].what);
    return found == nullptr ? nullptr : std::make_shared<const Event>(*found);
  }
};

ReplicaHandle::behavior_type listener(ReplicaHandle::pointer, std::shared_ptr<Heard> heard) {
  return {
      [](const GatewayJoined&) {},
      [](const RunSequence&) {},
      [](const StopSequence&) {},
      [](const RankJoined&) {},
      [](const StepDone&) {},
      [](const WakeUp&) {},
      [](const Tick&) {},
      [](const StopReplica&) {},
      [](const BlockRead&) {},
      [heard](const MoveHeard& message) {
        const std::scoped_lock lock(heard->mutex);
        heard->all.push_back(message);
        heard->changed.notify_all();
      },
  };
}

class MoveLinksTest : public testing::Test {
 protected:
  struct Leader {
    explicit Leader(caf::actor_system& system, const std::string& name)
        : host(link::LinkHost::start(link::host_config(handshake::Role::kRank, name, std::nullopt, record)).value()),
          links(std::make_shared<MoveLinks>(*host)),
          replica(system.spawn(listener, heard)) {}
    ~Leader() {
      links->finish({StatusCode::kAborted, "the test is over"});
      caf::anon_send_exit(replica, caf::exit_reason::user_shutdown);
    }
    Leader(const Leader&) = delete;
    Leader& operator=(const Leader&) = delete;
    link::Record record;
    std::shared_ptr<Heard> heard = std::make_shared<Heard>();
    std::unique_ptr<link::LinkHost> host;
    std::shared_ptr<MoveLinks> links;
    ReplicaHandle replica;
  };

  MoveLinksTest() {
    port_ = holder_.host->listen("127.0.0.1", 0, link::kRanks, holder_.links->opener()).value();
    holder_.links->set_replica(kHolds, holder_.replica);
    taker_.links->set_replica(kTakes, taker_.replica);
  }
  [[nodiscard]] routing::Route route(ReplicaGeneration generation = kHolds) const {
    return {generation, "127.0.0.1:" + std::to_string(port_), "numerics"};
  }
  static replica::MoveAsk ask(std::uint64_t move = 5) { return {TransferId(move), {"numerics", "layout", 1}, 0, 0, {{1, 2}, {3, 4}}}; }
  // Asks, and says by which number the holder knows the taker.
  replica::TakerId asked() {
    taker_.links->send(route(), ask());
    const auto heard = holder_.heard->event<replica::FromTaker>(0);
    if (heard == nullptr) return 0;
    EXPECT_EQ(std::get<replica::MoveAsk>(heard->message), ask());
    return heard->taker;
  }

  ActorSystemConfig config_{1};
  caf::actor_system system_{config_};
  Leader holder_{system_, "node-b"}, taker_{system_, "node-a"};
  std::uint16_t port_ = 0;
};

TEST_F(MoveLinksTest, CarryWhatIsSaidAndBlocksAsTheyAre) {
  const replica::TakerId taker = asked();
  ASSERT_NE(taker, 0U);
  const replica::MoveFound found{TransferId(5), {}, std::vector<TokenId>(32, 7)};
  holder_.links->send(taker, found);
  step::BlockBytes block{TransferId(5), 1, 0, 99, std::vector<std::byte>(3'000'000)};
  for (std::size_t i = 0; i < block.bytes.size(); ++i) block.bytes[i] = static_cast<std::byte>(i * 7);
  holder_.links->send(taker, std::make_shared<const step::BlockBytes>(block));
  const auto first = taker_.heard->event<replica::FromHolder>(0), second = taker_.heard->event<replica::FromHolder>(1);
  ASSERT_TRUE(first && second);
  // What is granted comes behind what was found; here both were said at once, and lanes differ.
  const bool in_order = std::holds_alternative<replica::MoveFound>(first->message);
  EXPECT_EQ(std::get<replica::MoveFound>((in_order ? first : second)->message), found);
  EXPECT_EQ(*std::get<replica::SharedBlockBytes>((in_order ? second : first)->message), block);
  taker_.links->send(route(), replica::MoveGrant{TransferId(5), 3});
  const auto grant = holder_.heard->event<replica::FromTaker>(1);
  ASSERT_TRUE(grant);
  EXPECT_EQ(std::get<replica::MoveGrant>(grant->message), (replica::MoveGrant{TransferId(5), 3}));
  EXPECT_EQ(grant->taker, taker);
}

TEST_F(MoveLinksTest, WhoAsksAGenerationThatIsNotThereIsAnswered) {
  taker_.links->send(route({ReplicaId(1), Epoch(3)}), ask());
  const auto answer = taker_.heard->event<replica::FromHolder>(0);
  ASSERT_TRUE(answer);
  const auto& found = std::get<replica::MoveFound>(answer->message);
  EXPECT_EQ(found.move, TransferId(5));
  EXPECT_EQ(found.status.code(), StatusCode::kAborted);
}

TEST_F(MoveLinksTest, TheEndOfAHolderIsHeard) {
  ASSERT_NE(asked(), 0U);
  holder_.links->set_replica({ReplicaId(1), Epoch(12)}, holder_.replica);
  const auto gone = taker_.heard->event<replica::HolderGone>(0);
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->holder, kHolds);
  taker_.links->tidy();
  taker_.links->send(route({ReplicaId(1), Epoch(12)}), ask(6));  // on another connection
  const auto left = holder_.heard->event<replica::TakerGone>(1);
  ASSERT_TRUE(left) << "the connection before";
  const auto again = holder_.heard->event<replica::FromTaker>(2);
  ASSERT_TRUE(again);
  EXPECT_NE(again->taker, left->taker);
}

// Transfers of two generations have the same numbers: what comes late of one must not be taken for the other's.
TEST_F(MoveLinksTest, WhatAConnectionBringsIsHeardByTheGenerationThatOpenedIt) {
  ASSERT_NE(asked(), 0U);
  const auto next_heard = std::make_shared<Heard>();
  const ReplicaHandle next = system_.spawn(listener, next_heard);
  taker_.links->set_replica({kTakes.replica, Epoch(20)}, next);
  EXPECT_TRUE(taker_.heard->event<replica::HolderGone>(0)) << "its connection ended";
  caf::anon_send_exit(next, caf::exit_reason::user_shutdown);
  const std::scoped_lock lock(next_heard->mutex);
  EXPECT_TRUE(next_heard->all.empty()) << "it has asked nobody";
}

TEST_F(MoveLinksTest, TheEndOfATakerIsHeard) {
  const replica::TakerId taker = asked();
  taker_.links->set_replica({ReplicaId(0), Epoch(20)}, taker_.replica);
  const auto gone = holder_.heard->event<replica::TakerGone>(1);
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->taker, taker);
  holder_.links->send(taker, replica::MoveOver{TransferId(5), {StatusCode::kAborted, "over"}});  // nobody is there
}

TEST_F(MoveLinksTest, AnAddressThatIsNoneIsAHolderThatIsGone) {
  taker_.links->send({kHolds, "", "numerics"}, ask());
  ASSERT_TRUE(taker_.heard->event<replica::HolderGone>(0));
  taker_.links->finish({StatusCode::kAborted, "it ends"});
  taker_.links->send(route(), ask());  // says nothing to nobody
}

}  // namespace
}  // namespace herd::actors
