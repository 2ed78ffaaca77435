//! A machine that is enrolled like any other, and then does not keep the rules.
