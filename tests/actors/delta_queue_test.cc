// DeltaQueue before a client made by hand.

#include "actors/client/delta_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>
#include <vector>

namespace herd::actors {
namespace {

using gateway::RequestEnd;

// Keeps what it is told.
class FakeClient final : public ClusterClient {
 public:
  void submit(const gateway::GatewayRequest& request, std::shared_ptr<RequestStream> stream) override {
    requests.push_back(request);
    streams[request.id] = std::move(stream);
  }
  void consumed(RequestId request, std::size_t deltas) override { reports.emplace_back(request, deltas); }
  void stop_choice(RequestId, std::uint32_t) override {}
  void gone(RequestId) override {}
  [[nodiscard]] std::shared_ptr<const ClusterStatus> status() const override {
    return std::make_shared<const ClusterStatus>();
  }
  void set_tenant(admission::TenantId, const admission::TenantLimits&) override {}
  void set_queue_bounds(std::size_t, std::uint64_t) override {}
  [[nodiscard]] std::optional<admission::AdmissionRefusal> refuses_now(admission::TenantId) const override {
    return std::nullopt;
  }
  void stop() override {}

  std::vector<gateway::GatewayRequest> requests;
  std::map<RequestId, std::shared_ptr<RequestStream>> streams;
  std::vector<std::pair<RequestId, std::size_t>> reports;
};

step::Submission submission() {
  step::Submission submission;
  submission.tokens = {1, 2, 3};
  submission.prompt_tokens = 3;
  submission.max_tokens = 7;
  return submission;
}

step::TokenDelta token(TokenId id) {
  step::TokenDelta delta;
  delta.has_token = true;
  delta.token.token = id;
  return delta;
}

TEST(DeltaQueue, AsksForOneSequenceAndHandsItsSubmissionOver) {
  FakeClient client;
  DeltaQueue queue(client, 5);
  queue.submit(RequestId(4), submission());
  ASSERT_EQ(client.requests.size(), 1U);
  EXPECT_EQ(client.requests[0].id, RequestId(4));
  EXPECT_EQ(client.requests[0].sequences, 1U);
  EXPECT_EQ(client.requests[0].prompt_tokens, 3U);
  EXPECT_EQ(client.requests[0].output_tokens_max, 7U);
  EXPECT_EQ(client.requests[0].credit, 5U);
  EXPECT_EQ(client.streams[RequestId(4)]->start(Instant{1}), std::vector{submission()});
}

TEST(DeltaQueue, HandsOutDeltasAndEndsOfAllRequestsInOrder) {
  FakeClient client;
  DeltaQueue queue(client, 10);
  for (const std::uint64_t id : {1U, 2U}) queue.submit(RequestId(id), submission());
  (void)client.streams[RequestId(2)]->deliver(0, token(7), Instant{1});
  (void)client.streams[RequestId(1)]->deliver(0, token(8), Instant{1});
  client.streams[RequestId(2)]->end({.kind = RequestEnd::Kind::kGone}, Instant{1});
  auto heard = queue.next(std::chrono::milliseconds(0));
  ASSERT_TRUE(heard && heard->delta() != nullptr);
  EXPECT_EQ(heard->request, RequestId(2));
  EXPECT_EQ(*heard->delta(), token(7));
  heard = queue.next(std::chrono::milliseconds(0));
  ASSERT_TRUE(heard && heard->delta() != nullptr);
  EXPECT_EQ(heard->request, RequestId(1));
  heard = queue.next(std::chrono::milliseconds(0));
  ASSERT_TRUE(heard && heard->end() != nullptr);
  EXPECT_EQ(heard->end()->kind, RequestEnd::Kind::kGone);
}

TEST(DeltaQueue, GivesUpAfterItsTimeout) {
  FakeClient client;
  EXPECT_FALSE(DeltaQueue(client, 1).next(std::chrono::milliseconds(1)).has_value());
}

// With the next delta where that is in time, else in a message: never later than at half of the credit.
TEST(DeltaQueue, ReportsWhatWasReadBeforeTheCreditIsGone) {
  FakeClient client;
  DeltaQueue queue(client, 4);
  queue.submit(RequestId(1), submission());
  RequestStream& stream = *client.streams[RequestId(1)];
  EXPECT_EQ(stream.deliver(0, token(1), Instant{1}).consumed, 0U) << "nothing is read yet";
  (void)queue.next(std::chrono::milliseconds(0));
  EXPECT_TRUE(client.reports.empty());
  EXPECT_EQ(stream.deliver(0, token(2), Instant{1}).consumed, 1U);
  EXPECT_EQ(stream.deliver(0, token(3), Instant{1}).consumed, 0U) << "told once";
  (void)queue.next(std::chrono::milliseconds(0));
  (void)queue.next(std::chrono::milliseconds(0));
  EXPECT_EQ(client.reports, (std::vector<std::pair<RequestId, std::size_t>>{{RequestId(1), 2}}));
  EXPECT_EQ(stream.deliver(0, token(4), Instant{1}).consumed, 0U);
}

// The gateway may hold a stream a little longer than the queue lives.
TEST(DeltaQueue, AStreamOutlivesItsQueue) {
  FakeClient client;
  {
    DeltaQueue queue(client, 4);
    queue.submit(RequestId(1), submission());
  }
  (void)client.streams[RequestId(1)]->deliver(0, token(1), Instant{1});
  client.streams[RequestId(1)]->end({.kind = RequestEnd::Kind::kShutdown}, Instant{1});
}

}  // namespace
}  // namespace herd::actors
