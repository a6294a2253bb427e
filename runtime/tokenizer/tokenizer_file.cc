#include "runtime/tokenizer/tokenizer_file.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <system_error>

#include "runtime/files/file_bytes.h"
#include "runtime/files/file_kind.h"
#include "runtime/files/presence.h"
#include "runtime/tokenizer/large_pages.h"

namespace herd::tokenizer {

Expected<std::string> read_tokenizer_file(const std::filesystem::path& path, std::size_t bytes_max) {
  if (!files::is_file(path)) {
    std::error_code error;
    const bool is_link = std::filesystem::is_symlink(path, error);
    return fail(missing(is_link ? files::absence(path.string()) : path.string() + ": no such file"));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(missing(path.string() + ": cannot be read"));

  std::string content;
  std::error_code unknown;
  if (const auto bytes = std::filesystem::file_size(path, unknown); !unknown) {
    content.reserve(std::min<std::uintmax_t>(bytes, bytes_max));
    advise_large_pages(content.data(), content.capacity());
  }
  char buffer[1 << 16];
  while (file.read(buffer, sizeof buffer), file.gcount() > 0) {
    content.append(buffer, static_cast<std::size_t>(file.gcount()));
    if (content.size() > bytes_max) {
      return fail(bad_input(path.string() + ": larger than " + std::to_string(bytes_max) + " bytes"));
    }
  }
  if (file.bad()) return fail(missing(path.string() + ": cannot be read"));
  if (const std::string remark = files::kind_remark(content); !remark.empty()) return fail(bad_input(path.string() + remark));
  return content;
}

}  // namespace herd::tokenizer
