#include "net/mailbox.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <thread>

namespace barnabas::net {
namespace {

bool is_woken(const Mailbox& mailbox) {
  pollfd entry{mailbox.fd(), POLLIN, 0};
  return ::poll(&entry, 1, 0) == 1;
}

TEST(Mailbox, ASleeperIsWokenAndATakerIsNot) {
  Mailbox mailbox(std::move(Mailbox::create_eventfd()).value());
  std::vector<Mailbox::Message> messages;
  mailbox.push(Task([] {}));
  EXPECT_TRUE(is_woken(mailbox)) << "before the first round";
  mailbox.clear_wakeup();
  mailbox.take(messages);
  EXPECT_EQ(messages.size(), 1U);

  mailbox.push(Task([] {}));
  EXPECT_FALSE(is_woken(mailbox)) << "the reactor is awake and looks before it sleeps";
  EXPECT_FALSE(mailbox.prepare_to_sleep());
  mailbox.take(messages);

  EXPECT_TRUE(mailbox.prepare_to_sleep());
  for (int i = 0; i < 100; ++i) mailbox.push(Task([] {}));
  EXPECT_TRUE(is_woken(mailbox));
  mailbox.clear_wakeup();
  EXPECT_FALSE(is_woken(mailbox));
  mailbox.take(messages);
  EXPECT_EQ(messages.size(), 100U);
}

TEST(Mailbox, WhatComesAfterItWasClosedWritesToNoFile) {
  Mailbox mailbox(std::move(Mailbox::create_eventfd()).value());
  const int fd = mailbox.fd();
  EXPECT_TRUE(mailbox.prepare_to_sleep());
  std::atomic<bool> begun{false};
  std::thread pusher([&] {
    for (int i = 0; i < 1000; ++i) {
      mailbox.push(Task([] {}));
      begun = true;
    }
  });
  while (!begun) std::this_thread::yield();
  mailbox.close();
  const UniqueFd other = std::move(Mailbox::create_eventfd()).value();
  EXPECT_EQ(other.get(), fd) << "the number is given again";
  pusher.join();
  mailbox.push(Task([] {}));
  pollfd entry{other.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&entry, 1, 0), 0);
}

}  // namespace
}  // namespace barnabas::net
