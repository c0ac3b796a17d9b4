//! The whole system, as those who use it see it. The tests are in `it/`.
