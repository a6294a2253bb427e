#include "runtime/sampling/row_params.h"

#include <unordered_map>

namespace herd::sampling {
namespace {

// The edits of one row, by token.
class RowEdits {
 public:
  explicit RowEdits(std::vector<LogitEdit>& edits) : edits_(edits) {}

  LogitEdit& at(TokenId token) {
    const auto [entry, fresh] = index_.try_emplace(token, edits_.size());
    if (fresh) edits_.push_back({.token = token});
    return edits_[entry->second];
  }

 private:
  std::vector<LogitEdit>& edits_;
  std::unordered_map<TokenId, std::size_t> index_;
};

void add_penalties(const step::SamplingParams& params, const TokenCounts& counts, RowEdits& edits) {
  for (const auto& [token, count] : counts.counts()) {
    LogitEdit& edit = edits.at(token);
    edit.flags |= kEditRepetition;
    edit.repetition_penalty = params.repetition_penalty;
    if (count == 0) continue;
    edit.flags |= kEditCount;
    edit.count_penalty = static_cast<float>(count) * params.frequency_penalty + params.presence_penalty;
  }
}

}  // namespace

SampleRowParams row_params(const SampleRow& row, std::int32_t vocab_size, std::vector<LogitEdit>& edits) {
  const step::SamplingParams& params = *row.params;
  SampleRowParams out;
  out.active = 1;
  out.seed = params.seed;
  out.choice = params.choice;
  out.output_index = row.output_index;
  out.logprobs = params.logprobs;
  if (!params.greedy()) {
    out.temperature = params.temperature;
    out.min_p = params.min_p;
    out.top_p = params.top_p;
    out.top_k = params.top_k > 1 && params.top_k < vocab_size ? params.top_k : 0;
  }
  out.edit_begin = static_cast<std::int32_t>(edits.size());
  if (edits_row(row)) {
    RowEdits row_edits(edits);
    for (const auto& [token, bias] : params.logit_bias) {
      LogitEdit& edit = row_edits.at(token);
      edit.flags |= kEditBias;
      edit.bias = bias;
    }
    if (penalised(params) && row.counts != nullptr) add_penalties(params, *row.counts, row_edits);
    if (row.output_index < params.min_tokens && row.stop_ids != nullptr)
      for (const TokenId token : *row.stop_ids) row_edits.at(token).flags |= kEditMask;
  }
  out.edit_end = static_cast<std::int32_t>(edits.size());
  return out;
}

}  // namespace herd::sampling
