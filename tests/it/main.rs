//! Tests of the whole product: the real binary, real files, real kills.
mod arrows;
mod check;
mod common;
mod crash;
mod reload;
mod samples;
mod webhook;
