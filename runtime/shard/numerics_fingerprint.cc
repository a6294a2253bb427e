#include "runtime/shard/numerics_fingerprint.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/dtype.h"
#include "runtime/kv/block_hash.h"
#include "runtime/model/rope_table.h"

namespace herd::shard {
namespace {

constexpr std::int64_t kSampleValues = 1024;
constexpr int kRopePositions = 1024;  // the table follows from its frequencies; these rows tell how it was computed

// Values in order, each with its length: two lists that differ have different bytes here.
class Digest {
 public:
  void add(std::string_view text) { add_bytes(text.data(), text.size()); }
  template <class Number>
    requires std::is_arithmetic_v<Number>
  void add(Number number) {
    add_bytes(&number, sizeof number);
  }
  void add(std::span<const float> values) { add_bytes(values.data(), values.size_bytes()); }

  [[nodiscard]] std::string hex() const {
    char text[33];
    std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(state_.high),
                  static_cast<unsigned long long>(state_.low));
    return text;
  }

 private:
  void add_bytes(const void* data, std::size_t bytes) {
    words_.assign(bytes / sizeof(TokenId) + 2, 0);
    words_[0] = static_cast<TokenId>(bytes);
    if (bytes > 0) std::memcpy(words_.data() + 1, data, bytes);
    state_ = kv::chain_hash(state_, words_);
  }

  kv::BlockHash state_ = kv::root_hash(0);
  std::vector<TokenId> words_;
};

void add_config(const model::LlamaConfig& config, Digest& digest) {
  for (const int number : {config.hidden_size, config.layers, config.heads, config.kv_heads, config.head_dim,
                           config.intermediate_size, config.vocab_size})
    digest.add(number);
  digest.add(config.rms_norm_eps);
  for (const bool flag :
       {config.tie_word_embeddings, config.attention_bias, config.attention_output_bias, config.mlp_bias})
    digest.add(flag);
  const model::RopeConfig& rope = config.rope;
  for (const double number : {rope.theta, rope.factor, rope.low_freq_factor, rope.high_freq_factor}) digest.add(number);
  digest.add(static_cast<int>(rope.type));
  digest.add(rope.original_max_position_embeddings);
  digest.add(std::span<const float>(rope.frequency_divisors));
  digest.add(std::span<const float>(
      model::make_rope_table(rope, config.head_dim, std::min(kRopePositions, config.max_position_embeddings)).values));
}

Status add_tensor(const model::Checkpoint& checkpoint, const model::TensorInfo& tensor, Digest& digest) {
  digest.add(tensor.name);
  digest.add(tensor.shape);
  digest.add(tensor.encoding);
  if (tensor.rows == 0 || tensor.cols == 0) return {};
  const std::int64_t count = std::min(kSampleValues, tensor.cols);
  std::vector<float> values(static_cast<std::size_t>(count));
  const std::int64_t spare = tensor.cols - count;
  const struct {
    std::int64_t row, col;
  } samples[] = {{0, 0}, {tensor.rows / 2, spare / 2}, {tensor.rows - 1, spare}};
  for (const auto& [row, col] : samples) {
    if (Status status = checkpoint.read_rows(tensor.name, row, row + 1, col, col + count, values.data()); !status.ok())
      return status;
    digest.add(std::span<const float>(values));
  }
  return {};
}

}  // namespace

Expected<std::string> numerics_fingerprint(const NumericsParts& parts) {
  Digest digest;
  digest.add(std::string_view(parts.numerics_class));
  digest.add(std::string_view(dtype_name(parts.encoding.weights)));
  digest.add(static_cast<std::uint64_t>(parts.tokenizer_vocab_size));
  add_config(*parts.config, digest);
  if (parts.checkpoint == nullptr) {
    digest.add(std::string_view("random"));
    digest.add(parts.random_seed);
    return digest.hex();
  }
  for (const model::TensorInfo& tensor : parts.checkpoint->tensors()) {  // by name
    if (!tensor.used) continue;
    if (Status status = add_tensor(*parts.checkpoint, tensor, digest); !status.ok()) return fail(std::move(status));
  }
  return digest.hex();
}

}  // namespace herd::shard
