// A coordinator's QuotaBoard with the QuotaBooks of several gateways, over connections that take their time: whatever is asked where,
// a key has its limits once.
#include "cluster/admission/quota_board.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>

#include "cluster/admission/quota_book.h"

namespace herd::admission {
namespace {

constexpr double kStep = 0.01;     // s
constexpr double kLatency = 0.02;  // of a message
constexpr TenantId kKey{7};
constexpr TenantId kOther{8};

class Cluster {
 public:
  struct Request {
    TenantId key;
    std::uint32_t sequences = 1;
    double ends = 0;
  };
  struct Gateway {
    std::unique_ptr<QuotaBook> book;
    QuotaPeer peer;
    GatewayId id;
    double owed = 0;  // requests, fractions of them
    double taken = 0;
    double refused = 0;
    std::vector<Request> open;
  };
  struct Sent {
    double due = 0;
    QuotaPeer peer;
    std::function<void()> deliver;
  };

  Cluster(int gateways, const TenantLimits& limits, std::size_t running_max = 72)
      : limits_(limits), running_max_(running_max), board_(static_cast<std::uint32_t>(gateways), at()) {
    for (int i = 0; i < gateways; ++i) all.emplace_back();
    for (Gateway& gateway : all) start(gateway);
  }

  void start(Gateway& gateway) {
    gateway.book = std::make_unique<QuotaBook>(static_cast<std::uint32_t>(all.size()), running_max_);
    gateway.book->set_limits(kKey, limits_);
    gateway.open.clear();
    gateway.id = GatewayId(++lives_);
    connect(gateway, true);
  }
  void kill(Gateway& gateway) {
    disconnect(gateway);
    gateway.book.reset();
  }
  void connect(Gateway& gateway, bool is_fresh) {
    gateway.peer = QuotaPeer(++peers_);
    gateway.book->on_coordinator(true, at());
    board_.on_joined(gateway.peer, gateway.id, is_fresh, at());
    tell_news();
  }
  void disconnect(Gateway& gateway) {
    if (gateway.book) gateway.book->on_coordinator(false, at());
    board_.on_gone(gateway.peer, at());
    gateway.peer = {};
    tell_news();
  }
  void restart_coordinator() {
    for (Gateway& gateway : all) gateway.book->on_coordinator(false, at());
    wire_.clear();
    board_ = QuotaBoard(static_cast<std::uint32_t>(all.size()), at());
    for (Gateway& gateway : all) {
      run(0.1, {});
      connect(gateway, false);
    }
  }

  // A request that takes no time, or `lasts` so long. False: refused.
  bool ask(Gateway& gateway, double prompt = 1, double output = 0, double lasts = 0, TenantId key = kKey, std::uint32_t sequences = 1) {
    gateway.book->expire(at());
    if (const auto why = gateway.book->of(key).refuses(prompt, 1, at())) {
      gateway.book->on_refused(key, *why, {prompt, output});
      ++gateway.refused;
      return false;
    }
    gateway.book->on_taken(key, static_cast<std::uint64_t>(prompt), sequences, at());
    if (output > 0) gateway.book->on_output(key, output, at());
    ++gateway.taken;
    if (lasts > 0) {
      gateway.open.push_back({key, sequences, now + lasts});
    } else {
      gateway.book->on_ended(key, sequences);
    }
    return true;
  }
  // So many requests a second at each of the gateways.
  void run(double seconds, const std::vector<double>& per_second, double prompt = 1, double output = 0, double lasts = 0) {
    run_with(seconds, [&] {
      for (std::size_t i = 0; i < per_second.size(); ++i)
        for (all[i].owed += per_second[i] * kStep; all[i].owed >= 1; --all[i].owed) (void)ask(all[i], prompt, output, lasts);
    });
  }
  void run_with(double seconds, const std::function<void()>& each_step) {
    for (const double over = now + seconds; now < over - kStep / 2;) {
      now += kStep;
      deliver();
      for (Gateway& gateway : all) {
        if (!gateway.book) continue;
        std::erase_if(gateway.open, [&](const Request& one) {
          if (one.ends > now) return false;
          gateway.book->on_ended(one.key, one.sequences);
          return true;
        });
        say(gateway);
      }
      each_step();
    }
  }

  [[nodiscard]] double taken() const {
    double sum = 0;
    for (const Gateway& gateway : all) sum += gateway.taken;
    return sum;
  }
  [[nodiscard]] std::size_t open() const {
    std::size_t sum = 0;
    for (const Gateway& gateway : all) sum += gateway.open.size();
    return sum;
  }
  [[nodiscard]] Instant at() const { return {static_cast<std::int64_t>(now * 1e9)}; }
  QuotaBoard& board() { return board_; }

  double now = 0;
  std::vector<Gateway> all;
  int messages = 0;

 private:
  void say(Gateway& gateway) {
    if (gateway.peer.value == 0) return;
    auto demand = gateway.book->take_demand(at());
    if (!demand) return;
    ++messages;
    wire_.push_back({now + kLatency, gateway.peer, [this, &gateway, peer = gateway.peer, demand = std::move(*demand)] {
                       auto answer = board_.on_demand(peer, demand, at());
                       send(gateway, std::move(answer));
                       tell_news();
                     }});
  }
  void tell_news() {
    for (QuotaBoard::News& news : board_.take_news(at()))
      for (Gateway& gateway : all)
        if (gateway.peer == news.gateway) send(gateway, std::move(news.shares));
  }
  void send(Gateway& gateway, routing::QuotaShares shares) {
    wire_.push_back({now + kLatency, gateway.peer, [this, &gateway, shares = std::move(shares)] { gateway.book->set_shares(shares, at()); }});
  }
  void deliver() {
    while (!wire_.empty() && wire_.front().due <= now) {
      const Sent sent = std::move(wire_.front());
      wire_.pop_front();
      const bool is_open = std::ranges::any_of(all, [&](const Gateway& one) { return one.book && one.peer == sent.peer; });
      if (is_open) sent.deliver();
    }
  }

  const TenantLimits limits_;
  const std::size_t running_max_;
  QuotaBoard board_;
  std::deque<Sent> wire_;
  std::uint64_t peers_ = 0;
  std::uint64_t lives_ = 0;
};

constexpr double kRate = 600;  // a minute: a bucket of 600, and ten a second
constexpr TenantLimits kRequests{.requests_per_minute = kRate, .in_flight_max = 0};

double allowed(double seconds) { return kRate + kRate * seconds / 60; }

TEST(QuotaBoard, OneGatewayHasAll) {
  Cluster cluster(1, kRequests);
  cluster.run(60, {50});
  EXPECT_NEAR(cluster.taken(), allowed(60), 1);
}

TEST(QuotaBoard, ALimitIsHadOnceWhereverItIsAsked) {
  const std::vector<std::vector<double>> patterns{{40, 40, 40}, {100, 0, 0}, {0, 0, 100}, {80, 10, 10}, {60, 6, 0}, {30, 1, 1}};
  for (const auto& pattern : patterns) {
    Cluster cluster(3, kRequests);
    cluster.run(60, pattern);
    EXPECT_LE(cluster.taken(), allowed(60) * 1.001) << pattern[0] << " " << pattern[1] << " " << pattern[2];
    EXPECT_GE(cluster.taken(), allowed(60) * 0.98) << pattern[0] << " " << pattern[1] << " " << pattern[2];
  }
}

TEST(QuotaBoard, ALimitIsHadOnceWhileItIsAskedNowHereNowThere) {
  Cluster cluster(3, kRequests);
  for (int turn = 0; turn < 60; ++turn) {
    std::vector<double> pattern{0, 0, 0};
    pattern[static_cast<std::size_t>(turn * turn) % 3] = 100;
    cluster.run(2, pattern);
  }
  EXPECT_LE(cluster.taken(), allowed(120) * 1.001);
  EXPECT_GE(cluster.taken(), allowed(120) * 0.95);
}

TEST(QuotaBoard, WhatIsAskedDividesIt) {
  Cluster cluster(3, kRequests);
  cluster.run(60, {60, 20, 20});
  const double before[] = {cluster.all[0].taken, cluster.all[1].taken, cluster.all[2].taken};
  cluster.run(60, {60, 20, 20});
  // Four fifths of it: six parts to two and two; the other fifth is everybody's.
  const double shares[] = {0.8 * 0.6 + 0.2 / 3, 0.8 * 0.2 + 0.2 / 3, 0.8 * 0.2 + 0.2 / 3};
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(cluster.all[i].taken - before[i], shares[i] * kRate, 0.02 * kRate);
}

TEST(QuotaBoard, NobodyIsRefusedWhileLessIsAskedThanThereIs) {
  Cluster cluster(3, kRequests);
  cluster.run(60, {100, 1, 1});
  cluster.run(5, {5, 1, 1});  // a flood is forgotten
  const auto refused = [&] { return cluster.all[0].refused + cluster.all[1].refused + cluster.all[2].refused; };
  const double before = refused();
  cluster.run(60, {7, 1, 1});
  EXPECT_EQ(refused(), before);
}

TEST(QuotaBoard, PromptTokensAreHadOnce) {
  Cluster cluster(3, {.prompt_tokens_per_minute = 60000, .in_flight_max = 0});
  cluster.run(60, {9, 3, 0}, 1000);
  EXPECT_NEAR(cluster.taken() * 1000, 120000, 6000);
}

TEST(QuotaBoard, OutputTokensAreHadOnce) {
  Cluster cluster(3, {.output_tokens_per_minute = 60000, .in_flight_max = 0});
  cluster.run(60, {90, 30, 0}, 1, 100);
  EXPECT_NEAR(cluster.taken() * 100, 120000, 6000);
}

TEST(QuotaBoard, ADebtIsEverybodys) {
  Cluster cluster(3, {.output_tokens_per_minute = 600, .in_flight_max = 0});
  ASSERT_TRUE(cluster.ask(cluster.all[0], 1, 3000));  // 600 were there
  cluster.run(10, {1, 1, 1}, 1, 1);
  const double taken = cluster.taken();
  cluster.run(200, {1, 1, 1}, 1, 1);
  EXPECT_EQ(cluster.taken(), taken) << "it takes 240 s to be paid";
  cluster.run(60, {1, 1, 1}, 1, 1);
  EXPECT_GT(cluster.taken(), taken);
}

TEST(QuotaBoard, LimitsOfOneAMinuteAreHadOnceInTheLongRun) {
  Cluster cluster(3, {.requests_per_minute = 1, .in_flight_max = 0});
  cluster.run(3600, {0.5, 0.5, 0.5});
  EXPECT_NEAR(cluster.taken(), 60, 3) << "one at each gateway may come before any has told of it; later ones wait for these";
}

TEST(QuotaBoard, AGatewayThatDiesFreesItsShare) {
  Cluster cluster(3, kRequests);
  cluster.run(60, {40, 40, 40});
  cluster.kill(cluster.all[2]);
  cluster.run(1, {40, 40});
  const double taken = cluster.taken();
  cluster.run(60, {40, 40});
  EXPECT_NEAR(cluster.taken() - taken, kRate, kRate * 0.02);
}

TEST(QuotaBoard, WhatADeadGatewayHeldIsLeft) {
  for (const bool starts_again : {false, true}) {
    Cluster cluster(3, kRequests);
    cluster.run(1, {10, 10, 10});  // each tells of the key, and holds nearly a third
    cluster.kill(cluster.all[0]);
    if (starts_again) cluster.start(cluster.all[0]);
    cluster.run(59, {0, 60, 40});
    EXPECT_NEAR(cluster.taken(), allowed(60), allowed(60) * 0.02) << starts_again;
  }
}

TEST(QuotaBoard, AConnectionThatComesAndGoesMakesNothing) {
  Cluster cluster(3, kRequests);
  cluster.run(5, {5, 5, 5});
  for (int flap = 0; flap < 50; ++flap) {
    cluster.disconnect(cluster.all[0]);
    cluster.run(0.1, {20, 20, 20});
    cluster.connect(cluster.all[0], false);
    cluster.run(1, {20, 20, 20});
  }
  EXPECT_LE(cluster.taken(), allowed(60) * 1.05);
  EXPECT_GE(cluster.taken(), allowed(60) * 0.95);
}

TEST(QuotaBoard, GatewaysThatStartAgainBringNothing) {
  Cluster cluster(3, kRequests);
  cluster.run(60, {40, 40, 40});
  for (int life = 0; life < 30; ++life) {
    cluster.kill(cluster.all[2]);
    cluster.run(1, {40, 40});
    cluster.start(cluster.all[2]);
    cluster.run(1, {40, 40, 40});
  }
  EXPECT_LE(cluster.taken(), allowed(120) * 1.05);
  EXPECT_GE(cluster.taken(), allowed(120) * 0.95);
}

TEST(QuotaBoard, ACoordinatorThatStartsAgainKnowsWhatIsLeft) {
  Cluster cluster(3, kRequests);
  cluster.run(60, {100, 10, 10});
  const double taken = cluster.taken();
  for (int life = 0; life < 6; ++life) {
    cluster.restart_coordinator();
    cluster.run(9.7, {100, 10, 10});
  }
  EXPECT_NEAR(cluster.taken() - taken, kRate, kRate * 0.05);
}

TEST(QuotaBoard, AGatewayThatIsCutOffKeepsAPart) {
  Cluster cluster(3, kRequests);
  cluster.run(60, {40, 40, 40});
  cluster.disconnect(cluster.all[2]);
  const double taken = cluster.all[2].taken;
  cluster.run(60, {40, 40, 40});
  EXPECT_NEAR(cluster.all[2].taken - taken, kRate / 3, kRate * 0.02);
  cluster.connect(cluster.all[2], false);
  cluster.run(5, {40, 40, 40});
  const double before = cluster.taken();
  cluster.run(60, {40, 40, 40});
  EXPECT_NEAR(cluster.taken() - before, kRate, kRate * 0.02);
}

TEST(QuotaBoard, RequestsInFlightAreCountedOnce) {
  for (const std::uint32_t max : {1U, 2U, 8U, 64U}) {
    Cluster cluster(3, {.in_flight_max = max});
    std::size_t most = 0;
    double open_s = 0;
    const auto load = [&] {
      for (std::size_t i = 0; i < 3; ++i)
        if (static_cast<int>(cluster.now / kStep) % (i == 0 ? 2 : 9) == 0) (void)cluster.ask(cluster.all[i], 1, 0, 1.5);
      most = std::max(most, cluster.open());
      open_s += static_cast<double>(cluster.open()) * kStep;
    };
    cluster.run_with(1, load);  // each gateway lets one in that nobody has told of
    EXPECT_LE(most, std::max(3U, max));
    cluster.run_with(5, load);
    most = 0, open_s = 0;
    cluster.run_with(60, load);
    EXPECT_LE(most, max);
    EXPECT_GE(open_s, 60 * max * 0.7) << max << ": a place that is given back is another gateway's within half a second";
  }
}

TEST(QuotaBoard, APlaceIsWhereItIsWanted) {
  Cluster cluster(3, {.in_flight_max = 8});
  const auto load = [&](std::size_t where) {
    return [&cluster, where] { (void)cluster.ask(cluster.all[where], 1, 0, 1); };
  };
  cluster.run_with(5, load(0));
  EXPECT_EQ(cluster.all[0].open.size(), 8u);
  cluster.run_with(5, load(2));
  EXPECT_EQ(cluster.all[2].open.size(), 8u);
}

// Keeps so many sequences of a key at each gateway, waiting or running.
void keep(Cluster& cluster, TenantId key, const std::vector<std::size_t>& want) {
  for (std::size_t i = 0; i < want.size(); ++i)
    while (std::ranges::count(cluster.all[i].open, key, &Cluster::Request::key) < static_cast<std::ptrdiff_t>(want[i]))
      ASSERT_TRUE(cluster.ask(cluster.all[i], 1, 0, 1e9, key));
}

TEST(QuotaBoard, PlacesGoWhereTheWorkIs) {
  Cluster cluster(3, {.in_flight_max = 0}, 60);
  EXPECT_EQ(cluster.all[0].book->running_max(), 20u);
  keep(cluster, kKey, {10, 0, 0});
  cluster.run(2, {});
  EXPECT_NEAR(static_cast<double>(cluster.all[0].book->running_max()), 10 + 50.0 / 3, 1) << "its ten, and a third of what is left";
  keep(cluster, kKey, {100, 20, 0});
  cluster.run(2, {});
  EXPECT_NEAR(static_cast<double>(cluster.all[0].book->running_max()), 50, 1);
  EXPECT_NEAR(static_cast<double>(cluster.all[1].book->running_max()), 10, 1);
  EXPECT_EQ(cluster.all[2].book->running_max(), 1u) << "one request always runs";
}

TEST(QuotaBoard, KeysHaveEqualPartsOfThePlacesWhereverTheyAsk) {
  // One key at one gateway, the other at all three: half of the places each. Within a gateway its queue divides by weight.
  Cluster cluster(3, {.in_flight_max = 0}, 60);
  for (auto& gateway : cluster.all) gateway.book->set_limits(kOther, {.in_flight_max = 0});
  keep(cluster, kKey, {100, 0, 0});
  keep(cluster, kOther, {40, 40, 40});
  cluster.run(2, {});
  double of_key = 0;
  double places = 0;
  for (auto& gateway : cluster.all) {
    const double here = static_cast<double>(gateway.book->running_max());
    const double weight = gateway.open.empty() ? 0 : gateway.book->of(kKey).weight();
    const bool both = &gateway == cluster.all.data();
    places += here;
    if (both) of_key = here * weight / (weight + gateway.book->of(kOther).weight());
  }
  EXPECT_NEAR(places, 60, 1);
  EXPECT_NEAR(of_key, 30, 1.5);
}

TEST(QuotaBoard, IsSilentOnceNobodyHasAskedForAMinute) {
  Cluster cluster(3, kRequests);
  cluster.run(5, {10, 0, 0});
  cluster.run(61, {});
  EXPECT_EQ(cluster.board().tenants(), 0u);
  const int messages = cluster.messages;
  cluster.run(60, {});
  EXPECT_EQ(cluster.messages, messages);
  // And begins again, with full buckets.
  const double taken = cluster.taken();
  cluster.run(60, {0, 100, 0});
  EXPECT_NEAR(cluster.taken() - taken, allowed(60), allowed(60) * 0.02);
}

TEST(QuotaBoard, AStrangerHasAPartAndChangesNothing) {
  QuotaBoard board(4, {});
  board.on_joined(QuotaPeer(1), GatewayId(1), true, {});
  const auto answer = board.on_demand(QuotaPeer(9), {.number = 3, .seconds = 1, .running_max = 8, .tenants = {{.tenant = 5}}}, {});
  EXPECT_EQ(answer, (routing::QuotaShares{.number = 3, .gateways = 4, .running = 0.25, .tenants = {}}));
  EXPECT_EQ(board.tenants(), 0u);
  board.on_gone(QuotaPeer(9), {});
}

// Whatever is asked, moved and lost: shares are shares, and a board never hands out more than there is.
TEST(QuotaBoard, RandomDemandsNeverMakeTokens) {
  std::mt19937_64 draw(3);
  for (int round = 0; round < 20; ++round) {
    Cluster cluster(2 + static_cast<int>(draw() % 4), kRequests);
    const double seconds = 40;
    for (int turn = 0; turn < 40; ++turn) {
      std::vector<double> pattern;
      for (std::size_t i = 0; i < cluster.all.size(); ++i) pattern.push_back(static_cast<double>(draw() % 3 * (draw() % 60)));
      cluster.run(seconds / 40, pattern);
    }
    ASSERT_LE(cluster.taken(), allowed(seconds) * 1.001) << "round " << round;
  }
}

}  // namespace
}  // namespace herd::admission
