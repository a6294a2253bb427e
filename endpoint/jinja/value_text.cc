#include "endpoint/jinja/value_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "runtime/text/hex.h"
#include "runtime/text/json_string.h"
#include "runtime/text/utf8.h"
#include "runtime/unicode/properties.h"

namespace herd::jinja {
namespace {

bool is_printable(char32_t point) {
  static const unicode::CodePointSet kOthers = [] {
    unicode::CodePointSet others = unicode::property("C").value();  // control, format, private use, unassigned
    others.unite(unicode::property("Z").value());                   // separators
    return others;
  }();
  return point == ' ' || !kOthers.contains(point);
}

class ReprWriter {
 public:
  explicit ReprWriter(Evaluation& evaluation) : evaluation_(evaluation) {}

  void write(const Value& value) {
    if (!evaluation_.spend()) return;
    const bool tuple = value.is_sequence(SequenceKind::kTuple);
    if (value.is_undefined()) {
      own("Undefined");
    } else if (value.is_none()) {
      own("None");
    } else if (const bool* truth = value.as<bool>()) {
      own(*truth ? "True" : "False");
    } else if (const auto* number = value.as<std::int64_t>()) {
      own(std::to_string(*number));
    } else if (const double* real = value.as<double>()) {
      own(float_text(*real));
    } else if (value.is_text()) {
      if (value.is_markup()) own("Markup(");
      write_text(value.marked());
      if (value.is_markup()) own(")");
    } else if (tuple || value.is_sequence(SequenceKind::kList)) {
      const std::vector<Value>& items = value.sequence().items;
      own(tuple ? "(" : "[");
      for (std::size_t i = 0; i < items.size() && evaluation_.spend(); ++i) {
        if (i > 0) own(", ");
        write(items[i]);
      }
      own(!tuple ? "]" : items.size() == 1 ? ",)" : ")");
    } else if (value.as<Value::DictPtr>() != nullptr) {
      write_dict(value.dict());
    } else {
      evaluation_.refuse(std::string("a ") + value.type_name() + " printed as text is not supported");
    }
  }

  text::MarkedText take() { return std::move(out_); }

 private:
  void own(std::string_view bytes) {
    if (evaluation_.claim(bytes.size())) append(out_, bytes, false);
  }

  void write_dict(const Dict& dict) {
    own("{");
    for (std::size_t i = 0; i < dict.entries.size() && evaluation_.spend(); ++i) {
      if (i > 0) own(", ");
      write(dict.entries[i].first);
      own(": ");
      write(dict.entries[i].second);
    }
    own("}");
  }

  void write_text(const TextPart& text) {
    if (!evaluation_.claim(text.size() + text.mark_count() * sizeof(text::ByteRange))) return;
    const std::string_view bytes = text.bytes();
    const bool single = bytes.find('\'') == std::string_view::npos || bytes.find('"') != std::string_view::npos;
    const char quote = single ? '\'' : '"';
    append(out_, {&quote, 1}, false);
    text.each_run([&](std::string_view run, bool foreign) {
      std::string escaped;
      while (!run.empty()) {
        const auto point = text::first_code_point(run);
        escape(point.value, run.substr(0, point.size), quote, escaped);
        run.remove_prefix(point.size);
      }
      append(out_, escaped, foreign);
    });
    append(out_, {&quote, 1}, false);
  }

  static void escape(char32_t point, std::string_view character, char quote, std::string& out) {
    const char c = character.front();
    if (c == quote || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (is_printable(point)) {
      out += character;
    } else {
      const int bytes = point < 0x100 ? 1 : point < 0x10000 ? 2 : 4;
      out += bytes == 1 ? "\\x" : bytes == 2 ? "\\u" : "\\U";
      for (int byte = bytes; byte > 0; --byte) text::append_hex(static_cast<std::uint8_t>(point >> (8 * (byte - 1))), out);
    }
  }

  Evaluation& evaluation_;
  text::MarkedText out_;
};

class JsonWriter {
 public:
  JsonWriter(Evaluation& evaluation, const JsonStyle& style) : evaluation_(evaluation), style_(style) {}

  void write(const Value& value, int level) {
    if (!evaluation_.spend()) return;
    if (value.is_none()) {
      own("null");
    } else if (const bool* truth = value.as<bool>()) {
      own(*truth ? "true" : "false");
    } else if (const auto* number = value.as<std::int64_t>()) {
      own(std::to_string(*number));
    } else if (const double* real = value.as<double>()) {
      own(std::isnan(*real) ? "NaN" : std::isinf(*real) ? (*real > 0 ? "Infinity" : "-Infinity") : float_text(*real));
    } else if (value.is_text()) {
      write_text(value.marked());
    } else if (value.is_sequence(SequenceKind::kList) || value.is_sequence(SequenceKind::kTuple)) {
      const Sequence& sequence = value.sequence();
      group('[', ']', sequence.items.size(), level, [&](std::size_t i) { write(sequence.items[i], level + 1); });
    } else if (value.as<Value::DictPtr>() != nullptr) {
      write_dict(value.dict(), level);
    } else {
      evaluation_.refuse(std::string("tojson: a ") + value.type_name() + " cannot be JSON");
    }
  }

  text::MarkedText take() { return std::move(out_); }

 private:
  void own(std::string_view bytes) {
    if (evaluation_.claim(bytes.size())) append(out_, bytes, false);
  }

  template <class WriteItem>
  void group(char open, char close, std::size_t count, int level, const WriteItem& write_item) {
    own({&open, 1});
    for (std::size_t i = 0; i < count && evaluation_.spend(); ++i) {
      if (i > 0) write_style(style_.item_separator);
      break_line(level + 1);
      write_item(i);
    }
    if (count > 0) break_line(level);
    own({&close, 1});
  }

  void break_line(int level) {
    if (!style_.indent) return;
    own("\n");
    for (int i = 0; i < level; ++i) write_style(*style_.indent);
  }

  void write_style(const TextPart& part) {
    if (evaluation_.claim(part.size() + part.mark_count() * sizeof(text::ByteRange))) append(out_, part);
  }

  void write_text(const TextPart& text) {
    if (!evaluation_.claim(text.size() + text.mark_count() * sizeof(text::ByteRange))) return;
    own("\"");
    text.each_run([&](std::string_view run, bool foreign) {
      const std::string quoted = text::json_string(run, style_.ensure_ascii);
      append(out_, std::string_view(quoted).substr(1, quoted.size() - 2), foreign);
    });
    own("\"");
  }

  void write_key(const Value& key) {
    if (key.is_text()) return write_text(key.marked());
    own("\"");
    write(key, 0);
    own("\"");
  }

  void write_dict(const Dict& dict, int level) {
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    const bool texts = std::ranges::all_of(dict.entries, [](const auto& entry) { return entry.first.is_text(); });
    if (style_.sort_keys && !texts) {
      evaluation_.refuse("tojson: sorted keys have to be texts");
      return;
    }
    if (style_.sort_keys)
      std::ranges::stable_sort(entries, {}, [](const auto* entry) { return entry->first.view(); });
    group('{', '}', entries.size(), level, [&](std::size_t i) {
      write_key(entries[i]->first);
      write_style(style_.key_separator);
      write(entries[i]->second, level + 1);
    });
  }

  Evaluation& evaluation_;
  const JsonStyle& style_;
  text::MarkedText out_;
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

text::MarkedText str(Evaluation& evaluation, const Value& value) {
  if (evaluation.failed() || value.is_undefined()) return {};
  if (value.is_text()) return evaluation.spend_bytes(value.view().size()) ? value.marked() : text::MarkedText();
  return repr(evaluation, value);
}

TextPart str(Evaluation& evaluation, const Value& value, text::MarkedText& made) {
  if (value.is_text() && evaluation.spend_bytes(value.view().size())) return value.marked();
  made = str(evaluation, value);
  return made;
}

text::MarkedText repr(Evaluation& evaluation, const Value& value) {
  ReprWriter writer(evaluation);
  writer.write(value);
  return writer.take();
}

text::MarkedText json(Evaluation& evaluation, const Value& value, const JsonStyle& style) {
  JsonWriter writer(evaluation, style);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace herd::jinja
