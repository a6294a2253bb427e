#include "cluster/replica/block_fetches.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"

namespace herd::replica {
namespace {

// Of what was measured before, a new move counts for so much.
constexpr double kNewest = 0.3;

}  // namespace

bool BlockFetches::on_submission(const step::Submission& submission, double prompt_token_s, scheduler::Scheduler& scheduler,
                                 Instant now) {
  const step::KvSource& source = submission.source;
  if (!config_.enabled || !prefix_caching_ || source.tokens == 0 || !(prompt_token_s > 0)) return false;
  // A suspect shares nothing; rows that are asked for are computed.
  if (submission.alone_until > 0 || submission.output != step::OutputSelector::kNone) return false;
  std::vector<TokenId> chain = chain_of(submission);
  if (Fetch* fetch = find_for(submission, chain)) {
    fetch->waiting.push_back({submission, now});
    return true;
  }
  const auto blocks = static_cast<std::uint32_t>(chain.size() / block_size_);
  kv::BlockTable table;
  // One token more, as the last of a prompt is never served from the cache.
  const std::span through = std::span(submission.tokens).first(chain.size() + 1);
  const std::uint32_t cached = scheduler.blocks().cached_blocks(table, through, submission.cache_salt);
  if (cached + kBlocksMin > blocks) return false;
  const double computed_s = static_cast<double>(blocks - cached) * block_size_ * prompt_token_s;
  if (kFactor * (blocks - cached) * block_seconds(now) > computed_s) return false;

  Fetch fetch;
  fetch.id = TransferId(++last_id_);
  fetch.holder = {{source.replica, source.epoch}, source.address, config_.kind.numerics};
  fetch.salt = submission.cache_salt;
  const auto first = scheduler.begin_import(fetch.id, chain, fetch.salt);
  if (!first) return false;
  fetch.tokens = std::move(chain);
  fetch.first = fetch.granted = *first;
  fetch.end = blocks;
  fetch.ranks.resize(blocks - fetch.first);
  fetch.begun = fetch.heard = now;
  fetch.ends_by = seconds_after(now, std::max(kSecondsLeast, computed_s));
  fetch.waiting.push_back({submission, now});
  messages_.push_back(
      {fetch.holder,
       MoveAsk{fetch.id, config_.kind, fetch.salt, fetch.first, kv::hash_blocks(fetch.tokens, block_size_, fetch.salt)}});
  ++counters_.fetches;
  fetches_.push_back(std::move(fetch));
  return true;
}

// What the holder is said to have, without the block that the last token is in.
std::vector<TokenId> BlockFetches::chain_of(const step::Submission& submission) const {
  const std::uint64_t tokens = std::min<std::uint64_t>(submission.source.tokens, submission.tokens.size() - 1);
  const auto end = submission.tokens.begin() + static_cast<std::ptrdiff_t>(tokens / block_size_ * block_size_);
  return {submission.tokens.begin(), end};
}

BlockFetches::Fetch* BlockFetches::find_for(const step::Submission& submission, std::span<const TokenId> chain) {
  const auto brings = [&](const Fetch& fetch) {
    return fetch.salt == submission.cache_salt && fetch.tokens.size() >= chain.size() && !chain.empty() &&
           std::ranges::equal(chain, std::span(fetch.tokens).first(chain.size()));
  };
  const auto fetch = std::ranges::find_if(fetches_, brings);
  return fetch == fetches_.end() ? nullptr : &*fetch;
}

BlockFetches::Fetch* BlockFetches::find(TransferId id) {
  const auto fetch = std::ranges::find(fetches_, id, &Fetch::id);
  return fetch == fetches_.end() ? nullptr : &*fetch;
}

double BlockFetches::block_seconds(Instant now) const {
  const bool measured = block_s_ > 0 && seconds_between(measured_, now) < kMeasuredSeconds;
  return measured ? block_s_ : static_cast<double>(config_.block_bytes) / kBytesPerSecond;
}

bool BlockFetches::abort(SequenceId own, scheduler::Scheduler& scheduler) {
  for (Fetch& fetch : fetches_) {
    if (std::erase_if(fetch.waiting, [own](const Waiting& waiting) { return waiting.submission.sequence == own; }) == 0) continue;
    if (fetch.waiting.empty()) stop(fetch, scheduler);
    return true;
  }
  return false;
}

void BlockFetches::stop(Fetch& fetch, scheduler::Scheduler& scheduler) {
  if (std::exchange(fetch.stopped, true)) return;
  messages_.push_back({fetch.holder, MoveStop{fetch.id}});
  scheduler.end_import(fetch.id);  // on_end comes when its blocks are back
}

// As stop(), where the holder need not be told.
void BlockFetches::give_up(Fetch& fetch, scheduler::Scheduler& scheduler) {
  if (!std::exchange(fetch.stopped, true)) scheduler.end_import(fetch.id);
}

// From holders ----------------------------------------------------------------------------------------------------------

void BlockFetches::on_found(const MoveFound& found, scheduler::Scheduler& scheduler, Instant now) {
  Fetch* fetch = find(found.move);
  if (fetch == nullptr || fetch->stopped) return;
  fetch->heard = now;
  const std::size_t tokens = std::min(found.tokens.size(), fetch->tokens.size());
  const auto blocks = static_cast<std::uint32_t>(tokens / block_size_);
  // A hash may be of other tokens; what is cached under it is none of this chain.
  const bool same = std::ranges::equal(std::span(found.tokens).first(tokens), std::span(fetch->tokens).first(tokens));
  if (!found.status.ok() || !same || blocks <= fetch->first) return stop(*fetch, scheduler);
  fetch->found = true;
  fetch->end = std::min(fetch->end, blocks);
  scheduler.shorten_import(fetch->id, fetch->end);
  grant(*fetch, scheduler, now);
}

void BlockFetches::grant(Fetch& fetch, const scheduler::Scheduler& scheduler, Instant now) {
  const std::uint64_t bytes = std::max<std::uint64_t>(config_.block_bytes, 1);
  const auto window = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(kBytesOnTheWay / bytes, 2, 1024));
  const std::uint32_t upto = std::min(fetch.end, fetch.first + fetch.complete + window);
  const std::uint64_t blocks_max = std::max<std::uint64_t>(kBytesUnwritten / bytes, 1);
  const std::uint64_t before = unwritten(scheduler);
  if (upto <= fetch.granted || before >= blocks_max) return;
  const auto blocks = static_cast<std::uint32_t>(std::min<std::uint64_t>(upto - fetch.granted, blocks_max - before));
  messages_.push_back({fetch.holder, MoveGrant{fetch.id, blocks}});
  fetch.granted += blocks;
  fetch.heard = now;
}

void BlockFetches::grant_more(const scheduler::Scheduler& scheduler, Instant now) {
  for (Fetch& fetch : fetches_)
    if (fetch.found && !fetch.stopped) grant(fetch, scheduler, now);
}

std::uint64_t BlockFetches::unwritten(const scheduler::Scheduler& scheduler) const {
  std::uint64_t blocks = 0;
  for (const Fetch& fetch : fetches_) blocks += fetch.granted - fetch.first - fetch.complete + scheduler.blocks_unwritten(fetch.id);
  return blocks;
}

SharedBlockBytes BlockFetches::on_bytes(SharedBlockBytes bytes, scheduler::Scheduler& scheduler, Instant now) {
  Fetch* fetch = find(bytes->transfer);
  if (fetch == nullptr || bytes->index < fetch->first || bytes->index >= fetch->granted) return nullptr;
  if (bytes->rank >= config_.kind.ranks || !scheduler.wants_block(fetch->id, bytes->index)) return nullptr;
  std::uint32_t& ranks = fetch->ranks[bytes->index - fetch->first];
  const std::uint32_t bit = 1U << bytes->rank;
  if ((ranks & bit) != 0) return nullptr;
  ranks |= bit;
  fetch->heard = now;
  counters_.bytes_in += bytes->bytes.size();
  if (ranks != (1U << config_.kind.ranks) - 1) return bytes;
  ++fetch->complete;
  scheduler.on_block_arrived(fetch->id, bytes->index);
  grant(*fetch, scheduler, now);
  return bytes;
}

void BlockFetches::on_over(const MoveOver& over, scheduler::Scheduler& scheduler) {
  if (Fetch* fetch = find(over.move)) give_up(*fetch, scheduler);
}

void BlockFetches::on_holder_gone(routing::ReplicaGeneration holder, scheduler::Scheduler& scheduler) {
  for (Fetch& fetch : fetches_)
    if (fetch.holder.generation == holder) give_up(fetch, scheduler);
}

void BlockFetches::on_timer(Instant now, scheduler::Scheduler& scheduler) {
  for (Fetch& fetch : fetches_)
    if (given_up_at(fetch) <= now) stop(fetch, scheduler);
}

Instant BlockFetches::given_up_at(const Fetch& fetch) {
  const bool to_come = !fetch.found || fetch.granted > fetch.first + fetch.complete;
  return to_come ? std::min(fetch.ends_by, seconds_after(fetch.heard, kSilenceSeconds)) : fetch.ends_by;
}

std::optional<Instant> BlockFetches::deadline() const {
  std::optional<Instant> next;
  for (const Fetch& fetch : fetches_) {
    if (fetch.stopped) continue;
    next = next ? std::min(*next, given_up_at(fetch)) : given_up_at(fetch);
  }
  return next;
}

std::vector<step::Submission> BlockFetches::on_end(const scheduler::TransferEnd& end, Instant now) {
  const auto over = std::ranges::find(fetches_, end.transfer, &Fetch::id);
  if (over == fetches_.end()) return {};
  const auto wanted = static_cast<std::uint32_t>(over->ranks.size());
  const std::uint32_t came = std::min(wanted, end.blocks - std::min(end.blocks, over->first));
  counters_.blocks_in += came;
  if (came < wanted) {
    ++counters_.fetches_failed;
    counters_.blocks_recomputed += wanted - came;
    counters_.blocks_damaged += end.cause == scheduler::TransferEnd::Cause::kDamaged ? 1 : 0;
    if (!over->stopped) messages_.push_back({over->holder, MoveStop{over->id}});
  } else {
    ++counters_.fetches_whole;
    const double block_s = seconds_between(over->begun, now) / wanted;
    block_s_ = block_s_ > 0 ? (1 - kNewest) * block_s_ + kNewest * block_s : block_s;
    measured_ = now;
  }
  std::vector<step::Submission> ready;
  for (Waiting& waiting : over->waiting) ready.push_back(std::move(waiting.submission));
  fetches_.erase(over);
  return ready;
}

void BlockFetches::clear() {
  fetches_.clear();
  messages_.clear();
}

// Numbers ----------------------------------------------------------------------------------------------------------------

std::size_t BlockFetches::num_waiting() const {
  std::size_t waiting = 0;
  for (const Fetch& fetch : fetches_) waiting += fetch.waiting.size();
  return waiting;
}

std::uint64_t BlockFetches::waiting_tokens() const {
  std::uint64_t tokens = 0;
  for (const Fetch& fetch : fetches_)
    for (const Waiting& waiting : fetch.waiting) tokens += waiting.submission.tokens.size();
  return tokens;
}

std::optional<Instant> BlockFetches::oldest_waiting_since() const {
  std::optional<Instant> oldest;
  for (const Fetch& fetch : fetches_)
    for (const Waiting& waiting : fetch.waiting) oldest = oldest ? std::min(*oldest, waiting.since) : waiting.since;
  return oldest;
}

void BlockFetches::report(MoveStats& stats) const {
  stats.fetches = counters_.fetches;
  stats.fetches_whole = counters_.fetches_whole;
  stats.fetches_failed = counters_.fetches_failed;
  stats.blocks_in = counters_.blocks_in;
  stats.bytes_in = counters_.bytes_in;
  stats.blocks_recomputed = counters_.blocks_recomputed;
  stats.blocks_damaged = counters_.blocks_damaged;
  stats.open += static_cast<std::uint32_t>(fetches_.size());
  stats.token_s = block_s_ / block_size_;
}

void BlockFetches::check_integrity() const {
  for (const Fetch& fetch : fetches_) {
    HERD_CHECK(fetch.first <= fetch.granted && fetch.granted <= fetch.first + fetch.ranks.size(), "what is granted is wanted");
    HERD_CHECK(fetch.complete <= fetch.ranks.size(), "what has come was wanted");
  }
}

}  // namespace herd::replica
