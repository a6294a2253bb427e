// routing_bench: what it costs a gateway to know what the prefix caches of many replicas hold, and to send a prompt where most of it is.
// Prints a table. Times are CPU time of the one thread, so that a busy machine does not count.
//
//   routing_bench [BLOCKS] [REPLICAS]     1,000,000 KV blocks in all and 64 replicas without

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <unordered_set>
#include <vector>

#include "cluster/routing/router.h"

namespace {

using namespace herd;
using namespace herd::routing;

constexpr std::uint32_t kBlockSize = 16;
constexpr std::size_t kSystemTokens = 1024;  // that prompts of a family begin with
constexpr std::size_t kFamilies = 50;
constexpr std::size_t kChatTokens = 7'000;   // behind it: 500 blocks in all

double thread_microseconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

double percentile(std::vector<double>& values, double share) {
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

ReplicaGeneration generation(std::uint32_t replica) { return {ReplicaId(replica), Epoch(1)}; }

// Chat number n: the system prompt of its family, then words of its own.
std::vector<TokenId> chat(std::uint64_t number, std::size_t tokens) {
  std::vector<TokenId> all;
  std::mt19937_64 family(number % kFamilies), own(number + 1'000);
  while (all.size() < std::min(tokens, kSystemTokens)) all.push_back(static_cast<TokenId>(family() % 128'000));
  while (all.size() < tokens) all.push_back(static_cast<TokenId>(own() % 128'000));
  return all;
}

class Bench {
 public:
  Bench(std::size_t blocks, std::uint32_t replicas) : replicas_(replicas), each_(blocks / replicas) {
    ClusterView view{.cluster_epoch = Epoch(1), .number = 1, .replicas = {}};
    for (std::uint32_t i = 0; i < replicas; ++i)
      view.replicas.push_back({.route = {generation(i), "host:1", "numerics"}, .state = ReplicaState::kServing, .sequences_max = 1u << 20});
    (void)router_.on_view(view);
    for (std::uint32_t i = 0; i < replicas; ++i) fill(i);
  }

  void print_size() const {
    const PrefixDirectory& directory = router_.directory();
    std::printf("%u replicas, %zu blocks known, told in %.0f ns a block\n", replicas_, directory.blocks(),
                told_us_ * 1e3 / static_cast<double>(directory.blocks()));
    std::printf("memory: %zu bytes, %zu at most as computed (%zu a block)\n", directory.bytes(),
                PrefixDirectory::bytes_for(each_ * replicas_), PrefixDirectory::kBytesPerBlock);
  }

  void route(std::size_t tokens, bool is_known) {
    std::vector<double> name_us, pick_us, all_us;
    std::mt19937_64 random(3);
    for (int i = 0; i < 5'000; ++i) {
      const std::vector<TokenId> prompt = chat(is_known ? random() % chats_ : 1'000'000 + random() % 1'000'000, tokens);
      const double start = thread_microseconds();
      const PromptPrefix prefix = router_.prefix_of(prompt, 0);
      const double named = thread_microseconds();
      const RouteQuestion question{.tokens = prompt.size(), .prefix = &prefix};
      const auto to = router_.pick(question, now_);
      const ReplicaGeneration where = to->route.generation;
      router_.on_sent(where, question, to->held, now_);
      const double picked = thread_microseconds();
      name_us.push_back(named - start);
      pick_us.push_back(picked - named);
      all_us.push_back(picked - start);
      router_.on_ended(where, false);
      router_.on_load(where, load(where.replica.value));
    }
    std::printf("%7zu tokens, %-9s  name %6.1f / %6.1f us   route %6.1f / %6.1f us   both %6.1f / %6.1f us (p50 / p99)\n", tokens,
                is_known ? "cached" : "not", percentile(name_us, 0.5), percentile(name_us, 0.99), percentile(pick_us, 0.5),
                percentile(pick_us, 0.99), percentile(all_us, 0.5), percentile(all_us, 0.99));
  }

  void forget_one() {
    const double start = thread_microseconds();
    router_.on_lost(generation(0));
    std::printf("a replica is lost: %.2f ms\n", (thread_microseconds() - start) * 1e-3);
  }

 private:
  static ReplicaLoad load(std::uint32_t replica) { return {replica % 7, 0, 100 * (replica % 5), 0.01, 0.0005}; }

  // Whole chats, one after the other, until its cache is full. Every fourth is also somewhere else.
  void fill(std::uint32_t replica) {
    router_.on_load(generation(replica), load(replica));
    kv::BlockNews news{kv::BlockNews::Kind::kAll, 0, kBlockSize, static_cast<std::uint32_t>(each_), {}, {}};
    std::unordered_set<kv::BlockKey> stored;
    while (news.stored.size() < each_) {
      const std::uint64_t number = chats_ % 4 == 3 ? chats_ / 2 : chats_;
      ++chats_;
      for (const kv::BlockHash& hash : kv::hash_blocks(chat(number, kSystemTokens + kChatTokens), kBlockSize, 0))
        if (news.stored.size() < each_ && stored.insert(kv::key_of(hash)).second) news.stored.push_back(kv::key_of(hash));
    }
    const double start = thread_microseconds();
    (void)router_.on_news(generation(replica), news);
    told_us_ += thread_microseconds() - start;
  }

  const std::uint32_t replicas_;
  const std::size_t each_;
  Router router_;
  std::uint64_t chats_ = 0;
  double told_us_ = 0;
  Instant now_{1};
};

}  // namespace

int main(int argc, char** argv) {
  const std::size_t blocks = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  const auto replicas = argc > 2 ? static_cast<std::uint32_t>(std::strtoul(argv[2], nullptr, 10)) : 64U;
  if (blocks < replicas || replicas == 0 || replicas > kReplicasMax) {
    std::fprintf(stderr, "usage: routing_bench [BLOCKS] [REPLICAS]\n");
    return 2;
  }
  Bench bench(blocks, replicas);
  bench.print_size();
  for (const std::size_t tokens : {500UL, 2'000UL, 8'000UL, 100'000UL})
    for (const bool is_known : {true, false}) bench.route(tokens, is_known);
  bench.forget_one();
  return 0;
}
