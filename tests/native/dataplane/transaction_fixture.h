// A broker whose transaction coordinator is the test: it takes what the data plane asks, and
// answers.
#pragma once

#include <poll.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker_fixture.h"
#include "coordinator_appends.h"
#include "dataplane/transaction_check.h"

namespace barnabas::dataplane {

/// A partition as the coordinator sees it.
using Named = std::pair<std::string, int32_t>;

/// What the data plane asked.
struct Asked {
  uint64_t token = 0;
  int16_t api_key = 0;
  int16_t api_version = 0;
  std::optional<std::string> client_id;
  std::string peer_host;
  std::string transactional_id;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  bool verify_only = false;
  std::vector<Named> partitions;
};

class TransactionBrokerTest : public BrokerTest {
 protected:
  void SetUp() override {
    BrokerTest::SetUp();
    // Batches are of long ago and markers of now: nothing is to roll because of that.
    create("t", 2, {{"segment.ms", INT64_MAX}});
    create("u", 1, {}, id_of(2));
    start();
  }

  bool question_waits(int timeout_ms = 0) {
    pollfd waiting{engine_->control_fd(), POLLIN, 0};
    return ::poll(&waiting, 1, timeout_ms) == 1;
  }
  Asked next_question() {
    EXPECT_TRUE(question_waits(10'000)) << "nobody is asked";
    auto requests = engine_->take_requests(1);
    EXPECT_EQ(requests.size(), 1U);
    if (requests.empty()) return {};
    ControlRequest& request = requests[0];
    Asked asked{request.token, request.api_key, request.api_version, request.client_id,
                request.peer_host};
    RequestReader in(request.body, true);
    in.skip_tags();
    EXPECT_EQ(in.read_array_length(1), 1U);
    asked.transactional_id = std::string(in.read_string());
    asked.producer_id = in.read<int64_t>();
    asked.producer_epoch = in.read<int16_t>();
    asked.verify_only = in.read<int8_t>() != 0;
    for (size_t topics = in.read_array_length(1); topics > 0; --topics) {
      const std::string topic(in.read_string());
      for (size_t count = in.read_array_length(1); count > 0; --count) {
        asked.partitions.emplace_back(topic, in.read<int32_t>());
      }
      in.skip_tags();
    }
    in.skip_tags();
    in.skip_tags();
    EXPECT_TRUE(in.ok());
    EXPECT_EQ(in.bytes_left(), 0U);
    return asked;
  }
  /// `errors`: kNone where a partition is missing; `error`: of the whole answer.
  void answer(const Asked& asked, const std::map<Named, ErrorCode>& errors = {},
              ErrorCode error = ErrorCode::kNone) {
    ResponseWriter out(true, 256);
    out.write(int32_t{0});  // correlation id
    out.write_empty_tags();
    out.write(int32_t{0});
    out.write(static_cast<int16_t>(error));
    out.write_array_length(1);
    out.write_string(asked.transactional_id);
    out.write_array_length(asked.partitions.size());  // a topic a partition is as good
    for (const Named& named : asked.partitions) {
      const auto found = errors.find(named);
      out.write_string(named.first);
      out.write_array_length(1);
      out.write(named.second);
      out.write(static_cast<int16_t>(found == errors.end() ? ErrorCode::kNone : found->second));
      out.write_empty_tags();
      out.write_empty_tags();
    }
    out.write_empty_tags();
    out.write_empty_tags();
    engine_->respond(asked.token, out.take());
  }
  void answer_all(const Asked& asked, ErrorCode error) {
    std::map<Named, ErrorCode> errors;
    for (const Named& named : asked.partitions) errors[named] = error;
    answer(asked, errors);
  }

  static Bytes batch_of(int32_t sequence, int64_t producer_id = 5, int16_t epoch = 0,
                        int records = 1) {
    return storage::make_batch({.records = records,
                                .producer_id = producer_id,
                                .producer_epoch = epoch,
                                .base_sequence = sequence,
                                .transactional = true});
  }
  static ProduceSpec transactional(int32_t sequence, int16_t version = 11,
                                   int64_t producer_id = 5) {
    ProduceSpec spec = produce_of(batch_of(sequence, producer_id));
    spec.transactional_id = "tx";
    spec.version = version;
    return spec;
  }
  /// Sends it, and answers for the coordinator that all is well.
  ProduceAnswer produce_verified(BrokerClient& client, const ProduceSpec& spec) {
    client.send(spec);
    answer(next_question());
    const auto answers = decode_produce(client.receive(), spec.version);
    EXPECT_EQ(answers.size(), 1U);
    return answers.empty() ? ProduceAnswer{} : answers[0];
  }
  /// A marker; returns its offset.
  int64_t end(bool commit, int64_t producer_id = 5, int32_t partition = 0) {
    const int64_t offset = log_end("t", partition);
    EXPECT_EQ(append_marker(*engine_, "t", partition, {{producer_id, 0}, commit, 0, 0}),
              ErrorCode::kNone);
    return offset;
  }
  int64_t log_end(const std::string& topic = "t", int32_t partition = 0) {
    return engine_->partition_info(topic, partition)->log_end_offset;
  }
};

}  // namespace barnabas::dataplane
