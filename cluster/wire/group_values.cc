#include "cluster/wire/group_values.h"

#include <cmath>

#include "cluster/replica/group_messages.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/group_codec.h"

namespace herd::wire {

using replica::WatchConfig;
using scheduler::DeviceRates;
using scheduler::SchedulerConfig;
using scheduler::SchedulerStats;
using scheduler::SchedulingPolicy;

namespace {

schema::SchedulingPolicy to_schema(SchedulingPolicy policy) {
  switch (policy) {
    case SchedulingPolicy::kFcfs:
      return schema::SchedulingPolicy::FCFS;
    case SchedulingPolicy::kPriority:
      return schema::SchedulingPolicy::PRIORITY;
  }
  return schema::SchedulingPolicy::UNKNOWN;
}

SchedulingPolicy read_policy(schema::SchedulingPolicy policy) {
  switch (policy) {
    case schema::SchedulingPolicy::UNKNOWN:
      break;
    case schema::SchedulingPolicy::FCFS:
      return SchedulingPolicy::kFcfs;
    case schema::SchedulingPolicy::PRIORITY:
      return SchedulingPolicy::kPriority;
  }
  throw Refusal{bad_input("scheduling policy: unknown")};
}

void write(schema::BlockStats::Builder to, const kv::BlockStats& blocks) {
  to.setBlocks(blocks.num_blocks);
  to.setFree(blocks.num_free);
  to.setIdle(blocks.num_idle);
  to.setHeld(blocks.num_held);
  to.setQueryTokens(blocks.query_tokens);
  to.setHitTokens(blocks.hit_tokens);
  to.setHitBlocks(blocks.hit_blocks);
  to.setMissBlocks(blocks.miss_blocks);
  to.setPublishedBlocks(blocks.published_blocks);
  to.setEvictedBlocks(blocks.evicted_blocks);
}

kv::BlockStats read_blocks(schema::BlockStats::Reader from) {
  return {.num_blocks = from.getBlocks(),
          .num_free = from.getFree(),
          .num_idle = from.getIdle(),
          .num_held = from.getHeld(),
          .query_tokens = from.getQueryTokens(),
          .hit_tokens = from.getHitTokens(),
          .hit_blocks = from.getHitBlocks(),
          .miss_blocks = from.getMissBlocks(),
          .published_blocks = from.getPublishedBlocks(),
          .evicted_blocks = from.getEvictedBlocks()};
}

schema::BlockNewsKind kind_of(kv::BlockNews::Kind kind) {
  switch (kind) {
    case kv::BlockNews::Kind::kChanges:
      return schema::BlockNewsKind::CHANGES;
    case kv::BlockNews::Kind::kAll:
      return schema::BlockNewsKind::ALL;
    case kv::BlockNews::Kind::kMore:
      return schema::BlockNewsKind::MORE;
  }
  return schema::BlockNewsKind::UNKNOWN;
}

kv::BlockNews::Kind kind_of(schema::BlockNewsKind kind) {
  switch (kind) {
    case schema::BlockNewsKind::UNKNOWN:
      break;
    case schema::BlockNewsKind::CHANGES:
      return kv::BlockNews::Kind::kChanges;
    case schema::BlockNewsKind::ALL:
      return kv::BlockNews::Kind::kAll;
    case schema::BlockNewsKind::MORE:
      return kv::BlockNews::Kind::kMore;
  }
  throw Refusal{bad_input("news of blocks: their kind is unknown")};
}

void write(capnp::List<std::uint64_t>::Builder to, const std::vector<kv::BlockKey>& keys) {
  for (unsigned i = 0; i < to.size(); ++i) to.set(i, keys[i]);
}

}  // namespace

void write(schema::MoveStats::Builder to, const replica::MoveStats& stats) {
  to.setFetches(stats.fetches);
  to.setFetchesFailed(stats.fetches_failed);
  to.setFetchesWhole(stats.fetches_whole);
  to.setBlocksIn(stats.blocks_in);
  to.setBytesIn(stats.bytes_in);
  to.setBlocksRecomputed(stats.blocks_recomputed);
  to.setBlocksDamaged(stats.blocks_damaged);
  to.setBlocksOut(stats.blocks_out);
  to.setBytesOut(stats.bytes_out);
  to.setLeasesExpired(stats.leases_expired);
  to.setOpen(stats.open);
  to.setTokenSeconds(stats.token_s);
}

replica::MoveStats read_moves(schema::MoveStats::Reader from) {
  return {.fetches = from.getFetches(),
          .fetches_whole = from.getFetchesWhole(),
          .fetches_failed = from.getFetchesFailed(),
          .blocks_in = from.getBlocksIn(),
          .bytes_in = from.getBytesIn(),
          .blocks_recomputed = from.getBlocksRecomputed(),
          .blocks_damaged = from.getBlocksDamaged(),
          .blocks_out = from.getBlocksOut(),
          .bytes_out = from.getBytesOut(),
          .leases_expired = from.getLeasesExpired(),
          .open = from.getOpen(),
          .token_s = from.getTokenSeconds()};
}

void check(const kv::BlockNews& news) {
  require(news.keys() <= replica::kNewsKeysMax, "news of blocks: more than 32768 keys");
  require(news.block_size > 0 && news.num_blocks > 0, "news of blocks: a cache without blocks");
}

void write(schema::BlockNews::Builder to, const kv::BlockNews& news) {
  to.setKind(kind_of(news.kind));
  to.setNumber(news.number);
  to.setBlockSize(news.block_size);
  to.setBlocks(news.num_blocks);
  write(to.initStored(static_cast<unsigned>(news.stored.size())), news.stored);
  write(to.initEvicted(static_cast<unsigned>(news.evicted.size())), news.evicted);
}

kv::BlockNews read_news(schema::BlockNews::Reader from) {
  // Before anything is allocated for them.
  require(std::size_t{from.getStored().size()} + from.getEvicted().size() <= replica::kNewsKeysMax,
          "news of blocks: more than 32768 keys");
  kv::BlockNews news{kind_of(from.getKind()), from.getNumber(), from.getBlockSize(), from.getBlocks(), {}, {}};
  for (const kv::BlockKey key : from.getStored()) news.stored.push_back(key);
  for (const kv::BlockKey key : from.getEvicted()) news.evicted.push_back(key);
  return news;
}

void check_seconds(double seconds, const char* what) { require(std::isfinite(seconds) && seconds >= 0, what); }

void write(schema::Digest::Builder to, const digest::Digest128& digest) {
  to.setHigh(digest.high);
  to.setLow(digest.low);
}

digest::Digest128 read_digest(schema::Digest::Reader from) { return {from.getHigh(), from.getLow()}; }

void write(schema::DeviceRates::Builder to, const DeviceRates& rates) {
  to.setFlopsPerSecond(rates.flops_per_s);
  to.setBytesPerSecond(rates.bytes_per_s);
  to.setStepOverheadSeconds(rates.step_overhead_s);
  to.setAttentionFlopsPerSecond(rates.attention_flops_per_s);
  to.setAttentionBytesPerSecond(rates.attention_bytes_per_s);
}

DeviceRates read_rates(schema::DeviceRates::Reader from) {
  return {.flops_per_s = from.getFlopsPerSecond(),
          .bytes_per_s = from.getBytesPerSecond(),
          .step_overhead_s = from.getStepOverheadSeconds(),
          .attention_flops_per_s = from.getAttentionFlopsPerSecond(),
          .attention_bytes_per_s = from.getAttentionBytesPerSecond()};
}

void check(const DeviceRates& rates) {
  for (const double rate : {rates.flops_per_s, rates.bytes_per_s})
    require(std::isfinite(rate) && rate > 0, "rates: a product's is not above 0");
  for (const double rate : {rates.step_overhead_s, rates.attention_flops_per_s, rates.attention_bytes_per_s})
    require(std::isfinite(rate) && rate >= 0, "rates: a number is not finite, or negative");
}

void write(schema::SchedulerConfig::Builder to, const SchedulerConfig& config) {
  to.setSequencesMax(config.max_num_seqs);
  to.setRowsMax(config.max_num_batched_tokens);
  to.setPrefillSequencesMax(config.max_prefill_seqs);
  to.setPrefillChunkMax(config.prefill_chunk_max);
  if (config.max_step_ms) to.getStepTime().setBound(*config.max_step_ms);
  to.setQueueRequestsMax(config.queue_requests_max);
  to.setQueueTokensMax(config.queue_tokens_max);
  to.setModelLenMax(config.max_model_len);
  to.setVocabSize(config.vocab_size);
  to.setBlockSize(config.block_size);
  to.setBlocks(config.num_blocks);
  to.setWatermarkBlocks(config.watermark_blocks);
  to.setPrefixCaching(config.prefix_caching);
  to.setSharedPrefixMin(config.shared_prefix_min);
  to.setPolicy(to_schema(config.policy));
  to.setStepsAhead(config.steps_ahead);
  to.setTransferBlocksPerStep(config.transfer_blocks_per_step);
}

SchedulerConfig read_scheduler(schema::SchedulerConfig::Reader from) {
  SchedulerConfig config;
  config.max_num_seqs = from.getSequencesMax();
  config.max_num_batched_tokens = from.getRowsMax();
  config.max_prefill_seqs = from.getPrefillSequencesMax();
  config.prefill_chunk_max = from.getPrefillChunkMax();
  switch (from.getStepTime().which()) {
    case schema::SchedulerConfig::StepTime::FOLLOWS_DECODE:
      break;
    case schema::SchedulerConfig::StepTime::BOUND:
      config.max_step_ms = from.getStepTime().getBound();
      break;
    default:
      throw Refusal{bad_input("time of a step: unknown")};
  }
  config.queue_requests_max = from.getQueueRequestsMax();
  config.queue_tokens_max = from.getQueueTokensMax();
  config.max_model_len = from.getModelLenMax();
  config.vocab_size = from.getVocabSize();
  config.block_size = from.getBlockSize();
  config.num_blocks = from.getBlocks();
  config.watermark_blocks = from.getWatermarkBlocks();
  config.prefix_caching = from.getPrefixCaching();
  config.shared_prefix_min = from.getSharedPrefixMin();
  config.policy = read_policy(from.getPolicy());
  config.steps_ahead = from.getStepsAhead();
  config.transfer_blocks_per_step = from.getTransferBlocksPerStep();
  return config;
}

void check(const SchedulerConfig& config) {
  require(config.validate());
  require(config.max_num_seqs <= 65536, "scheduler: more than 65536 sequences");
  require(config.max_num_batched_tokens <= 1U << 20, "scheduler: steps of more than 2^20 rows");
  require(config.max_model_len <= 1U << 20, "scheduler: sequences longer than 2^20 tokens");
}

void write(schema::WatchConfig::Builder to, const WatchConfig& watch) {
  to.setLookEverySeconds(watch.look_every_s);
  to.setLeastSeconds(watch.least_s);
  to.setFactor(watch.factor);
  to.setGapSeconds(watch.gap_s);
}

WatchConfig read_watch(schema::WatchConfig::Reader from) {
  return {.look_every_s = from.getLookEverySeconds(),
          .least_s = from.getLeastSeconds(),
          .factor = from.getFactor(),
          .gap_s = from.getGapSeconds()};
}

void check(const WatchConfig& watch) {
  for (const double seconds : {watch.look_every_s, watch.least_s, watch.gap_s})
    require(seconds >= 0 && seconds <= kGroupSecondsMax, "watch: seconds outside [0, 10^7]");
  require(watch.look_every_s > 0, "watch: looks without a pause");
  require(std::isfinite(watch.factor) && watch.factor >= 0, "watch: the factor is not finite, or negative");
}

void write(schema::SchedulerStats::Builder to, const SchedulerStats& stats) {
  to.setWaiting(stats.num_waiting);
  to.setHeldBackNow(stats.num_held_back);
  to.setQueueTokens(stats.queue_tokens);
  to.setRunning(stats.num_running);
  to.setDraining(stats.num_draining);
  to.setPlansOutstanding(stats.plans_outstanding);
  to.setOldestWaitingNs(static_cast<std::uint64_t>(stats.oldest_waiting_since.ns));
  to.setAccepted(stats.accepted);
  to.setRefusedOverloaded(stats.refused_overloaded);
  to.setRefusedBadInput(stats.refused_bad_input);
  to.setFinishedStop(stats.finished_stop);
  to.setFinishedLength(stats.finished_length);
  to.setAborted(stats.aborted);
  to.setFailed(stats.failed);
  to.setPreemptions(stats.preemptions);
  to.setHeldBack(stats.held_back);
  to.setStepsPlanned(stats.steps_planned);
  to.setPrefillRows(stats.prefill_rows);
  to.setDecodeRows(stats.decode_rows);
  to.setTokensEmitted(stats.tokens_emitted);
  to.setTokensDiscarded(stats.tokens_discarded);
  to.setStaleResults(stats.stale_results);
  write(to.initBlocks(), stats.blocks);
  to.setExports(stats.num_exports);
  to.setImports(stats.num_imports);
  to.setBlocksExported(stats.blocks_exported);
  to.setBlocksImported(stats.blocks_imported);
  to.setBlocksDamaged(stats.blocks_damaged);
  to.setBlocksGivenUp(stats.blocks_given_up);
}

SchedulerStats read_stats(schema::SchedulerStats::Reader from) {
  return {.num_waiting = from.getWaiting(),
          .num_held_back = from.getHeldBackNow(),
          .queue_tokens = from.getQueueTokens(),
          .num_running = from.getRunning(),
          .num_draining = from.getDraining(),
          .plans_outstanding = from.getPlansOutstanding(),
          .num_exports = from.getExports(),
          .num_imports = from.getImports(),
          .oldest_waiting_since = {static_cast<std::int64_t>(from.getOldestWaitingNs())},
          .accepted = from.getAccepted(),
          .refused_overloaded = from.getRefusedOverloaded(),
          .refused_bad_input = from.getRefusedBadInput(),
          .finished_stop = from.getFinishedStop(),
          .finished_length = from.getFinishedLength(),
          .aborted = from.getAborted(),
          .failed = from.getFailed(),
          .preemptions = from.getPreemptions(),
          .held_back = from.getHeldBack(),
          .steps_planned = from.getStepsPlanned(),
          .prefill_rows = from.getPrefillRows(),
          .decode_rows = from.getDecodeRows(),
          .tokens_emitted = from.getTokensEmitted(),
          .tokens_discarded = from.getTokensDiscarded(),
          .stale_results = from.getStaleResults(),
          .blocks_exported = from.getBlocksExported(),
          .blocks_imported = from.getBlocksImported(),
          .blocks_damaged = from.getBlocksDamaged(),
          .blocks_given_up = from.getBlocksGivenUp(),
          .blocks = read_blocks(from.getBlocks())};
}

void check(const SchedulerStats& stats) {
  require(stats.num_held_back <= stats.num_waiting, "numbers: more held back than wait");
  require(stats.oldest_waiting_since.ns >= 0, "numbers: the oldest waits for more than 2^63 ns");
  const kv::BlockStats& blocks = stats.blocks;
  require(std::uint64_t{blocks.num_free} + blocks.num_idle + blocks.num_held == blocks.num_blocks,
          "numbers: free, idle and held blocks are not all of them");
}

}  // namespace herd::wire
