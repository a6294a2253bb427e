#pragma once
// What a file is by its first bytes: its name may say anything. Downloads go wrong in a few well-known ways (a Git LFS
// pointer or a page of HTML in place of the file), and a message that says which saves the reader a hex dump.

#include <cstdint>
#include <string>
#include <string_view>

namespace herd::files {

enum class FileKind : std::uint8_t {
  kUnknown,
  kEmpty,
  kGguf,
  kSafetensors,
  kJson,
  kGitLfsPointer,
  kHtml,
  kZip,     // what torch.save writes since PyTorch 1.6
  kPickle,  // what it wrote before
  kGgml,    // the formats before GGUF
  kGzip,
};

// `head`: the first bytes of the file, kKindBytes of them when it has as many.
inline constexpr std::size_t kKindBytes = 256;
[[nodiscard]] FileKind kind_of(std::string_view head);

// kUnknown for what cannot be opened and for what is no regular file (directories, pipes).
[[nodiscard]] FileKind kind_of_file(const std::string& path);

// "a Git LFS pointer, not the file itself (git lfs pull fetches it)"; "a file of no known kind".
[[nodiscard]] const char* kind_text(FileKind kind);

// ": it is " + kind_text for the kinds that are a finding beside a parser's own complaint, else nothing.
[[nodiscard]] std::string kind_remark(std::string_view head);

}  // namespace herd::files
