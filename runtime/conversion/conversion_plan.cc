#include "runtime/conversion/conversion_plan.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <iterator>
#include <map>
#include <string_view>
#include <tuple>

#include "runtime/checkpoint/encoding_count.h"
#include "runtime/checkpoint/gguf_config.h"
#include "runtime/checkpoint/gguf_file.h"
#include "runtime/checkpoint/gguf_tensor_names.h"
#include "runtime/checkpoint/quantization_mixture.h"
#include "runtime/conversion/model_statement.h"
#include "runtime/model/rope_frequencies.h"

namespace herd::model {
namespace {

constexpr std::uint32_t kQuantizationVersion = 2;  // of ggml's blocks, since 2023

std::optional<WeightFormat> format_named(std::string_view name) {
  const auto* format = std::ranges::find_if(kAllFormats, [&](WeightFormat each) { return name == format_name(each); });
  return format == std::end(kAllFormats) ? std::nullopt : std::optional(*format);
}

WeightFormat written_format(const OpenedModel& model, const TensorInfo& tensor, std::optional<WeightFormat> wanted) {
  if (matrix_columns(model.config(), tensor.name) == 0) return WeightFormat::kF32;
  const WeightFormat stored = format_named(tensor.encoding).value_or(WeightFormat::kF32);
  if (!wanted) return stored;
  if (!is_quantized(*wanted)) return *wanted;
  const WeightFormat format = mixture_format(model.config(), tensor.name, *wanted);
  return is_quantized(format) ? format : stored;
}

// Layers in their order behind what is outside of them.
std::tuple<int, std::string> place_of(const TensorInfo& tensor) {
  constexpr std::string_view kLayers = "model.layers.";
  int layer = -1;
  if (tensor.name.starts_with(kLayers))
    std::from_chars(tensor.name.data() + kLayers.size(), tensor.name.data() + tensor.name.size(), layer);
  return {layer, tensor.name};
}

std::string counted(std::size_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

// One conversion being planned.
class Planning {
 public:
  Planning(const OpenedModel& model, std::optional<WeightFormat> wanted) : model_(model), wanted_(wanted) {}

  Expected<ConversionPlan> make(const tokenizer::TokenizerDefinition* definition) {
    plan_.rope_divisors = rope_divisors(model_.config().rope, model_.config().head_dim);
    choose_tensors();
    if (Status status = state(definition); !status.ok()) return fail(std::move(status));
    place_tensors();
    note_what_is_lost();
    return std::move(plan_);
  }

 private:
  [[nodiscard]] bool is_matrix(const TensorInfo& tensor) const { return matrix_columns(model_.config(), tensor.name) > 0; }

  void choose_tensors() {
    for (TensorInfo& tensor : model_.checkpoint->tensors()) {
      if (tensor.used) plan_.tensors.push_back({tensor, written_format(model_, tensor, wanted_), is_interleaved(tensor.name), 0});
      else left_out_.push_back(tensor.source_name);
    }
    std::ranges::sort(plan_.tensors, {}, [](const PlannedTensor& tensor) { return place_of(tensor.source); });
  }

  Status state(const tokenizer::TokenizerDefinition* definition) {
    if (const GgufFile* file = model_.gguf()) {
      restate_model(*file, !plan_.rope_divisors.empty(), head_);
      const TextParts& beside = model_.description.text;
      if (!beside.tokenizer_json.empty() || !beside.tokenizer_model.empty())
        plan_.notes.push_back("the tokenizer and the other files beside the GGUF file are not carried over: what it says itself is");
    } else {
      Status status = state_model(model_.description, model_.files.path, definition, head_, unsaid_);
      if (!status.ok()) return status;
      if (definition == nullptr) plan_.notes.push_back("the model has no tokenizer: the file will have none");
    }
    EncodingCount matrices;
    for (const PlannedTensor& tensor : plan_.tensors)
      if (is_matrix(tensor.source)) matrices.add(format_name(tensor.format), tensor.source.rows * tensor.source.cols);
    const auto most = wanted_ ? wanted_ : format_named(matrices.most());
    head_.add("general.file_type", ggml_file_type(most.value_or(WeightFormat::kF32)));
    head_.add("general.quantization_version", kQuantizationVersion);
    return {};
  }

  void place_tensors() {
    for (const PlannedTensor& tensor : plan_.tensors) {
      const TensorInfo& source = tensor.source;
      const auto shape = is_matrix(source) ? std::vector{source.rows, source.cols} : std::vector{source.cols};
      head_.add_tensor(gguf_name(source.name), shape, tensor.format);
    }
    if (!plan_.rope_divisors.empty())
      head_.add_tensor(kRopeDivisors, {static_cast<std::int64_t>(plan_.rope_divisors.size())}, WeightFormat::kF32);
    for (std::size_t i = 0; i < plan_.tensors.size(); ++i) plan_.tensors[i].begin = head_.begin(i);
    if (!plan_.rope_divisors.empty()) plan_.rope_divisors_begin = head_.begin(plan_.tensors.size());
    plan_.head = head_.bytes();
    plan_.file_bytes = head_.file_bytes();
  }

  void note_what_is_lost() {
    for (const std::string& what : unsaid_) plan_.notes.push_back("the file will not say " + what);
    if (!left_out_.empty()) {
      plan_.notes.push_back(counted(left_out_.size(), "tensor", "tensors") + " that the model does not use (" + left_out_.front() +
                            (left_out_.size() == 1 ? ") is" : ", …) are") + " left out");
    }
    std::map<std::string, std::size_t> twice;
    for (const PlannedTensor& tensor : plan_.tensors) {
      const auto stored = format_named(tensor.source.encoding);
      if (stored && is_quantized(*stored) && is_quantized(tensor.format) && *stored != tensor.format) ++twice[tensor.source.encoding];
    }
    for (const auto& [encoding, count] : twice) {
      plan_.notes.push_back(counted(count, "matrix", "matrices") + " in " + encoding +
                            " will be quantised a second time, and the errors add up: convert the original where there is one");
    }
    if (!wanted_ || !is_quantized(*wanted_)) return;
    std::size_t stand_ins = 0, plain = 0;
    for (const PlannedTensor& tensor : plan_.tensors) {
      if (!is_matrix(tensor.source)) continue;
      plain += is_quantized(tensor.format) ? 0 : 1;
      stand_ins += is_quantized(tensor.format) && has_super_blocks(*wanted_) && !has_super_blocks(tensor.format) ? 1 : 0;
    }
    if (stand_ins > 0)
      plan_.notes.push_back("rows of " + counted(stand_ins, "matrix", "matrices") + " are no multiple of 256: q5_0 and q8_0 stand in");
    if (plain > 0)
      plan_.notes.push_back("rows of " + counted(plain, "matrix", "matrices") + " are no multiple of 32: they stay plain numbers");
  }

  const OpenedModel& model_;
  const std::optional<WeightFormat> wanted_;
  ConversionPlan plan_;
  GgufHead head_;
  std::vector<std::string> unsaid_;
  std::vector<std::string> left_out_;
};

}  // namespace

Expected<ConversionPlan> plan_conversion(const OpenedModel& model, std::optional<WeightFormat> wanted,
                                         const tokenizer::TokenizerDefinition* definition) {
  return Planning(model, wanted).make(definition);
}

}  // namespace herd::model
