//! The shipped rules proved, and that proof and comparison find what is planted. With the solver cvc5 ($CVC5, or on the PATH);
//! without it these tests are skipped, loudly.
#![expect(
    clippy::print_stderr,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "a test that is skipped says so, cuts its own texts, which are ASCII, and names the case it means"
)]

#[cfg(test)]
mod compare;
#[cfg(test)]
mod prove;
#[cfg(test)]
mod sample;
