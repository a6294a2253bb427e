// Any bytes as a safetensors file: refused or accepted, and what is accepted can be read whole.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/check.h"
#include "runtime/checkpoint/safetensors_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace herd::model;
  const auto file = SafetensorsFile::parse(std::as_bytes(std::span(data, size)), "fuzz.safetensors");
  if (!file) return 0;
  for (const SafetensorsTensor& tensor : file->tensors()) {
    HERD_CHECK(file->find(tensor.name) == &tensor, "every tensor is found under its name");
    std::vector<std::byte> bytes(tensor.end - tensor.begin);
    HERD_CHECK(file->bytes()->read(tensor.begin, bytes).ok(), "every tensor lies inside the file");
    if (const auto encoding = tensor.encoding()) {
      const auto elements = static_cast<std::int64_t>(bytes.size()) / block_bytes(*encoding);
      std::vector<float> out(static_cast<std::size_t>(elements));
      expand_row(*encoding, bytes.data(), 0, elements, out.data());
    }
  }
  return 0;
}
