//! Where plays come from: one module per kind of source.

pub mod decode;
pub mod folder;
pub mod observation;
pub mod playlist;
pub mod virtualdj;
