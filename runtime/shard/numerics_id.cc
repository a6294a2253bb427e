#include "runtime/shard/numerics_id.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/dtype.h"
#include "runtime/model/rope_table.h"

namespace herd::shard {
namespace {

constexpr int kRopePositions = 1024;  // the table follows from its frequencies; these rows tell how it was computed

void add(std::span<const float> values, digest::Digester& to) {
  to.add(std::uint64_t{values.size()});
  to.add_row(std::as_bytes(values));
}

void add(const model::LlamaConfig& config, digest::Digester& to) {
  for (const int number : {config.hidden_size, config.layers, config.heads, config.kv_heads, config.head_dim,
                           config.intermediate_size, config.vocab_size})
    to.add(static_cast<std::uint64_t>(number));
  to.add(static_cast<double>(config.rms_norm_eps));
  for (const bool flag :
       {config.tie_word_embeddings, config.attention_bias, config.attention_output_bias, config.mlp_bias})
    to.add(std::uint64_t{flag});
  const model::RopeConfig& rope = config.rope;
  for (const double number : {rope.theta, rope.factor, rope.low_freq_factor, rope.high_freq_factor}) to.add(number);
  to.add(static_cast<std::uint64_t>(rope.type));
  to.add(static_cast<std::uint64_t>(rope.original_max_position_embeddings));
  add(rope.frequency_divisors, to);
  const model::RopeTable table(rope, config.head_dim, std::min(kRopePositions, config.max_position_embeddings));
  table.fill(table.positions());
  add(std::span(table.values(), table.size()), to);
}

// A product's bits follow from how a matrix is stored, beyond the numbers that are stored.
void add(const model::MatrixFormats& formats, digest::Digester& to) {
  const auto add_one = [&](WeightFormat format) { to.add(static_cast<std::uint64_t>(format)); };
  add_one(formats.embedding);
  add_one(formats.head);
  for (const model::LayerFormats& layer : formats.layers) {
    for (const WeightFormat format : {layer.q, layer.k, layer.v, layer.o, layer.gate, layer.up, layer.down}) add_one(format);
  }
}

}  // namespace

std::string numerics_id(const NumericsParts& parts) {
  const std::string arithmetic = std::string(parts.numerics_class) + "/" + parts.encoding.name() + "/" +
                                 parts.encoding.arithmetic();
  digest::Digester digester("numerics");
  digester.add(arithmetic);
  add(*parts.config, digester);
  if (parts.encoding.formats != nullptr) add(*parts.encoding.formats, digester);
  digester.add(parts.weights.high);
  digester.add(parts.weights.low);
  return arithmetic + "/" + digest::hex(digester.finish());
}

}  // namespace herd::shard
