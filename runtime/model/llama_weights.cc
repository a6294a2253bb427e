#include "runtime/model/llama_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/check.h"
#include "kernels/row_packer.h"
#include "kernels/weight_format.h"
#include "kernels/splitmix64.h"
#include "kernels/staging.h"
#include "runtime/model/stacked_rows.h"

namespace herd::model {
namespace {

// A refusal of memory, with what helps.
Status no_room(const Status& refused) {
  return {refused.code(), refused.message() + "; free memory, raise its limit (a container's, ulimit -v), or take a smaller model or "
                                              "a --quantization-encoding of fewer bits"};
}

std::string layer_name(int layer, const char* part) {
  return "model.layers." + std::to_string(layer) + "." + part;
}

std::uint64_t mix(std::uint64_t x) { return splitmix64_finish(x + kSplitMix64Step); }

class RandomSource : public WeightSource {
 public:
  RandomSource(const LlamaConfig& config, std::uint64_t seed) : config_(config), seed_(seed) {}
  Status read_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                   std::int64_t col_end, float* out) const override {
    const bool norm = name.find("norm") != std::string::npos;
    std::uint64_t stream = mix(seed_);
    for (const char letter : name) stream = mix(stream ^ static_cast<unsigned char>(letter));
    const std::int64_t columns = full_columns(name);
    const bool bias = name.ends_with(".bias");
    const float scale = bias ? 0.1F : std::sqrt(3.0F / static_cast<float>(columns));
    for (std::int64_t row = row_begin; row < row_end; ++row) {
      for (std::int64_t col = col_begin; col < col_end; ++col) {
        const std::uint64_t bits = mix(stream + static_cast<std::uint64_t>(row * columns + col));
        const auto centred = static_cast<float>(static_cast<std::int32_t>(bits >> 40) - (1 << 23));  // [-2^23, 2^23)
        *out++ = norm ? 1.0F : centred * 0x1p-23F * scale;
      }
    }
    return {};
  }

 private:
  std::int64_t full_columns(std::string_view name) const {
    if (name.find("o_proj.weight") != std::string::npos) return config_.query_size();
    if (name.find("down_proj.weight") != std::string::npos) return config_.intermediate_size;
    // Unit-sized embeddings; as a tied head they would make every logit row a spike at its own token.
    if (name.find("embed_tokens") != std::string::npos && !config_.tie_word_embeddings) return 3;
    return config_.hidden_size;
  }
  LlamaConfig config_;
  std::uint64_t seed_;
};

// Takes the value of an Expected or leaves the enclosing function with its error.
#define HERD_TAKE(target, expression)                     \
  do {                                                    \
    auto taken = (expression);                            \
    if (!taken) return fail(std::move(taken).error());    \
    target = std::move(*taken);                           \
  } while (false)

// Packs tensors into device memory, counting bytes and watching for non-finite values.
class Loader {
 public:
  Loader(const WeightSource& source, Device& device, const LoadOptions& options, std::size_t total, LoadReport& report)
      : source_(source),
        device_(device),
        progress_(options.progress),
        total_(total),
        report_(report) {}

  // What is loaded from now on is told to `digester`; null: to none.
  void tell(WeightsDigester* digester) { digester_ = digester; }

  // Stacks the segments' rows, columns [col_begin, col_begin + k) of each: one matrix of neighbours that have one format.
  Expected<MatrixStack> stack(LlamaWeights& weights, std::span<const Segment> segments, std::int64_t col_begin, std::int64_t k) {
    MatrixStack matrices;
    while (!segments.empty()) {
      const auto other = std::find_if(segments.begin(), segments.end(), [&](const Segment& s) { return s.format != segments[0].format; });
      const auto count = static_cast<std::size_t>(other - segments.begin());
      HERD_TAKE(matrices.emplace_back(), matrix(weights, segments.first(count), col_begin, k));
      segments = segments.subspan(count);
    }
    return matrices;
  }

  // The same of segments in one format.
  Expected<PackedMatrix> matrix(LlamaWeights& weights, std::span<const Segment> segments, std::int64_t col_begin,
                                std::int64_t k, int leaf_count = 1, const std::int32_t* leaf_chunk = nullptr) {
    PackedMatrix packed;
    packed.format = segments.front().format;
    packed.k = k;
    packed.chunks_before = static_cast<std::int32_t>(col_begin % block_elements(packed.format) / kChunkK);
    for (const Segment& segment : segments) packed.outputs += segment.row_end - segment.row_begin;
    packed.leaf_count = leaf_count;
    if (leaf_chunk != nullptr) {
      std::copy_n(leaf_chunk, leaf_count + 1, packed.leaf_chunk);
    } else {
      packed.leaf_chunk[1] = static_cast<std::int32_t>(packed.chunks());
    }
    auto buffer = device_.allocate(static_cast<std::size_t>(packed.bytes()), "weights");
    if (!buffer) return fail(no_room(buffer.error()));
    packed.data = (*buffer)->data();
    weights.memory.emplace_back(std::move(*buffer));
    RowPacker* const packer = digester_ == nullptr ? device_.row_packer() : nullptr;  // a digest takes rows in order
    Status status = packer != nullptr ? pack(*packer, packed, segments, col_begin) : fill(packed, segments, col_begin);
    if (!status.ok()) return fail(std::move(status));
    return packed;
  }

  // Concatenated vectors (norms, biases), as float.
  Expected<const float*> vector(LlamaWeights& weights, const std::vector<Segment>& segments) {
    std::int64_t count = 0;
    for (const Segment& segment : segments) count += segment.row_end - segment.row_begin;
    auto buffer = device_.allocate(static_cast<std::size_t>(round_up(count, kPanelOutputs)) * sizeof(float), "weights");
    if (!buffer) return fail(no_room(buffer.error()));
    auto* const data = static_cast<float*>((*buffer)->data());
    weights.memory.emplace_back(std::move(*buffer));
    std::vector<float> values(static_cast<std::size_t>(count));
    float* out = values.data();
    for (const Segment& segment : segments) {
      const std::int64_t n = segment.row_end - segment.row_begin;  // a vector is one row: its elements are columns
      if (Status status = source_.read_rows(segment.name, 0, 1, segment.row_begin, segment.row_end, out); !status.ok())
        return fail(std::move(status));
      note(segment, 0, 1, segment.row_begin, n, out);
      out += n;
    }
    device_.upload(data, values.data(), values.size() * sizeof(float));
    return static_cast<const float*>(data);
  }

 private:
  // All threads of the device read what they pack.
  Status pack(RowPacker& packer, const PackedMatrix& packed, std::span<const Segment> segments, std::int64_t col_begin) {
    const auto done = [&](std::int64_t rows) { advance(packed, rows); };
    StackedRows rows(source_, segments, col_begin, packed, done);
    Status status = packer.pack(packed, rows);
    done(rows.take_untold());
    for (const std::string& name : rows.non_finite()) note_non_finite(name);
    return status;
  }

  // The device takes what this thread stages; of blocks only the numbers that they stand for, to be looked at, are.
  Status fill(const PackedMatrix& packed, std::span<const Segment> segments, std::int64_t col_begin) {
    // Enough rows to keep every thread busy, little enough to stay in the cache: about 4 MiB of floats.
    const std::int64_t step =
        std::max<std::int64_t>(kPanelOutputs * 4, round_up((1 << 20) / packed.k, kPanelOutputs * 4));
    if (Status status = reserve_staging(static_cast<std::size_t>(step * packed.k) * sizeof(float)); !status.ok())
      return status;
    for (std::int64_t row = 0; row < packed.outputs; row += step) {
      const std::int64_t rows = std::min(step, packed.outputs - row);
      auto* const values = static_cast<float*>(staging_->host());
      if (Status status = stage(segments, row, rows, col_begin, packed.k, values); !status.ok()) return status;
      if (is_quantized(packed.format)) {
        if (Status status = pack_blocks(packed, segments, row, rows, col_begin); !status.ok()) return status;
      } else {
        staging_->upload(static_cast<std::size_t>(rows * packed.k) * sizeof(float));
        device_.ops().pack_rows(packed, row, rows, static_cast<const float*>(staging_->device()));
      }
      advance(packed, rows);
    }
    return device_.wait();
  }

  Status pack_blocks(const PackedMatrix& packed, std::span<const Segment> segments, std::int64_t row, std::int64_t rows,
                     std::int64_t col_begin) {
    const std::int64_t row_bytes = stored_row_bytes(packed.format, col_begin, col_begin + packed.k);
    blocks_.resize(static_cast<std::size_t>(rows * row_bytes));
    std::byte* out = blocks_.data();
    for (const SegmentPart& part : parts_of(segments, row, rows)) {
      Status status = source_.read_stored_rows(part.segment->name, part.first, part.first + part.rows, col_begin,
                                               col_begin + packed.k, out);
      if (!status.ok()) return status;
      out += part.rows * row_bytes;
    }
    device_.ops().pack_blocks(packed, row, rows, blocks_.data());
    return {};
  }

  Status reserve_staging(std::size_t bytes) {
    if (bytes <= staging_bytes_) return {};
    auto buffer = allocate_staged(device_, bytes, "rows of weights on their way");
    if (!buffer) return no_room(buffer.error());
    staging_ = std::move(*buffer);
    staging_bytes_ = bytes;
    return {};
  }

  // Rows [row, row + rows) of the stacked segments, to `out`.
  Status stage(std::span<const Segment> segments, std::int64_t row, std::int64_t rows, std::int64_t col_begin,
               std::int64_t k, float* out) {
    for (const SegmentPart& part : parts_of(segments, row, rows)) {
      Status status = source_.read_rows(part.segment->name, part.first, part.first + part.rows, col_begin, col_begin + k, out);
      if (!status.ok()) return status;
      note(*part.segment, part.first, part.rows, col_begin, k, out);
      out += part.rows * k;
    }
    return {};
  }

  // While they are in the cache.
  void note(const Segment& segment, std::int64_t row, std::int64_t rows, std::int64_t col, std::int64_t cols,
            const float* values) {
    if (digester_ != nullptr) digester_->add(segment.name, segment.cut, row, rows, col, cols, values);
    if (has_non_finite(values, static_cast<std::size_t>(rows * cols))) note_non_finite(segment.name);
  }

  void note_non_finite(const std::string& name) {
    if (std::find(report_.non_finite.begin(), report_.non_finite.end(), name) == report_.non_finite.end())
      report_.non_finite.push_back(name);
  }

  void advance(const PackedMatrix& packed, std::int64_t rows) {
    done_ += static_cast<std::size_t>(rows * packed.k * packed.chunk_bytes() / (kPanelOutputs * kChunkK));
    if (progress_) progress_(std::min(done_, total_), total_);
  }

  const WeightSource& source_;
  Device& device_;
  WeightsDigester* digester_ = nullptr;
  const std::function<void(std::size_t, std::size_t)>& progress_;
  const std::size_t total_;
  LoadReport& report_;
  std::size_t done_ = 0;
  std::unique_ptr<StagedBuffer> staging_;
  std::vector<std::byte> blocks_;
  std::size_t staging_bytes_ = 0;
};

Expected<LayerWeights> load_layer(Loader& loader, LlamaWeights& weights, const LlamaConfig& config, int layer,
                                  const model::ShardPlan& plan, const LeafCuts& cuts, const LayerFormats& formats) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t dim = config.head_dim;
  const std::int64_t q0 = plan.heads.begin * dim, q1 = plan.heads.end * dim;
  const std::int64_t kv0 = plan.kv_heads.begin * dim, kv1 = plan.kv_heads.end * dim;
  auto qkv = [&](const char* kind, const LeafCut& q, const LeafCut& kv) {
    return std::vector<Segment>{{layer_name(layer, "self_attn.q_proj.") + kind, q0, q1, &q, formats.q},
                                {layer_name(layer, "self_attn.k_proj.") + kind, kv0, kv1, &kv, formats.k},
                                {layer_name(layer, "self_attn.v_proj.") + kind, kv0, kv1, &kv, formats.v}};
  };
  auto gate_up = [&](const char* kind, const LeafCut& cut) {
    return std::vector<Segment>{
        {layer_name(layer, "mlp.gate_proj.") + kind, plan.ffn.begin, plan.ffn.end, &cut, formats.gate},
        {layer_name(layer, "mlp.up_proj.") + kind, plan.ffn.begin, plan.ffn.end, &cut, formats.up}};
  };
  auto outputs = [&](const char* name, const LeafCut* cut = nullptr, WeightFormat format = WeightFormat::kF32) {
    return std::vector<Segment>{{layer_name(layer, name), 0, hidden, cut, format}};
  };

  LayerWeights w;
  HERD_TAKE(w.attention_norm, loader.vector(weights, outputs("input_layernorm.weight")));
  HERD_TAKE(w.qkv, loader.stack(weights, qkv("weight", cuts.heads, cuts.kv_heads), 0, hidden));
  HERD_TAKE(w.o, loader.matrix(weights, outputs("self_attn.o_proj.weight", &cuts.attention_inputs, formats.o), q0, q1 - q0,
                               plan.leaf_count, plan.attention_leaf_chunk.data()));
  HERD_TAKE(w.mlp_norm, loader.vector(weights, outputs("post_attention_layernorm.weight")));
  HERD_TAKE(w.gate_up, loader.stack(weights, gate_up("weight", cuts.ffn), 0, hidden));
  HERD_TAKE(w.down, loader.matrix(weights, outputs("mlp.down_proj.weight", &cuts.ffn_inputs, formats.down), plan.ffn.begin,
                                  plan.ffn.size(), plan.leaf_count, plan.ffn_leaf_chunk.data()));
  if (config.attention_bias) HERD_TAKE(w.qkv_bias, loader.vector(weights, qkv("bias", cuts.heads_bias, cuts.kv_heads_bias)));
  if (config.attention_output_bias) HERD_TAKE(w.o_bias, loader.vector(weights, outputs("self_attn.o_proj.bias")));
  if (config.mlp_bias) {
    HERD_TAKE(w.gate_up_bias, loader.vector(weights, gate_up("bias", cuts.ffn_bias)));
    HERD_TAKE(w.down_bias, loader.vector(weights, outputs("mlp.down_proj.bias")));
  }
  return w;
}

// Of all matrices that are loaded, one element after the other.
std::size_t total_bytes(const LlamaConfig& config, const std::vector<model::ShardPlan>& plans, const Encoding& encoding) {
  const std::int64_t hidden = config.hidden_size;
  const auto bytes = [](WeightFormat format, std::int64_t elements) {
    return elements * packed_chunk_bytes(format) / (kPanelOutputs * kChunkK);
  };
  std::int64_t total = bytes(encoding.embedding(), config.vocab_size * hidden);
  if (!config.tie_word_embeddings) total += bytes(encoding.head(), config.vocab_size * hidden);
  for (const model::ShardPlan& plan : plans) {
    const std::int64_t q = plan.heads.size() * std::int64_t{config.head_dim}, kv = plan.kv_heads.size() * std::int64_t{config.head_dim};
    const std::int64_t ffn = plan.ffn.size();
    for (int i = 0; i < config.layers; ++i) {
      const LayerFormats layer = encoding.layer(i);
      total += bytes(layer.q, q * hidden) + bytes(layer.k, kv * hidden) + bytes(layer.v, kv * hidden) + bytes(layer.o, q * hidden);
      total += bytes(layer.gate, ffn * hidden) + bytes(layer.up, ffn * hidden) + bytes(layer.down, ffn * hidden);
    }
  }
  return static_cast<std::size_t>(total);
}

// The rows of this rank inside the whole packed embedding: panels are contiguous.
PackedMatrix vocabulary_slice(const PackedMatrix& embedding, const model::Range& vocab) {
  PackedMatrix slice = embedding;
  slice.outputs = vocab.size();
  slice.data = static_cast<const std::byte*>(embedding.data) + vocab.begin / kPanelOutputs * embedding.panel_bytes();
  return slice;
}

}  // namespace

std::size_t LlamaWeights::bytes() const {
  std::size_t sum = 0;
  for (const auto& buffer : memory) sum += buffer->bytes();
  return sum;
}

std::vector<PackedMatrix> LlamaWeights::read_per_token() const {
  std::vector<PackedMatrix> matrices;
  for (const LayerWeights& layer : layers) {
    matrices.insert(matrices.end(), layer.qkv.begin(), layer.qkv.end());
    matrices.push_back(layer.o);
    matrices.insert(matrices.end(), layer.gate_up.begin(), layer.gate_up.end());
    matrices.push_back(layer.down);
  }
  matrices.push_back(head);
  return matrices;
}

std::size_t LlamaWeights::bytes_read_per_token() const {
  std::size_t sum = 0;
  for (const PackedMatrix& matrix : read_per_token()) sum += static_cast<std::size_t>(matrix.bytes());
  return sum;
}

std::unique_ptr<WeightSource> random_source(const LlamaConfig& config, std::uint64_t seed) {
  return std::make_unique<RandomSource>(config, seed);
}

Expected<std::vector<std::shared_ptr<const LlamaWeights>>> load_weights(
    const LlamaConfig& config, const WeightSource& source, const std::vector<ShardPlan>& plans, Device& device,
    const LoadOptions& options, LoadReport& report) {
  HERD_CHECK(!plans.empty(), "a replica has at least one rank");
  const Encoding encoding = encoding_of(config, source, options.encoding.weights);
  HERD_CHECK(!is_quantized(encoding.weights) || device.ops().takes_blocks(), "a device that takes no blocks is given numbers");
  Loader loader(source, device, options, total_bytes(config, plans, encoding), report);
  const LeafCuts cuts = leaf_cuts(config);
  LlamaWeights shared;  // the embedding, on every rank
  WeightsDigester embedding(plans.front());
  loader.tell(options.digest ? &embedding : nullptr);
  const Segment embedded{"model.embed_tokens.weight", 0, config.vocab_size, nullptr, encoding.embedding()};
  HERD_TAKE(shared.embedding, loader.matrix(shared, {&embedded, 1}, 0, config.hidden_size));
  std::vector<std::shared_ptr<const LlamaWeights>> ranks;
  for (const model::ShardPlan& plan : plans) {
    auto weights = std::make_shared<LlamaWeights>(shared);
    WeightsDigester digester(plan);
    loader.tell(options.digest ? &digester : nullptr);
    for (int layer = 0; layer < config.layers; ++layer) {
      auto loaded = load_layer(loader, *weights, config, layer, plan, cuts, encoding.layer(layer));
      if (!loaded) return fail(std::move(loaded).error());
      weights->layers.push_back(*loaded);
    }
    HERD_TAKE(weights->final_norm, loader.vector(*weights, {{"model.norm.weight", 0, config.hidden_size}}));
    if (config.tie_word_embeddings) {
      weights->head = vocabulary_slice(weights->embedding, plan.vocab);
    } else {
      const Segment head{"lm_head.weight", plan.vocab.begin, plan.vocab.end, &cuts.vocab, encoding.head()};
      HERD_TAKE(weights->head, loader.matrix(*weights, {&head, 1}, 0, config.hidden_size));
    }
    if (is_quantized(weights->head.format)) weights->head.x_parts = 2;
    if (options.digest) {
      WeightsDigest& digest = report.digests.emplace_back(digester.finish());
      digest.whole += embedding.finish().whole;
    }
    ranks.push_back(std::move(weights));
  }
  return ranks;
}

}  // namespace herd::model
