#include "endpoint/jinja/value_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "runtime/text/utf8.h"

namespace herd::jinja {
namespace {

constexpr char kHex[] = "0123456789abcdef";

// Certain to be printable for every Unicode version that Python had: Latin letters and signs, Greek, Cyrillic, kana,
// Han, Hangul, common emoji.
bool surely_printable(char32_t point) {
  constexpr std::pair<char32_t, char32_t> kRanges[] = {
      {0xA1, 0xAC},     {0xAE, 0x24F},    {0x391, 0x3A1},   {0x3A3, 0x3FF},   {0x400, 0x481},     {0x2010, 0x2027},
      {0x20A0, 0x20AC}, {0x3041, 0x3096}, {0x30A1, 0x30FE}, {0x4E00, 0x9FA5}, {0xAC00, 0xD7A3}, {0x1F300, 0x1F5FF},
      {0x1F600, 0x1F64F}};
  return std::ranges::any_of(kRanges, [&](const auto& range) { return point >= range.first && point <= range.second; });
}

std::string quoted(Evaluation& evaluation, std::string_view text) {
  const bool single = text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
  const char quote = single ? '\'' : '"';
  std::string out(1, quote);
  for (std::string_view rest = text; !rest.empty();) {
    const auto point = tokenizer::first_code_point(rest);
    const char c = rest.front();
    if (c == quote || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (point.value < 0x20 || point.value == 0x7F) {
      out += "\\x";
      out += kHex[point.value >> 4];
      out += kHex[point.value & 0xF];
    } else {
      if (point.value >= 0x80 && !surely_printable(point.value))
        evaluation.refuse("a list or dict printed with characters such as these is not supported");
      out.append(rest.substr(0, point.size));
    }
    rest.remove_prefix(point.size);
  }
  return out + quote;
}

void json_unit(unsigned unit, std::string& out) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[unit >> shift & 0xF];
}

std::string json_text(std::string_view text, bool ensure_ascii) {
  std::string out = "\"";
  for (std::string_view rest = text; !rest.empty();) {
    const auto point = tokenizer::first_code_point(rest);
    constexpr std::string_view kNamed = "\"\\\b\f\n\r\t";
    constexpr std::string_view kNames = "\"\\bfnrt";
    if (const std::size_t named = kNamed.find(rest.front()); named != std::string_view::npos) {
      out += '\\';
      out += kNames[named];
    } else if (point.value < 0x20) {
      json_unit(point.value, out);
    } else if (ensure_ascii && point.value >= 0x10000) {
      json_unit(0xD800 + ((point.value - 0x10000) >> 10), out);
      json_unit(0xDC00 + ((point.value - 0x10000) & 0x3FF), out);
    } else if (ensure_ascii && point.value >= 0x80) {
      json_unit(point.value, out);
    } else {
      out.append(rest.substr(0, point.size));
    }
    rest.remove_prefix(point.size);
  }
  return out + '"';
}

class JsonWriter {
 public:
  JsonWriter(Evaluation& evaluation, const JsonStyle& style) : evaluation_(evaluation), style_(style) {}

  void write(const Value& value, int level) {
    if (!evaluation_.spend()) return;
    if (value.is_none()) {
      out_ += "null";
    } else if (const bool* truth = value.as<bool>()) {
      out_ += *truth ? "true" : "false";
    } else if (const auto* number = value.as<std::int64_t>()) {
      out_ += std::to_string(*number);
    } else if (const double* real = value.as<double>()) {
      out_ += std::isnan(*real) ? "NaN" : std::isinf(*real) ? (*real > 0 ? "Infinity" : "-Infinity") : float_text(*real);
    } else if (value.is_text()) {
      if (evaluation_.claim(value.view().size())) out_ += json_text(value.view(), style_.ensure_ascii);
    } else if (value.is_sequence(SequenceKind::kList) || value.is_sequence(SequenceKind::kTuple)) {
      const Sequence& sequence = value.sequence();
      group('[', ']', sequence.items.size(), level, [&](std::size_t i) { write(sequence.items[i], level + 1); });
    } else if (value.as<Value::DictPtr>() != nullptr) {
      write_dict(value.dict(), level);
    } else {
      evaluation_.refuse(std::string("tojson: a ") + value.type_name() + " cannot be JSON");
    }
  }

  std::string take() { return std::move(out_); }

 private:
  template <class WriteItem>
  void group(char open, char close, std::size_t count, int level, const WriteItem& write_item) {
    out_ += open;
    for (std::size_t i = 0; i < count && evaluation_.spend(); ++i) {
      if (i > 0 && evaluation_.claim(style_.item_separator.size())) out_ += style_.item_separator;
      break_line(level + 1);
      write_item(i);
    }
    if (count > 0) break_line(level);
    out_ += close;
  }

  void break_line(int level) {
    if (!style_.indent) return;
    if (!evaluation_.claim(style_.indent->size() * static_cast<std::size_t>(level) + 1)) return;
    out_ += '\n';
    for (int i = 0; i < level; ++i) out_ += *style_.indent;
  }

  void write_dict(const Dict& dict, int level) {
    std::vector<const std::pair<std::string, Value>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys)
      std::ranges::stable_sort(entries, {}, [](const auto* entry) -> const std::string& { return entry->first; });
    group('{', '}', entries.size(), level, [&](std::size_t i) {
      if (!evaluation_.claim(entries[i]->first.size() + style_.key_separator.size())) return;
      out_ += json_text(entries[i]->first, style_.ensure_ascii) + style_.key_separator;
      write(entries[i]->second, level + 1);
    });
  }

  Evaluation& evaluation_;
  const JsonStyle& style_;
  std::string out_;
};

}  // namespace

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char digits[40];
  const char* end = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::scientific).ptr;
  const std::string_view shortest(digits, static_cast<std::size_t>(end - digits));
  const std::size_t mark = shortest.find('e');
  int exponent = 0;
  const std::size_t sign = shortest[mark + 1] == '+' ? 2 : 1;
  std::from_chars(shortest.data() + mark + sign, end, exponent);
  if (exponent < -4 || exponent >= 16) return std::string(shortest);
  char plain[400];
  end = std::to_chars(plain, plain + sizeof plain, value, std::chars_format::fixed).ptr;
  std::string out(plain, static_cast<std::size_t>(end - plain));
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

std::string str(Evaluation& evaluation, const Value& value) {
  if (evaluation.failed() || value.is_undefined()) return {};
  if (value.is_text()) return evaluation.spend_bytes(value.view().size()) ? std::string(value.view()) : std::string();
  return repr(evaluation, value);
}

std::string repr(Evaluation& evaluation, const Value& value) {
  if (!evaluation.spend()) return {};
  if (value.is_undefined()) return "Undefined";
  if (value.is_none()) return "None";
  if (const bool* truth = value.as<bool>()) return *truth ? "True" : "False";
  if (const auto* number = value.as<std::int64_t>()) return std::to_string(*number);
  if (const double* real = value.as<double>()) return float_text(*real);
  if (value.is_text()) return evaluation.claim(value.view().size()) ? quoted(evaluation, value.view()) : std::string();
  const bool tuple = value.is_sequence(SequenceKind::kTuple);
  if (tuple || value.is_sequence(SequenceKind::kList)) {
    std::string out = tuple ? "(" : "[";
    const std::vector<Value>& items = value.sequence().items;
    for (std::size_t i = 0; i < items.size(); ++i) out += (i > 0 ? ", " : "") + repr(evaluation, items[i]);
    if (tuple && items.size() == 1) out += ',';
    if (!evaluation.claim(out.size())) return {};
    return out + (tuple ? ")" : "]");
  }
  if (value.as<Value::DictPtr>() != nullptr) {
    std::string out = "{";
    for (const auto& [name, entry] : value.dict().entries) {
      if (out.size() > 1) out += ", ";
      if (!evaluation.claim(name.size())) return {};
      out += quoted(evaluation, name) + ": " + repr(evaluation, entry);
    }
    if (!evaluation.claim(out.size())) return {};
    return out + '}';
  }
  evaluation.refuse(std::string("a ") + value.type_name() + " printed as text is not supported");
  return {};
}

std::string json(Evaluation& evaluation, const Value& value, const JsonStyle& style) {
  JsonWriter writer(evaluation, style);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace herd::jinja
