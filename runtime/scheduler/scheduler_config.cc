#include "runtime/scheduler/scheduler_config.h"

#include <string>

namespace herd::scheduler {
namespace {

std::string number(std::uint64_t value) { return std::to_string(value); }

}  // namespace

Status SchedulerConfig::validate() const {
  if (max_num_seqs == 0) return usage_error("max_num_seqs is 0; at least one sequence must be able to run");
  if (max_num_batched_tokens < max_num_seqs) {
    return usage_error("max_num_batched_tokens (" + number(max_num_batched_tokens) + ") is below max_num_seqs (" +
                       number(max_num_seqs) + "); a step must hold one token of every running sequence");
  }
  if (max_prefill_seqs == 0)
    return usage_error("max_ce_batch_size is 0; at least one sequence must be able to prefill");
  if (queue_requests_max == 0) return usage_error("queue_requests_max is 0; nothing could be accepted");
  if (max_model_len == 0) return usage_error("max_model_len is 0");
  if (vocab_size < 0) return usage_error("vocab_size is negative");
  if (queue_tokens_max < max_model_len) {
    return usage_error("queue_tokens_max (" + number(queue_tokens_max) + ") is below max_model_len (" +
                       number(max_model_len) + "); the longest prompt could never be accepted");
  }
  if (steps_ahead < 1 || steps_ahead > 2)
    return usage_error("steps_ahead is " + number(steps_ahead) + "; it must be 1 or 2");
  if (watermark_blocks >= num_blocks && num_blocks > 0) return usage_error("watermark_blocks is not below num_blocks");
  if (transfer_blocks_per_step > kTransferBlocksPerStepMax)
    return usage_error("transfer_blocks_per_step is " + number(transfer_blocks_per_step) + "; it must be at most " +
                       number(kTransferBlocksPerStepMax));
  return kv::BlockManagerConfig{block_size, num_blocks, prefix_caching}.validate();
}

}  // namespace herd::scheduler
