//! How OpenAPI describes types with a text form, and others whose form serde cannot derive.

use crate::{
    Address, AddressRange, DeploymentId, Digest, MachineId, OrderId, Reason, ServerCopies, Site, UnixSeconds,
    merkle::TreeHash,
    rollout::{FailureLimit, RingSize},
    schedule::{NetworkId, Night, Window},
    server_events::EventKind,
    signed::{KeyRing, PublicKey},
};
use std::borrow::Cow;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, RefOr, SchemaFormat,
        schema::{ArrayBuilder, ObjectBuilder, Schema, Type},
    },
};

macro_rules! schemas {
    ($($type:ty = $name:literal, $schema:expr;)*) => {
        $(impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }
        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        })*
    };
}

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

fn digits(description: &str, count: usize) -> ObjectBuilder {
    text(description).pattern(Some(format!("^[0-9a-f]{{{count}}}$")))
}

fn reasons() -> ObjectBuilder {
    let codes = Reason::ALL.iter().map(|reason| reason.code());
    text("The code of a reason, from the table of reasons. Clients must expect codes that they do not know.")
        .enum_values(Some(codes))
}

schemas! {
    MachineId = "MachineId", digits("A machine's identity: 32 hexadecimal digits.", 32);
    DeploymentId = "DeploymentId", digits("The identity of a deployment: 32 hexadecimal digits.", 32);
    OrderId = "OrderId", digits("The identity of an order: 32 hexadecimal digits.", 32);
    Digest = "Digest", digits("A BLAKE3 hash: 64 hexadecimal digits.", 64);
    UnixSeconds = "UnixSeconds", ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(0))
        .description(Some("A time in seconds since 1970-01-01 00:00 UTC."));
    Reason = "Reason", reasons();
    Address = "Address", text("A host name or an IP address, with a port, such as `10.0.0.1:7700`.");
    AddressRange = "AddressRange", text("A range of IP addresses, such as `10.1.0.0/16`.");
    Site = "Site", text("A subnet: a /24 of IPv4 or a /64 of IPv6.");
    RingSize = "RingSize", text("How many machines the rings up to one have: a number, a share such as `25%`, or `all`.");
    FailureLimit = "FailureLimit", text("How many failures halt: more than a number, or a share such as `5%`.");
    EventKind = "EventKind", text("The kind of an event. Clients must expect kinds that they do not know.")
        .enum_values(Some(EventKind::ALL.iter().map(|kind| kind.name())));
    ServerCopies = "ServerCopies", text("How many copies the server may send: a number such as `1.5`, or `auto`.");
    Window = "Window", text("`any`, `idle`, `night`, or hours of the week such as `Mon-Fri 22:00-06:00`.");
    Night = "Night", text("The hours of the night, such as `22:00-06:00`.");
    NetworkId = "NetworkId", text("A network that a machine recognises again.");
    PublicKey = "PublicKey", text("An Ed25519 public key in base64.");
    TreeHash = "TreeHash", digits("A SHA-256 hash of the log's Merkle tree: 64 hexadecimal digits.", 64);
    KeyRing = "KeyRing", ArrayBuilder::new().items(PublicKey::schema());
}
