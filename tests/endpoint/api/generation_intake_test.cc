// GenerationIntake: clients that leave on the way in.

#include "endpoint/api/generation_intake.h"

#include <gtest/gtest.h>

#include "tests/actors/toy_cluster.h"
#include "tests/endpoint/api/called_handler.h"

namespace herd::api {
namespace {

class GenerationIntakeTest : public testing::Test {
 protected:
  static RequestReader reader() {
    served::ServedModel model;
    model.names = {"toy"};
    model.vocab_size = actors::kToyVocabSize;
    model.max_model_len = 256;
    openai::RequestLimits limits;
    limits.vocab_size = model.vocab_size;
    limits.prompt_bytes_max = 4096;
    limits.prompt_tokens_max = 256;
    return {std::move(model), limits};
  }
  static IntakeConfig config() {
    IntakeConfig config;
    config.unix_time = [] { return std::int64_t{1700000000}; };
    config.random_bytes = [](std::span<std::uint8_t> bytes) { std::ranges::fill(bytes, 7); };
    return config;
  }
  ~GenerationIntakeTest() override { cluster_.shutdown(); }

  void take(const GenerationIntake::Ticket& ticket, std::string body = R"({"prompt":[5,6],"max_tokens":200})") {
    Call call{.route = Route::kCompletions, .responder = responder_};
    intake_.intake(call, {head_of("POST", "/v1/completions"), std::move(body)}, ticket);
  }

  std::shared_ptr<actors::ToyFaults> faults_ = std::make_shared<actors::ToyFaults>();
  actors::ToyCluster cluster_{actors::toy_config(1, 1, faults_)};
  access::EventIdCodec event_ids_{{1, 2, 3}, "test"};
  observability::ServingMetrics metrics_{
      observability::ServingMetricsConfig{.model_name = "toy", .max_model_len = 256}};
  observability::EventLog log_{observability::LogFormat::kText, observability::LogLevel::kError};
  const RequestReader reader_ = reader();
  std::shared_ptr<FakeResponder> responder_ = std::make_shared<FakeResponder>();
  GenerationIntake intake_{config(), reader_, event_ids_, cluster_.client(), metrics_, log_};
};

TEST_F(GenerationIntakeTest, AClientThatLeftBeforeItsBodyWasReadCostsNothing) {
  const auto ticket = intake_.new_ticket();
  intake_.client_gone(ticket);
  take(ticket);
  EXPECT_TRUE(intake_.await_none_open(std::chrono::milliseconds(0)));
  EXPECT_EQ(cluster_.status()->ledger.accepted, 0U);
  EXPECT_FALSE(responder_->ended());
}

// The client leaves when its request is read and not yet with the gateway.
TEST_F(GenerationIntakeTest, AClientThatLeavesWhileItIsHandedOverIsNotForgotten) {
  faults_->step_us = 2000;
  const auto ticket = intake_.new_ticket();
  cluster_.client().gone(ticket.id);  // the gateway does not know the request yet
  *ticket.gone = false;
  take(ticket);
  EXPECT_FALSE(intake_.await_none_open(std::chrono::milliseconds(1))) << responder_->answer()->body;
  intake_.client_gone(ticket);
  EXPECT_TRUE(intake_.await_none_open(std::chrono::minutes(1)));
  EXPECT_FALSE(responder_->ended());
}

TEST_F(GenerationIntakeTest, WhatCannotBeReadIsAnsweredHere) {
  take(intake_.new_ticket(), "{");
  ASSERT_TRUE(responder_->answer());
  EXPECT_EQ(responder_->answer()->status, 400);
  EXPECT_TRUE(intake_.await_none_open(std::chrono::milliseconds(0)));
}

}  // namespace
}  // namespace herd::api
