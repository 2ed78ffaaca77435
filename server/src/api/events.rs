//! The stream of events, as server-sent events.

use super::{
    ServerState,
    administrator::{Administrator, authenticate},
    extract::QueryParams,
    routes::{Routes, Rule, Scoping},
};
use crate::{
    events::stream::{EventStream, StreamItem},
    refusal::Refusal,
    server::Server,
};
use axum::{
    extract::State,
    http::{Extensions, HeaderMap, HeaderName, header::CACHE_CONTROL},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use banyan_proto::{access::Permission, server_events::ServerEvent};
use futures_util::stream;
use std::{convert::Infallible, sync::Arc, time::Duration};
use utoipa_axum::routes;

/// How often a silent stream sends a comment, so that proxies do not cut it.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How often the token is checked again.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// How soon a client should connect again when the stream was cut.
const RECONNECT_AFTER: Duration = Duration::from_secs(2);

pub(super) fn add_to(routes: Routes) -> Routes {
    routes.add(Rule::read(Permission::View, Scoping::WholeServer), routes!(events))
}

/// Where the stream begins.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Position {
    /// The number of the last event that the client has seen, for clients that cannot send the header `Last-Event-ID`.
    /// Without both, the stream begins with the next event.
    after: Option<u64>,
}

/// Streams events as they happen (server-sent events). `Last-Event-ID` replays what was missed. The event `resync` says
/// that some are no longer kept: the client must read again what it shows.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    operation_id = "stream_events",
    tag = "events",
    params(Position, ("Last-Event-ID" = Option<u64>, Header, description = "The number of the last event seen.")),
    responses((
        status = 200,
        description = "Events; the data of each is a ServerEvent.",
        content_type = "text/event-stream",
        body = ServerEvent
    ))
)]
async fn events(
    State(server): ServerState,
    _: Administrator,
    headers: HeaderMap,
    QueryParams(position): QueryParams<Position>,
    extensions: Extensions,
) -> Result<Response, Refusal> {
    let header =
        headers.get("last-event-id").map(|value| value.to_str().ok().and_then(|text| text.trim().parse().ok()));
    let seen = match header {
        Some(None) => return Err(Refusal::bad("the header Last-Event-ID is not the number of an event")),
        Some(seen) => seen,
        None => position.after,
    };
    let source = EventStream::open(Arc::clone(&server.orders.store), seen).await?;
    let client = Client { server, source, headers, extensions };
    let items = stream::unfold(client, |mut client| async {
        let event = client.next().await?;
        Some((Ok::<Event, Infallible>(event), client))
    });
    let keep_alive = KeepAlive::new().interval(COMMENT_EVERY);
    let cautions = [
        (CACHE_CONTROL, "no-cache, no-transform"),
        // Proxies after the model of nginx would hold events back.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((cautions, Sse::new(items).keep_alive(keep_alive)).into_response())
}

/// A client of the stream.
struct Client {
    server: Arc<Server>,
    source: EventStream,
    headers: HeaderMap,
    extensions: Extensions,
}

impl Client {
    /// Returns the next event. The stream ends when the token is no longer valid, the server stops, or the store fails:
    /// the client connects again, and learns why.
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                item = self.source.next() => return write(&item.ok()?),
                () = tokio::time::sleep(CHECK_EVERY) => {
                    authenticate(&self.server, &self.headers, &self.extensions).await.ok()?;
                }
                () = self.server.stop.cancelled() => return None,
            }
        }
    }
}

fn write(item: &StreamItem) -> Option<Event> {
    match item {
        StreamItem::Resync(after) => {
            Some(Event::default().event("resync").id(after.to_string()).retry(RECONNECT_AFTER).data("{}"))
        }
        StreamItem::Event(event) => {
            let data = serde_json::to_string(event).ok()?;
            Some(Event::default().event(event.kind.name()).id(event.id.to_string()).data(data))
        }
    }
}
