#include "cluster/routing/prompt_holders.h"

#include "runtime/kv/block_manager.h"

namespace herd::routing {

bool PromptHolders::on_news(ReplicaGeneration replica, const kv::BlockNews& news) {
  if (news.kind == kv::BlockNews::Kind::kAll) asked_for_all_.erase(replica);
  if (directory_.on_news(replica, news)) return true;
  if (!asked_for_all_.insert(replica).second) return true;  // it is on its way
  ++news_missed_;
  return false;
}

// Before any replica has told its block size, the usual one serves to keep equal beginnings together.
PromptPrefix PromptHolders::prefix_of(std::span<const TokenId> tokens, std::uint64_t salt) const {
  const std::uint32_t told = directory_.block_size();
  return PromptPrefix::of(tokens, salt, told > 0 ? told : kv::kBlockSizeDefault);
}

PromptHolders::Holdings PromptHolders::find(const PromptPrefix& prompt, Instant now) const {
  Holdings holdings;
  holdings.told_ = directory_.find(prompt);
  holdings.sent_last_ = sent_.find(prompt);
  const auto& sent = holdings.sent_last_;
  holdings.soon_ = sent && now < sent->computed_by && directory_.knows(sent->by);
  return holdings;
}

std::uint64_t PromptHolders::Holdings::told(ReplicaGeneration replica) const {
  const auto holder = std::ranges::lower_bound(told_, replica, {}, &PrefixDirectory::Holder::replica);
  return holder == told_.end() || holder->replica != replica ? 0 : holder->tokens;
}

std::uint64_t PromptHolders::Holdings::tokens(ReplicaGeneration replica) const {
  return soon_ && was_sent_last(replica) ? std::max(told(replica), sent_last_->tokens) : told(replica);
}

}  // namespace herd::routing
