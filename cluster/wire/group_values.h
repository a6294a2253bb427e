#pragma once
// The structs inside the messages of schema/group.capnp, field by field. Included by codec .cc files only. read_x throws Refusal or
// kj::Exception (flat_message.h); check states what a value may hold.

#include "cluster/replica/replica_core.h"
#include "cluster/schema/group.capnp.h"
#include "runtime/kv/block_news.h"
#include "runtime/model/weights_digest.h"
#include "runtime/scheduler/scheduler_config.h"
#include "runtime/scheduler/step_cost.h"

namespace herd::wire {

// Seconds that are finite and not negative.
void check_seconds(double seconds, const char* what);

void write(schema::Digest::Builder to, const digest::Digest128& digest);
digest::Digest128 read_digest(schema::Digest::Reader from);

void write(schema::DeviceRates::Builder to, const scheduler::DeviceRates& rates);
scheduler::DeviceRates read_rates(schema::DeviceRates::Reader from);
void check(const scheduler::DeviceRates& rates);

void write(schema::SchedulerConfig::Builder to, const scheduler::SchedulerConfig& config);
scheduler::SchedulerConfig read_scheduler(schema::SchedulerConfig::Reader from);
void check(const scheduler::SchedulerConfig& config);

void write(schema::WatchConfig::Builder to, const replica::WatchConfig& watch);
replica::WatchConfig read_watch(schema::WatchConfig::Reader from);
void check(const replica::WatchConfig& watch);

void write(schema::SchedulerStats::Builder to, const scheduler::SchedulerStats& stats);
scheduler::SchedulerStats read_stats(schema::SchedulerStats::Reader from);
void check(const scheduler::SchedulerStats& stats);

void write(schema::MoveStats::Builder to, const replica::MoveStats& stats);
replica::MoveStats read_moves(schema::MoveStats::Reader from);

void write(schema::BlockNews::Builder to, const kv::BlockNews& news);
kv::BlockNews read_news(schema::BlockNews::Reader from);
void check(const kv::BlockNews& news);

}  // namespace herd::wire
