#pragma once
// What a node, a leader and its ranks tell each other (cluster/replica/group_messages.h) <-> the messages of schema/group.capnp.
// Decoding is validation: what comes out of decode passes validate, what goes into encode must.

#include <cstddef>
#include <cstdint>
#include <span>

#include "cluster/replica/group_messages.h"
#include "cluster/wire/envelope.h"
#include "kernels/status.h"

namespace herd::wire {

inline constexpr std::size_t kRendezvousBytesMax = 128;  // so that a name made of it is one for a descriptor
inline constexpr std::size_t kRankTextBytesMax = 256;
inline constexpr double kGroupSecondsMax = 1e7;

[[nodiscard]] Status validate(const replica::RankLoading& loading);
[[nodiscard]] Status validate(const replica::RankReadyNote& ready);
[[nodiscard]] Status validate(const replica::FormReplica& order);
[[nodiscard]] Status validate(const replica::JoinGroupOrder& order);
[[nodiscard]] Status validate(const replica::RankJoinedNote& joined);
[[nodiscard]] Status validate(const replica::LeaveGroupOrder& order);
[[nodiscard]] Status validate(const replica::RankLeftNote& left);
[[nodiscard]] Status validate(const replica::RankFailedNote& failed);
[[nodiscard]] Status validate(const replica::StopReplicaOrder& order);
[[nodiscard]] Status validate(const replica::RankEnded& ended);
[[nodiscard]] Status validate(const replica::GenerationEnded& ended);
[[nodiscard]] Status validate(const replica::ReplicaReport& report);

[[nodiscard]] Frame encode(const replica::RankLoading& loading);
[[nodiscard]] Frame encode(const replica::RankReadyNote& ready);
[[nodiscard]] Frame encode(const replica::FormReplica& order);
[[nodiscard]] Frame encode(const replica::JoinGroupOrder& order);
[[nodiscard]] Frame encode(const replica::RankJoinedNote& joined);
[[nodiscard]] Frame encode(const replica::LeaveGroupOrder& order);
[[nodiscard]] Frame encode(const replica::RankLeftNote& left);
[[nodiscard]] Frame encode(const replica::RankFailedNote& failed);
[[nodiscard]] Frame encode(const replica::StopReplicaOrder& order);
[[nodiscard]] Frame encode(const replica::RankEnded& ended);
[[nodiscard]] Frame encode(const replica::GenerationEnded& ended);
[[nodiscard]] Frame encode(const replica::ReplicaReport& report);

[[nodiscard]] Expected<replica::RankLoading> decode_rank_loading(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::RankReadyNote> decode_rank_ready(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::FormReplica> decode_form_replica(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::JoinGroupOrder> decode_join_group(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::RankJoinedNote> decode_rank_joined(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::LeaveGroupOrder> decode_leave_group(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::RankLeftNote> decode_rank_left(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::RankFailedNote> decode_rank_failed(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::StopReplicaOrder> decode_stop_replica(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::RankEnded> decode_rank_ended(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::GenerationEnded> decode_generation_ended(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::ReplicaReport> decode_replica_report(std::span<const std::uint64_t> words);

}  // namespace herd::wire
