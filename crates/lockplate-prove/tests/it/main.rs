//! The shipped rules proved, and that proof and comparison find what is planted. With the solver cvc5 ($CVC5, or on the PATH);
//! without it these tests are skipped, loudly.
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

#[cfg(test)]
mod compare;
#[cfg(test)]
mod prove;
#[cfg(test)]
mod sample;
