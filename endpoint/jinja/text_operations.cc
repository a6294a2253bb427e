#include "endpoint/jinja/text_operations.h"

#include <algorithm>

#include <string.h>

#include "endpoint/jinja/value_text.h"
#include "runtime/text/utf8.h"

namespace herd::jinja {
namespace {

using text::first_code_point;
using text::is_python_space;

constexpr std::size_t kPartBytes = 2 * sizeof(std::string_view);  // of one of the parts that a text is cut into

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

std::vector<std::string_view> words(Evaluation& evaluation, std::string_view text, std::int64_t count) {
  std::vector<std::string_view> parts;
  const auto space_at = [](std::string_view rest) { return is_python_space(first_code_point(rest).value); };
  const auto skip_spaces = [&](std::string_view rest) {
    while (!rest.empty() && space_at(rest)) rest.remove_prefix(first_code_point(rest).size);
    return rest;
  };
  for (std::string_view rest = skip_spaces(text); !rest.empty() && evaluation.claim(kPartBytes); rest = skip_spaces(rest)) {
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

std::string_view without_spaces_behind(std::string_view text) {
  while (!text.empty() && is_python_space(first_code_point(last_character(text)).value)) text.remove_suffix(last_character(text).size());
  return text;
}

// The last word first; what is left of the text is the last part.
std::vector<std::string_view> words_from_right(Evaluation& evaluation, std::string_view text, std::int64_t count) {
  std::vector<std::string_view> parts;
  std::string_view rest = without_spaces_behind(text);
  while (!rest.empty() && static_cast<std::int64_t>(parts.size()) < count && evaluation.claim(kPartBytes)) {
    std::size_t begin = rest.size();
    while (begin > 0) {
      const std::string_view last = last_character(rest.substr(0, begin));
      if (is_python_space(first_code_point(last).value)) break;
      begin -= last.size();
    }
    parts.push_back(rest.substr(begin));
    rest = without_spaces_behind(rest.substr(0, begin));
  }
  if (!rest.empty()) parts.push_back(rest);
  return parts;
}

std::vector<std::string_view> parts_from_right(Evaluation& evaluation, std::string_view text, std::string_view separator,
                                               std::int64_t count) {
  const std::string reversed_text(text.rbegin(), text.rend());
  const std::string reversed_separator(separator.rbegin(), separator.rend());
  std::vector<std::string_view> parts;
  std::size_t at = 0;  // in the reversed text
  while (count < 0 || static_cast<std::int64_t>(parts.size()) < count) {
    const std::size_t found = find_text(reversed_text, reversed_separator, at);
    if (found == std::string_view::npos || !evaluation.claim(kPartBytes)) break;
    parts.push_back(text.substr(text.size() - found, found - at));
    at = found + separator.size();
  }
  parts.push_back(text.substr(0, text.size() - at));
  return parts;
}

}  // namespace

std::size_t find_text(std::string_view text, std::string_view part, std::size_t from) {
  if (from > text.size()) return std::string_view::npos;
  const void* found = ::memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return found == nullptr ? std::string_view::npos
                          : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

std::size_t find_last_text(std::string_view text, std::string_view part) {
  const std::string reversed_text(text.rbegin(), text.rend());
  const std::string reversed_part(part.rbegin(), part.rend());
  const std::size_t found = find_text(reversed_text, reversed_part);
  return found == std::string_view::npos ? found : text.size() - found - part.size();
}

Value strip(Evaluation& evaluation, const TextPart& text, const Value& characters, Ends ends) {
  if (!characters.is_none() && !characters.is_text()) return evaluation.refuse("strip: the characters must be a text");
  if (!evaluation.spend_bytes(text.size())) return {};
  const std::size_t cost = characters.is_text() ? characters.view().size() : 0;  // of asking about one character
  const auto taken = [&](std::string_view character) {
    return characters.is_none() ? is_python_space(first_code_point(character).value) : holds(characters.view(), character);
  };
  std::string_view left = text.bytes();
  while (ends != Ends::kRight && !left.empty() && evaluation.spend_bytes(cost)) {
    const std::string_view first = left.substr(0, first_code_point(left).size);
    if (!taken(first)) break;
    left.remove_prefix(first.size());
  }
  while (ends != Ends::kLeft && !left.empty() && evaluation.spend_bytes(cost)) {
    const std::string_view last = last_character(left);
    if (!taken(last)) break;
    left.remove_suffix(last.size());
  }
  return evaluation.text(text.at(left));
}

Value replace(Evaluation& evaluation, const TextPart& text, std::string_view old, const TextPart& fresh, std::int64_t count) {
  if (!evaluation.spend_bytes(text.size() + text.mark_count())) return {};
  text::MarkedText out;
  const auto put = [&] {
    if (!evaluation.claim(fresh.size() + fresh.mark_count() * sizeof(text::ByteRange))) return false;
    append(out, fresh);
    return true;
  };
  std::size_t at = 0;
  for (std::int64_t done = 0; count < 0 || done < count; ++done) {
    const std::size_t found = find_text(text.bytes(), old, at);
    if (found == std::string_view::npos || (old.empty() && at >= text.size() && done > 0)) break;
    append(out, text.part(at, found - at));
    if (!put()) return {};
    at = found + old.size();
    if (old.empty() && at < text.size()) {  // between every two characters, and at both ends
      const std::size_t size = first_code_point(text.bytes().substr(at)).size;
      append(out, text.part(at, size));
      at += size;
      if (at == text.size() && (count < 0 || done + 1 < count) && !put()) return {};
    }
  }
  append(out, text.part(std::min(at, text.size())));
  return evaluation.text(std::move(out));
}

Value split(Evaluation& evaluation, const TextPart& text, const Value& separator, std::int64_t count) {
  if (!evaluation.spend_bytes(text.size())) return {};
  std::vector<std::string_view> parts;
  if (separator.is_none()) {
    parts = words(evaluation, text.bytes(), count);
  } else if (!separator.is_text() || separator.view().empty()) {
    return evaluation.refuse("split: the separator must be a text that is not empty");
  } else {
    const std::string_view between = separator.view();
    std::size_t at = 0;
    for (std::size_t found = 0; count < 0 || static_cast<std::int64_t>(parts.size()) < count; at = found + between.size()) {
      found = find_text(text.bytes(), between, at);
      if (found == std::string_view::npos || !evaluation.claim(kPartBytes)) break;
      parts.push_back(text.bytes().substr(at, found - at));
    }
    parts.push_back(text.bytes().substr(at));
  }
  std::vector<Value> items;
  for (std::size_t i = 0; i < parts.size() && !evaluation.failed(); ++i) items.push_back(evaluation.text(text.at(parts[i])));
  return evaluation.sequence(SequenceKind::kList, std::move(items));
}

Value split_right(Evaluation& evaluation, const TextPart& text, const Value& separator, std::int64_t count) {
  if (!evaluation.claim(2 * text.size())) return {};
  const bool spaces = separator.is_none();
  if (!spaces && (!separator.is_text() || separator.view().empty()))
    return evaluation.refuse("split: the separator must be a text that is not empty");
  if (spaces && count < 0) return split(evaluation, text, separator, count);
  std::vector<std::string_view> parts = spaces ? words_from_right(evaluation, text.bytes(), count)
                                               : parts_from_right(evaluation, text.bytes(), separator.view(), count);
  std::vector<Value> items;
  for (std::size_t i = parts.size(); i > 0 && !evaluation.failed(); --i) items.push_back(evaluation.text(text.at(parts[i - 1])));
  return evaluation.sequence(SequenceKind::kList, std::move(items));
}

std::vector<std::string_view> lines_of(Evaluation& evaluation, std::string_view text) {
  std::vector<std::string_view> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size() && !evaluation.failed();) {
    const auto point = first_code_point(text.substr(at));
    const char32_t c = point.value;
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    std::size_t next = at + point.size;
    if (ends && evaluation.claim(kPartBytes)) {
      lines.push_back(text.substr(begin, at - begin));
      if (c == '\r' && next < text.size() && text[next] == '\n') ++next;
      begin = next;
    }
    at = next;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

Value escape_html(Evaluation& evaluation, const Value& value) {
  if (value.is_markup()) return value;
  text::MarkedText made;
  const TextPart text = str(evaluation, value, made);
  if (!evaluation.claim(5 * text.size() + text.mark_count() * sizeof(text::ByteRange))) return {};
  text::MarkedText out;
  text.each_run([&out](std::string_view run, bool foreign) {
    std::string escaped;
    for (const char c : run) {
      constexpr std::string_view kSpecial = "&<>\"'";
      constexpr std::string_view kEscapes[] = {"&amp;", "&lt;", "&gt;", "&#34;", "&#39;"};
      const std::size_t special = kSpecial.find(c);
      special == std::string_view::npos ? escaped += c : escaped += kEscapes[special];
    }
    append(out, escaped, foreign);
  });
  return Value::markup(std::move(out));
}

Value join(Evaluation& evaluation, const TextPart& separator, const std::vector<Value>& items, bool texts_only) {
  text::MarkedText out;
  const auto put = [&](const TextPart& part) {
    if (evaluation.claim(part.size() + part.mark_count() * sizeof(text::ByteRange))) append(out, part);
  };
  for (std::size_t i = 0; i < items.size() && !evaluation.failed(); ++i) {
    if (texts_only && !items[i].is_text()) return evaluation.refuse("join: an element is not a text");
    text::MarkedText made;
    if (i > 0) put(separator);
    put(str(evaluation, items[i], made));
  }
  return evaluation.text(std::move(out));
}

}  // namespace herd::jinja
