// Any bytes as a GGUF file: refused or accepted, and of what is accepted every key and every row can be read, and it can be written
// again.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/gguf_file.h"
#include "runtime/checkpoint/gguf_parts.h"
#include "runtime/conversion/conversion_plan.h"
#include "runtime/tokenizer/gguf_vocabulary_of.h"

namespace {

void state_again(const herd::tokenizer::GgufVocabulary& vocabulary) {
  const auto definition = herd::tokenizer::vocabulary_definition(vocabulary);
  if (!definition) return;
  const auto stated = herd::tokenizer::gguf_vocabulary_of(*definition, definition->tokens.size());
  if (!stated) return;
  HERD_CHECK(herd::tokenizer::vocabulary_definition(stated->vocabulary).has_value(), "a vocabulary that is stated can be read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace herd::model;
  const auto file = GgufFile::parse(std::as_bytes(std::span(data, size)), "fuzz.gguf");
  if (!file) return 0;
  for (const GgufValue& value : file->metadata()) {
    HERD_CHECK(file->value(value.key) == &value, "every entry is found under its key");
    (void)file->integer(value.key);
    (void)file->number(value.key);
    (void)file->boolean(value.key);
    (void)file->string(value.key);
    (void)file->strings(value.key);
    (void)file->integers(value.key);
    (void)file->floats(value.key);
  }
  if (const auto vocabulary = gguf_vocabulary(*file)) state_again(*vocabulary);
  (void)main_encoding(std::span(&*file, 1));
  for (const GgufTensor& tensor : file->tensors()) {
    (void)tensor.type_name();
    std::vector<std::byte> bytes(tensor.end - tensor.begin);
    HERD_CHECK(file->bytes()->read(tensor.begin, bytes).ok(), "every tensor lies inside the file");
    const auto encoding = tensor.encoding();
    if (!encoding) continue;
    const std::int64_t cols = tensor.shape.back();
    const std::int64_t stride = row_bytes(*encoding, cols);
    std::vector<float> row(static_cast<std::size_t>(cols));
    for (std::int64_t begin = 0; begin < static_cast<std::int64_t>(bytes.size()); begin += stride) {
      expand_row(*encoding, bytes.data() + begin, 0, cols, row.data());
      expand_row(*encoding, bytes.data() + begin, cols / 3, cols / 2, row.data());
    }
  }
  auto checkpoint = gguf_checkpoint(*GgufFile::parse(std::as_bytes(std::span(data, size)), "fuzz.gguf"));
  if (!checkpoint) return 0;
  for (const TensorInfo& tensor : (*checkpoint)->tensors()) {
    if (!tensor.used) continue;
    std::vector<float> row(static_cast<std::size_t>(tensor.cols));
    const auto status = (*checkpoint)->read_rows(tensor.name, tensor.rows - 1, tensor.rows, 0, tensor.cols, row.data());
    HERD_CHECK(status.ok(), "a tensor in use can be read");
  }
  OpenedModel model;
  model.description.config = (*checkpoint)->config();
  model.checkpoint = std::move(*checkpoint);
  for (const auto wanted : {std::optional<herd::WeightFormat>(), std::optional(herd::WeightFormat::kQ4_K)}) {
    const auto plan = plan_conversion(model, wanted, nullptr);
    HERD_CHECK(plan.has_value(), "what can be read can be written");
    std::vector<std::byte> bytes = plan->head;
    bytes.resize(plan->file_bytes);
    std::ranges::copy(std::as_bytes(std::span(plan->rope_divisors)), bytes.begin() + static_cast<std::ptrdiff_t>(plan->rope_divisors_begin));
    HERD_CHECK(gguf_checkpoint(std::move(*GgufFile::parse(bytes, "again.gguf"))).has_value(), "and read again");
  }
  return 0;
}
