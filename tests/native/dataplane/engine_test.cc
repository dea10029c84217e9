// The engine's life: directories, topics, control requests, in-process access, clean and unclean
// stops.
#include <gtest/gtest.h>
#include <poll.h>

#include <filesystem>
#include <fstream>

#include "dataplane/broker_fixture.h"
#include "dataplane/coordinator_appends.h"

namespace barnabas::dataplane {
namespace {

constexpr int16_t kMetadata = 3;

class EngineTest : public BrokerTest {
 protected:
  std::vector<LoadReport> load(int partitions, const SettingMap& config = {}) {
    std::vector<PartitionSpec> specs;
    for (int i = 0; i < partitions; ++i) specs.push_back({"t", id_of(1), i, 0});
    auto reports = engine_->load_partitions(specs, {{"t", config}});
    EXPECT_TRUE(reports.ok());
    return reports.ok() ? std::move(reports).value() : std::vector<LoadReport>{};
  }
  void append(int count, int32_t partition = 0) {
    BrokerClient client(port_);
    for (int i = 0; i < count; ++i) {
      EXPECT_EQ(client.produce_one(produce_of(storage::make_batch({}), partition)).error,
                ErrorCode::kNone);
    }
  }
  bool control_readable(int timeout_ms = 0) {
    pollfd waiting{engine_->control_fd(), POLLIN, 0};
    return ::poll(&waiting, 1, timeout_ms) == 1;
  }
  [[nodiscard]] std::string path_of(const std::string& name) const {
    return directory_.path() + "/data/" + name;
  }
};

TEST_F(EngineTest, a_bad_setting_is_named) {
  const auto wrong_type = Engine::create({{"num.io.threads", std::string("many")}});
  ASSERT_FALSE(wrong_type.ok());
  EXPECT_NE(wrong_type.error().message.find("num.io.threads"), std::string::npos);
  const auto too_large = Engine::create({{"fetch.max.bytes", int64_t{1} << 40}});
  ASSERT_FALSE(too_large.ok());
  EXPECT_NE(too_large.error().message.find("fetch.max.bytes"), std::string::npos);
  const auto unknown_codec = parse_log_config({{"compression.type", std::string("middle-out")}});
  ASSERT_FALSE(unknown_codec.ok());
  EXPECT_NE(unknown_codec.error().message.find("compression.type"), std::string::npos);
}

TEST_F(EngineTest, topic_settings_reach_the_log) {
  const auto config = parse_log_config({{"cleanup.policy", std::string("compact, delete")},
                                        {"compression.type", std::string("gzip")},
                                        {"compression.gzip.level", int64_t{9}},
                                        {"segment.bytes", int64_t{1} << 20},
                                        {"internal.segment.bytes", int64_t{1000}},
                                        {"flush.messages", int64_t{7}}});
  ASSERT_TRUE(config.ok());
  EXPECT_TRUE(config->compact);
  EXPECT_TRUE(config->delete_old);
  EXPECT_TRUE(config->recompress);
  EXPECT_EQ(config->codec, record::Codec::kGzip);
  EXPECT_EQ(config->codec_level, 9);
  EXPECT_EQ(config->segment_bytes, 1000);
  EXPECT_EQ(config->flush_messages, 7);
}

TEST_F(EngineTest, a_directory_in_use_is_refused) {
  auto other = Engine::create({});
  ASSERT_TRUE(other.ok());
  EXPECT_FALSE((*other)->open_directories({directory_.path() + "/data"}, "cluster", 1).ok());
}

TEST_F(EngineTest, a_stopped_engine_lets_go_of_its_directory) {
  ASSERT_TRUE(engine_->stop(0).ok());
  auto other = Engine::create({});
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE((*other)->open_directories({directory_.path() + "/data"}, "cluster", 1).ok());
}

TEST_F(EngineTest, what_was_written_is_there_after_a_clean_stop) {
  load(2);
  start();
  append(3, 0);
  append(5, 1);
  ASSERT_TRUE(engine_->stop(1'000).ok());
  engine_.reset();
  open();
  EXPECT_TRUE(was_clean_);
  for (const auto& report : load(2)) {
    EXPECT_EQ(report.error, "");
    EXPECT_FALSE(report.recovery.checked);
  }
  EXPECT_EQ(engine_->partition_info("t", 0)->high_watermark, 3);
  EXPECT_EQ(engine_->partition_info("t", 1)->high_watermark, 5);
}

TEST_F(EngineTest, a_start_that_failed_before_loading_does_not_hide_a_crash) {
  load(1);
  start();
  append(3);
  ASSERT_TRUE(engine_->stop(1'000).ok());
  engine_.reset();
  // As after a crash: no marker.
  ASSERT_TRUE(std::filesystem::remove(path_of(".kafka_cleanshutdown")));
  open();
  EXPECT_FALSE(was_clean_);
  ASSERT_TRUE(engine_->stop(0).ok());
  engine_.reset();
  open();
  EXPECT_FALSE(was_clean_);
  const auto reports = load(1);
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(engine_->partition_info("t", 0)->high_watermark, 3);
}

TEST_F(EngineTest, a_log_that_cannot_be_opened_is_reported_and_answers_storage_error) {
  std::ofstream(path_of("t-0")) << "not a directory";
  const auto reports = load(2);
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_NE(reports[0].error, "");
  EXPECT_EQ(reports[1].error, "");
  start();
  EXPECT_EQ(engine_->partition_info("t", 0).error().code, ErrorCode::kKafkaStorageError);
  BrokerClient client(port_);
  EXPECT_EQ(client.produce_one({}).error, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(client.fetch_one({}).error, ErrorCode::kKafkaStorageError);
  FetchSpec old;
  old.version = 5;
  EXPECT_EQ(client.fetch_one(old).error, ErrorCode::kNotLeaderOrFollower);
  EXPECT_EQ(client.produce_one(produce_of(storage::make_batch({}), 1)).error, ErrorCode::kNone);
  // The next start has to look at that partition again.
  EXPECT_FALSE(engine_->stop(0).ok());
  EXPECT_FALSE(std::filesystem::exists(path_of(".kafka_cleanshutdown")));
}

TEST_F(EngineTest, a_start_that_comes_to_nothing_leaves_checkpoints_and_marker_alone) {
  const std::string checkpoint = path_of("log-start-offset-checkpoint");
  std::ofstream(checkpoint) << "0\n1\nt 0 7\n";
  const std::vector<PartitionSpec> specs{{.topic = "t", .topic_id = id_of(1)}};
  const std::map<std::string, SettingMap> bad{{"t", {{"segment.bytes", std::string("x")}}}};
  EXPECT_FALSE(engine_->load_partitions(specs, bad).ok());
  EXPECT_TRUE(engine_->stop(0).ok());
  EXPECT_FALSE(std::filesystem::exists(path_of(".kafka_cleanshutdown")));
  std::ifstream in(checkpoint);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "0\n1\nt 0 7\n");
}

TEST_F(EngineTest, partitions_are_created_all_or_none) {
  std::ofstream(path_of("t-2")) << "in the way";
  const std::vector<std::pair<int32_t, int32_t>> three{{0, 0}, {1, 0}, {2, 0}};
  EXPECT_FALSE(carry_out(engine_->begin_creation("t", id_of(1), three, {})).ok());
  EXPECT_FALSE(engine_->partition_info("t", 0).ok());
  EXPECT_FALSE(std::filesystem::exists(path_of("t-0")));
  EXPECT_FALSE(std::filesystem::exists(path_of("t-1")));
  const std::vector<std::pair<int32_t, int32_t>> two{{0, 0}, {1, 0}};
  EXPECT_TRUE(carry_out(engine_->begin_creation("t", id_of(1), two, {})).ok());
}

TEST_F(EngineTest, partitions_can_be_added_but_not_made_twice) {
  create("t", 2);
  const std::vector<std::pair<int32_t, int32_t>> again{{1, 0}};
  EXPECT_FALSE(carry_out(engine_->begin_creation("t", id_of(1), again, {})).ok());
  const std::vector<std::pair<int32_t, int32_t>> more{{2, 0}};
  EXPECT_TRUE(carry_out(engine_->begin_creation("t", id_of(1), more, {})).ok());
  EXPECT_FALSE(carry_out(engine_->begin_creation("t", id_of(2), {{{3, 0}}}, {})).ok());
  EXPECT_EQ(engine_->partition_infos().size(), 3U);
}

TEST_F(EngineTest, a_deleted_topic_is_gone_at_once_and_its_files_later) {
  create("t", 1, {{"file.delete.delay.ms", int64_t{0}}});
  start();
  append(1);
  ASSERT_TRUE(carry_out(engine_->begin_deletion("t")).ok());
  EXPECT_FALSE(std::filesystem::exists(path_of("t-0")));
  EXPECT_EQ(carry_out(engine_->begin_deletion("t")).error().code,
            ErrorCode::kUnknownTopicOrPartition);
  EXPECT_TRUE(eventually([this] {
    for (const auto& entry : std::filesystem::directory_iterator(path_of(""))) {
      if (entry.path().string().ends_with("-delete")) return false;
    }
    return true;
  }));
  create("t", 1, {}, id_of(2));
  append(1);
  EXPECT_EQ(engine_->partition_info("t", 0)->log_end_offset, 1);
}

TEST_F(EngineTest, directories_nobody_serves_are_listed_set_aside_or_deleted) {
  create("t", 2);
  create("made_again", 1, {}, id_of(2));
  ASSERT_TRUE(engine_->stop(0).ok());
  engine_.reset();
  open();
  EXPECT_EQ(engine_->list_partition_directories()->size(), 3U);
  const std::vector<DeletedTopic> deleted{{"t", id_of(1), 2, false},
                                          {"made_again", id_of(7), 1, false}};
  const auto failures = engine_->finish_deletions(deleted);
  ASSERT_TRUE(failures.ok());
  EXPECT_TRUE(failures->empty());
  const auto stray = engine_->set_aside_directory(directory_.path() + "/data", {"made_again", 0});
  ASSERT_TRUE(stray.ok());
  EXPECT_TRUE(std::filesystem::exists(*stray));
  EXPECT_TRUE(engine_->list_partition_directories()->empty());
}

TEST_F(EngineTest, a_served_directory_is_not_deleted) {
  create("t");
  const std::vector<DeletedTopic> deleted{{"t", id_of(1), 1, false}};
  EXPECT_FALSE(engine_->finish_deletions(deleted).ok());
}

TEST_F(EngineTest, new_topic_settings_hold_for_the_next_request) {
  create("t");
  start();
  BrokerClient client(port_);
  const auto spec = produce_of(storage::make_batch({.value_bytes = 500}));
  EXPECT_EQ(client.produce_one(spec).error, ErrorCode::kNone);
  ASSERT_TRUE(engine_->set_topic_config("t", {{"max.message.bytes", int64_t{100}}}).ok());
  EXPECT_EQ(client.produce_one(spec).error, ErrorCode::kMessageTooLarge);
  EXPECT_FALSE(engine_->set_topic_config("absent", {}).ok());
}

TEST_F(EngineTest, other_requests_go_to_the_control_queue_and_back) {
  start();
  net::testing::Client client(port_);
  ASSERT_TRUE(client.send(frame_of(kMetadata, 1, 77, {1, 2, 3}, "me")));
  ASSERT_TRUE(control_readable(10'000));
  const auto requests = engine_->take_requests(10);
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_FALSE(control_readable());
  EXPECT_EQ(requests[0].api_key, kMetadata);
  EXPECT_EQ(requests[0].api_version, 1);
  EXPECT_EQ(requests[0].correlation_id, 77);
  EXPECT_EQ(requests[0].client_id, "me");
  EXPECT_EQ(requests[0].peer_host, "127.0.0.1");
  EXPECT_EQ(requests[0].body, (Bytes{1, 2, 3}));
  engine_->respond(requests[0].token, {0, 0, 0, 77, 9});
  EXPECT_EQ(client.receive_frame(), (Bytes{0, 0, 0, 77, 9}));
  engine_->respond(requests[0].token, {1, 1, 1, 1});  // a token is good once
  ASSERT_TRUE(client.send(frame_of(kMetadata, 1, 78, {})));
  ASSERT_TRUE(control_readable(10'000));
  engine_->close_connection(engine_->take_requests(1).at(0).token);
  EXPECT_TRUE(client.closed_by_server());
}

TEST_F(EngineTest, a_full_control_queue_pauses_connections_and_loses_nothing) {
  ASSERT_TRUE(engine_
                  ->set_broker_config(
                      {{"num.network.threads", int64_t{2}}, {"queued.max.requests", int64_t{3}}})
                  .ok());
  start();
  constexpr int kClients = 20;
  std::vector<std::unique_ptr<net::testing::Client>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<net::testing::Client>(port_));
    ASSERT_TRUE(clients.back()->send(frame_of(kMetadata, 1, i, {})));
  }
  int answered = 0;
  while (answered < kClients) {
    ASSERT_TRUE(control_readable(10'000));
    EXPECT_LE(stat("requests_queued"), 3);
    for (const auto& request : engine_->take_requests(2)) {
      ++answered;
      engine_->respond(request.token, {0, 0, 0, 0});
    }
  }
  for (const auto& client : clients) EXPECT_EQ(client->receive_frame().size(), 4U);
}

TEST_F(EngineTest, requests_of_one_connection_take_effect_in_the_order_they_were_sent) {
  create("t");
  start();
  net::testing::Client client(port_);
  Bytes frames;
  for (const Bytes& frame :
       {frame_of(kMetadata, 1, 1, {}), frame_of(kMetadata, 1, 2, {}),
        frame_of(kProduce, 9, 3, encode(ProduceSpec{})), frame_of(kMetadata, 1, 4, {})}) {
    frames.insert(frames.end(), frame.begin(), frame.end());
  }
  ASSERT_TRUE(client.send(frames));
  for (const int32_t expected : {1, 2, 4}) {
    ASSERT_TRUE(control_readable(10'000));
    const auto requests = engine_->take_requests(10);
    ASSERT_EQ(requests.size(), 1U) << "one at a time";
    EXPECT_EQ(requests[0].correlation_id, expected);
    EXPECT_FALSE(control_readable(20));
    EXPECT_EQ(engine_->partition_info("t", 0)->log_end_offset, expected == 4 ? 1 : 0);
    engine_->respond(requests[0].token, {0, 0, 0, static_cast<uint8_t>(expected)});
  }
  for (const uint8_t expected : {1, 2, 3, 4}) EXPECT_EQ(client.receive_frame().at(3), expected);
}

TEST_F(EngineTest, a_stop_waits_for_no_request_that_nobody_will_answer) {
  start();
  net::testing::Client taken(port_);
  net::testing::Client queued(port_);
  ASSERT_TRUE(taken.send(frame_of(kMetadata, 1, 1, {})));
  ASSERT_TRUE(control_readable(10'000));
  ASSERT_EQ(engine_->take_requests(1).size(), 1U);
  ASSERT_TRUE(queued.send(frame_of(kMetadata, 1, 2, {})));
  ASSERT_TRUE(control_readable(10'000));
  constexpr int64_t kGraceMs = 3'600'000;  // the test would time out, if it were waited for
  ASSERT_TRUE(engine_->stop(kGraceMs).ok());
  EXPECT_TRUE(taken.closed_by_server());
  EXPECT_TRUE(queued.closed_by_server());
}

TEST_F(EngineTest, in_process_appends_are_read_back_as_whole_batches) {
  create("t");
  const std::string key = "k";
  const std::vector<KeyValueView> records{{as_bytes(key), std::nullopt}, {std::nullopt, {}}};
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(append_records(*engine_, "t", 0, records), ErrorCode::kNone);
    EXPECT_EQ(engine_->partition_info("t", 0)->high_watermark, 2 * (i + 1));
  }
  std::vector<int64_t> seen;
  for (int64_t offset = 0; offset < 20;) {
    const auto fetched = engine_->fetch("t", 0, offset, 200, false);
    ASSERT_TRUE(fetched.ok());
    EXPECT_EQ(fetched->high_watermark, 20);
    for (const int64_t base : base_offsets(Bytes(fetched->bytes.begin(), fetched->bytes.end()))) {
      seen.push_back(base);
      offset = base + 2;
    }
  }
  EXPECT_EQ(seen.size(), 10U);
  EXPECT_EQ(engine_->fetch("t", 0, 20, 200, false)->bytes.size(), 0U);
  EXPECT_EQ(engine_->fetch("t", 0, 21, 200, false).error().code, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(append_records(*engine_, "t", 1, records), ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(EngineTest, offsets_are_found_by_time_and_epoch) {
  create("t");
  start();
  BrokerClient client(port_);
  constexpr int64_t kStart = 1'700'000'000'000;
  for (int i = 0; i < 5; ++i) {
    client.produce_one(produce_of(storage::make_batch({.timestamp = kStart + i * 1000})));
  }
  EXPECT_EQ(engine_->offset_for_timestamp("t", 0, kStart + 1500)->offset, 2);
  EXPECT_EQ(engine_->offset_for_timestamp("t", 0, kStart + 9000)->offset, -1);
  EXPECT_EQ(engine_->max_timestamp_offset("t", 0)->offset, 4);
  EXPECT_EQ(engine_->epoch_for_offset("t", 0, 2).value(), 0);
  EXPECT_EQ(engine_->end_offset_for_epoch("t", 0, 0)->end_offset, 5);
}

}  // namespace
}  // namespace barnabas::dataplane
