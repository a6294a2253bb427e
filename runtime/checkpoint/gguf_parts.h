#pragma once
// A model in one GGUF file or in several. gguf-split cuts a large one into NAME-00001-of-00005.gguf and so on: the first
// part has the metadata, each has a share of the tensors (the first perhaps none), and any of them stands for all.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/checkpoint/gguf_file.h"

namespace herd::model {

// What a part's file name says. Value.
struct GgufPartName {
  std::string stem;  // what stands before "-00002-of-00005.gguf"
  int number = 0;    // in [1, count]
  int count = 0;
  std::string suffix;  // ".gguf", in the file's own case

  [[nodiscard]] std::string of(int other_number) const;  // the name of another part
};

// Empty: `file_name` is not a part's. Five digits or more, as gguf-split writes them.
[[nodiscard]] std::optional<GgufPartName> gguf_part_name(std::string_view file_name);

// Every part of the model that `path` is or belongs to, the first part first; a whole model is one part. kMissing names
// the parts that are not there; kBadInput names the file whose count, number or tensors contradict the others.
[[nodiscard]] Expected<std::vector<GgufFile>> open_gguf_parts(const std::string& path);

// A tensor and the part that holds it; both null where there is none.
struct GgufTensorPlace {
  const GgufFile* file = nullptr;
  const GgufTensor* tensor = nullptr;
};
[[nodiscard]] GgufTensorPlace find_tensor(std::span<const GgufFile> parts, std::string_view name);

// What the matrices are stored in (encoding_count.h), "q8_0" or "iq4_nl"; empty where there are no matrices.
[[nodiscard]] std::string main_encoding(std::span<const GgufFile> parts);

}  // namespace herd::model
