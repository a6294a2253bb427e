// Random operations on a BlockManager against a naive model: ordered maps keyed by whole prefixes instead of hashes,
// a list instead of links, counts instead of references. With full hashes every decision must be the model's; with
// hashes of a few bits hits may be lost, and what is served must still hold the right tokens.

#include <algorithm>
#include <cstdio>
#include <list>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/kv/block_manager.h"
#include "tests/runtime/scheduler_fuzz_options.h"

namespace herd::kv {
namespace {

using Prefix = std::pair<std::uint64_t, std::vector<TokenId>>;  // salt, all tokens up to the block's end
using Life = std::pair<std::uint32_t, std::uint32_t>;           // block, how many times it had been handed out
constexpr Life kRoot{0xFFFFFFFF, 0};

class NaiveModel {
 public:
  NaiveModel(std::uint32_t block_size, std::uint32_t num_blocks)
      : block_size_(block_size), lives_(num_blocks), holders_(num_blocks) {
    for (std::uint32_t i = 0; i < num_blocks; ++i) free_.insert(i);
  }

  struct Table {
    std::vector<std::uint32_t> blocks;
    std::vector<Life> published;  // canonical block of each published one
  };

  std::vector<Life> find(const std::vector<TokenId>& tokens, std::uint64_t salt, bool last_token = false) const {
    std::vector<Life> found;
    Life parent = kRoot;
    for (std::size_t end = block_size_; end < tokens.size() + (last_token ? 1 : 0); end += block_size_) {
      const auto entry = cached_.find({salt, {tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(end)}});
      if (entry == cached_.end() || entry->second.second != parent) break;
      parent = entry->second.first;
      found.push_back(parent);
    }
    return found;
  }
  std::size_t available() const { return free_.size() + idle_.size(); }
  bool is_idle(std::uint32_t block) const { return std::ranges::count(idle_, block) > 0; }

  void admit(Table& table, const std::vector<Life>& cached, const std::vector<std::uint32_t>& blocks) {
    table.published = cached;
    for (const Life& life : cached) {
      if (is_idle(life.first)) idle_.remove(life.first);
      ++holders_[life.first];
      table.blocks.push_back(life.first);
    }
    take(table, {blocks.begin() + static_cast<std::ptrdiff_t>(cached.size()), blocks.end()});
  }
  // `blocks` were handed out by the manager; each must be one that could be.
  void take(Table& table, const std::vector<std::uint32_t>& blocks) {
    for (const std::uint32_t block : blocks) {
      if (free_.empty()) {
        ASSERT_FALSE(idle_.empty());
        ASSERT_EQ(block, idle_.front()) << "not the least recently used block";
        idle_.pop_front();
        forget(block);
        ++evictions;
      } else {
        ASSERT_EQ(free_.erase(block), 1U) << "a block that is not free";
      }
      ++lives_[block];
      holders_[block] = 1;
      table.blocks.push_back(block);
    }
  }
  void publish(Table& table, const std::vector<TokenId>& tokens, std::uint64_t salt) {
    const std::size_t full = tokens.size() / block_size_;
    if (table.published.size() >= full) return;
    if (!table.published.empty() && !is_cached(table.published.back())) table.published.clear();
    while (table.published.size() < full) {
      const std::size_t i = table.published.size();
      const Prefix prefix{salt, {tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>((i + 1) * block_size_)}};
      const Life parent = i == 0 ? kRoot : table.published.back();
      auto entry = cached_.find(prefix);
      if (entry != cached_.end() && entry->second.second != parent) {
        const std::uint32_t old = entry->second.first.first;
        cached_.erase(entry);
        if (is_idle(old)) {
          idle_.remove(old);
          free_.insert(old);
        }
        entry = cached_.end();
      }
      if (entry == cached_.end())
        entry = cached_.emplace(prefix, std::pair(Life{table.blocks[i], lives_[table.blocks[i]]}, parent)).first;
      table.published.push_back(entry->second.first);
    }
  }
  void free(Table& table) {
    std::ranges::reverse(table.blocks);
    for (const std::uint32_t block : table.blocks) {
      if (--holders_[block] > 0) continue;
      if (is_cached({block, lives_[block]})) {
        idle_.push_back(block);
      } else {
        free_.insert(block);
      }
    }
    table = {};
  }

  std::uint64_t evictions = 0;
  std::size_t num_free() const { return free_.size(); }
  std::size_t num_idle() const { return idle_.size(); }

 private:
  bool is_cached(const Life& life) const {
    return std::ranges::any_of(cached_, [&](const auto& entry) { return entry.second.first == life; });
  }
  void forget(std::uint32_t block) {
    std::erase_if(cached_, [&](const auto& entry) { return entry.second.first.first == block; });
  }

  std::uint32_t block_size_;
  std::vector<std::uint32_t> lives_;
  std::vector<std::uint32_t> holders_;
  std::set<std::uint32_t> free_;
  std::list<std::uint32_t> idle_;
  std::map<Prefix, std::pair<Life, Life>> cached_;  // canonical block and what it follows
};

struct Totals {
  std::uint64_t operations = 0, hits = 0, evictions = 0, refused = 0, grown = 0, reserved = 0, pinned = 0;
};

class Episode {
 public:
  Episode(std::uint64_t seed, Totals& totals)
      : engine_(seed),
        totals_(totals),
        exact_(seed % 3 != 0),
        config_{below(4) == 0 ? 32U : 16U, 1 + below(24), true, exact_ ? 64 : 1 + below(6)},
        manager_(config_),
        model_(config_.block_size, config_.num_blocks),
        content_(config_.num_blocks) {}

  void run(int operations) {
    for (int i = 0; i < operations && !testing::Test::HasFatalFailure(); ++i) {
      ++totals_.operations;
      operate();
      if (!testing::Test::HasFatalFailure()) check();
    }
    while (!live_.empty() && !testing::Test::HasFatalFailure()) release(0);
    EXPECT_EQ(manager_.stats().num_held, 0U);
    totals_.evictions += manager_.stats().evicted_blocks;
  }

 private:
  struct Live {
    BlockTable table;
    NaiveModel::Table naive;
    std::vector<TokenId> tokens;
    std::uint64_t salt = 0;
    std::size_t computed = 0;
  };

  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(engine_() % bound); }

  void operate() {
    const std::uint32_t choice = below(10);
    if (choice < 3 || live_.empty()) {
      const std::uint32_t kind = below(6);
      return kind == 0 ? reserve() : kind == 1 ? pin() : admit();
    }
    const std::uint32_t index = below(static_cast<std::uint32_t>(live_.size()));
    if (choice < 5) return release(index);
    if (choice < 8) return compute(live_[index]);
    grow(live_[index]);
  }

  // Long runs of one of two tokens, so that prefixes are shared often and part late.
  Live draw_live(std::uint32_t length) {
    Live live;
    live.salt = below(8) == 0 ? 1 : 0;
    TokenId token = static_cast<TokenId>(below(2));
    for (std::uint32_t i = 0; i < length; ++i) {
      if (below(40) == 0) token = 1 - token;
      live.tokens.push_back(token);
    }
    return live;
  }

  // As an admission of whole blocks, the last of them cached too if need be.
  void reserve() {
    Live live = draw_live(config_.block_size * (1 + below(6)));
    const std::uint32_t left = below(4) == 0 ? below(4) : 0;
    const std::vector<Life> expected = model_.find(live.tokens, live.salt, true);
    std::size_t need = live.tokens.size() / config_.block_size - expected.size() + left;
    for (const Life& life : expected) need += model_.is_idle(life.first) ? 1 : 0;
    const auto cached = manager_.reserve(live.table, live.tokens, live.salt, left);
    if (exact_) {
      ASSERT_EQ(cached.has_value(), need <= model_.available());
    }
    if (!cached) {
      ++totals_.refused;
      return;
    }
    if (exact_) {
      ASSERT_EQ(*cached, expected.size());
      model_.admit(live.naive, expected, ids(live.table, 0));
    }
    ++totals_.reserved;
    begin(std::move(live), *cached);
  }

  // The chain of some tokens, of which the cache has the first blocks or none.
  void pin() {
    Live live = draw_live(config_.block_size * (1 + below(6)));
    const std::uint32_t left = below(3);
    std::vector<Life> expected = model_.find(live.tokens, live.salt, true);
    std::size_t available = model_.available();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (!model_.is_idle(expected[i].first)) continue;
      if (available < left + 1) {
        expected.resize(i);
        break;
      }
      --available;
    }
    BlockTable hashes;
    for (std::uint32_t i = 0; i < live.tokens.size() / config_.block_size; ++i)
      (void)manager_.hash_of(hashes, live.tokens, live.salt, i);
    const std::vector<TokenId> tokens = manager_.pin(live.table, hashes.hashes, live.salt, left);
    if (exact_) {
      ASSERT_EQ(live.table.blocks.size(), expected.size());
      ASSERT_TRUE(std::ranges::equal(tokens, std::span(live.tokens).first(tokens.size())));
      for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(live.table.blocks[i].value, expected[i].first);
      model_.admit(live.naive, expected, ids(live.table, 0));
      live.naive.published.clear();
    }
    live.tokens = tokens;  // with hashes of few bits another chain's, whose tokens these are
    totals_.pinned += live.table.blocks.size();
    if (!live.table.blocks.empty()) begin(std::move(live), static_cast<std::uint32_t>(live.table.blocks.size()));
  }

  // A table whose first `cached` blocks are: they hold the right tokens, the others nothing yet.
  void begin(Live live, std::uint32_t cached) {
    totals_.hits += cached;
    live.computed = std::size_t{cached} * config_.block_size;
    for (std::size_t i = 0; i < live.computed; ++i) {
      ASSERT_EQ(content_at(live, i), std::pair(live.salt, live.tokens[i])) << "a cached block holds other tokens";
    }
    for (std::size_t i = cached; i < live.table.blocks.size(); ++i) content_[live.table.blocks[i].value].clear();
    live_.push_back(std::move(live));
  }

  void admit() {
    const std::uint32_t length = 1 + below(config_.block_size * 6);
    Live live = draw_live(length);
    const std::uint32_t left = below(4) == 0 ? below(4) : 0;
    const bool read = below(10) != 0;
    const std::vector<Life> expected = read ? model_.find(live.tokens, live.salt) : std::vector<Life>();
    std::size_t need = manager_.blocks_for(length) - expected.size() + left;
    for (const Life& life : expected) need += model_.is_idle(life.first) ? 1 : 0;
    const auto admission = manager_.admit(live.table, live.tokens, live.salt, read, left);
    if (exact_) {
      ASSERT_EQ(admission.has_value(), need <= model_.available());
    }
    if (!admission) {
      ++totals_.refused;
      return;
    }
    ASSERT_LT(admission->cached_tokens, length);
    std::vector<Life> cached(expected.begin(),
                             expected.begin() + std::min<std::ptrdiff_t>(admission->cached_blocks,
                                                                         static_cast<std::ptrdiff_t>(expected.size())));
    if (exact_) {
      ASSERT_EQ(admission->cached_blocks, expected.size());
      for (std::size_t i = 0; i < cached.size(); ++i) ASSERT_EQ(live.table.blocks[i].value, cached[i].first);
      model_.admit(live.naive, cached, ids(live.table, 0));
    }
    begin(std::move(live), admission->cached_blocks);
  }

  void compute(Live& live) {
    // Through a whole prefix check: every earlier slot must still hold what was written.
    for (std::size_t i = 0; i < live.computed; ++i)
      ASSERT_EQ(content_at(live, i), std::pair(live.salt, live.tokens[i])) << "overwritten";
    const std::size_t end = live.computed + below(static_cast<std::uint32_t>(live.tokens.size() - live.computed) + 1);
    for (; live.computed < end; ++live.computed) {
      const BlockId block = live.table.blocks[live.computed / config_.block_size];
      ASSERT_EQ(manager_.pool().references(block), 1U) << "writes to a shared block";
      content_[block.value].push_back({live.salt, live.tokens[live.computed]});
    }
    const std::vector<TokenId> computed(live.tokens.begin(), live.tokens.begin() + static_cast<std::ptrdiff_t>(end));
    manager_.on_computed(live.table, computed, live.salt);
    if (exact_) model_.publish(live.naive, computed, live.salt);
  }

  void grow(Live& live) {
    const std::size_t before = live.table.blocks.size();
    const std::size_t length = live.tokens.size() + 1 + below(config_.block_size);
    const std::size_t need = manager_.blocks_for(length) - std::min<std::size_t>(before, manager_.blocks_for(length));
    const bool grown = manager_.grow(live.table, length);
    if (exact_) {
      ASSERT_EQ(grown, need <= model_.available());
      if (grown) model_.take(live.naive, ids(live.table, before));
    }
    if (!grown) {
      ASSERT_EQ(live.table.blocks.size(), before);
      return;
    }
    for (std::size_t i = before; i < live.table.blocks.size(); ++i) content_[live.table.blocks[i].value].clear();
    while (live.tokens.size() < length) live.tokens.push_back(static_cast<TokenId>(below(2)));
    ++totals_.grown;
  }

  void release(std::uint32_t index) {
    manager_.free(live_[index].table);
    if (exact_) model_.free(live_[index].naive);
    live_.erase(live_.begin() + index);
  }

  void check() {
    std::vector<const BlockTable*> tables;
    for (const Live& live : live_) tables.push_back(&live.table);
    manager_.check_integrity(tables);
    const BlockStats stats = manager_.stats();
    ASSERT_EQ(stats.num_free + stats.num_idle + stats.num_held, config_.num_blocks);
    if (!exact_) return;
    ASSERT_EQ(stats.num_free, model_.num_free());
    ASSERT_EQ(stats.num_idle, model_.num_idle());
    ASSERT_EQ(stats.evicted_blocks, model_.evictions);
    if (below(5) == 0) listen();
  }

  // Who takes every batch of news knows what is cached.
  void listen() {
    if (!manager_.has_news()) return;
    const BlockNews news = manager_.take_news();
    ASSERT_EQ(news.number, ++batches_);
    if (news.kind == BlockNews::Kind::kAll) told_.clear();
    for (const BlockKey key : news.evicted) ASSERT_EQ(told_.erase(key), 1U) << "what was not there is evicted";
    for (const BlockKey key : news.stored) ASSERT_TRUE(told_.insert(key).second) << "what is there is stored again";
    std::set<BlockKey> cached;
    for (const BlockHash& hash : manager_.index().hashes()) cached.insert(key_of(hash));
    ASSERT_EQ(told_, cached);
  }

  static std::vector<std::uint32_t> ids(const BlockTable& table, std::size_t first) {
    std::vector<std::uint32_t> ids;
    for (std::size_t i = first; i < table.blocks.size(); ++i) ids.push_back(table.blocks[i].value);
    return ids;
  }
  const std::pair<std::uint64_t, TokenId>& content_at(const Live& live, std::size_t position) const {
    return content_[live.table.blocks[position / config_.block_size].value].at(position % config_.block_size);
  }

  std::mt19937_64 engine_;
  Totals& totals_;
  bool exact_;
  BlockManagerConfig config_;
  BlockManager manager_;
  NaiveModel model_;
  std::vector<std::vector<std::pair<std::uint64_t, TokenId>>> content_;  // by block: what its slots hold
  std::vector<Live> live_;
  std::set<BlockKey> told_;  // to be cached, by the news
  std::uint64_t batches_ = 0;
};

TEST(BlockManagerFuzz, DecidesAsTheNaiveModelAndServesOnlyWhatWasWritten) {
  const FuzzOptions& options = fuzz_options();
  Totals totals;
  for (std::uint64_t seed = options.seed; totals.operations < options.operations; ++seed) {
    SCOPED_TRACE("episode seed " + std::to_string(seed) + "; repeat with --seed " + std::to_string(seed) +
                 " --operations 1");
    Episode(seed, totals).run(500);
    if (HasFailure()) return;
  }
  std::printf("  operations %llu  hit blocks %llu  evictions %llu  refused %llu  grown %llu  reserved %llu  pinned %llu\n",
              static_cast<unsigned long long>(totals.operations), static_cast<unsigned long long>(totals.hits),
              static_cast<unsigned long long>(totals.evictions), static_cast<unsigned long long>(totals.refused),
              static_cast<unsigned long long>(totals.grown), static_cast<unsigned long long>(totals.reserved),
              static_cast<unsigned long long>(totals.pinned));
  if (options.operations < 50000) return;
  EXPECT_GE(totals.hits, options.operations / 1000);
  EXPECT_GE(totals.evictions, options.operations / 1000);
  EXPECT_GE(totals.reserved, options.operations / 1000);
  EXPECT_GE(totals.pinned, options.operations / 1000);
}

}  // namespace
}  // namespace herd::kv
