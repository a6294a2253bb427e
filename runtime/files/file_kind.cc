#include "runtime/files/file_kind.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstring>
#include <span>

#include "runtime/files/file_bytes.h"

namespace herd::files {
namespace {

std::string_view without_blanks(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

bool begins_with_word(std::string_view text, std::string_view lower_case) {
  return text.size() >= lower_case.size() &&
         std::equal(lower_case.begin(), lower_case.end(), text.begin(), [](char wanted, char found) {
           return wanted == std::tolower(static_cast<unsigned char>(found));
         });
}

}  // namespace

FileKind kind_of(std::string_view head) {
  using namespace std::string_view_literals;
  if (head.empty()) return FileKind::kEmpty;
  if (head.starts_with("GGUF")) return FileKind::kGguf;
  for (const std::string_view old : {"ggml"sv, "lmgg"sv, "fmgg"sv, "tjgg"sv, "algg"sv}) {
    if (head.starts_with(old)) return FileKind::kGgml;
  }
  if (head.starts_with("version https://git-lfs")) return FileKind::kGitLfsPointer;
  if (head.starts_with("PK\3\4")) return FileKind::kZip;
  if (head.starts_with("\x1f\x8b")) return FileKind::kGzip;
  // The length of a header below 100 MB, and its first byte.
  std::uint64_t length = 0;
  if (head.size() > sizeof length && head[8] == '{') {
    std::memcpy(&length, head.data(), sizeof length);
    if (length <= 100'000'000) return FileKind::kSafetensors;
  }
  if (head.size() > 1 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5) return FileKind::kPickle;
  const std::string_view text = without_blanks(head);
  for (const std::string_view tag : {"<!doctype html"sv, "<html"sv, "<head"sv, "<?xml"sv}) {
    if (begins_with_word(text, tag)) return FileKind::kHtml;
  }
  if (text.starts_with("{")) return FileKind::kJson;
  return FileKind::kUnknown;
}

FileKind kind_of_file(const std::string& path) {
  const auto file = FileBytes::open(path);
  if (!file) return FileKind::kUnknown;
  std::string head(std::min<std::uint64_t>((*file)->size(), kKindBytes), '\0');
  if (!(*file)->read(0, std::as_writable_bytes(std::span(head))).ok()) return FileKind::kUnknown;
  return kind_of(head);
}

const char* kind_text(FileKind kind) {
  switch (kind) {
    case FileKind::kUnknown:
      return "a file of no known kind";
    case FileKind::kEmpty:
      return "an empty file";
    case FileKind::kGguf:
      return "a GGUF file";
    case FileKind::kSafetensors:
      return "a safetensors file";
    case FileKind::kJson:
      return "a JSON file";
    case FileKind::kGitLfsPointer:
      return "a Git LFS pointer, not the file itself (git lfs pull fetches it)";
    case FileKind::kHtml:
      return "a page of HTML, not the file itself (the download failed?)";
    case FileKind::kZip:
      return "a zip archive, as PyTorch's .bin, .pt and .pth files are (safetensors and GGUF are supported)";
    case FileKind::kPickle:
      return "a Python pickle, as old PyTorch files are (safetensors and GGUF are supported)";
    case FileKind::kGgml:
      return "a GGML file of before GGUF (convert it)";
    case FileKind::kGzip:
      return "a gzip file (unpack it)";
  }
  return "?";
}

std::string kind_remark(std::string_view head) {
  switch (const FileKind kind = kind_of(head.substr(0, kKindBytes)); kind) {
    case FileKind::kUnknown:
    case FileKind::kEmpty:
    case FileKind::kJson:
    case FileKind::kSafetensors:
      return {};
    default:
      return std::string(": it is ") + kind_text(kind);
  }
}

}  // namespace herd::files
