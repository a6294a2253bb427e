#pragma once
// LogitRows: the rows of logits that Llama::logits() computed last, read on the host. Whole rows, whatever slice of the
// vocabulary this rank has: collective, all ranks of a replica ask for the same. Waits for the device.

#include <memory>
#include <span>
#include <vector>

#include "runtime/sampling/sampler.h"
#include "runtime/shard/step_runner.h"

namespace herd::shard {

class LogitRows {
 public:
  virtual ~LogitRows() = default;
  // f32 [rows, vocab].
  [[nodiscard]] virtual std::vector<float> whole() = 0;
  // One target for each row: see Sampler::score.
  [[nodiscard]] virtual std::vector<step::PromptLogprob> score(std::span<const TokenId> targets, std::int32_t top) = 0;
};

// Where host and device share memory: `sampler` is the rank's and gathers what it needs of the other slices. Both
// outlive this.
std::unique_ptr<LogitRows> make_host_logit_rows(const RankParts& parts, sampling::Sampler& sampler);

// Where the device has memory of its own: it joins the slices, and the host copies whole rows and judges them by a
// Sampler of its own, on one CPU. kMissing when that cannot be made.
[[nodiscard]] Expected<std::unique_ptr<LogitRows>> make_device_logit_rows(const RankParts& parts);

}  // namespace herd::shard
