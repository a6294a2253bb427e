#include "cluster/config/yaml_tree.h"

#include <algorithm>
#include <exception>
#include <map>
#include <sstream>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "runtime/text/utf8.h"

namespace herd::config {
namespace {

constexpr std::size_t kTokenBytesMax = 4096;
constexpr char32_t kNoBreakSpace = 0xA0;
constexpr char32_t kByteOrderMark = 0xFEFF;

// Ends the parse; what it is about has been said.
struct Stop {};

// Characters that are no text, and those that readers of YAML take for the end of a line.
bool is_refused(char32_t point) {
  if (point == '\n' || point == '\r' || point == '\t') return false;
  return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029 || point == kByteOrderMark ||
         (point & 0xFFFE) == 0xFFFE;
}

std::string code_point_text(char32_t point) {
  std::ostringstream text;
  text << "U+" << std::uppercase << std::hex;
  text.width(4);
  text.fill('0');
  text << static_cast<std::uint32_t>(point);
  return text.str();
}

// One line of the file, without its end.
void check_line(std::string_view line, int number, ProblemList& problems) {
  if (line.starts_with('%')) problems.add(number, "", "directives (% at the beginning of a line) are not taken; remove the line");
  bool margin = true;
  while (!line.empty()) {
    const text::CodePoint point = text::first_code_point(line);
    if (!point.valid) return problems.add(number, "", "is not valid UTF-8; save the file as UTF-8");
    if (point.value == 0) return problems.add(number, "", "holds a NUL byte; a cluster file is UTF-8 text");
    if (point.value == '\r' && line.size() > 1)
      return problems.add(number, "", "a carriage return within the line; lines end with a line feed");
    if (is_refused(point.value))
      return problems.add(number, "", "holds the character " + code_point_text(point.value) + ", which is no text; remove it");
    if (margin && point.value == '\t') return problems.add(number, "", "a tab indents the line; indent with spaces");
    if (margin && point.value == kNoBreakSpace)
      return problems.add(number, "", "a no-break space (U+00A0) indents the line; indent with spaces");
    margin = margin && point.value == ' ';
    line.remove_prefix(point.size);
  }
}

void check_lines(std::string_view text, ProblemList& problems) {
  for (int number = 1; !text.empty() && !problems.full(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    check_line(text.substr(0, end), number, problems);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// Makes the tree of one document out of the parser's events.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(ProblemList& problems) : problems_(problems) {}

  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ == 0) return;
    problems_.add(mark.line + 1, "", "a second document begins here; one file is one cluster");
    throw Stop{};
  }
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark&, const std::string&) override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    check(mark, "?", anchor);
    place(node(YamlNode::Kind::kNothing, mark));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    problems_.add(mark.line + 1, path(), "aliases (*name) are not taken; write the value out");
    if (problems_.full()) throw Stop{};
    place(node(YamlNode::Kind::kRefused, mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    check(mark, tag, anchor);
    YamlNode scalar = node(YamlNode::Kind::kText, mark);
    if (value.size() > kTokenBytesMax) {
      problems_.add(mark.line + 1, path(), "a text of " + std::to_string(value.size()) + " bytes; at most " +
                                               std::to_string(kTokenBytesMax) + " are read");
      throw Stop{};
    }
    scalar.plain = tag == "?";
    scalar.text = value;
    place(std::move(scalar));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    check(mark, tag, anchor);
    open(YamlNode::Kind::kList, mark);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    check(mark, tag, anchor);
    open(YamlNode::Kind::kMap, mark);
  }
  void OnMapEnd() override { close(); }

  // "nodes[1].devices", of what is being read.
  [[nodiscard]] std::string path() const {
    std::string path;
    for (const Level& level : levels_) {
      if (level.node.kind == YamlNode::Kind::kList) {
        path.append(1, '[').append(std::to_string(level.node.items.size())).append(1, ']');
      } else if (level.has_key) {
        if (!path.empty()) path.append(1, '.');
        path.append(level.key);
      }
    }
    return path;
  }

 private:
  // A list or map that is not complete.
  struct Level {
    YamlNode node;
    bool has_key = false;  // of a map: the key was read, its value is next
    bool twice = false;    // that key is there already: its value is dropped
    std::string key = {};
    int key_line = 0;
    std::map<std::string, int> lines = {};  // of the keys
  };

  YamlNode node(YamlNode::Kind kind, const YAML::Mark& mark) {
    if (++nodes_ > kNodesMax) {
      problems_.add(mark.line + 1, "", "more than " + std::to_string(kNodesMax) + " keys and values; no cluster needs so many");
      throw Stop{};
    }
    YamlNode made;
    made.kind = kind;
    made.line = mark.line + 1;
    return made;
  }

  void check(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) problems_.add(mark.line + 1, path(), "anchors (&name) are not taken; write the value out where it is needed");
    if (tag != "?" && tag != "!" && !tag.empty())
      problems_.add(mark.line + 1, path(), "tags (!name, !!type) are not taken; the key says what the value is");
    if (problems_.full()) throw Stop{};
  }

  void open(YamlNode::Kind kind, const YAML::Mark& mark) {
    if (levels_.size() >= kDepthMax) {
      problems_.add(mark.line + 1, path(), "lists and maps within each other, more than " + std::to_string(kDepthMax) + " deep");
      throw Stop{};
    }
    levels_.push_back({node(kind, mark)});
  }

  void close() {
    YamlNode done = std::move(levels_.back().node);
    levels_.pop_back();
    place(std::move(done));
  }

  void place(YamlNode made) {
    if (levels_.empty()) {
      root_ = std::move(made);
      return;
    }
    Level& level = levels_.back();
    if (level.node.kind == YamlNode::Kind::kList) {
      level.node.items.push_back(std::move(made));
    } else if (!level.has_key) {
      begin_entry(level, made);
    } else {
      level.has_key = false;
      if (made.kind == YamlNode::Kind::kNothing) made.line = level.key_line;  // the parser is further by then
      if (!level.twice) level.node.entries.push_back({level.key, level.key_line, std::move(made)});
    }
  }

  void begin_entry(Level& level, const YamlNode& key) {
    level.has_key = true;
    level.twice = true;  // unless it turns out well
    level.key = key.text;
    level.key_line = key.line;
    if (key.kind == YamlNode::Kind::kRefused) {
      level.key.assign(1, '?');
    } else if (key.kind != YamlNode::Kind::kText) {
      level.key.assign(1, '?');
      problems_.add(key.line, path(), "a key must be a text, not a list, a map or nothing");
    } else if (const auto [first, fresh] = level.lines.emplace(key.text, key.line); !fresh) {
      problems_.add(key.line, path(), "is there already, in line " + std::to_string(first->second) + "; keep one of the two");
    } else {
      level.twice = false;
    }
    if (problems_.full()) throw Stop{};
  }

  ProblemList& problems_;
  YamlNode root_;
  std::vector<Level> levels_;
  std::size_t nodes_ = 0;
  int documents_ = 0;
};

}  // namespace

std::optional<YamlNode> parse_yaml(std::string_view text, ProblemList& problems) {
  if (text.size() > kFileBytesMax) {
    problems.add(0, "", "is " + std::to_string(text.size()) + " bytes; a cluster file has at most " + std::to_string(kFileBytesMax));
    return std::nullopt;
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // some editors begin UTF-8 so
  check_lines(text, problems);
  if (!problems.empty()) return std::nullopt;
  std::istringstream stream{std::string(text)};
  TreeBuilder builder(problems);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop&) {
    return std::nullopt;
  } catch (const YAML::Exception& error) {
    problems.add(std::max(0, error.mark.line + 1), builder.path(),
                 "is not YAML: " + error.msg + "; look at indentation, colons, quotes and brackets here and just before");
    return std::nullopt;
  } catch (const std::exception& error) {
    problems.add(0, builder.path(), std::string("is not YAML: ") + error.what());
    return std::nullopt;
  }
  return builder.take();
}

}  // namespace herd::config
