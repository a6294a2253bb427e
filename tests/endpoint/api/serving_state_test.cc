#include "endpoint/api/serving_state.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace herd::api {
namespace {

using routing::ReplicaState;

// A cluster of which only the status matters.
class StatusOnly final : public actors::ClusterClient {
 public:
  void submit(const gateway::GatewayRequest&, std::shared_ptr<actors::RequestStream>) override {}
  void consumed(RequestId, std::size_t) override {}
  void stop_choice(RequestId, std::uint32_t) override {}
  void gone(RequestId) override {}
  [[nodiscard]] std::shared_ptr<const actors::ClusterStatus> status() const override { return status_; }
  void set_tenant(admission::TenantId, const admission::TenantLimits&) override {}
  void set_queue_bounds(std::size_t, std::uint64_t) override {}
  [[nodiscard]] std::optional<admission::AdmissionRefusal> refuses_now(admission::TenantId) const override { return {}; }
  void stop() override {}

  // A replica each, in that state; one that is lost returns or not. `heard`: those that serve have said so themselves.
  void set(const std::vector<std::pair<ReplicaState, bool>>& replicas, std::optional<Instant> silent_since = {},
           bool heard = true) {
    auto status = std::make_shared<actors::ClusterStatus>();
    for (const auto& [state, returns] : replicas) {
      const ReplicaId id(static_cast<std::uint32_t>(status->replicas.size()));
      routing::ReplicaView view;
      view.route.generation = {id, Epoch(1)};
      view.state = state;
      view.returns = returns;
      status->view.replicas.push_back(view);
      status->replicas.push_back({.replica = id, .serving = heard && state == ReplicaState::kServing, .scheduler = {}});
    }
    status->silent_since = silent_since;
    status_ = std::move(status);
  }

 private:
  std::shared_ptr<const actors::ClusterStatus> status_ = std::make_shared<const actors::ClusterStatus>();
};

class ServingStateTest : public testing::Test {
 protected:
  static constexpr std::int64_t kSecond = 1'000'000'000;

  StatusOnly client_;
  observability::ServingMetrics metrics_{observability::ServingMetricsConfig{.model_name = "toy", .max_model_len = 256}};
  ServingState state_{client_, nullptr, metrics_, 30};
};

// replicas                                health             ready
//   serving                               200 ok             yes
//   serving, lost for good                200 ok             yes
//   lost, returns                         200 recovering     no
//   being made                            200 recovering     no
//   lost for good, lost and returns       200 recovering     no
//   lost for good (both)                  503 unavailable    no
TEST_F(ServingStateTest, HealthIsLostWithTheLastReplicaThatCouldComeBackAndReadinessAtOnce) {
  const std::pair serving{ReplicaState::kServing, true}, returns{ReplicaState::kLost, true}, gone{ReplicaState::kLost, false},
      made{ReplicaState::kMaking, true};
  const struct {
    std::vector<std::pair<ReplicaState, bool>> replicas;
    int status;
    std::string word;
    bool ready;
  } rows[] = {{{serving}, 200, "ok", true},       {{serving, gone}, 200, "ok", true}, {{returns}, 200, "recovering", false},
              {{made}, 200, "recovering", false}, {{gone, returns}, 200, "recovering", false},
              {{gone, gone}, 503, "unavailable", false}};
  for (const auto& row : rows) {
    client_.set(row.replicas);
    const Health health = state_.health();
    EXPECT_EQ(health.status, row.status) << row.word;
    EXPECT_EQ(health.word, row.word);
    EXPECT_EQ(health.reason.empty(), row.word == "ok") << health.reason;
    EXPECT_EQ(!state_.not_ready({}), row.ready) << row.word;
  }
}

// Its loss was told and the view that says so was not yet, or the view says that it serves and it has not said anything itself.
TEST_F(ServingStateTest, AReplicaThatTheViewSaysServesMayBeAboutTo) {
  client_.set({{ReplicaState::kServing, true}, {ReplicaState::kLost, false}}, std::nullopt, false);
  EXPECT_EQ(state_.health().status, 200);
  EXPECT_EQ(state_.health().word, "recovering");
  EXPECT_TRUE(state_.not_ready({}));
}

TEST_F(ServingStateTest, IsNotReadyWhenNoStepWasFinishedForLongerThanReadyStall) {
  client_.set({{ReplicaState::kServing, true}}, Instant{100 * kSecond});
  EXPECT_FALSE(state_.not_ready({129 * kSecond}));
  const auto why = state_.not_ready({141 * kSecond});
  ASSERT_TRUE(why);
  EXPECT_NE(why->find("for 41 s"), std::string::npos) << *why;
  EXPECT_EQ(state_.health().status, 200) << "it lives: only new requests should go elsewhere";
}

TEST_F(ServingStateTest, ADrainingServerIsNeither) {
  client_.set({{ReplicaState::kServing, true}});
  state_.drain();
  EXPECT_EQ(state_.health().status, 503);
  EXPECT_EQ(state_.health().word, "draining");
  EXPECT_TRUE(state_.not_ready({}));
}

}  // namespace
}  // namespace herd::api
