//! Tests of the whole product: the real binary, real files, real kills.
mod arrows;
mod check;
mod cluster;
mod common;
mod crash;
mod kafka_broker;
mod kafka_common;
mod kafka_job;
mod kafka_netns;
mod kafka_proxy;
mod kafka_qualify;
mod live;
mod numbers;
mod reload;
mod s3;
mod samples;
mod webhook;
