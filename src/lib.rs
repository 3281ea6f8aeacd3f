//! Starling: the signaling and peer-selection backend of a browser P2P video network, behind Centrifugo.
//!
//! `proxy` hears Centrifugo, `signaling` decides, `domain` knows the rules, `outbox` sends, `geo` knows where a peer is,
//! `ranking` judges, `store` remembers, `gateway` speaks back, `app` plugs it together.

pub mod admin;
pub mod app;
pub mod clock;
pub mod config;
pub mod demo;
pub mod domain;
pub mod gateway;
pub mod geo;
pub mod lifecycle;
pub mod listener;
pub mod outbox;
pub mod protocol;
pub mod proxy;
pub mod ranking;
pub mod signaling;
pub mod store;
pub mod telemetry;
