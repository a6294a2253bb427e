#include "cluster/config/spec_changes.h"

#include <algorithm>
#include <variant>

#include "cluster/config/setting_table.h"

namespace herd::config {
namespace {

using handshake::Role;

bool takes(TakenBy taken_by, Role role) {
  switch (taken_by) {
    case TakenBy::kNobody: return false;
    case TakenBy::kGateways: return role == Role::kGateway;
    case TakenBy::kNodes: return role == Role::kNode;
    case TakenBy::kGatewaysAndNodes: return role == Role::kGateway || role == Role::kNode;
    case TakenBy::kEverybody: return true;
  }
  return false;
}

bool equal(const Slot& a, const Slot& b) {
  return std::visit([&](auto* value) { return *value == *std::get<decltype(value)>(b); }, a);
}

std::string shown(const std::string& value) { return value.empty() ? "not given" : value; }

class Comparison {
 public:
  Comparison(const ClusterSpec& running, const ClusterSpec& asked, const KeyLines& lines)
      : running_(running), asked_(asked), lines_(lines) {}

  void sections_for(Role role) {
    for (const Section& section : sections()) {
      const std::string prefix = section.name.empty() ? "" : std::string(section.name) + ".";
      for (const Field<ClusterSpec>& field : section.fields) {
        const Slot before = field.slot(running_);
        const Slot after = field.slot(asked_);
        if (equal(before, after)) continue;
        const std::string key = prefix + std::string(field.setting.name);
        if (field.setting.taken_by == TakenBy::kNobody || begins_or_ends(field.setting, before, after))
          refuse(key, field.setting, before, after);
        else if (takes(field.setting.taken_by, role))
          changes_.taken.push_back(key);
      }
    }
  }

  // Everybody has one connection with the coordinator, under its name.
  void coordinators() {
    for (std::size_t i = 0; i < std::min(running_.coordinators.size(), asked_.coordinators.size()); ++i)
      entry("coordinators", i, coordinator_fields(), running_.coordinators[i], asked_.coordinators[i]);
  }

  // The process's own entry.
  template <class Owner>
  void own(const char* list, const std::string& name, const std::vector<Field<Owner>>& fields, std::vector<Owner>& running,
           std::vector<Owner>& asked) {
    const auto before = std::ranges::find(running, name, &Owner::name);
    if (before == running.end()) return;  // a node that no file lists
    const auto after = std::ranges::find(asked, name, &Owner::name);
    if (after == asked.end()) return refuse(list, "do not have " + name + " any more, which runs; end it first, or take the change back");
    entry(list, static_cast<std::size_t>(after - asked.begin()), fields, *before, *after);
  }

  // Who may come is the coordinator's to know.
  template <class Owner>
  void members(const std::string& list, const std::vector<Owner>& running, const std::vector<Owner>& asked) {
    const auto lacks = [](const std::vector<Owner>& owners, const std::string& name) {
      return std::ranges::find(owners, name, &Owner::name) == owners.end();
    };
    for (const Owner& owner : asked)
      if (lacks(running, owner.name)) changes_.taken.push_back(list + ": " + owner.name + " is new");
    for (const Owner& owner : running)
      if (lacks(asked, owner.name)) changes_.taken.push_back(list + ": " + owner.name + " is gone");
  }

  void all_for(Role role, const std::string& name) {
    sections_for(role);
    coordinators();
    if (running_.any_node_with_certificate != asked_.any_node_with_certificate)
      refuse("nodes", "are listed in one reading and not in the other (" + std::string(kAnyNode) + "); " + kRestart);
    if (role == Role::kGateway) own("gateways", name, gateway_fields(), running_.gateways, asked_.gateways);
    if (role == Role::kNode) own("nodes", name, node_fields(), running_.nodes, asked_.nodes);
    if (role != Role::kCoordinator) return;
    members("gateways", running_.gateways, asked_.gateways);
    members("nodes", running_.nodes, asked_.nodes);
  }

  SpecChanges take() {
    std::ranges::sort(changes_.fixed);
    return std::move(changes_);
  }

 private:
  static constexpr const char* kRestart = "it cannot change while this process runs: restart it, or take the change back";

  // A file of keys that is given for the first time, or is not any more, decides who is let in without one.
  static bool begins_or_ends(const Setting& setting, const Slot& before, const Slot& after) {
    return setting.rule.kind == ValueKind::kPath && (value_text(setting, before).empty() || value_text(setting, after).empty());
  }

  template <class Owner>
  void entry(const std::string& list, std::size_t index, const std::vector<Field<Owner>>& fields, Owner& before, Owner& after) {
    for (const Field<Owner>& field : fields)
      if (!equal(field.slot(before), field.slot(after)))
        refuse(list + "[" + std::to_string(index) + "]." + std::string(field.setting.name), field.setting, field.slot(before),
               field.slot(after));
  }

  void refuse(const std::string& key, const Setting& setting, const Slot& before, const Slot& after) {
    const std::string was = value_text(setting, before);
    const std::string is = value_text(setting, after);
    refuse(key, (was == is ? "is another one now" : "is " + shown(is) + " now, and was " + shown(was)) + "; " + kRestart);
  }
  void refuse(const std::string& key, const std::string& what) { changes_.fixed.push_back({line_of(key, lines_), key, what}); }

  ClusterSpec running_;
  ClusterSpec asked_;
  const KeyLines& lines_;
  SpecChanges changes_;
};

}  // namespace

SpecChanges changes_between(const ClusterSpec& running, const ClusterSpec& asked, const KeyLines& lines, Role role,
                            const std::string& name) {
  Comparison comparison(running, asked, lines);
  comparison.all_for(role, name);
  return comparison.take();
}

}  // namespace herd::config
