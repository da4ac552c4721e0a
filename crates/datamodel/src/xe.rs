//! xe
