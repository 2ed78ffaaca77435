//! One module for each promise. They share this one program, since linking is what costs.

mod everyone_gets_it;
