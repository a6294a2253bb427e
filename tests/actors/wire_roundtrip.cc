#include "tests/actors/wire_roundtrip.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "cluster/wire/envelope.h"
#include "cluster/wire/step_codec.h"
#include "kernels/check.h"
#include "runtime/step/cut_deltas.h"

namespace herd::actors {
namespace {

template <class Value, class Decode>
Value decoded(const wire::Frame& frame, Decode decode) {
  const auto sealed = wire::seal(frame, Epoch(1), {ReplicaId(0), Epoch(1)});
  HERD_CHECK(sealed.has_value(), sealed.error().message().c_str());
  const auto opened = wire::open(*sealed);
  HERD_CHECK(opened.has_value(), opened.error().message().c_str());
  HERD_CHECK(opened->frame == frame, "a frame comes back as it was sealed");
  Expected<Value> value = decode(opened->frame.words);
  HERD_CHECK(value.has_value(), value.error().message().c_str());
  return std::move(*value);
}

}  // namespace

step::Submission WireRoundtrip::operator()(step::Submission submission) const {
  if (!on_) return submission;
  return decoded<step::Submission>(wire::encode(submission), wire::decode_submission);
}

step::AttemptKey WireRoundtrip::operator()(step::AttemptKey aborted) const {
  if (!on_) return aborted;
  return decoded<step::AttemptKey>(wire::encode(aborted), wire::decode_abort);
}

std::vector<step::TokenDelta> WireRoundtrip::operator()(std::vector<step::TokenDelta> deltas) const {
  if (!on_) return deltas;
  std::vector<step::TokenDelta> arrived;
  for (const std::vector<step::TokenDelta>& message : step::cut_deltas(std::move(deltas)))
    std::ranges::move(decoded<std::vector<step::TokenDelta>>(wire::encode(message), wire::decode_token_deltas),
                      std::back_inserter(arrived));
  return arrived;
}

step::StepPlan WireRoundtrip::operator()(step::StepPlan plan) const {
  if (!on_) return plan;
  return decoded<step::StepPlan>(wire::encode(plan), wire::decode_step_plan);
}

step::StepResult WireRoundtrip::operator()(step::StepResult result) const {
  if (!on_) return result;
  // Rank 0 alone has outputs, and it is in its leader's process: they do not travel.
  std::vector<step::OutputRows> outputs = std::exchange(result.outputs, {});
  std::vector<step::PromptLogprobs> prompt_logprobs = std::exchange(result.prompt_logprobs, {});
  step::StepResult arrived = decoded<step::StepResult>(wire::encode(result), wire::decode_step_result);
  arrived.outputs = std::move(outputs);
  arrived.prompt_logprobs = std::move(prompt_logprobs);
  return arrived;
}

step::BlockBytes WireRoundtrip::operator()(const step::BlockBytes& block) const {
  if (!on_) return block;
  step::BlockJoiner joiner(block.bytes.size());
  std::optional<step::BlockBytes> joined;
  for (const step::BlockPart& part : step::cut_block(block)) {
    auto added = joiner.add(decoded<step::BlockPart>(wire::encode(part), wire::decode_block_part));
    HERD_CHECK(added.has_value(), added.error().message().c_str());
    joined = std::move(*added);
  }
  return joined.value();
}

namespace {

class WireRank final : public shard::RankExecutor {
 public:
  explicit WireRank(std::unique_ptr<shard::RankExecutor> rank) : rank_(std::move(rank)) {}
  void submit(const step::StepPlan& plan) override { rank_->submit(wire_(plan)); }
  bool ready(std::chrono::microseconds patience) override { return rank_->ready(patience); }
  step::StepResult collect() override { return wire_(rank_->collect()); }
  void give(step::BlockBytes block) override { rank_->give(wire_(block)); }
  std::vector<step::BlockBytes> take_blocks_read() override {
    std::vector<step::BlockBytes> blocks;
    for (const step::BlockBytes& block : rank_->take_blocks_read()) blocks.push_back(wire_(block));
    return blocks;
  }

 private:
  const WireRoundtrip wire_;
  const std::unique_ptr<shard::RankExecutor> rank_;
};

class WireStream final : public RequestStream {
 public:
  explicit WireStream(std::shared_ptr<RequestStream> stream) : stream_(std::move(stream)) {}
  std::vector<step::Submission> start(Instant now) override {
    std::vector<step::Submission> choices = stream_->start(now);
    for (step::Submission& choice : choices) choice = carried(std::move(choice));
    return choices;
  }
  Taken deliver(std::uint32_t choice, const step::TokenDelta& delta, Instant now) override {
    const ReplicaId replica = delta.replica;  // the ledger says it, it does not travel
    Taken taken;
    taken.consumed = 0;
    for (step::TokenDelta& arrived : wire_(std::vector{delta})) {  // large outputs come in several
      arrived.replica = replica;
      const Taken one = stream_->deliver(choice, arrived, now);
      taken.consumed += one.consumed;
      taken.stop |= one.stop;
      taken.gone |= one.gone;
    }
    return taken;
  }
  bool tick(Instant now) override { return stream_->tick(now); }
  void end(const gateway::RequestEnd& end, Instant now) override { stream_->end(end, now); }

 private:
  // What the codecs refuse, the gateway shall refuse.
  [[nodiscard]] step::Submission carried(step::Submission choice) const {
    return wire::validate(choice).ok() ? wire_(std::move(choice)) : choice;
  }

  const WireRoundtrip wire_;
  const std::shared_ptr<RequestStream> stream_;
};

}  // namespace

std::unique_ptr<shard::RankExecutor> through_wire(std::unique_ptr<shard::RankExecutor> rank) {
  return std::make_unique<WireRank>(std::move(rank));
}

std::shared_ptr<RequestStream> through_wire(std::shared_ptr<RequestStream> stream) {
  return std::make_shared<WireStream>(std::move(stream));
}

}  // namespace herd::actors
