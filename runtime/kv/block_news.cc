#include "runtime/kv/block_news.h"

#include <algorithm>

#include "kernels/check.h"

namespace herd::kv {

std::vector<BlockNews> cut_news(const BlockNews& news, std::size_t keys_max) {
  HERD_CHECK(keys_max > 0, "a part of the news has room for a key");
  std::vector<BlockNews> parts;
  std::size_t stored = 0, evicted = 0;
  do {
    BlockNews& part = parts.emplace_back();
    part.kind = parts.size() == 1 ? news.kind : BlockNews::Kind::kMore;
    part.number = news.number;
    part.block_size = news.block_size;
    part.num_blocks = news.num_blocks;
    const std::size_t take_evicted = std::min(keys_max, news.evicted.size() - evicted);
    const std::size_t take_stored = std::min(keys_max - take_evicted, news.stored.size() - stored);
    part.evicted.assign(news.evicted.begin() + static_cast<std::ptrdiff_t>(evicted),
                        news.evicted.begin() + static_cast<std::ptrdiff_t>(evicted + take_evicted));
    part.stored.assign(news.stored.begin() + static_cast<std::ptrdiff_t>(stored),
                       news.stored.begin() + static_cast<std::ptrdiff_t>(stored + take_stored));
    evicted += take_evicted;
    stored += take_stored;
  } while (stored < news.stored.size() || evicted < news.evicted.size());
  return parts;
}

}  // namespace herd::kv
