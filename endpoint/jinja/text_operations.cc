#include "endpoint/jinja/text_operations.h"

#include <algorithm>

#include <string.h>

#include "endpoint/jinja/value_text.h"
#include "runtime/text/utf8.h"

namespace herd::jinja {
namespace {

using tokenizer::first_code_point;
using tokenizer::is_python_space;

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool holds(std::string_view characters, std::string_view character) {
  for (std::string_view rest = characters; !rest.empty();) {
    const std::size_t size = first_code_point(rest).size;
    if (rest.substr(0, size) == character) return true;
    rest.remove_prefix(size);
  }
  return false;
}

// The last character of a text that is not empty.
std::string_view last_character(std::string_view text) {
  std::size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) --at;
  return text.substr(at);
}

std::vector<std::string_view> words(std::string_view text, std::int64_t count) {
  std::vector<std::string_view> parts;
  const auto space_at = [](std::string_view rest) { return is_python_space(first_code_point(rest).value); };
  const auto skip_spaces = [&](std::string_view rest) {
    while (!rest.empty() && space_at(rest)) rest.remove_prefix(first_code_point(rest).size);
    return rest;
  };
  for (std::string_view rest = skip_spaces(text); !rest.empty(); rest = skip_spaces(rest)) {
    if (count >= 0 && static_cast<std::int64_t>(parts.size()) == count) {
      parts.push_back(rest);  // with the white space at its end
      break;
    }
    std::size_t size = 0;
    while (size < rest.size() && !space_at(rest.substr(size))) size += first_code_point(rest.substr(size)).size;
    parts.push_back(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  return parts;
}

}  // namespace

std::size_t find_text(std::string_view text, std::string_view part, std::size_t from) {
  if (from > text.size()) return std::string_view::npos;
  const void* found = ::memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return found == nullptr ? std::string_view::npos
                          : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

Value change_case(Evaluation& evaluation, std::string_view text, Case how) {
  if (!evaluation.spend_bytes(text.size())) return {};
  if (std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
    return evaluation.refuse("the case of letters beyond ASCII is not supported");
  std::string out(text);
  constexpr std::string_view kWordEnds = "-({[<";
  bool begins = true;
  for (char& c : out) {
    const bool raises = how == Case::kUpper || (how != Case::kLower && begins);
    const bool space = is_python_space(static_cast<unsigned char>(c));
    if (how == Case::kTitle) begins = !is_letter(c);
    if (how == Case::kTitleFilter) begins = space || kWordEnds.find(c) != std::string_view::npos;
    if (how == Case::kCapitalize) begins = false;
    c = raises ? upper(c) : lower(c);
  }
  return evaluation.text(std::move(out));
}

Value strip(Evaluation& evaluation, std::string_view text, const Value& characters, Ends ends) {
  if (!characters.is_none() && !characters.is_text()) return evaluation.refuse("strip: the characters must be a text");
  if (!evaluation.spend_bytes(text.size())) return {};
  const std::size_t cost = characters.is_text() ? characters.view().size() : 0;  // of asking about one character
  const auto taken = [&](std::string_view character) {
    return characters.is_none() ? is_python_space(first_code_point(character).value) : holds(characters.view(), character);
  };
  while (ends != Ends::kRight && !text.empty() && evaluation.spend_bytes(cost)) {
    const std::string_view first = text.substr(0, first_code_point(text).size);
    if (!taken(first)) break;
    text.remove_prefix(first.size());
  }
  while (ends != Ends::kLeft && !text.empty() && evaluation.spend_bytes(cost)) {
    const std::string_view last = last_character(text);
    if (!taken(last)) break;
    text.remove_suffix(last.size());
  }
  return evaluation.text(std::string(text));
}

Value replace(Evaluation& evaluation, std::string_view text, std::string_view old, std::string_view fresh, std::int64_t count) {
  std::string out;
  if (!evaluation.spend_bytes(text.size())) return {};
  const auto room = [&] { return evaluation.claim(fresh.size()); };
  std::size_t at = 0;
  for (std::int64_t done = 0; count < 0 || done < count; ++done) {
    const std::size_t found = find_text(text, old, at);
    if (found == std::string_view::npos || (old.empty() && at >= text.size() && done > 0)) break;
    if (!room()) return {};
    out.append(text.substr(at, found - at)).append(fresh);
    at = found + old.size();
    if (old.empty() && at < text.size()) {  // between every two characters, and at both ends
      const std::size_t size = first_code_point(text.substr(at)).size;
      out.append(text.substr(at, size));
      at += size;
      if (at == text.size() && (count < 0 || done + 1 < count)) {
        if (!room()) return {};
        out.append(fresh);
      }
    }
  }
  out.append(text.substr(std::min(at, text.size())));
  return evaluation.text(std::move(out));
}

Value split(Evaluation& evaluation, std::string_view text, const Value& separator, std::int64_t count) {
  if (!evaluation.spend_bytes(text.size())) return {};
  std::vector<std::string_view> parts;
  if (separator.is_none()) {
    parts = words(text, count);
  } else if (!separator.is_text() || separator.view().empty()) {
    return evaluation.refuse("split: the separator must be a text that is not empty");
  } else {
    const std::string_view between = separator.view();
    std::size_t at = 0;
    for (std::size_t found = 0; count < 0 || static_cast<std::int64_t>(parts.size()) < count; at = found + between.size()) {
      found = find_text(text, between, at);
      if (found == std::string_view::npos) break;
      parts.push_back(text.substr(at, found - at));
    }
    parts.push_back(text.substr(at));
  }
  if (!evaluation.claim(parts.size() * 96)) return {};
  std::vector<Value> items;
  for (const std::string_view part : parts) items.push_back(evaluation.text(std::string(part)));
  return evaluation.sequence(SequenceKind::kList, std::move(items));
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto point = first_code_point(text.substr(at));
    const char32_t c = point.value;
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    std::size_t next = at + point.size;
    if (ends) {
      lines.push_back(text.substr(begin, at - begin));
      if (c == '\r' && next < text.size() && text[next] == '\n') ++next;
      begin = next;
    }
    at = next;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

Value join(Evaluation& evaluation, std::string_view separator, const std::vector<Value>& items, bool texts_only) {
  std::string out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (texts_only && !items[i].is_text()) return evaluation.refuse("join: an element is not a text");
    const std::string part = str(evaluation, items[i]);
    if (!evaluation.claim(part.size() + separator.size())) return {};
    if (i > 0) out += separator;
    out += part;
  }
  return evaluation.text(std::move(out));
}

}  // namespace herd::jinja
